"""A configuration's text as it may be shown: what is secret in it is replaced where it stands, and no line moves.

It has to hold for text that no parser understands as well, since that is when people look at it: so words are read
here, never TOML. Hidden is what stands under the name of a secret (`HF_TOKEN = …`, `--api-key …`, also in strings and
comments), a password in a URL, and every value that the daemon knows to be a secret. What else may look like one is not
guessed at. Where it is in doubt, too much is hidden.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from qvl.config.origins import names_a_secret
from qvl.shim.redact import MARK, SHORTEST, Redactor

HIDDEN: Final = MARK.decode()

# An open string ends with its line, an open block with the text: always a match, so that no text takes long.
_WORD: Final = re.compile(
    r'''(?P<comment>\#[^\n]*)
    |(?P<string>"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\[^\n]|[^"\\\n])*"?|'[^'\n]*'?)
    |(?P<line>\n)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<equals>=)
    |(?P<bare>[^\s\[\]{}=,"'\#]+)|(?P<space>[^\S\n]+)|(?P<rest>.)''',
    re.DOTALL | re.VERBOSE,
)
_QUOTES: Final = ('"""', "'" * 3, '"', "'")
_HEADER: Final = re.compile(r"\[+([^\]\n]*)\]*")
_NAMED: Final = re.compile(r"(?<![\w-])-*(?P<name>[A-Za-z][\w-]*)[\\\"']*\s*[:=]+\s*[\\\"']*(?P<value>[^\s\\\"'])")
_FLAG: Final = re.compile(r"(?<![\w-])--(?P<name>[A-Za-z][\w-]*)[\\\"',]*\s+[\\\"']*(?P<value>[^\s\\\"'-])")
_IN_URL: Final = re.compile(r"://[^/@\s]+@")
_QUOTED: Final = re.compile(r'"[^"]*"')
_FIGURE: Final = re.compile(r"(?:true|false|[+-]?[\d._]{1,8})\Z")
"""No secret. A longer number may be a key that was written without quotes."""
_LONGEST_SHOWN: Final = 4096
"""Characters of a path, as the kernel takes it."""
_PLACEHOLDER: Final = "{api_key_file}"
_FILES: Final = ("_FILE", "_PATH", "_DIR")
"""Names that end so tell where a secret lies, which is none: if what they name is a path."""
_OF_A_PLACE: Final = 2
"""Parts of a header that only say which table it is: `profiles.NAME`, whatever the profile is called."""


class Hide(IntEnum):
    NOTHING = 0
    ALL_BUT_PATHS = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Redacted:
    text: str
    places: int
    """How many were replaced."""
    values: frozenset[str]
    """What was taken out: it must not appear in a message about this text either."""


def redacted(text: str, secrets: Iterable[str] = ()) -> Redacted:
    """`secrets`: values that are to be hidden wherever they stand."""
    scan = _Scan()
    found = "".join(scan.words(Mask(secrets)(text)))
    known = text.count(HIDDEN)
    return Redacted(found, found.count(HIDDEN) - known, frozenset(scan.values))


def prose(text: str) -> str:
    """A single value, as a text of a configuration may hold it."""
    return _Scan().prose(text)


class Mask:
    """Takes known values out of texts, in whichever spelling they are printed."""

    def __init__(self, values: Iterable[str]) -> None:
        self._redactor = Redactor(values)

    def __call__(self, text: str) -> str:
        raw = self._redactor.feed(text.encode("utf-8", "surrogateescape")) + self._redactor.finish()
        return raw.decode("utf-8", "surrogateescape")

    def message(self, text: str, key: str) -> str:
        """A message about a configuration, which may quote it: also free of what it quotes of a secret `key`."""
        text = self(text)
        return text if _key(key) is Hide.NOTHING else _QUOTED.sub(f'"{HIDDEN}"', text)


def hides(name: str) -> Hide:
    """What the value of this key is to be hidden as."""
    if not names_a_secret(name):
        return Hide.NOTHING
    return Hide.ALL_BUT_PATHS if name.upper().replace("-", "_").endswith(_FILES) else Hide.ALL


def _key(text: str) -> Hide:
    return max((hides(part.strip(" \t\"':")) for part in text.split(".")), default=Hide.NOTHING)


