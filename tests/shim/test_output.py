"""What a worker writes is what the log holds."""

import hashlib
import os
from pathlib import Path

from qvl.shim import logread
from qvl.shim.logfile import LogFile
from qvl.shim.output import LONGEST_WAIT, QUIET, Output, Stream

from tests.shim.harness import Bench, python, shell
from tests.support import wait_until


def streams(directory: Path) -> tuple[LogFile, Stream, Stream]:
    log = LogFile(str(directory), 10**9, 5)
    log.open()
    output = Output(log)
    return log, Stream(output, []), Stream(output, [])


def read(directory: Path) -> bytes:
    return logread.read_at(directory, 0, 10**6)[1]


def test_streams_meet_at_ends_of_lines(tmp_path: Path) -> None:
    log, out, err = streams(tmp_path)
    out.feed(b"one\ntw", 0)
    err.feed(b"error 1\nerr", 0)
    out.feed(b"o\n10%\r20%\rthr", 0)
    err.feed(b"or 2\n", 0)
    out.finish()
    err.feed(b"last\n", 0)
    log.close()
    assert read(tmp_path) == b"one\nerror 1\ntwo\n10%\r20%\rerror 2\nthr\nlast\n"


def test_an_unfinished_line_is_shown_after_a_while(tmp_path: Path) -> None:
    log, out, err = streams(tmp_path)
    out.feed(b"Continue? ", 0)
    out.settle(QUIET - 0.01)
    assert read(tmp_path) == b""
    assert out.due == QUIET
    out.settle(QUIET)
    assert read(tmp_path) == b"Continue? "
    assert out.due is None
    out.feed(b"yes\n", 5)
    assert read(tmp_path) == b"Continue? yes\n"
    out.feed(b"and ", 6)
    out.settle(7)
    err.feed(b"oops\n", 7)
    out.feed(b"on\n", 8)
    log.close()
    assert read(tmp_path) == b"Continue? yes\nand \noops\non\n"


def test_an_unfinished_line_is_not_kept_without_limit(tmp_path: Path) -> None:
    log, out, _ = streams(tmp_path)
    out.feed(b"x" * LONGEST_WAIT, 0)
    assert read(tmp_path) == b""
    out.feed(b"x", 0)
    assert len(read(tmp_path)) == LONGEST_WAIT + 1
    log.close()


def test_bytes_are_kept_as_they_are(bench: Bench) -> None:
    data = bytes(range(256)) + b"\r\n\xff\xfe caf\xe9\n" + "日本\n".encode() + b"no end"
    (bench.root / "data").write_bytes(data)
    bench.start(bench.bootstrap(*shell("cat data")))
    record = bench.wait_gone()
    assert bench.log() == data
    assert (record.log_end, record.lost_bytes) == (len(data), 0)


def test_a_prompt_is_seen_while_the_worker_waits(bench: Bench) -> None:
    bench.start(bench.bootstrap(*shell("printf 'password: '; exec sleep 60")))
    wait_until(lambda: bench.log() == b"password: ", what="the prompt")


def test_both_streams_arrive_whole(bench: Bench) -> None:
    script = "(seq -f 'out %.0f' 20000 &  seq -f 'err %.0f' 20000 >&2; wait)"
    bench.start(bench.bootstrap(*shell(script), max_size=50_000, keep=1000))
    bench.wait_gone()
    lines = bench.log().splitlines()
    assert [line for line in lines if line.startswith(b"out")] == [b"out %d" % n for n in range(1, 20001)]
    assert [line for line in lines if line.startswith(b"err")] == [b"err %d" % n for n in range(1, 20001)]
    assert len(lines) == 40000
    for segment in logread.segments(bench.log_dir):
        assert Path(segment.path).read_bytes().endswith(b"\n")


def test_a_worker_that_closes_its_output_runs_on(bench: Bench) -> None:
    os.mkfifo(bench.root / "go")
    answer = bench.start(bench.bootstrap(*shell("echo bye; exec >&- 2>&-; read word < go; exit 4")))
    # The worker reads the fifo only after it has closed both pipes.
    (bench.root / "go").write_text("go\n")
    assert bench.wait_gone().code == 4
    assert bench.log() == b"bye\n"
    assert answer.log_offset == 0


def test_a_secret_cut_by_two_writes_stays_out(bench: Bench) -> None:
    script = """
import os, time
os.write(1, b"key sk-very-")
time.sleep(1)  # longer than an unfinished line waits
os.write(1, b"secret\\n")
os.write(2, b"again sk-very-secret")
"""
    bench.start(bench.bootstrap(*python(script), secrets=("sk-very-secret",)))
    bench.wait_gone()
    assert bench.log() == b"key [redacted]\nagain [redacted]"


def test_a_hundred_megabytes_without_an_end_need_no_memory(bench: Bench) -> None:
    script = "head -c 100000000 /dev/zero | tr '\\0' x; exec sleep 60"
    answer = bench.start(bench.bootstrap(*shell(script), max_size=10**9))
    wait_until(lambda: logread.end(bench.log_dir) == 10**8, what="all of the line", timeout=30)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{answer.shim_pid}/status").read_text().splitlines())
    assert int(status["VmHWM"].split()[0]) < 14 * 1024


def test_a_flood_arrives_whole(bench: Bench) -> None:
    line = b"[2026-01-01 00:00:00] Decode batch, #running-req: 1, #token: 55, gen throughput (token/s): 102.22\n"
    script = f"import os\nfor _ in range(500): os.write(1, {line * 1000!r})"
    bench.start(bench.bootstrap(*python(script), max_size=10**7, keep=100))
    record = bench.wait_gone()
    assert (record.log_end, record.lost_bytes) == (len(line) * 500_000, 0)
    assert hashlib.sha256(bench.log()).digest() == hashlib.sha256(line * 500_000).digest()
