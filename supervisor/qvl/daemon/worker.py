"""A worker as the daemon holds it: its specification and record, and the tasks that go with its present process."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from qvl.core.starts import Start
from qvl.engines.metrics import EngineSample
from qvl.model.spec import WorkerSpec
from qvl.model.status import WorkerMetrics
from qvl.model.worker import Phase, Progress, WorkerRecord

NO_METRICS = WorkerMetrics()


class Tree(Protocol):
    """What can be done to a worker's processes, by its shim or without one."""

    async def signal(self, sig: int) -> None:
        """Send a signal to the root process."""

    async def kill(self) -> None:
        """Have everything killed."""

    async def set_logs(self, max_size: int, keep: int) -> None:
        """Change the size in bytes at which log segments end, and how many finished ones stay."""


class Worker:
    """Changed by the supervisor's loop alone; the tasks post inputs and set what is theirs (`tree`, `window`)."""

    def __init__(self, spec: WorkerSpec, record: WorkerRecord) -> None:
        self.spec = spec
        self.record = record
        self.tree: Tree | None = None
        self.start: Start | None = None
        """The start under way, or the last one."""
        self.passed: Progress | None = None
        """What the time since the last sign of life makes of the start under way."""
        self.start_known = False
        """It was looked for what an earlier daemon has left of it."""
        self.window: list[EngineSample] = []
        """Scrapes of the last minute, oldest first."""
        self.level: dict[int, int] = {}
        """Bytes that each of its cards had in use before the last start, by index."""
        self.metrics: WorkerMetrics = NO_METRICS
        self.lost_bytes = 0
        self.removing = False
        """No longer configured: forgotten once it has stopped."""
        self.drift: tuple[str, ...] = ()
        self.timer: asyncio.TimerHandle | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._begun: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def progress(self) -> Progress | None:
        """How far the start under way is; the record's is as of the last sign of life."""
        return (self.passed or self.record.progress) if self.record.phase is Phase.STARTING else None

    def run(self, group: asyncio.TaskGroup, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Start the task `key` of this worker, in place of an earlier one."""
        self.cancel(key)
        task = group.create_task(work, name=f"{self.name}/{key}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._tasks.pop(key, None) if self._tasks.get(key) is done else None)

    def run_once(self, group: asyncio.TaskGroup, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start the task `key` unless it was started for this generation already. True if it is started now."""
        if self._begun.get(key) == self.record.generation:
            return False
        self._begun[key] = self.record.generation
        self.run(group, key, work())
        return True

    def cancel(self, *keys: str) -> None:
        for key in keys:
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()

    def cancel_all(self) -> None:
        self.cancel(*list(self._tasks))
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
