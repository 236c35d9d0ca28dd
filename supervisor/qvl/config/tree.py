"""TOML with its whereabouts: tables and values that know the file and line they were written at, and how they merge.

The parser tells the line of every key except those of table headers, which are found by looking for them.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import toml_rs

from qvl.config.fault import Mark, below


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that isn't a table; lists are leaves with all that is in them."""

    mark: Mark
    value: object


@dataclass(frozen=True, slots=True)
class Table:
    """A table, however it was written: `[a]`, `a.b = …` or `{ … }`."""

    mark: Mark
    items: "dict[str, Node]" = field(default_factory=dict)


Node: TypeAlias = Leaf | Table
_LONGEST_HEADER = 300
"""Longer lines cost their table its line number: in a string a line could go deeper than the parser survives."""

TablePath: TypeAlias = tuple[str, ...]


def plain(node: Node) -> object:
    """The bare value, free of marks."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(child) for key, child in node.items.items()}


def leaves(table: Table, key: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every value with its dotted key."""
    for name, node in table.items.items():
        path = below(key, name)
        if isinstance(node, Leaf):
            yield path, node
        else:
            yield from leaves(node, path)


def merge(under: Table, over: Table) -> Table:
    """`over` on top of `under`: tables merge key by key, anything else is replaced; each key keeps its own mark."""
    items = dict(under.items)
    for key, node in over.items.items():
        below = items.get(key)
        items[key] = merge(below, node) if isinstance(below, Table) and isinstance(node, Table) else node
    return Table(under.mark, items)


def parse(file: Path, text: str) -> Table:
    """Raises toml_rs.TOMLDecodeError."""
    document = toml_rs.load_with_metadata(io.BytesIO(text.encode()))
    headers = dict(_headers(text))
    return _table(document.value, document.meta["nodes"], Mark(file, 0), headers, ())


def _headers(text: str) -> Iterator[tuple[TablePath, int]]:
    """Every `[a.b]` line with its path. What looks like one inside a string is yielded too: nobody asks for it."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("[") and len(line) <= _LONGEST_HEADER:
            try:
                node: object = toml_rs.loads(line.strip())
            except ValueError:
                continue
            path: list[str] = []
            while isinstance(node, dict) and len(node) == 1:
                key, node = next(iter(node.items()))
                path.append(key)
            yield tuple(path), number


def _table(
    values: Mapping[str, object], meta: object, mark: Mark, headers: Mapping[TablePath, int], path: TablePath
) -> Table:
    """The values are the truth; the parser's metadata only says where: a gap in it costs a line number at most."""
    items: dict[str, Node] = {}
    known = meta if isinstance(meta, dict) else {}
    for key, value in values.items():
        where = known.get(key)
        line = _line(where) or headers.get((*path, key), 0)
        if isinstance(value, dict):
            inner = where["value"] if isinstance(where, dict) and _is_leaf(where) else where
            child = _table(value, inner, Mark(mark.file, line or mark.line), headers, (*path, key))
            first = min((node.mark.line for node in child.items.values()), default=0)
            items[key] = child if line else Table(Mark(mark.file, first or mark.line), child.items)
        else:
            items[key] = Leaf(Mark(mark.file, line or mark.line), value)
    return Table(mark, items)


def _is_leaf(meta: object) -> bool:
    """A table's metadata maps its keys to dicts; a key's own has plain numbers. A key named `key_line` fools nobody."""
    return isinstance(meta, dict) and isinstance(meta.get("key_line"), int)


def _line(meta: object) -> int:
    return int(meta["key_line"]) if isinstance(meta, dict) and _is_leaf(meta) else 0
