"""Single values of the file: how each kind is read, and how the JSON Schema describes it.

A kind says what is wrong with a value by raising `Refused`; who called it knows the key and the line.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from qvl.config.fault import Report, nearest
from qvl.config.tree import Leaf, Node, plain
from qvl.config.units import UnitError, parse_duration, parse_size

Schema = dict[str, object]


class Refused(Exception):
    """What is wrong with a value, as the end of a sentence that begins with its key."""

    def __init__(self, message: str, nearest: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.nearest = nearest


class Kind(Protocol):
    """Read a node of the file, or raise Refused."""

    def read(self, node: Node, key: str, report: Report) -> object: ...

    def schema(self) -> Schema: ...


def type_name(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value}"' if len(value) <= 40 else "text"
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"


def wrong_type(node: Node, wanted: str, near: str = "") -> Refused:
    return Refused(f"must be {wanted}, not {type_name(plain(node))}", near)


@dataclass(frozen=True, slots=True)
class Text:
    """Text; `check` raises Refused for what it doesn't like, `pattern` and `shape` go into the schema."""

    check: Callable[[str], object] | None = None
    more: Schema = field(default_factory=dict)

    def read(self, node: Node, key: str, report: Report) -> str:
        if not isinstance(node, Leaf) or not isinstance(node.value, str):
            value = plain(node)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            raise wrong_type(node, "text", f'write "{value}"' if number else "")
        if "\0" in node.value:
            raise Refused("must not hold a NUL character")
        if self.check:
            self.check(node.value)
        return node.value

    def schema(self) -> Schema:
        return {"type": "string", **self.more}


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple[str, ...]

    def read(self, node: Node, key: str, report: Report) -> str:
        listed = ", ".join(f'"{option}"' for option in self.options)
        if not isinstance(node, Leaf) or not isinstance(node.value, str):
            raise wrong_type(node, f"one of {listed}")
        if node.value not in self.options:
            raise Refused(f'"{node.value}" is none of {listed}', nearest(node.value, self.options))
        return node.value

    def schema(self) -> Schema:
        return {"enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, and `words` beside them."""

    words: tuple[str, ...] = ()

    def read(self, node: Node, key: str, report: Report) -> bool | str:
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, bool) or (isinstance(value, str) and value in self.words):
            return value
        wanted = " or ".join(["true", "false", *(f'"{word}"' for word in self.words)])
        known = {"true": "true", "yes": "true", "on": "true", "1": "true"}
        known |= {"false": "false", "no": "false", "off": "false", "0": "false"}
        guess = known.get(str(value).lower(), "")
        near = f"write {guess}" if guess else nearest(str(value), self.words)
        raise wrong_type(node, wanted, near)

    def schema(self) -> Schema:
        return {"enum": [True, False, *self.words]} if self.words else {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = 1_000_000

    def read(self, node: Node, key: str, report: Report) -> int:
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, bool) or not isinstance(value, int):
            digits = isinstance(value, str) and value.isdecimal()
            raise wrong_type(node, "a whole number", f"write {value}" if digits else "")
        if not self.low <= value <= self.high:
            raise Refused(f"{value} is out of range: {self.low} to {self.high}")
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds. `positive`: zero would mean "all the time" or "at once" where neither can be meant."""

    positive: bool = False

    def read(self, node: Node, key: str, report: Report) -> float:
        try:
            seconds = parse_duration(plain(node))
        except UnitError as error:
            raise Refused(str(error), error.nearest) from None
        if self.positive and not seconds:
            raise Refused("must be longer than zero")
        return seconds

    def schema(self) -> Schema:
        number: Schema = {"type": "number", "exclusiveMinimum" if self.positive else "minimum": 0}
        return {"anyOf": [number, {"type": "string", "pattern": r"^ *\d[\d.]* *((ms|[dhms]) *\d*[\d.]* *)*$"}]}


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, `low` at least."""

    low: int = 0

    def read(self, node: Node, key: str, report: Report) -> int:
        try:
            size = parse_size(plain(node))
        except UnitError as error:
            raise Refused(str(error), error.nearest) from None
        if size < self.low:
            raise Refused(f"{size} bytes are too few: {self.low} at least")
        return size

    def schema(self) -> Schema:
        written: Schema = {"type": "string", "pattern": r"^ *\d+(\.\d+)? ?([kKMGT]i?)?B? *$"}
        return {"anyOf": [{"type": "integer", "minimum": self.low}, written]}


def absolute_path(text: str) -> None:
    if text and not text.startswith("/"):
        raise Refused(f'"{text}" must be an absolute path', "it begins with /")


def model_name(text: str) -> None:
    if text.startswith("-"):
        raise Refused(f'"{text}" would be taken for a flag')


def url_path(text: str) -> None:
    if text and not text.startswith("/"):
        raise Refused(f'"{text}" must be a path of the server', f'did you mean "/{text}"?')


def host_name(text: str) -> None:
    """An address or a name that a server can bind to."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if (
            not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text)
            or text.replace(".", "").isdecimal()
        ):
            raise Refused(f'"{text}" is neither an address nor a host name', '"127.0.0.1" or "0.0.0.0"') from None
