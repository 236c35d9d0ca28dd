"""What is secret in a configuration's text is replaced where it stands, in text that no parser understands as well."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.config.redaction import HIDDEN, Mask, redacted

SECRET = "sk-3c9f0e7d"

HIDES = {
    "a variable": f'HF_TOKEN = "{SECRET}"',
    "in single quotes": f"HF_TOKEN = '{SECRET}'",
    "a quoted key": f'"HF_TOKEN" = "{SECRET}"',
    "a dotted key": f'env.HF_TOKEN = "{SECRET}"',
    "dashes": f'api-key = "{SECRET}"',
    "a table within a line": f'env = {{ A = "1", MY_SECRET = "{SECRET}", B = "2" }}',
    "a list": f'API_KEYS = ["a"]\nAPI_KEY = [\n  "{SECRET}", # why\n  "{SECRET}",\n]',
    "many lines": f'PASSWORD = """\none\n{SECRET}\n"""\n',
    "a table of its own": f'[profiles.a.env.TOKEN]\nx = "{SECRET}"',
    "a flag and its value": f'raw_args = ["--api-key", "{SECRET}"]',
    "a flag and its value on two lines": f'raw_args = ["--api-key", # it\n  "{SECRET}",\n]',
    "a flag with its value": f'raw_args = ["--admin-api-key={SECRET}"]',
    "a shell's words": f'command = ["sh", "-c", "HF_TOKEN={SECRET} exec serve --port 1"]',
    "a flag among a shell's words": f'command = ["sh", "-c", "serve --api-key {SECRET}"]',
    "JSON": f'args.x = \'{{"api_key": "{SECRET}"}}\'',
    "JSON in double quotes": f'args.x = "{{\\"api_key\\": \\"{SECRET}\\"}}"',
    "a URL": f'url = "http://ann:{SECRET}@host/x"',
    "a comment": f'# HF_TOKEN = "{SECRET}"',
    "a comment behind a value": f"a = 1 # the key: {SECRET}",
    "a key where its file belongs": f'api_key_file = "{SECRET}"',
    "no quotes": f"HF_TOKEN = {SECRET}",
    "no end of the quotes": f'HF_TOKEN = "{SECRET}\nb = 1',
    "no end of the lines": f'HF_TOKEN = """{SECRET}\nb = 1',
    "no equals sign": f'HF_TOKEN "{SECRET}"',
    "a header": f'args.x = ["Authorization: Bearer {SECRET}"]',
    "a header's name alone": f'headers = {{ Authorization = "Bearer {SECRET}" }}',
    "a camel's humps": f'args.x = \'{{"apiKey": "{SECRET}"}}\'',
    "YAML": f"HF_TOKEN: {SECRET}",
    "a shell": f"export HF_TOKEN={SECRET}",
    "within a list that nobody closed": f'gpus = [0, 1\nHF_TOKEN = "{SECRET}"',
    "digits without quotes": "API_KEY = 12345678901",
}


@pytest.mark.parametrize("how", HIDES)
def test_a_secret_is_hidden_and_no_line_moves(how: str) -> None:
    text = HIDES[how]
    found = redacted(f"before = 1\n{text}\nafter = 1\n")
    assert SECRET not in found.text
    assert "12345678901" not in found.text
    assert HIDDEN in found.text
    assert found.text.count("\n") == text.count("\n") + 3
    assert found.text.startswith("before = 1\n")
    assert found.places


SHOWS = """\
# A comment on tokens and keys, of user@host
[supervisor]
socket = "/run/qvl/supervisor.sock"
[profiles.token.args]
sim-token-seconds = 0.01
enable-token-x = true
maxTokens = "many"
# The bearer of good news
speculative-num-draft-tokens = 4
tokenizer-path = "/models/x"
[engines.a]
command = ["serve", "--api-key", "{api_key_file}", "--api-key={api_key_file}", "--port", "8000"]
env = { TOKENIZERS_PARALLELISM = "false", URL = "http://host:80/a@b" }
[pools.key]
profile = "token"
api_key_file = "/etc/qvl/key"
# api_key_file = "/etc/qvl/key"
gpus = [0, 1]
"""


def test_what_is_no_secret_stays_to_the_last_character() -> None:
    assert redacted(SHOWS).text == SHOWS
    assert redacted(SHOWS).places == 0


def test_a_value_that_is_known_is_hidden_wherever_it_stands() -> None:
    found = redacted(f'model = "{SECRET}"\n# {SECRET}\n', [SECRET])
    assert found.text == f'model = "{HIDDEN}"\n# {HIDDEN}\n'


def test_what_was_hidden_is_hidden_in_messages_too() -> None:
    found = redacted(f'port = 1\nHF_TOKEN = "{SECRET}"\n')
    mask = Mask(found.values)
    assert mask.message(f'"{SECRET}" is no number', "pools.a.port") == f'"{HIDDEN}" is no number'
    assert mask.message('"what" is no text', "engines.a.env.HF_TOKEN") == f'"{HIDDEN}" is no text'
    assert mask.message('did you mean "port"?', "pools.a.prt") == 'did you mean "port"?'


@given(st.text(st.sampled_from("aK_=#.,[]{}\"'\\\n -:/@KEY1"), max_size=60))
def test_any_text_keeps_its_lines(text: str) -> None:
    assert redacted(text).text.count("\n") == text.count("\n")


@given(st.dictionaries(st.sampled_from(["HF_TOKEN", "api-key", "A_SECRET"]), st.text("abcXYZ-_ .", min_size=9)))
def test_valid_toml_stays_valid_and_holds_no_secret(table: dict[str, str]) -> None:
    import tomli_w

    shown = tomllib.loads(redacted(tomli_w.dumps({"env": table, "other": {"a": "b"}})).text)
    assert shown["other"] == {"a": "b"}
    assert all(value == HIDDEN or not value.strip() for value in shown.get("env", {}).values())
