"""What happened, oldest first, so that the newest stands at the bottom as in every log."""

from collections.abc import Sequence

from qvl.model.event import Event, Severity

from qvl_tui.format import clock
from qvl_tui.paint import Line, Tone, clip, cut
from qvl_tui.sentences import SEVERITIES
from qvl_tui.session import Session

_TEXT = {Severity.INFO: Tone.TEXT, Severity.WARNING: Tone.WARN, Severity.ERROR: Tone.BAD}


def event_line(event: Event, width: int, host: str = "") -> Line:
    known = SEVERITIES[event.severity]
    about = event.worker or event.pool or ""
    # Most sentences begin with their subject; it is set in front only where they don't.
    subject = f"{about} " if about and about not in event.message else ""
    line: Line = (
        (f" {clock(event.at)} ", Tone.FAINT),
        (f"{host} " if host else "", Tone.MUTED),
        (f"{known.glyph} ", known.tone),
        (subject, Tone.MUTED),
        (event.message.replace("\n", " "), _TEXT[event.severity]),
    )
    return clip(tuple(span for span in line if span[0]), width)


def event_lines(sessions: Sequence[Session], width: int) -> tuple[Line, ...]:
    """Of several hosts in the order of their own clocks, each with its host's name."""
    if len(sessions) == 1:
        lines = [event_line(event, width) for event in sessions[0].store.events]
    else:
        told = [(event, session.name) for session in sessions for event in session.store.events]
        told.sort(key=lambda each: each[0].at)
        lines = [event_line(event, width, host) for event, host in told]
    if lost := sum(session.store.lost for session in sessions):
        # The gap is told where one reads events, not only counted in the header.
        lines.append(
            ((cut(f" ▲ {lost:,} events were lost on the way here; `qvlctl events` has them", width), Tone.WARN),)
        )
    return tuple(lines) or (((" nothing has happened yet", Tone.FAINT),),)
