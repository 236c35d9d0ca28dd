"""Waits for descriptors: the part of `selectors` that a shim needs, over epoll(7).

`selectors` and `socket` together cost half a megabyte in every shim, most of it for tables of constants as enums.
"""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[bool, bool], None]


class Poller:
    """Calls back for each descriptor that is ready, with (readable, writable)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}

    def watch(self, fd: int, callback: Callback) -> None:
        """Call back whenever `fd` can be read, and when its other end hangs up."""
        self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = callback

    def want_write(self, fd: int, wanted: bool) -> None:
        """Call back also when `fd` can be written, or no longer."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, fd: int) -> None:
        """Call back no more. Before the descriptor is closed, since its number may be used anew at once."""
        self._epoll.unregister(fd)
        del self._callbacks[fd]

    def wait(self, timeout: float | None) -> None:
        """Wait until something is ready or `timeout` seconds are over, and call back."""
        for fd, events in self._epoll.poll(timeout):
            callback = self._callbacks.get(fd)  # one that an earlier callback of this turn has not forgotten
            if callback is not None:
                callback(bool(events & ~select.EPOLLOUT), bool(events & select.EPOLLOUT))
