"""The end of a worker's log as a section: enough to see what it does now."""

import re

from qvl_tui.logbuffer import Level, LogLine
from qvl_tui.paint import Line, Tone, cut
from qvl_tui.widgets.worker_section import Section, said

_SIGNS = {Level.ERROR: ("✕", Tone.BAD), Level.WARNING: ("▲", Tone.WARN), Level.NOTE: ("—", Tone.FAINT)}

_DATED = re.compile(r"^\[\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d)(?:\.\d+)?((?: [A-Z_]+\d+)*)\] ")
"""The day is the same for all of them, and cells are few."""


def log_section(lines: tuple[LogLine, ...], told: str, width: int, rows: int) -> Section:
    """The last `rows` lines, each cut to the width."""
    if not lines:
        return Section("log", "log", tuple(said(told or "nothing was written yet", width, Tone.FAINT)), "l opens it")
    shown = [line for line in lines if line.text.strip()][-max(rows, 1) :]
    return Section("log", "log", tuple(_line(line, width) for line in shown), "l opens it")


def _line(line: LogLine, width: int) -> Line:
    glyph, tone = _SIGNS.get(line.level, (" ", Tone.MUTED))
    return ((f"{glyph} ", tone), (cut(_DATED.sub(r"\1\2 ", line.text), width - 2), tone))
