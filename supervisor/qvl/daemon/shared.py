"""One answer for all who ask the same at the same time: what is asked may be slow, and is not asked twice at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """`what` names the tasks."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._asking: dict[str, asyncio.Task[T]] = {}

    async def ask(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer that is on its way for `key`, else that of `work`. Raises what `work` does."""
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(work(), name=f"{key}/{self._what}")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)  # one who leaves doesn't take the answer from the others

    def _done(self, key: str, task: asyncio.Task[T]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # told to whoever still waits