@dataclass(slots=True)
class _Level:
    """What is open: the file itself, an array or an inline table."""

    around: Hide
    key: Hide = Hide.NOTHING
    """Of the words before a `=`, and then of its value."""
    flag: Hide = Hide.NOTHING
    """Of a `--flag` whose value is the next string."""

    @property
    def hide(self) -> Hide:
        return max(self.around, self.key)


@dataclass(slots=True)
class _Scan:
    values: set[str] = field(default_factory=set)
    _levels: list[_Level] = field(default_factory=lambda: [_Level(Hide.NOTHING)])
    _valued: bool = False
    """A `=` was seen since the last separator."""

    def words(self, text: str) -> Iterator[str]:
        place, fresh = 0, True
        while place < len(text):
            if fresh and len(self._levels) == 1 and (header := _HEADER.match(text, place)):
                self._levels[0].around = _key(".".join(header[1].split(".")[_OF_A_PLACE:]))
                yield header[0]
                place = header.end()
                continue
            word = _WORD.match(text, place)
            assert word is not None, "the last alternative is any character"
            kind = word.lastgroup
            yield self._word(kind, word[0])
            place = word.end()
            fresh = kind == "line" or (fresh and kind == "space")

    def _word(self, kind: str | None, word: str) -> str:
        level = self._levels[-1]
        match kind:
            case "open":
                self._levels.append(_Level(level.hide))
                self._valued = False
            case "close" if len(self._levels) > 1:
                self._levels.pop()
                self._valued = True  # what it closed was a value
            case "line" | "comma":
                level.key, self._valued = Hide.NOTHING, False
            case "equals":
                self._valued = True
            case "comment":
                return self.prose(word)
            case "string":
                return self._string(level, word)
            case "bare":
                return self._bare(level, word)
        return word

    def _bare(self, level: _Level, word: str) -> str:
        hide = level.hide
        if not self._valued:
            level.key = max(level.key, _key(word))
            if hide is level.around:  # the key itself; what follows a secret's name without a `=` is no key
                return word
        if hide is Hide.NOTHING or _FIGURE.match(word):
            return self.prose(word)
        return self._hidden(word)

    def _string(self, level: _Level, word: str) -> str:
        quote = next(quote for quote in _QUOTES if word.startswith(quote))
        closed = len(word) >= 2 * len(quote) and word.endswith(quote)
        inner = word[len(quote) : -len(quote)] if closed else word[len(quote) :]
        hide, level.flag = max(level.hide, level.flag), Hide.NOTHING
        if not self._valued and hide is level.around:
            level.key = max(level.key, _key(inner))
        if hide is not Hide.NOTHING and not may_show(inner, hide):
            inner = self._hidden(inner)
        else:
            if inner.startswith("--") and inner[2:3].isalpha() and "=" not in inner:
                level.flag = hides(inner[2:].strip())
            inner = self.prose(inner)
        return quote + inner + (quote if closed else "")

    def prose(self, text: str) -> str:
        """Free text: a name with its value takes all that follows along."""
        for pattern in (_NAMED, _FLAG):
            for found in pattern.finditer(text):
                hide, at = hides(found["name"]), found.start("value")
                if hide is Hide.NOTHING:
                    continue
                value = text[at : at + _LONGEST_SHOWN].split(maxsplit=1)[0]
                if not may_show(value, hide) and not _FIGURE.match(value.rstrip("\\\"',;)]}")):
                    if not text.startswith(HIDDEN, at):
                        text = text[:at] + self._hidden(text[at:], first=True)
                    break
        return _IN_URL.sub(self._password, text) if "@" in text else text

    def _password(self, found: re.Match[str]) -> str:
        inner = found[0][3:-1]
        return f"://{self._hidden(inner)}@" if ":" in inner else found[0]

    def _hidden(self, text: str, *, first: bool = False) -> str:
        """`first`: the secret is the first word, and what follows is hidden with it."""
        if not text.strip() or text == HIDDEN:
            return text
        for value in (text, text.split(maxsplit=1)[0] if first else ""):
            if len(value := value.strip("\\\"',;)]} \t\n")) >= SHORTEST:
                self.values.add(value)
        return HIDDEN + "\n" * text.count("\n")


def may_show(value: str, hide: Hide) -> bool:
    """Nothing, a word in place of a path, or a path where one is asked for."""
    if not value or value.startswith(_PLACEHOLDER):
        return True
    return hide is Hide.ALL_BUT_PATHS and value.startswith(("/", "~/"))
