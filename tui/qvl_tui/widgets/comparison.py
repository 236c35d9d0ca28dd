"""Two profiles beside each other, as text: a small table, and plots on one scale, each from its own beginning. Pure."""

from collections.abc import Sequence

from qvl_tui.compare import MEASURES, average, difference, measured, places, stretch
from qvl_tui.figures import PLOTS, Plot
from qvl_tui.format import count, duration
from qvl_tui.paint import Line, Tone, cut, left, right
from qvl_tui.past import Past
from qvl_tui.scale import scale, times, told
from qvl_tui.widgets.plot import Drawn, Picture, Window, room

PAIRED: tuple[Plot, ...] = tuple(
    plot for plot in PLOTS if plot.title in ("throughput", "first token", "between tokens", "kv cache", "accept length")
)


def table(past: Past, workers: Sequence[str], pair: tuple[str, str], width: int) -> tuple[Line, ...]:
    """Heading, how long each ran, and a line for each measure of which something is known."""
    wide = width >= 96
    size = 16 if wide else 12
    title = 20

    def cells(*texts: str, tone: Tone) -> Line:
        return tuple((right(text, size), tone) for text in texts)

    ends = ("median", "p95") if wide else ("median",)
    names: Line = ((left("" if wide else " median of a worker", title), Tone.FAINT),)
    heads: Line = ((left(" of one worker", title), Tone.FAINT),)
    for profile in pair:
        room_of = size * len(ends)
        names += ((right(cut(profile, room_of - 2), room_of), Tone.STRONG),)
        heads += cells(*ends, tone=Tone.FAINT)
    lines = [(*names, (right("difference", 12), Tone.FAINT)), _ran(past, workers, pair, title, size * len(ends))]
    lines += [heads] if wide else []
    for measure in MEASURES:
        of = [measured(past, workers, profile, measure.figure) for profile in pair]
        if all(each.median is None for each in of):
            continue
        line: Line = ((left(f" {measure.title}", title), Tone.TEXT),)
        for each in of:
            shown = (each.median, each.p95)[: len(ends)]
            line += cells(*(told(value, measure.unit) for value in shown), tone=Tone.TEXT)
        words = difference(of[0].median, of[1].median)
        better = _better(words, measure.less_is_better)
        tone = Tone.GOOD if better == "better" else Tone.WARN if better == "worse" else Tone.MUTED
        lines.append((*line, (right(words, 12), tone), (f" {better}", tone)))
    return tuple(lines)


def caveat(past: Past, workers: Sequence[str], pair: tuple[str, str]) -> Line:
    """What the figures are of, and where they mislead."""
    first, second = (measured(past, workers, profile, "running").median for profile in pair)
    if first and second and not 0.8 <= second / first <= 1.25:
        words = f" ▲ not under the same load: {first:g} requests ran with {pair[0]}, {second:g} with {pair[1]}"
        return ((words, Tone.WARN),)
    return ((" of the time in which requests ran; < and > choose other profiles, c goes back", Tone.FAINT),)


def _better(words: str, less: bool | None) -> str:
    """In a word, since colour alone must not tell it. Below 3% it is noise."""
    if less is None or not words or words[0] == "±" or int(words[1:-1].replace(",", "")) < 3:
        return ""
    return "better" if (words[0] == "−") == less else "worse"


def _ran(past: Past, workers: Sequence[str], pair: tuple[str, str], title: int, size: int) -> Line:
    line: Line = ((left(" ran for", title), Tone.FAINT),)
    for profile in pair:
        on = [places(past, worker, profile) for worker in workers]
        steps = {place for each in on for place in each}
        words = f"{duration(len(steps) * past.step)}, {count(sum(1 for each in on if each), 'worker')}"
        short = duration(len(steps) * past.step)
        line += ((right(words if len(words) < size else short, size), Tone.MUTED),)
    return line


def pictures(past: Past, workers: Sequence[str], pair: tuple[str, str], width: int) -> list[Picture]:
    """Plot by plot, the first profile's and the second's, to be set side by side in halves of `width`."""
    runs = [stretch(past, workers, profile) for profile in pair]
    span = float(max(1, *(len(run) for run in runs)) * past.step)
    window = Window(0.0, span)
    labels = [(at, duration(at) if at else "0") for at in times(0.0, span, room(width // 2), 9)]
    made: list[Picture] = []
    for plot in PAIRED:
        curves = [plot.area, *([plot.line] if plot.line is not None and plot.line.figure != plot.area.figure else [])]
        drawn = [
            [
                Drawn(curve.label, curve.figure, average(past, workers, profile, curve.figure, run), 0, past.step)
                for curve in curves
            ]
            for profile, run in zip(pair, runs, strict=True)
        ]
        peak = max(
            (value for side in drawn for each in side for value in each.values if value is not None), default=None
        )
        for profile, side in zip(pair, drawn, strict=True):
            made.append(
                Picture(
                    f"{profile}: {plot.title}",
                    plot.unit,
                    side[0],
                    side[1] if len(side) > 1 else None,
                    lambda _, rows, p=peak, u=plot.unit: scale(p, u, rows),  # type: ignore[misc]
                    window,
                    labels,
                    values=False,
                    note="it told nothing of this",
                )
            )
    return made
