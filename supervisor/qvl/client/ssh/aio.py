"""A tunnel for what runs a loop: its waiting is done in threads, so that nothing on the screen stands still."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qvl.client.ssh.tunnel import Tunnel
from qvl.model.error import QvlError


class TunnelWay:
    """The `Way` of `qvl.client.aio` over a tunnel, which stays its maker's to close.

    It has threads of its own: a loop that ends waits for those of its default pool, and a host that does not answer
    must not keep anybody from leaving.
    """

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"ssh {tunnel.host}")

    async def socket(self) -> Path:
        return Path(await asyncio.get_running_loop().run_in_executor(self._threads, self._tunnel.socket))

    async def trouble(self, error: Exception) -> QvlError:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._tunnel.trouble, error)
