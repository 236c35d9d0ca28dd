"""The language in which `schema.py` declares the file, and the reading of tables by it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from qvl.config.fault import Mark, Report, below, nearest
from qvl.config.kinds import Kind, Refused, wrong_type
from qvl.config.tree import Node, Table


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the file."""

    kind: Kind
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A table whose keys are known. Their defaults are those of `struct`, where there is one."""

    doc: str
    fields: "Mapping[str, Field | Section | Named]"
    struct: type | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Keys that people look for here, and where they are instead."""


@dataclass(frozen=True, slots=True)
class Named:
    """A table of tables whose names the user chose."""

    doc: str
    section: Section
    what: str
    taken: tuple[str, ...] = ()
    """Names that mean something else already."""


NAME: Final = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")


def read_section(section: Section, table: Node, key: str, report: Report) -> dict[str, object]:
    """The values of a table; keys with a fault are missing from it and noted in `report.refused`."""
    if not isinstance(table, Table):
        refused = wrong_type(table, "a table", f"[{key}]")
        report.fault(table.mark, key, refused.message, refused.nearest)
        return {}
    found: dict[str, object] = {}
    for name, node in table.items.items():
        path = below(key, name)
        known = section.fields.get(name)
        if known is None:
            hint = section.elsewhere.get(name) or nearest(name, section.fields)
            report.fault(node.mark, path, "unknown key", hint)
        elif isinstance(known, Section):
            found[name] = read_section(known, node, path, report)
        elif isinstance(known, Named):
            found[name] = read_named(known, node, path, report)
        else:
            try:
                found[name] = known.kind.read(node, path, report)
            except Refused as refused:
                report.fault(node.mark, path, refused.message, refused.nearest)
    for name, known in section.fields.items():
        if isinstance(known, Field) and known.required and name not in table.items:
            report.fault(table.mark, key, f"has no {name}")
            report.refused.add(below(key, name))
    return found


def read_named(named: Named, table: Node | None, key: str, report: Report) -> dict[str, dict[str, object]]:
    """Every table by its name, those with a bad name as well, so that their own faults are told too."""
    if table is None:
        return {}
    if not isinstance(table, Table):
        refused = wrong_type(table, "a table of tables", f"[{key}.NAME]")
        report.fault(table.mark, key, refused.message, refused.nearest)
        return {}
    found: dict[str, dict[str, object]] = {}
    for name, node in table.items.items():
        path = below(key, name)
        _check_name(named, name, node.mark, path, report)
        found[name] = read_section(named.section, node, path, report)
    return found


def _check_name(named: Named, name: str, mark: Mark, path: str, report: Report) -> None:
    if name in named.taken:
        report.fault(mark, path, f'"{name}" is no name for a {named.what}: commands take it as every {named.what}')
    elif not NAME.match(name):
        made = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63]
        hint = f'did you mean "{made}"?' if made else ""
        report.fault(mark, path, f'"{name}" is no name: a-z, 0-9, ".", "_" and "-", 63 at most', hint)
