"""Ends of engines in the words of public threads, and what they are to be read as.

Each log is an excerpt: the lines that say something, with the frames that matter, and with other paths and names.
"""

from typing import NamedTuple

from qvl.core.classify import Finding, classify
from qvl.model.worker import Cause


class End(NamedTuple):
    title: str
    log: list[str]
    cause: Cause
    evidence: str
    """A part of the line that proves it."""
    hint: str = ""
    """A part of what to do."""
    code: int | None = None
    signal: int | None = 9
    was_ready: bool = False

    def __str__(self) -> str:
        return self.title


def found(end: End) -> Finding:
    code, signal = (end.code, None) if end.code is not None else (None, end.signal)
    return classify(code, signal, end.log, was_ready=end.was_ready)


def check(end: End) -> None:
    finding = found(end)
    assert finding.cause is end.cause, finding
    assert end.evidence in (finding.evidence or ""), finding
    assert end.hint in (finding.hint or ""), finding


def timed(message: str, rank: str = "", at: str = "20:48:29") -> str:
    return f"[2026-11-21 {at}{rank}] {message}"


BUILT = ('  File "sglang/srt/managers/scheduler.py", line 2612, in run_scheduler_process', "    scheduler = Scheduler(")
LOOPED = (
    '  File "sglang/srt/managers/scheduler.py", line 2898, in run_scheduler_process',
    "    scheduler.event_loop_overlap()",
)
KILLS_ITSELF = "kill_process_tree called: parent_pid=5661, include_parent=True, pid=5661"


def starting(*messages: str, rank: str = "", before: tuple[str, ...] = ()) -> list[str]:
    """The scheduler's exception while the engine starts; its parent kills the tree."""
    return [
        *before,
        timed("Scheduler hit an exception: Traceback (most recent call last):", rank),
        *BUILT,
        *messages,
        timed("Received sigquit from a child process. It usually means the child failed."),
    ]


def serving(*messages: str, rank: str = "", before: tuple[str, ...] = ()) -> list[str]:
    """The same while it serves."""
    return [
        timed("The server is fired up and ready to roll!", at="20:40:00"),
        timed("Decode batch, #running-req: 3, #token: 512, token usage: 0.01, cuda graph: True"),
        *before,
        timed("Scheduler hit an exception: Traceback (most recent call last):", rank),
        *LOOPED,
        *messages,
        timed("SIGQUIT received. signum=None, frame=None. It usually means one child failed."),
        timed("Dumping requests before crash. self.crash_dump_folder=''"),
        timed(KILLS_ITSELF),
    ]


def in_main(*messages: str) -> list[str]:
    """An exception of the server process itself."""
    return [
        "Traceback (most recent call last):",
        '  File "<frozen runpy>", line 198, in _run_module_as_main',
        '  File "sglang/launch_server.py", line 25, in <module>',
        *messages,
    ]
