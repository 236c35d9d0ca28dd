"""What stands beside a configuration: whether it is what runs, why not, and what it would change. Pure."""

from collections.abc import Sequence

from qvl.model.config import ConfigFile, ConfigView
from qvl.model.status import ConfigStatus

from qvl_tui.format import count
from qvl_tui.paint import BLANK, Line, Tone, clip
from qvl_tui.sentences import switching
from qvl_tui.store import Store
from qvl_tui.widgets.plan import hung, plan_lines


def state_line(view: ConfigView | None, told: ConfigStatus | None, asked: str | None, width: int) -> Line:
    """In one line: is what the file says what runs? `told`: the daemon's newest word."""
    if told is None:
        return ((" ◌ waiting for the daemon's first word", Tone.MUTED),)
    runs = told.applied or "nothing"
    if asked:
        return clip(((" ◌ ", Tone.ACCENT), (f"{asked}: asked, not confirmed yet", Tone.ACCENT)), width)
    faults = view.faults if view is not None else ()
    if faults:
        many = count(len(faults) + (view.left_out if view is not None else 0), "fault")
        text = f"refused: {many} · revision {runs}, the last good one, runs"
        return clip(((" ✕ ", Tone.BAD), (text, Tone.BAD)), width)
    if told.error:
        first = told.error.partition("\n")[0]
        return clip(((" ✕ ", Tone.BAD), (f"{first} · revision {runs} runs", Tone.BAD)), width)
    if told.pending:
        return clip(((" ▲ ", Tone.WARN), (f"revision {told.revision} waits for apply · {runs} runs", Tone.WARN)), width)
    if told.revision == told.applied:
        return clip(((" ✓ ", Tone.GOOD), (f"revision {runs} is what runs", Tone.GOOD)), width)
    return clip(((" ◐ ", Tone.ACCENT), (f"revision {told.revision} is on its way · {runs} runs", Tone.ACCENT)), width)


def tab_line(files: Sequence[ConfigFile], view: ConfigView, here: int, width: int) -> Line:
    """The files in the order in which they are read, with how much is wrong in each."""
    spans: Line = ()
    for place, file in enumerate(files):
        chosen = place == here
        bad = sum(fault.file == file.path for fault in view.faults)
        warned = sum(fault.file == file.path for fault in view.warnings)
        spans += (
            (" › " if chosen else "   ", Tone.ACCENT),
            (short_names(files)[place], Tone.STRONG if chosen else Tone.MUTED),
            (f" ✕ {bad}" if bad else "", Tone.BAD),
            (f" ▲ {warned}" if warned else "", Tone.WARN),
        )
    hidden = files[here].redacted if here < len(files) else 0
    if hidden:
        spans += ((f"   {count(hidden, 'secret')} not shown", Tone.FAINT),)
    return clip(tuple(span for span in spans if span[0]), width)


def short_names(files: Sequence[ConfigFile]) -> list[str]:
    """The main file by its whole path, drop-ins by what follows its directory."""
    if not files:
        return []
    folder = files[0].path.rpartition("/")[0] + "/"
    return [files[0].path, *(file.path.removeprefix(folder) for file in files[1:])]


def _index(view: ConfigView, width: int) -> list[Line]:
    """Where something is wrong, in all files."""
    names = dict(zip((file.path for file in view.files), short_names(view.files), strict=True))
    lines: list[Line] = []
    for fault in (*view.faults, *view.warnings):
        sign = ("✕", Tone.BAD) if fault in view.faults else ("▲", Tone.WARN)
        name = names.get(fault.file, fault.file).rpartition("/")[2]
        where = f"{name}:{fault.line}" if fault.line else name
        lines.append(clip(((f" {sign[0]} ", sign[1]), (where, Tone.TEXT), (f"  {fault.key}", Tone.MUTED)), width))
    if view.left_out:
        lines.append(((f"   and {view.left_out:,} more", Tone.MUTED),))
    return lines


def side_lines(
    view: ConfigView, told: ConfigStatus | None, store: Store, why_not: str, width: int, *, index: bool
) -> tuple[Line, ...]:
    """`why_not`: why this reader may not apply; empty where they may. `index`: there is room to say where all
    the faults are."""
    lines: list[Line] = []
    plan = view.plan
    if told is not None and told.error and not view.faults:
        lines += [*hung("✕ ", Tone.BAD, told.error.partition("\n")[0], width), BLANK]
    if view.faults or plan is None:
        lines.append(((" as long as it is refused, nothing of it is applied", Tone.MUTED),))
        if told is not None and told.applied:
            lines += hung("", Tone.MUTED, f"revision {told.applied}, the last good one, goes on.", width)
        if view.faults:
            lines += [BLANK, ((" n ", Tone.ACCENT), ("goes from fault to fault", Tone.MUTED))]
            lines += [BLANK, *_index(view, width)] if index else []
        return tuple(lines)
    under_way = next((pool for pool in store.pools if pool.switch is not None and pool.switch.kind == "apply"), None)
    if under_way is not None and under_way.switch is not None:
        lines += hung("◐ ", Tone.ACCENT, f"{switching(under_way, under_way.switch)}; 5 shows it", width)
        return tuple(lines)
    lines += plan_lines(plan, store, width)
    if plan.changes or (told is not None and told.pending):
        if why_not:
            lines += [BLANK, *hung("", Tone.FAINT, f"A is not for you: {why_not}", width)]
        else:
            lines += [BLANK, ((" A ", Tone.ACCENT), ("applies it, after a question", Tone.MUTED))]
    return tuple(lines)
