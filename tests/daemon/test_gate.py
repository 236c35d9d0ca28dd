"""What keeps a worker from starting, with real ports and cards of a script."""

import asyncio
import ctypes
import multiprocessing
import os
import socket
from multiprocessing.connection import Connection

import pytest
from qvl.daemon.gate import SETTLING, obstacle, wait_until_free
from qvl.daemon.gpus import GpuMonitor
from qvl.host.ports import holder, is_free
from qvl.model.gpu import Gpu, GpuFault, GpuHolder, GpuSample
from qvl.model.spec import Engine, EngineKind, Launch

GIB = 1 << 30
ENGINE = Engine("own", EngineKind.COMMAND, command=("true",))
STRANGER = GpuHolder(4242, 20 * GIB, "python", "ann")


class Cards:
    """A `GpuSource` that says what it is told to."""

    def __init__(self, *samples: GpuSample) -> None:
        self.samples = samples

    def inventory(self) -> tuple[Gpu, ...]:
        return tuple(Gpu(s.index, s.uuid, s.name, s.memory_total) for s in self.samples)

    def sample(self) -> tuple[GpuSample, ...]:
        return self.samples

    def faults(self) -> tuple[GpuFault, ...]:
        return ()

    def close(self) -> None:
        pass


def card(index: int = 0, used: int | None = 0, health: str = "ok", holders: tuple[GpuHolder, ...] = ()) -> GpuSample:
    return GpuSample(index, f"GPU-{index}", "a card", used, 80 * GIB, health=health, holders=holders)


def launch(port: int, *gpus: int | str, host: str = "127.0.0.1") -> Launch:
    return Launch(engine=ENGINE, gpus=gpus, host=host, port=port)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def held_by(launch: Launch, *samples: GpuSample, aside: dict[int, str] | None = None) -> str | None:
    """The obstacle for a worker on these cards."""

    async def scenario() -> str | None:
        gpus = GpuMonitor(Cards(*samples))
        await gpus.open()
        for index, why in (aside or {}).items():
            gpus.set_aside([index], why)
        try:
            return await obstacle(launch, gpus)
        finally:
            gpus.close()

    return asyncio.run(scenario())


# ---- ports


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::1", "::1"), ("::", "0.0.0.0")],
)
def test_a_port_that_somebody_listens_on_is_not_free_and_they_are_named(theirs: str, ours: str) -> None:
    family = socket.AF_INET6 if ":" in theirs else socket.AF_INET
    with socket.socket(family) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stranger.bind((theirs, 0))
        except OSError as error:
            pytest.skip(f"no {theirs} here: {error}")
        stranger.listen()
        port = stranger.getsockname()[1]
        assert not is_free(ours, port)
        reason = held_by(launch(port, host=ours)) or ""
        assert reason.startswith(f"port {port} is held by pid {os.getpid()} (")


def test_a_connection_that_lingers_does_not_hold_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer, _ = server.accept()
            peer.close()  # the server's side closes first, so that it is the one in TIME_WAIT
            assert client.recv(1) == b""
    assert is_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "192.0.2.1"])
def test_an_address_that_nobody_can_bind_is_the_engines_to_complain_about(host: str) -> None:
    assert is_free(host, free_port())


def test_a_process_whose_name_is_no_text_can_be_named() -> None:
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    pid = os.fork()
    if pid == 0:
        _listen_under_an_odd_name(theirs)
    try:
        port = ours.recv()
        found = holder(port)
        assert found is not None
        assert found.pid == pid
        assert found.command.startswith("abc")
        found.command.encode()  # it can be told
    finally:
        ours.close()
        theirs.close()
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _listen_under_an_odd_name(told: Connection) -> None:
    try:
        ctypes.CDLL(None).prctl(15, b"abc\xc3\xff", 0, 0, 0)  # PR_SET_NAME
        server = socket.create_server(("127.0.0.1", 0))
        told.send(server.getsockname()[1])
        while True:
            server.accept()
    finally:
        os._exit(1)


# ---- cards


