"""The sd_notify line against a real datagram socket, as systemd would hold it."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.daemon.notify import STATUS_LIMIT, Notifier, clean_environment


class Manager:
    """The receiving end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)
        self.environ = {"NOTIFY_SOCKET": address}

    def receive(self) -> list[str]:
        """The lines of the next datagram."""
        return self.socket.recv(8192).decode().split("\n")

    def drain(self) -> list[list[str]]:
        """Every datagram that waits."""
        self.socket.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except BlockingIOError:
            return messages
        finally:
            self.socket.settimeout(5)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    notifier = Notifier(manager.environ)
    yield notifier
    notifier.close()


def test_each_call_is_one_datagram(manager: Manager, notifier: Notifier) -> None:
    assert notifier
    notifier.ready("2 of 2 ready · standard")
    assert manager.receive() == ["READY=1", "STATUS=2 of 2 ready · standard"]
    notifier.ready()
    assert manager.receive() == ["READY=1"]
    notifier.status("视觉 1/2")
    assert manager.receive() == ["STATUS=视觉 1/2"]
    notifier.status("")
    assert manager.receive() == ["STATUS="]
    notifier.stopping()
    assert manager.receive() == ["STOPPING=1"]
    notifier.watchdog()
    assert manager.receive() == ["WATCHDOG=1"]
    notifier.extend_timeout(1.5)
    assert manager.receive() == ["EXTEND_TIMEOUT_USEC=1500000"]


def test_reloading_carries_the_clock_that_systemd_compares(manager: Manager, notifier: Notifier) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    state, stamp = manager.receive()
    name, _, usec = stamp.partition("=")
    assert (state, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(usec) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_abstract_socket(tmp_path: Path) -> None:
    manager = Manager(f"@qvl-test-{os.getpid()}-{tmp_path.name}")
    notifier = Notifier(manager.environ)
    notifier.watchdog()
    assert manager.receive() == ["WATCHDOG=1"]
    notifier.close()
    manager.socket.close()


def test_a_status_cannot_smuggle_another_line(manager: Manager, notifier: Notifier) -> None:
    notifier.status("error:\nREADY=1\r\n  twice")
    assert manager.receive() == ["STATUS=error: READY=1 twice"]


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000, "a" + "視" * 5000])
def test_a_long_status_is_cut_between_characters(text: str, manager: Manager, notifier: Notifier) -> None:
    notifier.status(text)
    (line,) = manager.receive()
    shown = line.removeprefix("STATUS=")
    assert shown.endswith("…")
    assert text.startswith(shown[:-1])
    assert STATUS_LIMIT - 4 < len(shown.encode()) <= STATUS_LIMIT


def test_a_status_that_is_no_unicode_still_arrives(manager: Manager, notifier: Notifier) -> None:
    notifier.status("path \udcff")
    assert manager.receive() == ["STATUS=path ?"]


def fill(notifier: Notifier) -> None:
    for _ in range(10_000):  # past any net.unix.max_dgram_qlen
        notifier.watchdog()


def test_a_full_queue_neither_blocks_nor_raises(manager: Manager, notifier: Notifier) -> None:
    fill(notifier)
    got = manager.drain()
    assert 0 < len(got) < 10_000
    notifier.watchdog()
    assert manager.receive() == ["WATCHDOG=1"]


def test_a_state_that_found_the_queue_full_arrives_later(manager: Manager, notifier: Notifier) -> None:
    fill(notifier)
    notifier.reloading()
    notifier.ready("reloaded")
    notifier.status("dropped")
    manager.drain()
    notifier.watchdog()
    assert manager.drain() == [["READY=1", "STATUS=reloaded"], ["WATCHDOG=1"]]
    notifier.watchdog()
    assert manager.drain() == [["WATCHDOG=1"]]


def test_nobody_listens() -> None:
    notifier = Notifier({})
    assert not notifier
    assert notifier.watchdog_interval is None
    notifier.ready("x")
    notifier.reloading()
    notifier.stopping()
    notifier.watchdog()
    notifier.extend_timeout(1)
    notifier.close()


@pytest.mark.parametrize("address", ["vsock:2:1", "relative/path", ""])
def test_an_address_that_is_not_ours_is_left_alone(address: str) -> None:
    assert not Notifier({"NOTIFY_SOCKET": address})


def test_a_manager_that_went_away_is_named_once(
    manager: Manager, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    os.unlink(manager.environ["NOTIFY_SOCKET"])
    notifier.ready()
    notifier.watchdog()
    assert [record.getMessage() for record in caplog.records] == [
        "systemd's notification socket can't be used: No such file or directory"
    ]


def test_a_manager_that_came_back_is_found(tmp_path: Path) -> None:
    first = Manager(str(tmp_path / "notify"))
    notifier = Notifier(first.environ)
    notifier.watchdog()
    first.socket.close()
    os.unlink(tmp_path / "notify")
    second = Manager(str(tmp_path / "notify"))
    notifier.watchdog()
    assert second.receive() == ["WATCHDOG=1"]
    second.socket.close()
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    assert Notifier(environ).watchdog_interval == interval


def test_a_worker_does_not_inherit_the_line() -> None:
    env = {"PATH": "/bin", "HF_HOME": "/m", "NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "1",
           "WATCHDOG_PID": "2", "INVOCATION_ID": "x", "JOURNAL_STREAM": "8:1", "LISTEN_FDS": "1"}  # fmt: skip
    before = dict(env)
    assert clean_environment(env) == {"PATH": "/bin", "HF_HOME": "/m"}
    assert env == before
