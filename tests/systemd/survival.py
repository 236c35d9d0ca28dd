"""Workers under load in a box, and what must hold of them whatever happens to the daemon.

`Fleet.step` is the measure: it makes sure that requests are in flight on every worker and that ten clients of the
daemon read nothing, lets a test do something, waits until each worker has answered anew, and holds every count against
what it must be.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
from qvl.model.event import Event

from tests.support import wait_until
from tests.systemd.box import Box
from tests.systemd.conftest import Tell
from tests.systemd.daemon import SOCKET
from tests.systemd.installed import InstalledDaemon
from tests.systemd.numbered import Count, NumberedLog
from tests.systemd.observers import Ended, Identity, Load, StatusWatch, StuckWatchers

HISTORY = "/var/lib/qvl/events.jsonl"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Step:
    """What is done to the daemon, and how it went."""

    def __init__(self, name: str, before: Identity, *, successors: int) -> None:
        self.name = name
        self.before = before
        self.begun = time.monotonic()
        self.successors = successors
        """Daemons that follow while it lasts; 0: it stays the same."""
        self.figures: dict[str, str] = {"step": name}


class Fleet:
    """A daemon with its workers, ready, and all that looks on."""

    def __init__(self, daemon: InstalledDaemon, ports: Sequence[int]) -> None:
        self.daemon = daemon
        self.workers = daemon.start(len(ports))
        self._theirs = daemon.processes() - {daemon.main_pid}
        self._logs = {name: NumberedLog(daemon.box.outside(f"/var/log/qvl/{name}")) for name in self.workers}
        self.watch = StatusWatch(daemon.box.outside(SOCKET), self.workers)
        self.load = Load(daemon.box, ports)
        self.stuck = StuckWatchers(daemon.box)
        wait_until(lambda: self.watch.answers, what="the status is watched")

    def wait_for_the_main_process(self) -> None:
        """Until the daemon that systemd has now answers."""
        wait_until(lambda: self.watch.daemon.pid == self.daemon.main_pid, 40, "systemd's daemon answers")

    @contextmanager
    def step(self, name: str, tell: Tell, *, successors: int = 1) -> Iterator[Step]:
        """Do something to the daemon that its workers must not notice, and `tell` the figures. AssertionError with the
        journal where they do notice.

        `successors`: how many daemons follow one another meanwhile, by what is done; 0: the same one goes on.
        """
        unread = self.stuck.attach()
        self._count_logs()
        seen = self.last_event()
        self.load.wait_for_flights()
        step = Step(name, self.watch.daemon, successors=successors)
        step.figures["stuck clients"] = f"{len(self.stuck.look())} × {unread // len(self.stuck.look()) // 1024} KiB"
        try:
            with self.daemon.explained():
                yield step
                self._judge(step, seen)
        finally:
            tell(step.figures)
            print(", ".join(f"{key} {value}" for key, value in step.figures.items()))

    def finish(self) -> tuple[dict[str, str], list[int]]:
        """End the load: the figures of all steps and of what was between them, and the requests of which the logs have
        no line, or more than one."""
        self.load.finish()
        self._count_logs()
        written = sum((log.requests for log in self._logs.values()), start=Counter[int]())
        figures = {"step": "all of it"} | _of_requests(list(self.load.ended.values()))
        figures |= _of_logs(sum((log.total for log in self._logs.values()), start=Count()))
        return figures, [number for number in self.load.ended if written[number] != 1]

    def last_event(self) -> int:
        """The number of the newest event."""
        events = self.daemon.client.past_events(0)
        return events[-1].get("seq", 0) if events else 0

    # ---- what is counted

    def _count_logs(self) -> Count:
        return sum((log.look() for log in self._logs.values()), start=Count())

    def _logs_since(self, moment: float) -> Count:
        """What the logs hold that is new, once each has a line from after `moment`."""
        total = Count()
        for log in self._logs.values():
            mine = log.look()

            def grown(log: NumberedLog = log) -> bool:
                nonlocal mine
                before, mine = mine.lines, mine + log.look()
                return mine.lines > before

            wait_until(grown, 30, f"a worker writes on after {moment:.3f}")
            total += mine
        return total

    # ---- what must hold

    def _judge(self, step: Step, seen: int) -> None:
        changed = self.watch.daemon != step.before
        assert changed == (step.successors > 0), "another daemon answers, or the same, against the plan"
        after = time.monotonic()
        self.load.wait_for_new_answers(after)
        logs = self._logs_since(after)
        self._judge_requests(step)
        self._judge_logs(step, logs)
        self._judge_answers(step)
        self._judge_processes()
        self._judge_events(step, seen)
        assert "Traceback" not in self.daemon.journal()

    def _judge_requests(self, step: Step) -> None:
        ended = self.load.since(step.begun)
        step.figures |= _of_requests(ended)
        assert ended
        assert [each for each in ended if each.error is not None][:5] == []

    def _judge_logs(self, step: Step, count: Count) -> None:
        step.figures |= _of_logs(count)
        assert count.lines > 0
        assert (count.lost, count.doubled) == (0, 0), count
        assert {name: log.runs for name, log in self._logs.items()} == dict.fromkeys(self._logs, 1), "started again"

    def _judge_answers(self, step: Step) -> None:
        """No answer to anybody who asked for the status ever had a worker otherwise than ready, with its pid."""
        answers = [answer for answer in self.watch.answers if answer.at > step.begun]
        assert [answer for answer in answers if answer.others][:3] == []
        moments = [step.begun, *(answer.at for answer in answers)]
        away = max(later - earlier for earlier, later in pairwise(moments))
        step.figures["no answer for"] = f"{away:.2f} s"
        if step.successors:
            daemon = self.watch.daemon
            adopted = next(answer.at for answer in answers if answer.daemon == daemon)
            begun = step.begun if daemon.pid == step.before.pid else self._started(daemon.pid)
            step.figures["adopted in"] = f"{adopted - begun:.2f} s"

    def _judge_processes(self) -> None:
        """They are those of before: none has ended, and none was started beside them."""
        daemon = self.daemon
        wait_until(lambda: daemon.processes() - {daemon.main_pid} == self._theirs, 10, f"only {self._theirs} are left")

    def _judge_events(self, step: Step, seen: int) -> None:
        events = self.daemon.client.past_events(seen)
        kinds = [event.get("kind", "") for event in events]
        assert [kind for kind in kinds if kind in ("worker.phase", "worker.ready", "worker.exit")] == [], events
        adoptions = kinds.count("worker.adopted") / len(self.workers)
        # Of several daemons, those that were killed early had not adopted all, or any.
        assert adoptions == step.successors if step.successors < 2 else 1 <= adoptions <= step.successors, events

    def _started(self, pid: int) -> float:
        """When a process of the box was started, on the monotonic clock, to 10 ms: proc(5)."""
        fields = self.daemon.box.outside(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return since_boot - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()


def _of_requests(ended: Sequence[Ended]) -> dict[str, str]:
    gap = max((each.gap for each in ended), default=0)
    failed = sum(each.error is not None for each in ended)
    return {"requests": str(len(ended)), "failed": str(failed), "longest gap": f"{gap * 1000:.0f} ms"}


def _of_logs(count: Count) -> dict[str, str]:
    return {"log bytes": str(count.size), "lost": str(count.lost), "doubled": str(count.doubled)}


def write_history(box: Box, folder: Path, events: int = 4000) -> None:
    """Have the daemon remember a long life, so much that it can't write all of it to a client that reads nothing."""
    message = "alice asked for a restart of worker pool0-0, and again, since it was slow"
    lines = [
        msgspec.json.encode(Event(seq=seq, at=LONG_AGO, kind="act", message=message, worker="pool0-0"))
        for seq in range(1, events + 1)
    ]
    source = folder / "events.jsonl"
    source.write_bytes(b"\n".join(lines) + b"\n")
    box.put(source, HISTORY, 0o600)