def test_a_worker_without_cards_asks_none() -> None:
    assert held_by(launch(free_port()), card(holders=(STRANGER,))) is None


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (card(used=20 * GIB, holders=(STRANGER,)), "GPU 0 is held by pid 4242 (python, ann, 20480 MiB)"),
        (card(used=20 * GIB), "GPU 0 has 20480 MiB in use by no process that can be seen"),
        (card(health="lost", used=None), "GPU 0 does not answer"),
        (card(used=GIB // 2, holders=(GpuHolder(1, GIB // 2, "dcgm"),)), None),
        (card(used=GIB), None),
        (card(used=None), None),
        # How much a process holds is not always told; it can't be more than the card has in use.
        (card(used=20 * GIB, holders=(GpuHolder(7, None, "x"),)), "GPU 0 is held by pid 7 (x)"),
        (card(used=GIB // 2, holders=(GpuHolder(7, None, "x"),)), None),
        (card(used=None, holders=(GpuHolder(7, None, "x"),)), "GPU 0 is held by pid 7 (x)"),
    ],
)
def test_what_holds_a_card_is_named(sample: GpuSample, reason: str | None) -> None:
    assert held_by(launch(free_port(), 0), sample) == reason
    assert held_by(launch(free_port(), "GPU-0"), sample) == reason


def test_a_card_that_is_absent_or_set_aside_is_waited_for() -> None:
    assert held_by(launch(free_port(), 1), card()) == "GPU 1 is absent: this host has 0"
    assert held_by(launch(free_port(), 0)) == "GPU 0 is absent: this host has none"
    reason = held_by(launch(free_port(), 0), card(), aside={0: "gpu-fault"})
    assert reason == "GPU 0 is set aside: gpu-fault; `qvlctl start` of this worker uses it again"


def test_one_card_of_several_is_enough_to_wait() -> None:
    samples = (card(0), card(1, used=20 * GIB, holders=(STRANGER,)))
    assert (held_by(launch(free_port(), 0, 1), *samples) or "").startswith("GPU 1 is held by pid 4242")


# ---- waiting


def test_what_lasts_is_told_once_and_what_a_worker_leaves_behind_is_not() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        loop = asyncio.get_running_loop()
        cards = Cards(card(used=20 * GIB, holders=(STRANGER,)))
        gpus = GpuMonitor(cards)
        await gpus.open()
        said: list[str] = []
        long, short = list[str](), list[str]()

        def held(reason: str) -> None:
            said.append(reason)
            loop.call_later(1.5, setattr, cards, "samples", (card(),))

        try:
            await wait_until_free(launch(free_port(), 0), gpus, held)
            long = list(said)
            cards.samples = (card(used=20 * GIB, holders=(STRANGER,)),)
            loop.call_later(SETTLING / 2, setattr, cards, "samples", (card(),))
            await wait_until_free(launch(free_port(), 0), gpus, short.append)
        finally:
            gpus.close()
        return long, short

    long, short = asyncio.run(scenario())
    assert long == ["GPU 0 is held by pid 4242 (python, ann, 20480 MiB)"]
    assert short == []


def test_a_card_is_free_once_it_is_back_at_its_level_and_no_sibling_is_on_it() -> None:
    async def scenario() -> tuple[list[str], dict[int, int]]:
        cards = Cards(card(used=GIB + (600 << 20)))
        siblings = iter(["GPU 0 is held by worker old-0, which is stopping", None])
        gpus = GpuMonitor(cards)
        await gpus.open()
        said: list[str] = []

        def held(reason: str) -> None:
            said.append(reason)
            cards.samples = (card(used=GIB + (500 << 20)),)

        try:
            level = await wait_until_free(
                launch(free_port(), 0), gpus, held, sibling=lambda: next(siblings), level={0: GIB}
            )
        finally:
            gpus.close()
        return said, level

    said, level = asyncio.run(scenario())
    assert said == [
        "GPU 0 has 1624 MiB in use, 1024 MiB before the last start",
        "GPU 0 is held by worker old-0, which is stopping",
    ]
    assert level == {0: GIB + (500 << 20)}
