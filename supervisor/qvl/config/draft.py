"""The file as it was read, key by key but not yet understood as a whole: what the checks work on."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from qvl.config.declare import read_named, read_section
from qvl.config.fault import Mark, Report, join
from qvl.config.inherit import Resolved, chain, resolve
from qvl.config.schema import ENGINES, POLICIES, POOLS, PROFILES, ROOT, SUPERVISOR, ProfileTable
from qvl.config.settings import Pool, Supervisor
from qvl.config.tree import Table
from qvl.model.spec import Engine, Policy

_RESERVED = ("standby",)
"""Keys that this version knows and takes at their defaults only."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that could be read. Keys that were refused have their defaults here and stand in `report.refused`."""

    tree: Table
    report: Report
    supervisor: Supervisor
    engines: Mapping[str, Engine | None]
    """None where not even its kind could be read."""
    tables: Mapping[str, ProfileTable]
    profiles: Mapping[str, Resolved]
    pools: Mapping[str, Pool]
    """With an empty `profile` where there is none."""
    reserved: Mapping[str, Mapping[str, object]]
    """By pool: the keys that this version knows and doesn't take."""

    def mark(self, *path: str) -> Mark:
        """Where a key was written, or the nearest table around it."""
        node = self.tree
        for part in path:
            child = node.items.get(part)
            if not isinstance(child, Table):
                return node.mark if child is None else child.mark
            node = child
        return node.mark

    def fault(self, path: tuple[str, ...], message: str, nearest: str = "") -> None:
        self.report.fault(self.mark(*path), join(*path), message, nearest)

    def warn(self, path: tuple[str, ...], message: str, nearest: str = "") -> None:
        self.report.warn(self.mark(*path), join(*path), message, nearest)

    def written(self, *path: str) -> frozenset[str]:
        """The keys that the file has in a table."""
        node = self.tree
        for part in path:
            child = node.items.get(part)
            if not isinstance(child, Table):
                return frozenset()
            node = child
        return frozenset(node.items)

    def sound(self, *path: str) -> bool:
        """Whether nothing at this key or below it has been refused."""
        key = join(*path)
        return not any(bad == key or bad.startswith(f"{key}.") for bad in self.report.refused)

    def sound_profile(self, name: str) -> bool:
        """Whether the profile and all that it inherits could be read."""
        return name in self.tables and all(self.sound("profiles", step) for step in chain(name, self.tables))


def read_draft(tree: Table, report: Report) -> Draft:
    strange = Table(tree.mark, {key: node for key, node in tree.items.items() if key not in ROOT.fields})
    read_section(ROOT, strange, "", report)
    engines = read_named(ENGINES, tree.items.get("engines"), "engines", report)
    profiles = read_named(PROFILES, tree.items.get("profiles"), "profiles", report)
    pools = read_named(POOLS, tree.items.get("pools"), "pools", report)
    supervisor = read_section(SUPERVISOR, tree.items.get("supervisor", Table(tree.mark)), "supervisor", report)
    tables = {name: msgspec.convert(values, ProfileTable) for name, values in profiles.items()}
    return Draft(
        tree=tree,
        report=report,
        supervisor=msgspec.convert(supervisor, Supervisor),
        engines={
            name: msgspec.convert({**values, "name": name}, Engine) if "kind" in values else None
            for name, values in engines.items()
        },
        tables=tables,
        profiles={name: resolve(name, tables) for name in tables},
        pools={name: _pool(name, values) for name, values in pools.items()},
        reserved={name: {key: values[key] for key in _RESERVED if key in values} for name, values in pools.items()},
    )


def _pool(name: str, values: Mapping[str, object]) -> Pool:
    policy = msgspec.convert({key: values[key] for key in POLICIES if key in values}, Policy)
    own = {key: value for key, value in values.items() if key not in POLICIES}
    return msgspec.convert({"profile": "", **own, "name": name, "policy": policy}, Pool)
