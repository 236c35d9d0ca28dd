"""`extends` and `unset`: a profile with all that it inherits, and which profile each part comes from."""

from collections.abc import Iterator, Mapping

import msgspec

from qvl.config.schema import ProfileTable
from qvl.model.aliases import PLACEMENT_ALIASES


class Missing(msgspec.Struct, frozen=True):
    """An entry of `unset` that removes nothing."""

    profile: str
    entry: str
    known: tuple[str, ...]
    """What could be removed."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    engine: str | None = None
    model: str = ""
    args: dict[str, object] = {}
    env: dict[str, str] = {}
    raw_args: tuple[str, ...] = ()
    origins: dict[str, str] = {}
    missing: tuple[Missing, ...] = ()


def chain(name: str, tables: Mapping[str, ProfileTable]) -> tuple[str, ...]:
    """`name` and what it extends, nearest first. It ends where a name is unknown or comes a second time."""
    names: list[str] = []
    at: str | None = name
    while at is not None and at in tables and at not in names:
        names.append(at)
        at = tables[at].extends
    return tuple(names)


def cycles(tables: Mapping[str, ProfileTable]) -> Iterator[tuple[str, ...]]:
    """Each cycle of `extends` once, beginning with its first member by name: `("a", "b")` for a -> b -> a."""
    told: set[frozenset[str]] = set()
    for name in sorted(tables):
        names = chain(name, tables)
        back = tables[names[-1]].extends
        if back in names:
            ring = names[names.index(back) :]
            if frozenset(ring) not in told:
                told.add(frozenset(ring))
                first = ring.index(min(ring))
                yield ring[first:] + ring[:first]


def resolve(name: str, tables: Mapping[str, ProfileTable]) -> Resolved:
    """From the farthest ancestor down: each removes what it unsets, then puts its own on top."""
    result = Resolved()
    for step in reversed(chain(name, tables)):
        result = _over(result, step, tables[step])
    return result


def _over(under: Resolved, name: str, table: ProfileTable) -> Resolved:
    args, env, origins = dict(under.args), dict(under.env), dict(under.origins)
    missing = list(under.missing)
    for entry in table.unset:
        kind, _, key = entry.partition(".")
        if kind == "args":
            removed = _remove(args, key, origins)
        else:
            removed = kind == "env" and env.pop(key, None) is not None
            origins.pop(entry, None)
        if not removed:
            inherited = (*(f"args.{key}" for key in under.args), *(f"env.{key}" for key in under.env))
            missing.append(Missing(name, entry, inherited))
    for key, value in table.args.items():
        before = _take(args, key, origins)
        args[key] = merge_values(before, value)
        origins[f"args.{key}"] = name
    for key, text in table.env.items():
        env[key] = text
        origins[f"env.{key}"] = name
    for key in ("engine", "model", "raw_args"):
        if getattr(table, key) is not None:
            origins[key] = name
    return Resolved(
        engine=under.engine if table.engine is None else table.engine,
        model=under.model if table.model is None else table.model,
        args=args,
        env=env,
        raw_args=under.raw_args if table.raw_args is None else table.raw_args,
        origins=origins,
        missing=tuple(missing),
    )


def merge_values(under: object, over: object) -> object:
    """Tables key by key, anything else is replaced."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    merged = dict(under)
    for key, value in over.items():
        merged[key] = merge_values(merged[key], value) if key in merged else value
    return merged


def _spelling(values: Mapping[str, object], name: str) -> str | None:
    """The key of `values` that is the same flag as `name`."""
    flag = PLACEMENT_ALIASES.get(name, name)
    return next((key for key in values if PLACEMENT_ALIASES.get(key, key) == flag), None)


def _take(args: dict[str, object], name: str, origins: dict[str, str]) -> object:
    """Remove a flag under whatever spelling, so that `tp = 4` replaces an inherited `tensor-parallel-size`."""
    spelled = _spelling(args, name)
    if spelled is None:
        return None
    origins.pop(f"args.{spelled}", None)
    return args.pop(spelled)


def _remove(args: dict[str, object], name: str, origins: dict[str, str]) -> bool:
    """`name` may lead into a JSON value: `json-model-override-args.rope_scaling`."""
    if _spelling(args, name) is not None:
        _take(args, name, origins)
        return True
    first, dot, rest = name.partition(".")
    inner = args.get(first)
    if not dot or not isinstance(inner, dict):
        return False
    copy = dict(inner)
    removed = _remove(copy, rest, {})
    args[first] = copy
    return removed
