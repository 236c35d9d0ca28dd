"""Values of the file that hold others: lists, engine arguments, environments, choices of GPUs.

Those with keys of their own report each bad one and go on; the rest raise `Refused` as single values do.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qvl.config.fault import Report, below, nearest
from qvl.config.kinds import Choice, Refused, Schema, Text, type_name, wrong_type
from qvl.config.tree import Leaf, Node, Table, plain


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of text."""

    def read(self, node: Node, key: str, report: Report) -> tuple[str, ...]:
        if not isinstance(node, Leaf) or not isinstance(node.value, list):
            value = plain(node)
            raise wrong_type(node, "a list of text", f'write ["{value}"]' if isinstance(value, str) else "")
        text = Text()
        return tuple(_element(text, item, node, index, key, report) for index, item in enumerate(node.value))

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}}


def _element(kind: Text, item: object, node: Leaf, index: int, key: str, report: Report) -> str:
    try:
        return kind.read(Leaf(node.mark, item), key, report)
    except Refused as refused:
        report.fault(node.mark, f"{key}[{index}]", refused.message, refused.nearest)
        report.refused.add(key)
        return ""


@dataclass(frozen=True, slots=True)
class Env:
    """Environment variables: names to text."""

    def read(self, node: Node, key: str, report: Report) -> dict[str, str]:
        if not isinstance(node, Table):
            raise wrong_type(node, "a table of text", '{ NAME = "value" }')
        text = Text()
        found: dict[str, str] = {}
        for name, child in node.items.items():
            try:
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                    raise Refused("is no name for an environment variable")
                found[name] = text.read(child, key, report)
            except Refused as refused:
                report.fault(child.mark, below(key, name), refused.message, refused.nearest)
        return found

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": "string"},
        }


@dataclass(frozen=True, slots=True)
class Args:
    """Engine flags: `true` is the bare flag, a list repeated values, a table JSON."""

    def read(self, node: Node, key: str, report: Report) -> dict[str, object]:
        if not isinstance(node, Table):
            raise wrong_type(node, "a table of flags", "{ mem-fraction-static = 0.85 }")
        found: dict[str, object] = {}
        for name, child in node.items.items():
            try:
                _flag_name(name)
                value = plain(child)
                _argument(value)
                found[name] = value
            except Refused as refused:
                report.fault(child.mark, below(key, name), refused.message, refused.nearest)
        return found

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"},
            "additionalProperties": {"type": ["boolean", "number", "string", "array", "object"]},
        }


def _flag_name(name: str) -> None:
    bare = name.lstrip("-")
    if bare != name:
        raise Refused("is written without the leading dashes", f'did you mean "{bare}"?')
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise Refused("is no name for a flag")


def _argument(value: object) -> None:
    match value:
        case list():
            for item in value:
                if isinstance(item, bool | list | dict):
                    raise Refused(f"is a list that holds {type_name(item)}", "a list has numbers and text")
                _scalar(item)
        case dict():
            _json(value)
        case _:
            _scalar(value)


def _json(value: object) -> None:
    match value:
        case dict():
            for item in value.values():
                _json(item)
        case list():
            for item in value:
                _json(item)
        case _:
            _scalar(value)


def _scalar(value: object) -> None:
    match value:
        case bool() | int():
            return
        case float():
            if not math.isfinite(value):
                raise Refused(f"{value} is no number that an engine takes")
        case str():
            if "\0" in value:
                raise Refused("must not hold a NUL character")
        case _:
            raise Refused(f"is {type_name(value)}", "write it as text")


@dataclass(frozen=True, slots=True)
class Mapped:
    """A table from one set of words to another."""

    keys: tuple[str, ...]
    values: tuple[str, ...]
    what: str
    """What a key is: `cause`."""

    def read(self, node: Node, key: str, report: Report) -> dict[str, str]:
        if not isinstance(node, Table):
            raise wrong_type(node, "a table", f'{{ {self.keys[0]} = "{self.values[0]}" }}')
        choice = Choice(self.values)
        found: dict[str, str] = {}
        for name, child in node.items.items():
            try:
                if name not in self.keys:
                    known = nearest(name, self.keys) or f"known are {', '.join(self.keys)}"
                    raise Refused(f"unknown {self.what}", known)
                found[name] = choice.read(child, key, report)
            except Refused as refused:
                report.fault(child.mark, below(key, name), refused.message, refused.nearest)
        return found

    def schema(self) -> Schema:
        options = {"enum": list(self.values)}
        return {"type": "object", "properties": {key: options for key in self.keys}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Gpus:
    """Which cards a pool takes."""

    def read(self, node: Node, key: str, report: Report) -> str | int | list[int | str]:
        value = node.value if isinstance(node, Leaf) else None
        if value in ("all", "none") and isinstance(value, str):
            return value
        if isinstance(value, str):
            near = f"write {value}" if value.isdecimal() else nearest(value, ("all", "none"))
            raise Refused(f'"{value}" names no GPUs', near or '"all", "none", a count, or a list such as [0, 1]')
        if isinstance(value, list):
            return _listed_gpus(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(node, '"all", "none", a count, or a list of indexes or UUIDs')
        if not 1 <= value <= 64:
            raise Refused(f"{value} is out of range: 1 to 64", 'for no GPU, write "none"' if value == 0 else "")
        return value

    def schema(self) -> Schema:
        index: Schema = {"type": "integer", "minimum": 0, "maximum": 63}
        uuid: Schema = {"type": "string", "pattern": _GPU_UUID.pattern}
        listed = {"type": "array", "items": {"anyOf": [index, uuid]}, "minItems": 1, "uniqueItems": True}
        return {"anyOf": [{"enum": ["all", "none"]}, {"type": "integer", "minimum": 1, "maximum": 64}, listed]}


_GPU_UUID: Final = re.compile(r"^(GPU|MIG)-[0-9A-Za-z./-]+$")


def _listed_gpus(items: Sequence[object]) -> list[int | str]:
    if not items:
        raise Refused("is an empty list", 'for no GPU, write "none"')
    found: list[int | str] = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise Refused(f"lists {type_name(item)}, which is no index and no UUID")
        if isinstance(item, str) and not _GPU_UUID.match(item):
            raise Refused(f'lists "{item}", which is no UUID', f"write {item}" if item.isdecimal() else "GPU-…")
        if isinstance(item, int) and not 0 <= item <= 63:
            raise Refused(f"lists {item}, which no GPU has as its index: 0 to 63")
        if item in found:
            raise Refused(f"lists GPU {item} twice")
        found.append(item)
    return found
