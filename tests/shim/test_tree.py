"""Every process of a worker ends with it, none that is not the worker's is touched, and the end is on record."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from qvl.shim import client, proc
from qvl.shim.records import Answer, Exited, Gone

from tests.shim.harness import SHELL_ENV, Bench, python, shell
from tests.support import wait_until

# Leaves behind, in its own way each, three processes that ignore SIGTERM: a plain child, one in a session of its own,
# and one that was forked twice and so belongs to nobody; then it waits for a word and ends with status 5.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def stay(name):
    with open(name + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".new", name)
    while True:
        time.sleep(60)
if os.fork() == 0:
    stay("child")
if os.fork() == 0:
    os.setsid()
    stay("session")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay("daemon")
    os._exit(0)
os.wait()
with open("go") as file:
    file.read()
os._exit(5)
"""
LEFT_BEHIND = ("child", "session", "daemon")


def start_stubborn(bench: Bench) -> list[tuple[int, int]]:
    """Start it; return pid and start time of what it will leave behind."""
    os.mkfifo(bench.root / "go")
    bench.start(bench.bootstrap(*python(STUBBORN)))
    wait_until(lambda: all((bench.root / name).exists() for name in LEFT_BEHIND), what="three processes")
    pids = [int((bench.root / name).read_text()) for name in LEFT_BEHIND]
    return [(pid, proc.start_time(pid) or 0) for pid in pids]


def test_nothing_outlives_the_root(bench: Bench) -> None:
    left = start_stubborn(bench)
    assert all(proc.is_alive(*identity) for identity in left)

    async def scenario() -> tuple[object, object]:
        link = await client.attach(bench.bundle)
        tree = {process.pid for process in await link.tree()}
        assert {pid for pid, _ in left} < tree
        (bench.root / "go").write_text("go")
        pushes = [push async for push in link.messages()]
        await link.close()
        return pushes[0], pushes[-1]

    first, last = asyncio.run(scenario())
    assert isinstance(first, Exited)
    assert (first.code, first.signal) == (5, None)
    assert isinstance(last, Gone)
    assert not any(proc.is_alive(*identity) for identity in left)
    record = bench.wait_gone()
    assert (record.code, record.signal, record.gone) == (5, None, True)
    assert not (bench.bundle / "shim.sock").exists()


def test_kill_ends_what_ignores_every_request(bench: Bench) -> None:
    left = start_stubborn(bench)

    async def scenario() -> None:
        link = await client.attach(bench.bundle)
        await link.signal(signal.SIGTERM, "tree")
        await link.kill()
        pushes = [push async for push in link.messages()]
        assert isinstance(pushes[-1], Gone)
        await link.close()

    asyncio.run(scenario())
    assert not any(proc.is_alive(*identity) for identity in left)
    record = bench.wait_gone()
    assert (record.code, record.signal) == (None, signal.SIGKILL)


def test_the_record_tells_a_root_that_ended_from_a_tree_that_is_gone(bench: Bench) -> None:
    start_stubborn(bench)
    (bench.root / "go").write_text("go")
    record = wait_until(lambda: client.read_exit(bench.bundle), what="the first record")
    assert record is not None
    assert (record.code, record.gone) == (5, False)
    assert bench.wait_gone().gone


def test_the_end_carries_both_clocks(bench: Bench) -> None:
    before, before_mono = time.time(), time.monotonic()
    answer = bench.start(bench.bootstrap(*shell("exit 0")))
    record = bench.wait_gone()
    assert before <= answer.started_at <= record.at <= time.time()
    assert before_mono <= answer.started_mono <= record.at_mono <= time.monotonic()
    assert (record.code, record.generation, record.pid) == (0, 1, answer.pid)


@pytest.mark.parametrize(
    ("scope", "told"),
    [("root", {"root"}), ("group", {"root", "sibling"}), ("tree", {"root", "sibling", "session"})],
)
def test_a_signal_reaches_its_scope(bench: Bench, scope: client.Scope, told: set[str]) -> None:
    script = """
import os, signal, time
def serve(name):
    signal.signal(signal.SIGUSR1, lambda *_: open(name + ".told", "w").close())
    open(name, "w").close()
    while True:
        time.sleep(60)
if os.fork() == 0:
    serve("sibling")
if os.fork() == 0:
    os.setsid()
    serve("session")
serve("root")
"""
    bench.start(bench.bootstrap(*python(script)))
    wait_until(lambda: all((bench.root / name).exists() for name in ("root", "sibling", "session")), what="processes")

    async def scenario() -> None:
        link = await client.attach(bench.bundle)
        await link.signal(signal.SIGUSR1, scope)
        wait_until(lambda: all((bench.root / f"{name}.told").exists() for name in told), what=f"{told} to be told")
        await link.kill()
        assert [type(push) for push in [push async for push in link.messages()]] == [Exited, Gone]
        await link.close()

    asyncio.run(scenario())
    assert {path.stem for path in bench.root.glob("*.told")} == told


