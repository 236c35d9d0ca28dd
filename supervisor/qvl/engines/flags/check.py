"""The arguments of a profile against the flags of the engine that would get them.

Stricter than the engines' own parsers in one point: they take any abbreviation which is unambiguous *today*, so a
profile that has run for months ends with exit 2 after an upgrade that adds a flag. Here a flag is written out. More
lenient in another: a value that isn't among the declared choices is a warning, as plugins add choices at start-up.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from qvl.engines.flags.table import Flag, FlagTable, canonical

_WHO_SETS_IT: Mapping[str, str] = {
    "host": "the pool's `host` says where it listens",
    "port": "the pool's `port` says where it listens",
    "model-path": "the profile's `model` names it",
    "model": "the profile's `model` names it",
    "api-key": "the pool's `api_key_file` names a file with the key",
}
_LISTED = 6
"""How many candidates or choices a hint names before it says how many more there are."""
_FAR = 0.4
"""How like a name must be to be shown as the nearest, where none is like enough to be what was meant."""


@dataclass(frozen=True, slots=True)
class ArgFault:
    key: str
    """As the profile has it."""
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    absent: bool = field(default=False, compare=False)
    """The installed version has no such flag, whatever else is wrong with it."""


def check_args(table: FlagTable, args: Mapping[str, object], ours: Collection[str]) -> list[ArgFault]:
    """Everything that is wrong with `args` (a profile's table of the same name), in its order.

    Values: true is the bare flag and false its absence, a list repeated values, a table JSON. `ours` are the flags,
    under any of their names, that qvl gives to the engine itself.
    """
    reserved = {canonical(table, name) for name in ours}
    faults: list[ArgFault] = []
    seen: dict[str, str] = {}
    for key, value in args.items():
        name = canonical(table, key)
        first = seen.setdefault(name, key)
        if first != key:
            faults.append(ArgFault(key, f'"{first}" and "{key}" are one flag', "keep one of the two"))
        elif name in reserved:
            who = _WHO_SETS_IT.get(name, "leave it out")
            faults.append(ArgFault(key, f'"{key}" is set by qvl itself', who, absent=table.find(name) is None))
        elif (flag := table.find(name)) is not None:
            faults += _check_flag(table, key, value, flag)
        elif table.dotted and table.find(key.partition(".")[0]) is not None:
            continue
        else:
            faults.append(replace(_unknown(table, key, reserved), absent=True))
    return faults


def _unknown(table: FlagTable, key: str, reserved: Collection[str]) -> ArgFault:
    message = f'{table.engine} {table.version} has no flag "{key}"'
    written = key.lstrip("-").replace("_", "-")
    if written != key and (table.find(written) is not None or written in reserved):
        how = "without the leading dashes" if key.startswith("-") else "with hyphens"
        return ArgFault(key, message, f'flags are written {how}: "{written}"')
    positive = table.find(key.removeprefix("no-"))
    if positive is not None and positive.boolean_optional:
        return ArgFault(key, f'"{key}" is the negation of "{positive.name}"', f"write {positive.name} = false")
    if (retired := table.retired.get(key)) is not None:
        use = f"; use {retired.instead}" if retired.instead else "; nothing takes its place"
        return ArgFault(key, message, f"{retired.last} was the last version with it{use}")

    matches = table.prefix_matches(key)
    meant = list(dict.fromkeys(canonical(table, match) for match in matches))
    if len(meant) == 1:
        return ArgFault(key, f'"{key}" is an abbreviation', f'write the whole flag: "{matches[0]}"')
    if meant:
        return ArgFault(key, f'"{key}" could be any of {len(meant)} flags', f"write the whole flag: {_some(meant)}")
    near = table.nearest(written)
    if near is not None:
        return ArgFault(key, message, f'did you mean "{near}"?')
    far = table.nearest(written, _FAR)
    shown = [f'the nearest is "{far}"'] if far else []
    plugins = [f"a flag that a plugin of {table.title} adds goes into raw_args"] if table.plugins else []
    return ArgFault(key, message, "; ".join([*shown, *plugins]))


def _check_flag(table: FlagTable, key: str, value: object, flag: Flag) -> list[ArgFault]:
    if flag.refused:
        return [ArgFault(key, f'{table.engine} {table.version} refuses "{key}"', flag.refused)]
    faults = []
    if flag.replaced_by:
        message = f'"{key}" is deprecated in {table.engine} {table.version}'
        faults.append(ArgFault(key, message, f"use {flag.replaced_by}", "warning"))
    misfit = _misfit(key, value, flag)
    if misfit is not None:
        return [*faults, misfit]
    if flag.choices is not None and not isinstance(value, bool):
        for chosen in value if isinstance(value, list) else [value]:
            if str(chosen) not in flag.choices:
                faults.append(_unknown_choice(table, key, str(chosen), flag.choices))
    return faults


def _misfit(key: str, value: object, flag: Flag) -> ArgFault | None:
    """What the engine's parser would end with, for the shape of the value alone."""
    if flag.takes_value is False:
        if isinstance(value, bool):
            return None
        hint = f"write {key} = true, or = false" if flag.boolean_optional else f"write {key} = true"
        return ArgFault(key, f'"{key}" takes no value, got {value!r}', hint)
    if isinstance(value, list) and not flag.repeated:
        return ArgFault(key, f'"{key}" takes one value, got a list of {len(value)}', f"write {key} = VALUE")
    if flag.takes_value is None:
        return None
    if isinstance(value, bool):
        word = "true" if value else "false"
        hint = "leave it out for the default" if not value else f"write {key} = VALUE"
        return ArgFault(key, f'"{key}" needs a value, got {word}', hint)
    if value == []:
        return ArgFault(key, f'"{key}" needs at least one value, got an empty list', "leave it out for the default")
    return None


def _unknown_choice(table: FlagTable, key: str, chosen: str, choices: tuple[str, ...]) -> ArgFault:
    near = difflib.get_close_matches(chosen, choices, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"it lists {_some(choices)}"
    return ArgFault(key, f'"{chosen}" is no choice of "{key}" in {table.engine} {table.version}', hint, "warning")


def _some(names: Collection[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in list(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
