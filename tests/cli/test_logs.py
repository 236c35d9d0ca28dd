"""Which lines are shown, and where they come from: the daemon or the files."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from qvl.api.control import LogSource
from qvl.cli.log_source import DaemonLog, FileLog
from qvl.cli.loglines import Filter
from qvl.cli.logs import PAGE, tail
from qvl.client.sync import Client
from qvl.model.loglines import ERROR, INFO, WARNING, begins_record, level_of

from tests.cli.run import Qvlctl, program
from tests.fakes import FakeControl, Served, serve
from tests.support import wait_until

AT = b"[2026-01-31 12:00:00 TP0] "


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (AT + b"Decode batch. #running-req: 3, token usage: 0.01", INFO),
        (AT + b"server_args=ServerArgs(log_level_http=None, crash_on_error=False, exception='RuntimeError')", INFO),
        (b'[2026-01-31 12:00:00] INFO:     127.0.0.1:4242 - "GET /error HTTP/1.1" 200 OK', INFO),
        (b"INFO:     Uvicorn running on http://127.0.0.1:30000", INFO),
        (b"[2026-01-31 12:00:00] WARNING:  Invalid HTTP request received.", WARNING),
        (AT + b"Attention backend not specified. Use flashinfer backend by default.", INFO),
        (b"/x/launch_server.py:51: UserWarning: python -m sglang.launch_server is still supported", WARNING),
        (AT + b"Scheduler hit an exception: Traceback (most recent call last):", ERROR),
        (AT + b"SIGQUIT received. signum=None, frame=None. It usually means one child failed.", ERROR),
        (b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", ERROR),
        (AT + b"Subprocess scheduler (pid=7) crashed with exit code -9.", ERROR),
        (AT + b"Detokenizer watchdog timeout (self.watchdog_timeout=300, self.soft=False)", ERROR),
        (b"CRITICAL: everything is lost", ERROR),
        (b"", INFO),
    ],
)
def test_the_level_of_a_line(line: bytes, level: int) -> None:
    assert level_of(line) == level


TRACE = [
    AT + b"all is well\n",
    AT + b"Scheduler hit an exception: Traceback (most recent call last):\n",
    b'  File "x.py", line 1, in f\n',
    b"ValueError: no\n",
    b"\n",
    AT + b"all is well again\n",
]


def test_a_traceback_belongs_to_its_record() -> None:
    assert list(Filter(level=ERROR).kept(TRACE)) == TRACE[1:5]
    assert [begins_record(line) for line in TRACE] == [True, True, False, False, False, True]


def test_grep_looks_at_lines() -> None:
    assert list(Filter(grep=re.compile(rb"al+ is")).kept(TRACE)) == [TRACE[0], TRACE[5]]
    assert list(Filter(grep=re.compile(rb"Error"), level=ERROR).kept(TRACE)) == [TRACE[3]]


def write_log(directory: Path, lines: list[bytes], runs: tuple[int, ...] = (0,)) -> Path:
    """A log as a shim leaves it, with runs that begin at these offsets."""
    directory.mkdir(parents=True)
    (directory / f"{0:016d}.log").write_bytes(b"".join(lines))
    marks = (f'{{"generation":{n},"offset":{at},"at":1.0}}\n' for n, at in enumerate(runs, 1))
    (directory / "runs").write_text("".join(marks))
    return directory


def test_the_last_chosen_lines_are_found_however_far_back(tmp_path: Path) -> None:
    """The trace straddles the edge of a page: what goes on with a record is judged together with it."""
    lines = [*TRACE, *[AT + b"quiet %d\n" % n for n in range(PAGE - 3)]]
    source = FileLog(str(write_log(tmp_path / "log", lines)), "w")
    after, found = tail(source, 3, Filter(level=ERROR), previous=False)
    assert found == TRACE[2:5]
    assert after == sum(map(len, lines))
    assert tail(source, 100, Filter(level=ERROR), previous=False)[1] == TRACE[1:5]
    assert tail(source, 0, Filter(level=ERROR), previous=False)[1] == []


def test_the_daemon_and_the_files_tell_the_same(tmp_path: Path) -> None:
    old, new = [AT + b"old %d\n" % n for n in range(4)], [AT + b"new %d\n" % n for n in range(4)]
    start = sum(map(len, old))
    directory = write_log(tmp_path / "log", old + new, (0, start))
    control = FakeControl()
    control.logs["qwen3-vl-0"] = LogSource(directory, lambda: ((1, 0), (2, start)))
    with serve(control, tmp_path / "s.sock") as served:
        daemon = DaemonLog(Client(str(served.socket)), "qwen3-vl-0")
        for source in (daemon, FileLog(str(directory), "qwen3-vl-0")):
            assert source.page(100, before=None, previous=False) == (start, new)
            assert source.page(2, before=None, previous=False)[1] == new[2:]
            assert source.page(100, before=None, previous=True) == (0, old)
            assert source.page(1, before=start, previous=False)[1] == old[3:]
            follower = source.follow(start + len(new[0]))
            assert [next(follower) for _ in range(3)] == new[1:]
            follower.close()  # type: ignore[attr-defined]  # both are generators


def test_without_a_daemon_the_files_are_read(lonely: Qvlctl, home: Path) -> None:
    write_log(home / "logs" / "qwen3-vl-0", TRACE)
    ran = lonely("logs", "qwen3-vl-0", "--level", "error")
    assert (ran.code, ran.out.encode()) == (0, b"".join(TRACE[1:5]))
    assert f"reading {home}/logs/qwen3-vl-0" in ran.err
    assert lonely("logs", "qwen3-vl-9").code == 3


def test_a_worker_that_is_no_longer_configured_still_has_its_log(qvlctl: Qvlctl, home: Path) -> None:
    write_log(home / "logs" / "gone-0", TRACE)
    ran = qvlctl("logs", "gone-0", "-n", "1")
    assert (ran.code, ran.out.encode(), "no longer configured" in ran.err) == (0, TRACE[5], True)


def test_bytes_that_are_no_text_go_through(lonely: Qvlctl, home: Path) -> None:
    write_log(home / "logs" / "w-0", [b"\xff\xfe raw\r 10%\r 20%\n"])
    command = program("logs", "w-0")
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=30)
    assert ran.stdout == b"\xff\xfe raw\r 10%\r 20%\n"
    assert "\ufffd raw" in str(lonely("logs", "w-0", "--json").lines[0]["line"])


def test_a_follower_goes_on_at_the_same_byte_after_the_daemon_came_back(tmp_path: Path, home: Path) -> None:
    directory = write_log(tmp_path / "log", [b"one\n"])
    log = directory / f"{0:016d}.log"

    def again() -> FakeControl:
        control = FakeControl()
        control.logs["qwen3-vl-0"] = LogSource(directory, lambda: ((1, 0),))
        return control

    def follower(served: Served) -> int:
        return served.call(lambda: served.server.streams)

    out = tmp_path / "out"
    socket = tmp_path / "s.sock"
    with open(out, "wb") as file, serve(again(), socket) as first:
        command = program("--socket", str(socket), "logs", "qwen3-vl-0", "-f")
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        wait_until(lambda: follower(first), 20, "a follower")
    with process, open(log, "ab") as more:
        more.write(b"two\n")
        more.flush()
        with serve(again(), socket) as second:
            wait_until(lambda: follower(second), 20, "the follower's return")
            more.write(b"three\n")
            more.flush()
            wait_until(lambda: out.read_bytes().endswith(b"three\n"), 20, "the last line")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
    assert out.read_bytes() == b"one\ntwo\nthree\n"
