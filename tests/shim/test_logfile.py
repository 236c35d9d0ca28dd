"""The log on disk: offsets run on, lines stay whole, and losses are counted, whatever someone does to the files."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qvl.shim import logread
from qvl.shim.logfile import RETRY, LogFile


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(
    directory: Path, max_size: int = 100, keep: int = 1000, clock: Callable[[], float] = time.monotonic
) -> LogFile:
    log = LogFile(str(directory), max_size, keep, clock)
    log.open()
    return log


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("0*.log"))


def whole(directory: Path) -> bytes:
    return b"".join(Path(segment.path).read_bytes() for segment in logread.segments(directory))


def test_offsets_run_on_across_rotations_and_writers(tmp_path: Path) -> None:
    for run in range(3):
        log = opened(tmp_path, max_size=30)
        for line in range(10):
            log.write(b"run %d line %d\n" % (run, line))
        log.close()
    segments = logread.segments(tmp_path)
    assert len(segments) > 5
    assert [segment.end for segment in segments[:-1]] == [segment.offset for segment in segments[1:]]
    assert segments[0].offset == 0
    assert whole(tmp_path).splitlines() == [b"run %d line %d" % (run, line) for run in range(3) for line in range(10)]
    assert os.readlink(tmp_path / "current.log") == names(tmp_path)[-1]


@settings(deadline=None)  # the disk is shared
@given(
    lines=st.lists(st.tuples(st.integers(0, 60), st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=60),
    max_size=st.integers(1, 120),
    piece=st.integers(1, 300),
)
def test_rotation_never_splits_a_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, bytes]], max_size: int, piece: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    data = b"".join(b"x" * length + end for length, end in lines)
    log = opened(directory, max_size=max_size)
    # As `output` hands it over: pieces end with a line, or are part of a long one.
    for begin in range(0, len(data), piece):
        log.write(data[begin : begin + piece])
    log.close()
    assert whole(directory) == data
    segments = logread.segments(directory)
    assert [segment.end for segment in segments[:-1]] == [segment.offset for segment in segments[1:]]
    for segment in segments[:-1]:
        last = Path(segment.path).read_bytes()
        assert last[-1:] in (b"\n", b"\r") or len(last) == 2 * max_size
        assert max_size <= len(last) <= 2 * max_size
    shutil.rmtree(directory)


def test_old_segments_go(tmp_path: Path) -> None:
    log = opened(tmp_path, max_size=10, keep=2)
    for number in range(50):
        log.write(b"line %4d\n" % number)
    log.close()
    assert len(names(tmp_path)) == 3
    assert logread.end(tmp_path) == 500
    (tmp_path / "0000000000000007.log.bak").touch()  # not one of ours
    opened(tmp_path, keep=0).close()
    assert len(names(tmp_path)) == 1
    assert (tmp_path / "0000000000000007.log.bak").exists()


def test_a_run_begins_on_a_line_of_its_own(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.write(b"cut short by a power lo")
    log.close()
    log = opened(tmp_path)
    assert log.end == 24
    log.write(b"next\n")
    log.close()
    assert whole(tmp_path) == b"cut short by a power lo\nnext\n"


@pytest.mark.parametrize("harm", ["delete", "truncate", "move", "wipe"])
def test_output_goes_on_when_someone_meddles(tmp_path: Path, harm: str) -> None:
    directory = tmp_path / "log"
    clock = Clock()
    log = opened(directory, clock=clock)
    log.write(b"first\n")
    segment = directory / names(directory)[0]
    if harm == "delete":
        segment.unlink()
    elif harm == "truncate":
        os.truncate(segment, 0)
    elif harm == "move":
        segment.rename(tmp_path / "moved")
        clock.now += RETRY
    else:
        shutil.rmtree(directory)
    log.write(b"second\n")
    log.close()
    assert logread.read_at(directory, 6, 100) == (6, b"second\n")
    assert log.end == 13
    assert log.lost == 0
    assert (directory / "current.log").read_bytes() == b"second\n"


def test_a_lost_link_is_restored(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock=clock)
    (tmp_path / "current.log").unlink()
    clock.now += RETRY
    log.write(b"line\n")
    log.close()
    assert (tmp_path / "current.log").read_bytes() == b"line\n"


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file\n")
    with pytest.raises(OSError, match="File exists"):
        opened(tmp_path / "log")


LIMITED = """
import resource, sys
from qvl.shim.logfile import RETRY, LogFile
log = LogFile(sys.argv[1], 10**9, 5)
log.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
log.write(b"a" * 99 + b"\\n")
log.write(b"b" * 1999 + b"\\n")
log.write(b"c" * 99 + b"\\n")
assert (log.end, log.lost) == (1000, 1200), (log.end, log.lost)
assert not log.mend(log.due), "no room yet"
assert (log.end, log.lost) == (1000, 1200), (log.end, log.lost)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write(b"too early\\n")
assert log.lost == 1210, log.lost
assert log.mend(log.due)
log.write(b"d" * 99 + b"\\n")
log.close()
"""


def test_what_a_limit_refuses_is_counted_and_told(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True)
    lines = whole(tmp_path).split(b"\n")
    assert lines == [
        b"a" * 99,
        b"b" * 900,
        b"[qvl] 1210 bytes of output were lost: File too large",
        b"d" * 99,
        b"",
    ]