def test_a_dead_daemon_changes_nothing(bench: Bench) -> None:
    os.mkfifo(bench.root / "go")
    order = msgspec.json.encode(bench.bootstrap(*shell("echo before; read word < go; echo after; exit 7")))
    daemon = """
import asyncio, sys, msgspec
from qvl.shim.client import attach, launch
from qvl.shim.records import Bootstrap
async def main():
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Bootstrap)
    answer = await launch(order)
    link = await attach(order.bundle)
    print(msgspec.json.encode(answer).decode(), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", daemon], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(order + b"\n")
        process.stdin.flush()
        bench.answers.append(msgspec.json.decode(process.stdout.readline(), type=Answer))
        os.killpg(process.pid, signal.SIGKILL)
    answer = bench.answers[-1]
    assert proc.is_alive(answer.pid, answer.pid_start)
    (bench.root / "go").write_text("go\n")
    record = bench.wait_gone()
    assert (record.code, record.gone, record.log_end) == (7, True, len("before\nafter\n"))
    assert bench.log() == b"before\nafter\n"


def test_an_outsider_that_holds_the_pipe_delays_nothing(bench: Bench) -> None:
    os.mkfifo(bench.root / "go")
    answer = bench.start(bench.bootstrap(*shell("echo mine; read word < go")))
    with open(f"/proc/{answer.pid}/fd/1", "wb", buffering=0) as held:
        (bench.root / "go").write_text("go\n")
        bench.wait_gone()
        with pytest.raises(BrokenPipeError):
            held.write(b"nobody reads this")
    assert bench.log() == b"mine\n"


def test_shims_ignore_what_a_terminal_or_a_service_manager_sends(bench: Bench) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60")))
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        proc.send_signal(answer.shim_pid, answer.shim_start, sig)

    async def scenario() -> None:
        link = await client.attach(bench.bundle)
        assert link.state.exited is None
        await link.close()

    asyncio.run(scenario())


def test_a_reused_pid_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        start = proc.start_time(process.pid)
        assert start is not None
        assert not proc.send_signal(process.pid, start + 1, signal.SIGKILL)
        assert proc.is_alive(process.pid, start)
        assert not proc.is_alive(process.pid, start + 1)
        assert proc.send_signal(process.pid, start, signal.SIGKILL)
        wait_until(lambda: not proc.is_alive(process.pid, start), what="the end of sleep")
        zombie = proc.read(process.pid)
        assert zombie is not None
        assert zombie.state == "Z"
    assert proc.start_time(process.pid) is None


def test_names_of_processes_may_look_like_fields(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"], env=SHELL_ENV) as process:
        child = proc.read(process.pid)
        assert child is not None
        assert (child.comm, child.ppid) == (program.name, os.getpid())
        assert process.pid in [p.pid for p in proc.descendants(os.getpid())]
        process.kill()


def test_records_that_cannot_be_read_are_none(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    assert client.read_exit(bench.bundle) is None
    assert not caplog.records
    whole: dict[str, object] = {
        "protocol": 2,
        "generation": 3,
        "pid": 4,
        "code": 0,
        "signal": None,
        "at": 1.5,
        "at_mono": 2.5,
    }
    whole |= {"gone": True, "log_end": 9, "lost_bytes": 0, "from_the_future": [1]}
    path = bench.bundle / "exit.json"
    path.write_text(json.dumps(whole))
    record = client.read_exit(bench.bundle)
    assert record is not None
    assert (record.generation, record.gone) == (3, True)
    for broken in (b"", json.dumps(whole).encode()[:40], b"\xff\xfe", b"[]", b'{"protocol": 9}'):
        caplog.clear()
        path.write_bytes(broken)
        assert client.read_exit(bench.bundle) is None
        assert "exit.json" in caplog.text
