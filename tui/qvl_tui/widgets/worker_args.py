"""A worker's arguments: what its profile says and from where, and what its engine made of it. Where that is something
else it stands out. Values that may hold secrets are left out by the daemon; here only their names are shown."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from qvl.model.api import ArgOrigin, ProfileDetail, Resolved, ResolvedValue
from qvl.model.status import GatewayStatus, WorkerStatus

from qvl_tui.inquiry import Inquiry
from qvl_tui.paint import Line, Tone, cut, left, length
from qvl_tui.widgets.worker_section import Section, fact, said

_OWN_EACH_TIME = ("nccl-port",)
"""Another one at each start, and that is as it should be."""
_LONGEST = 60


class Row(NamedTuple):
    key: str
    value: str
    origin: str
    made: str
    """What the engine made of it; `=` for the same, empty where that isn't known."""
    differs: bool = False


def arguments_section(worker: WorkerStatus, asked: Inquiry, width: int, *, everything: bool) -> Section:
    """`everything`: also what the profile leaves to the engine and few want to know."""
    title = "arguments"
    if isinstance(worker, GatewayStatus):
        return Section(title, title, tuple(said("a gateway has no profile: its flags are its pool's", width)))
    profile, resolved = asked.profile.answer, asked.resolved.answer
    lines = [line for drift in worker.drift for line in fact("drift", drift, width, Tone.WARN)]
    if worker.drift:
        lines.append(((" these change at its next restart", Tone.MUTED),))
    if profile is None:
        words = "asking the daemon …" if not asked.profile.told else asked.profile.told
        return Section(title, title, (*lines, *said(words, width)))
    found = given(profile, resolved)
    lines += table(found, width, made=resolved is not None)
    if everything:
        lines += _environment(profile, width)
    if resolved is not None:
        lines += _open(profile, resolved, width, everything=everything)
    if asked.resolved.told:
        lines += said(asked.resolved.told, width)
    return Section(
        title, title, tuple(lines), "asking the engine …" if asked.resolved.under_way else _note(found, resolved)
    )


