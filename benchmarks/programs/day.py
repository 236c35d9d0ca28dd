"""A daemon that only talks: a day of sixteen workers on a unix socket, as fast as its reader takes it in.

    day.py SOCKET SECONDS

`SECONDS` are those of the day that it tells; every two of them each figure moves, every minute something happens. Each
half of it begins with a byte on standard input, and once it is over, and taken in, that is said on standard output.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
from qvl.model.api import History, WhoAmI
from qvl.model.event import Change, Event, Frame, Snapshot
from qvl.model.gpu import GpuSample
from qvl.model.status import ConfigStatus, PoolStatus, Status, SupervisorStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase, Wanted

WORKERS = 16
BEGIN = datetime(2026, 3, 4, tzinfo=UTC)
STEP, EVENT_EVERY = 2, 60
"""Seconds of the day."""
GIB = 1 << 30


def figures(chance: random.Random) -> WorkerMetrics:
    return WorkerMetrics(
        running=chance.randrange(40),
        queued=chance.randrange(5),
        tokens_per_s=chance.uniform(0, 3000),
        kv_usage=chance.random(),
        cache_hit_rate=chance.random(),
        ttft_p50_s=chance.uniform(0.05, 0.5),
        ttft_p95_s=chance.uniform(0.5, 2),
    )


def cards(chance: random.Random) -> tuple[GpuSample, ...]:
    return tuple(
        GpuSample(
            index,
            f"GPU-{index}",
            "NVIDIA H200",
            memory_used=chance.randrange(120 * GIB, 130 * GIB),
            memory_total=141 * GIB,
            utilization=chance.random(),
            temperature=float(chance.randrange(40, 80)),
            power=chance.uniform(100, 700),
        )
        for index in range(WORKERS)
    )


def snapshot(chance: random.Random) -> Snapshot:
    workers = tuple(
        WorkerStatus(
            name=f"w-{index}",
            pool="w",
            profile="standard",
            engine="sglang",
            wanted=Wanted.UP,
            phase=Phase.RUNNING,
            ready=True,
            pid=1000 + index,
            gpus=(index,),
            port=30000 + index,
            endpoint=f"http://127.0.0.1:{30000 + index}",
            since=BEGIN,
            restarts=0,
            next_start_at=None,
            reason=None,
            drift=(),
            progress=None,
            last_exit=None,
            metrics=figures(chance),
        )
        for index in range(WORKERS)
    )
    pool = PoolStatus("w", "standard", None, None, WORKERS, WORKERS)
    config = ConfigStatus("/etc/qvl/qvl.toml", "a1", "a1")
    supervisor = SupervisorStatus(pid=1, version="0", started_at=BEGIN, config=config, host="day")
    return Snapshot(1, BEGIN, Status(supervisor, (pool,), workers, cards(chance)))


async def frames(seconds: int, told: asyncio.Semaphore) -> AsyncIterator[Frame]:
    chance = random.Random(0)
    yield snapshot(chance)
    for second in range(STEP, seconds + 1, STEP):
        if second == STEP:
            await told.acquire()
        elif second == seconds // 2 // STEP * STEP:
            print("half", flush=True)
            await told.acquire()
        at = BEGIN + timedelta(seconds=second)
        yield Change(at, gpus=cards(chance), metrics={f"w-{index}": figures(chance) for index in range(WORKERS)})
        if second % EVENT_EVERY == 0:
            number = 1 + second // EVENT_EVERY
            yield Event(seq=number, at=at, kind="worker.warning", message=f"w-{number % WORKERS} is slow", worker="w-0")


class Day:
    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self.told = asyncio.Semaphore(0)
        self.over = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].partition(b"?")[0]
        if target == b"/v1/events":
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            # Written only as the reader reads: what is still in our buffers has not been taken in.
            writer.transport.set_write_buffer_limits(0)
            encode = msgspec.json.Encoder().encode
            async for frame in frames(self._seconds, self.told):
                writer.write(encode(frame) + b"\n")
                await writer.drain()
            self.over.set()
            await reader.read()
            return
        known: dict[bytes, object] = {
            b"/v1/whoami": WhoAmI(0, 0, 1, "bench", "operator"),
            b"/v1/history": History(2.0, [], {}, {}),
        }
        body = msgspec.json.encode(known[target]) if target in known else b'{"error":{"code":"not_found","message":""}}'
        status = b"200 OK" if target in known else b"404 Not Found"
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        writer.close()


async def main(socket: str, seconds: int) -> None:
    day = Day(seconds)

    def told() -> None:
        if not os.read(0, 1):
            sys.exit("nobody waits for the end of the day")
        day.told.release()

    asyncio.get_running_loop().add_reader(0, told)
    server = await asyncio.start_unix_server(day.answer, socket)
    print("listens", flush=True)
    async with server:
        await day.over.wait()
        print("over", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
