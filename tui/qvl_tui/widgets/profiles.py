"""The pools of a host and the profiles that one of them may run: what each is, who uses it, how two differ. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qvl.model.api import ArgOrigin, ProfileDetail, ProfileInfo
from qvl.model.plan import KeyChange
from qvl.model.status import PoolStatus
from rich.cells import cell_len

from qvl_tui.paint import Line, Tone, clip, cut, left, length
from qvl_tui.widgets.plan import value

_LEAST = 12
"""Cells below which a model's name says nothing."""
_OUR_OWN = "qvl"
"""The origin of what no profile says."""


class Choice(NamedTuple):
    profile: str | None
    """None: whatever the file names."""
    name: str
    note: str
    model: str


def pool_line(pools: Sequence[PoolStatus], here: str | None, width: int) -> Line:
    """All pools, the one that is looked at first in line of sight; each with its profile and how much is ready."""
    spans: Line = ((" ", Tone.TEXT),)
    for pool in pools:
        chosen = pool.name == here
        ready = Tone.GOOD if pool.ready == pool.total else Tone.WARN
        spans += (
            ("› " if chosen else "  ", Tone.ACCENT),
            (pool.name, Tone.STRONG if chosen else Tone.MUTED),
            (f" {pool.ready}/{pool.total}", ready),
            (f" {pool.profile}{'*' if pool.override else ''}", Tone.TEXT if chosen else Tone.MUTED),
            (f" ◐ {pool.switch.percent}%" if pool.switch else "", Tone.ACCENT),
            ("   ", Tone.TEXT),
        )
    return clip(tuple(span for span in spans if span[0]), width)


def runs_line(pool: PoolStatus, width: int) -> Line:
    """What the pool runs and by whose word."""
    gateway = "behind a gateway" if pool.gateway is not None else "no gateway"
    by = "by a switch; the file says otherwise (x resets)" if pool.override else "as the file says"
    return clip(((f"   runs {pool.profile}, {by} · {gateway}", Tone.MUTED),), width)


def offered(pool: PoolStatus, profiles: Iterable[ProfileInfo]) -> tuple[Choice, ...]:
    """Every profile, and last, where the file's is overridden, the way back to it."""
    found = []
    for profile in profiles:
        if profile.name == pool.profile:
            note = "runs now, by a switch" if pool.override else "runs now"
        elif pool.switch is not None and profile.name == pool.switch.to:
            note = "on its way"
        else:
            note = f"extends {profile.extends}" if profile.extends else ""
            others = [user for user in profile.used_by if user != pool.name]
            if others:
                note = f"{note + ', ' if note else ''}used by {', '.join(others)}"
        found.append(Choice(profile.name, profile.name, note, profile.model or profile.engine))
    if pool.override:
        found.append(Choice(None, "the file's profile", "ends the override", ""))
    return tuple(found)


def choice_lines(choices: Sequence[Choice], place: int, width: int) -> tuple[Line, ...]:
    name = max((cell_len(choice.name) for choice in choices), default=0) + 2
    note = max((cell_len(choice.note) for choice in choices), default=0) + 2
    name = min(name, max(width // 2, 8))
    note = min(note, max(width - 3 - name, 0))
    model = width - 3 - name - note
    return tuple(
        clip(
            (
                (" › " if at == place else "   ", Tone.ACCENT),
                (left(choice.name, name), Tone.STRONG if at == place else Tone.TEXT),
                (left(choice.note, note), Tone.GOOD if choice.note.startswith("runs now") else Tone.MUTED),
                (cut(choice.model, model) if model >= _LEAST else "", Tone.FAINT),
            ),
            width,
        )
        for at, choice in enumerate(choices)
    )


def resolved_lines(detail: ProfileDetail, width: int) -> tuple[Line, ...]:
    """What a profile comes to, and which profile, engine or pool says so; what qvl itself adds goes without saying."""
    parts = [each for each in (*detail.args, *detail.env) if each.origin != _OUR_OWN]
    keys = min(max((cell_len(each.key) for each in parts), default=0), max(width - _LEAST - 3, 8))
    origins = max((cell_len(_origin(each)) for each in parts), default=0)
    room = width - keys - origins - 6
    lines: list[Line] = []
    for each in parts:
        told = value(each.value)
        line: Line = ((f" {left(each.key, keys)}  ", Tone.MUTED),)
        if room >= 2 * _LEAST:
            line += ((f"{left(told, room)}  ", Tone.TEXT), (_origin(each), Tone.FAINT))
        else:  # where it comes from is told where a short value leaves room for it
            line += ((cut(told, width - keys - 4), Tone.TEXT), (f"  {_origin(each)}", Tone.FAINT))
            line = line if length(line) <= width else line[:2]
        lines.append(line)
    return tuple(lines)


def _origin(each: ArgOrigin) -> str:
    return each.origin.removeprefix("profile ")


def differences(now: ProfileDetail, then: ProfileDetail) -> tuple[KeyChange, ...]:
    """What differs between two profiles as this pool would run them: for those who may not ask for a plan. What qvl
    itself adds follows from the rest, and is left out."""
    found = [
        KeyChange(key, getattr(now, key), getattr(then, key))
        for key in ("engine", "model")
        if getattr(now, key) != getattr(then, key)
    ]
    for part in ("args", "env"):
        old = {each.key: each.value for each in getattr(now, part) if each.origin != _OUR_OWN}
        new = {each.key: each.value for each in getattr(then, part) if each.origin != _OUR_OWN}
        told = ("model", "model-path") if part == "args" else ()
        found += [
            KeyChange(f"{part}.{key}", old.get(key), new.get(key))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key) and key not in told
        ]
    if now.raw_args != then.raw_args:
        found.append(KeyChange("raw_args", list(now.raw_args) or None, list(then.raw_args) or None))
    return tuple(found)