def _open(profile: ProfileDetail, resolved: Resolved, width: int, *, everything: bool) -> list[Line]:
    own = left_open(profile, resolved, everything=everything)
    if not own:
        return []
    name = min(max(len(key) for key, _ in own), max(width // 2, 12))
    lines: list[Line] = [((" left to the engine", Tone.FAINT),)]
    lines += [((f" {left(key, name)}", Tone.MUTED), (f"  {value}", Tone.TEXT)) for key, value in own]
    if not everything:
        more = len(left_open(profile, resolved, everything=True)) - len(own)
        return [*lines, *(said(f"e shows {more:,} more", width, Tone.FAINT) if more else [])]
    return [*lines, *(fact("hidden", ", ".join(resolved.hidden), width, Tone.FAINT) if resolved.hidden else [])]


def command(profile: ProfileDetail) -> str:
    """The command line, as one would paste it."""
    import shlex

    return shlex.join(profile.command)


def given(profile: ProfileDetail, resolved: Resolved | None) -> list[Row]:
    """A row for each argument of the profile and of what adds to it, those that became something else first."""
    by_name = _by_name(resolved.values if resolved is not None else ())
    hidden = resolved.hidden if resolved is not None else ()
    found = [_row(arg, _entry(arg, by_name), hidden=arg.key in hidden) for arg in profile.args]
    return sorted(found, key=lambda row: not row.differs)


def left_open(profile: ProfileDetail, resolved: Resolved, *, everything: bool) -> list[tuple[str, str]]:
    """What the profile leaves to the engine: what most want to know, or all."""
    by_name = _by_name(resolved.values)
    told = {entry.key for arg in profile.args if (entry := _entry(arg, by_name)) is not None}
    return [
        (entry.key, _brief(entry.value))
        for entry in resolved.values
        if entry.key not in told and (everything or (entry.common and entry.value not in (None, False)))
    ]


def _entry(arg: ArgOrigin, by_name: Mapping[str, ResolvedValue]) -> ResolvedValue | None:
    return by_name.get(arg.key) or by_name.get(arg.key.removeprefix("no-"))


def _by_name(values: Iterable[ResolvedValue]) -> dict[str, ResolvedValue]:
    return {name: entry for entry in values for name in (entry.key, *entry.names)}


def _row(arg: ArgOrigin, entry: ResolvedValue | None, *, hidden: bool) -> Row:
    value = _typed(arg.value)
    if hidden or entry is None:
        return Row(arg.key, value, arg.origin, "(hidden)" if hidden else "")
    if arg.origin.startswith("profile ") and arg.key not in ("model", "model-path"):
        differs = entry.differs or entry.given != arg.value
    else:
        differs = value != _typed(entry.value)
    if not differs:
        return Row(arg.key, value, arg.origin, "=")
    return Row(arg.key, value, arg.origin, _brief(entry.value), arg.key not in _OWN_EACH_TIME)


def table(found: list[Row], width: int, *, made: bool) -> list[Line]:
    if not found:
        return said("it has none", width, Tone.FAINT)
    widths = _widths(found, width, made=made)
    if sum(widths) + 2 * len(widths) > width or widths[1] < max(len(row.value) for row in found):
        found = [row._replace(origin=_short(row.origin)) for row in found]
        widths = _widths(found, width, made=made)
    lines: list[Line] = []
    for row in found:
        parts: Line = (
            (f" {left(row.key, widths[0])}", Tone.STRONG if row.differs else Tone.TEXT),
            (f"  {left(row.value, widths[1])}", Tone.TEXT),
            (f"  {left(row.origin, widths[2])}", Tone.FAINT),
        )
        if made:
            sign = "≠ " if row.differs else ""
            tone = Tone.WARN if row.differs else Tone.FAINT if row.made == "=" else Tone.TEXT
            parts += ((f"  {cut(sign + row.made, widths[3])}", tone),)
        lines.append(parts)
    return lines


def _short(origin: str) -> str:
    """Of a profile its name, of all others their kind: a worker has one pool and one engine."""
    kind, _, name = origin.partition(" ")
    return name if kind == "profile" and name else kind


def _widths(found: list[Row], width: int, *, made: bool) -> tuple[int, int, int, int]:
    """What each column gets: all that it needs where there is room, else values give way first, then names."""
    wants = [
        max(length(((text, Tone.TEXT),)) for text in texts)
        for texts in (
            [row.key for row in found],
            [row.value for row in found],
            [row.origin for row in found],
            [f"≠ {row.made}" if row.differs else row.made for row in found] if made else [""],
        )
    ]
    room = width - 1 - 2 * (3 if made else 2)
    least = (14, 10, 7, 10 if made else 0)
    for place in (1, 0, 3, 2):
        too_much = sum(wants) - room
        if too_much > 0:
            wants[place] = max(min(wants[place], least[place]), wants[place] - too_much)
    return wants[0], wants[1], wants[2], wants[3]


def _note(found: list[Row], resolved: Resolved | None) -> str:
    if resolved is None:
        return ""
    other = sum(row.differs for row in found)
    engine = f"{resolved.engine} {resolved.version}" if resolved.version else resolved.engine
    return f"{f'≠ {other}, ' if other else ''}resolved by {engine}"


def _environment(profile: ProfileDetail, width: int) -> list[Line]:
    lines: list[Line] = []
    for entry in profile.env:
        lines += fact("env", f"{entry.key}={_typed(entry.value)}  {entry.origin}", width, Tone.MUTED)
    if profile.raw_args:
        lines += fact("raw", " ".join(profile.raw_args), width, Tone.MUTED)
    if profile.command:
        lines += fact("command", command(profile), width, Tone.MUTED, most=12)
    return lines


def _brief(value: object) -> str:
    """Long lists by their ends and how many there are."""
    if isinstance(value, list) and len(value) > 6:
        return f"[{', '.join(map(_typed, value[:3]))}, …, {_typed(value[-1])}] ({len(value)})"
    return f"{value:.6g}" if isinstance(value, float) else cut(_typed(value), _LONGEST)


def _typed(value: object) -> str:
    """As one would write it in the file; lines in it don't break ours."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()) if "\n" in text else text
