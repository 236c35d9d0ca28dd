"""What a matching line must hold: never more than is true."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.search.needles import needles

ATOMS = [
    "a",
    "b",
    "c",
    "é",
    "B",
    r"\.",
    r"\d",
    r"\w",
    ".",
    "[ab]",
    "[^a]",
    "[]a]",
    r"\(",
    "(ab)",
    "(a|bc)",
    "(?:ab)",
    "{a|b}",
    "(a(b|c))",
    "(a|)",
]
PIECES = st.builds(
    lambda atom, repeat: atom + repeat,
    st.sampled_from(ATOMS),
    st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{,1}", "+?"]),
)
PATTERNS = st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=1, max_size=3).map("|".join)


@given(PATTERNS, st.text("abcBé.(){|}1", max_size=12), st.booleans())
def test_a_line_that_matches_holds_a_needle(pattern: str, line: str, ignore_case: bool) -> None:
    sure = needles(pattern, ignore_case=ignore_case)
    if sure is not None and re.search(pattern, line, re.IGNORECASE if ignore_case else 0):
        data = line.lower().encode() if ignore_case else line.encode()
        assert any(word in data for word in sure)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("Decode batch", (b"Decode batch",)),
        ("Prefill batch.*token: \\d+", (b"Prefill batch",)),
        ("OOM|out of memory", (b"OOM", b"out of memory")),
        ("rank [0-7]+ left", (b"rank ",)),
        ("(a|b) failed", (b" failed",)),
        ("(foo|bar)+\\d", (b"foo", b"bar")),
        ("(foo|\\d)x", (b"x",)),
        ("(?:foo)?ab", (b"ab",)),
        ("colou?r", (b"colo",)),
        ("x{3}yes", (b"yes",)),
        ("é", ("é".encode(),)),
        ("a|\\d", None),
        ("(?i)error", None),
        ("(?!x)error", None),
        ("\\x41BC", None),
        ("", None),
    ],
)
def test_what_is_found(pattern: str, found: tuple[bytes, ...] | None) -> None:
    assert needles(pattern, ignore_case=False) == found


def test_without_case_only_ascii_is_sure() -> None:
    assert needles("Größe von", ignore_case=True) == (b"e von",)
    assert needles("É", ignore_case=True) is None
