"""What processes cost, by /proc (proc(5)). A process that is gone costs nothing."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Of several processes together. `cpu` is in seconds since their start, memory in MiB."""

    cpu: float
    rss: float
    pss: float
    threads: int
    wakeups: int
    """How often their threads went to sleep of their own will, since their start."""


def usage(pids: Iterable[int]) -> Usage:
    each = [_of(pid) for pid in pids]
    return Usage(
        sum(u.cpu for u in each),
        sum(u.rss for u in each),
        sum(u.pss for u in each),
        sum(u.threads for u in each),
        sum(u.wakeups for u in each),
    )


def cpu_seconds(pids: Sequence[int]) -> float:
    return usage(pids).cpu


def _of(pid: int) -> Usage:
    cpu = wakeups = threads = 0
    memory = {"Rss:": 0, "Pss:": 0}
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            # Nanoseconds on a core; /proc/PID/stat counts hundredths of a second, too coarse for the idle.
            cpu += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
            status = Path(f"/proc/{pid}/task/{task}/status").read_text()
            wakeups += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            threads += 1
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, value = line.split()[:2]
            if name in memory:
                memory[name] = int(value)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return Usage(cpu / 1e9, memory["Rss:"] / 1024, memory["Pss:"] / 1024, threads, wakeups)
