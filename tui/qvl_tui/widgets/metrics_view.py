"""The metrics screen as text: which time and whose figures, the plots, and what happened at the cursor. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from qvl_tui.figures import Plot, Scope, curve, curves
from qvl_tui.format import duration
from qvl_tui.marks import LEGEND, Mark, clock_of, near, placed
from qvl_tui.paint import Line, Tone, clip, join, length, spread
from qvl_tui.past import Past
from qvl_tui.scale import Scale, Unit, scale, times
from qvl_tui.widgets.plot import Drawn, Picture, Window, room

SPANS: dict[int, tuple[str, int]] = {
    300: ("5 m", 15),
    900: ("15 m", 60),
    3600: ("1 h", 180),
    21600: ("6 h", 1080),
    86400: ("24 h", 3600),
}
"""Seconds -> name, and the seconds by which the window moves on at once: a plot that moved with each value would write
every cell anew each time. Until then the newest values fill what is left free at the right."""
POINTS = 240
"""Steps that are asked for, whatever the size of the screen, so that another size asks nothing anew."""
FINEST = 720
"""Steps of a comparison, which counts them."""


@dataclass(slots=True)
class Look:
    """What one looks at."""

    span: int
    scope: Scope
    now: float | None
    """Unix time by the daemon's clock; None: it was never heard."""
    past: Past | None = None
    asking: bool = False
    marks: Sequence[Mark] = ()
    cursor: float | None = None
    """The moment that is read out; None: now."""
    trouble: str = ""
    """Why there is no past, or less of it."""
    tops: dict[str, float] = field(default_factory=dict)
    """Of the scales as they were drawn last, by title."""

    @property
    def window(self) -> Window:
        step = SPANS[self.span][1]
        end = math.ceil((self.now or 0.0) / step) * step
        return Window(float(end - self.span), float(self.span))


def nearest(span: float) -> int:
    """Of the spans that there are, the one that was meant."""
    return min(SPANS, key=lambda known: abs(known - span))


def top_line(look: Look, width: int, page: tuple[int, int], comparing: bool) -> Line:
    """Whose figures, and over which time."""
    tabs = [
        ((f"[{name}]" if span == look.span else f" {name} ", Tone.ACCENT if span == look.span else Tone.FAINT),)
        for span, (name, _) in SPANS.items()
    ]
    end: list[Line] = []
    if look.trouble:
        end.append(((look.trouble, Tone.WARN),))
    elif look.asking or look.past is None:
        end.append((("asking for the past …", Tone.MUTED),))
    elif comparing:
        end.append((("comparing profiles" if width >= 100 else "profiles", Tone.ACCENT),))
    elif look.cursor is not None:
        ago = duration(max(0.0, (look.now or look.cursor) - look.cursor))
        end.append(
            ((f"at {clock_of(look.cursor, seconds=look.span <= 900)}", Tone.STRONG), (f", {ago} ago", Tone.MUTED))
        )
    else:
        end.append(((f"a step is {duration(look.past.step)}", Tone.FAINT),))
    if page[1] > 1:
        end.append(((f"page {page[0]}/{page[1]}", Tone.MUTED),))
    whose: Line = ((f" {look.scope.title}  ", Tone.STRONG),)
    told = (*join(end, ("   ", Tone.FAINT)), (" ", Tone.FAINT))
    spans = join(tabs, ("", Tone.FAINT))
    if length((*whose, *spans, *told)) >= width:
        spans = tabs[list(SPANS).index(look.span)]  # rather the one that is shown than half of all
    return spread((*whose, *spans), told, width)


def told_line(look: Look, width: int, cells: int) -> Line:
    """What happened where the cursor stands; without one, what the marks mean."""
    if look.cursor is None:
        return clip(((f" {LEGEND}", Tone.FAINT),), width)
    here = near(look.marks, look.cursor, look.window.span / max(1, cells))
    if not here:
        return ((" nothing happened here", Tone.FAINT),)
    first, *others = here
    more = f"  and {len(others)} more" if others else ""
    about = first.event.worker or first.event.pool or ""
    subject = f"{about} " if about and about not in first.event.message else ""
    return clip(
        (
            (f" {clock_of(first.at, seconds=True)} ", Tone.MUTED),
            (f"{first.glyph} ", first.tone),
            (subject, Tone.MUTED),
            (first.event.message.replace("\n", " "), Tone.TEXT),
            (more, Tone.MUTED),
        ),
        width,
    )


def pictures(look: Look, plots: Sequence[Plot], width: int) -> list[Picture]:
    """Each `width` cells wide."""
    cells, window = room(width), look.window
    labels = [
        (at, clock_of(at, seconds=False))
        for at in times(window.start, window.span, cells, 9 if cells < 80 else 14, _ahead(window.start))
    ]
    marks = placed(look.marks, window.start, window.span, cells)
    return [_picture(look, plot, window, labels, marks) for plot in plots]


def _picture(
    look: Look,
    plot: Plot,
    window: Window,
    labels: Sequence[tuple[float, str]],
    marks: dict[int, Mark],
) -> Picture:
    subjects = look.scope.subjects(plot)
    past = look.past or Past(5, 0, 1)
    area, line = curves(plot, subjects)

    def scaled(peak: float | None, rows: int) -> Scale:
        made = scale(peak, plot.unit, rows, look.tops.get(plot.title))
        if peak is not None:
            look.tops[plot.title] = made.top
        return made

    drawn = [
        Drawn(each.label, each.figure, curve(past, subjects, each), past.first, past.step)
        for each in (area, line)
        if each is not None
    ]
    if look.past is None:
        note = "asking for the past …" if not look.trouble else "nothing is known yet"
    elif not subjects:
        note = "no cards" if plot.of_gpus else "no workers"
    elif plot.unit is Unit.PLAIN:
        note = "nobody speculates"
    else:
        note = ""
    return Picture(
        plot.title,
        plot.unit,
        drawn[0],
        drawn[1] if len(drawn) > 1 else None,
        scaled,
        window,
        labels,
        marks,
        look.cursor,
        note=note,
    )


def _ahead(at: float) -> float:
    """Seconds that local time is ahead of UTC."""
    offset = datetime.fromtimestamp(at).astimezone().utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
