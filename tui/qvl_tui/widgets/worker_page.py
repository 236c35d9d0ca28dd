"""Everything that a worker's screen shows below its head, made from what is known at one moment. Pure."""

from datetime import datetime
from typing import NamedTuple

from qvl.model.gpu import GpuSample
from qvl.model.status import WorkerStatus
from qvl.model.worker import Phase

from qvl_tui.inquiry import OLDER, Inquiry
from qvl_tui.logbuffer import LogLine
from qvl_tui.widgets.worker_args import arguments_section
from qvl_tui.widgets.worker_capacity import capacity_section
from qvl_tui.widgets.worker_exits import exits_section
from qvl_tui.widgets.worker_log import log_section
from qvl_tui.widgets.worker_section import Section, layout
from qvl_tui.widgets.worker_start import start_section
from qvl_tui.widgets.worker_tree import tree_section

LOG_ROWS = 10
"""Lines of the log where it stands below everything else."""
LEAST_LOG = 4


class View(NamedTuple):
    worker: WorkerStatus
    asked: Inquiry
    gpus: tuple[GpuSample, ...]
    now: datetime | None
    """The daemon's clock."""
    later: float
    """Seconds since the detail was told; of a daemon that is gone, until it was last heard."""
    log: tuple[LogLine, ...]
    log_told: str
    everything: bool
    """All arguments, not only those that most want to know."""


def page(view: View, width: int, room: int) -> tuple[tuple[Section, ...], ...]:
    """The sections, column by column. `width` and `room`: cells and rows below the head."""
    shares = layout(width, troubled=view.worker.phase in (Phase.FAILED, Phase.BACKOFF))
    each = column_width(width, len(shares))
    return tuple(_column(view, share, each, room, alone=len(shares) == 1) for share in shares)


def column_width(width: int, columns: int) -> int:
    """One cell is a gap, one the scrollbar's."""
    return width // columns - 2


def _column(view: View, ids: tuple[str, ...], width: int, room: int, *, alone: bool) -> tuple[Section, ...]:
    made = [_section(view, id, width) for id in ids if id != "log"]
    if "log" in ids:
        used = sum(len(section.lines) + 2 for section in made) + 1
        rows = LOG_ROWS if alone else max(LEAST_LOG, room - used)
        made.append(log_section(view.log, view.log_told, width, rows))
    return tuple(made)


def _section(view: View, id: str, width: int) -> Section:
    worker, asked = view.worker, view.asked
    detail, told = asked.detail.answer, asked.detail.told
    unknown = told or "asking the daemon …"
    match id:
        case "start":
            asking = detail is None and not view.asked.detail.told
            return start_section(worker, detail.start if detail else None, view.later, width, asking=asking)
        case "capacity":
            return capacity_section(worker, detail, view.gpus, width, "not told" if told == OLDER else unknown)
        case "processes":
            section = tree_section(worker, detail, asked.shares, width, unknown)
            return section._replace(note=told) if detail is not None and told else section
        case "exits":
            return exits_section(worker, detail, view.now, width)
        case _:
            return arguments_section(worker, asked, width, everything=view.everything)
