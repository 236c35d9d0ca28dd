"""No secret reaches the log, however it is spelled and wherever a read cuts it."""

import base64
import itertools
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.shim.redact import MARK, Redactor, redact_named

SECRET = 'sk-"ü\\ /+?\n7fQ'


def redact(secrets: list[str], *pieces: bytes) -> bytes:
    redactor = Redactor(secrets)
    return b"".join([*(redactor.feed(piece) for piece in pieces), redactor.finish()])


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        repr(SECRET.encode())[2:-1],
        urllib.parse.quote(SECRET),
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote_plus(SECRET),
        urllib.parse.quote(SECRET, safe="").lower().replace("sk-", "sk-").replace("7fq", "7fQ"),
    ],
)
def test_every_usual_spelling_is_taken_out(spelled: str) -> None:
    text = f"before {spelled} after\n".encode()
    assert redact([SECRET], text) == b"before [redacted] after\n"
    assert redact([SECRET], *(bytes([byte]) for byte in text)) == b"before [redacted] after\n"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user1:", "user12:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_does_not_give_a_secret_away(before: str, encode: type[bytes]) -> None:
    shown = redact([SECRET], b"Authorization: Basic " + encode(f"{before}{SECRET}.".encode()))
    assert MARK in shown
    rest = shown.partition(b"Basic ")[2].replace(MARK, b"")
    assert len(rest) <= len(encode(before.encode())) + 8


def test_a_secret_that_begins_another_does_not_uncover_it() -> None:
    assert redact(["abcd", "abcdefgh"], b"1 abcd", b"efgh 2 abcd", b" 3") == b"1 [redacted] 2 [redacted] 3"


def test_a_secret_may_span_lines() -> None:
    assert redact(["-----KEY\nabc\n-----"], b"x -----KEY\n", b"abc\n", b"-----\n") == b"x [redacted]\n"


def test_what_only_looks_like_a_beginning_is_shown_later() -> None:
    redactor = Redactor(["secret"])
    assert redactor.feed(b"a sec") == b"a "
    assert redactor.feed(b"ond") == b"second"
    assert redactor.feed(b" secre") == b" "
    assert redactor.finish() == b"secre"


def test_nothing_is_held_without_secrets() -> None:
    redactor = Redactor(["abc"])  # too short to be one
    data = b"abc"
    assert redactor.feed(data) is data


WORDS = st.text(alphabet="ab\n", min_size=4, max_size=9)


@given(
    secrets=st.lists(WORDS, min_size=1, max_size=3),
    text=st.lists(st.one_of(WORDS, st.text(alphabet="abc\n", max_size=20)), max_size=20).map("".join),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_cuts_change_nothing(secrets: list[str], text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    whole = redact(secrets, data)
    assert redact(secrets, *pieces) == whole
    assert not any(secret.encode() in part for secret in secrets for part in whole.split(MARK))


def test_what_is_held_stays_shorter_than_a_secret() -> None:
    redactor = Redactor(["aaaa"])
    shown = b""
    for fed in range(1, 1000):
        shown += redactor.feed(b"a")
        assert shown == MARK * (fed // 4)
    assert redactor.finish() == b"aaa"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ServerArgs(api_key='sk-1', port=1)", "ServerArgs(api_key='[redacted]', port=1)"),
        ("{'admin_api_key': 'it\"s', 'x': 1}", "{'admin_api_key': '[redacted]', 'x': 1}"),
        (
            '{"api_key":"sk-1","ssl_keyfile_password": "pw"}',
            '{"api_key":"[redacted]","ssl_keyfile_password": "[redacted]"}',
        ),
        ("python --api-key sk-1 --port 1", "python --api-key [redacted] --port 1"),
        ("['--admin-api-key', 'sk-1', '--port']", "['--admin-api-key', '[redacted]', '--port']"),
        ("--api-key=sk-1", "--api-key=[redacted]"),
        ("api_key=None, admin_api_key=None", "api_key=None, admin_api_key=None"),
        ("the api_key is wrong", "the api_key is wrong"),
    ],
)
def test_what_stands_under_a_key_s_name_is_taken_out_though_nobody_told_it(line: str, shown: str) -> None:
    assert redact_named(line.encode()) == shown.encode()
