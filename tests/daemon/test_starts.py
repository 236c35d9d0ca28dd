"""What a start said of its capacity is found in the log, wherever it lies, and no more is read than need be."""

from pathlib import Path

import pytest
from qvl.core.starts import begun
from qvl.daemon.starts import BLOCK, MOST, Starts, capacity_of
from qvl.daemon.store import Store
from qvl.daemon.worker import Worker
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Phase, Process, Wanted, WorkerRecord
from qvl.shim.logfile import segment_name

from tests.core.corpus import path_of

REAL = path_of("0.5.17-h100-start").read_bytes()
LINE = b"[2026-01-02 03:04:05] KV Cache is allocated. #tokens: %d, K size: 1.00 GB, V size: 1.00 GB\n"
READY = b"[2026-01-02 03:04:05] The server is fired up and ready to roll!\n"


def write(directory: Path, *parts: bytes, offset: int = 0) -> None:
    """A segment for each part, from `offset` on."""
    for part in parts:
        (directory / segment_name(offset)).write_bytes(part)
        offset += len(part)


def tokens(directory: Path, offset: int = 0) -> int | None:
    found = capacity_of(directory, offset)
    return None if found is None else found.kv_tokens


def test_a_real_log_in_pieces_that_end_anywhere(tmp_path: Path) -> None:
    cut = REAL.index(b"KV Cache is") + 30
    write(tmp_path, b"an earlier run\n" + REAL[:cut], REAL[cut:])
    assert tokens(tmp_path, len(b"an earlier run\n")) == 356176


def test_lines_that_lie_across_two_reads_are_whole(tmp_path: Path) -> None:
    filler = b"x" * 99 + b"\n"
    write(tmp_path, filler * (BLOCK // 100) + LINE % 77 + READY)
    assert tokens(tmp_path) == 77


def test_what_comes_after_it_is_ready_is_not_of_its_start(tmp_path: Path) -> None:
    write(tmp_path, READY + LINE % 5)
    assert tokens(tmp_path) is None


def test_a_flood_is_not_read_to_its_end(tmp_path: Path) -> None:
    write(tmp_path, b"x" * 99 + b"\n", (b"y" * 99 + b"\n") * (MOST // 100 + 2 * BLOCK // 100) + LINE % 5)
    assert tokens(tmp_path) is None


def test_what_was_rotated_away_is_missing_and_no_fault(tmp_path: Path) -> None:
    write(tmp_path, LINE % 9, offset=5000)
    assert tokens(tmp_path) == 9
    assert tokens(tmp_path, 6000) is None
    assert tokens(tmp_path / "nowhere") is None


PROCESS = Process(10, 1, 9, 1, "boot", started_at=1000.0, started_mono=50.0, log_offset=7)


def worker(phase: Phase, process: Process | None, generation: int = 1) -> Worker:
    spec = WorkerSpec(
        name="w-0", pool="w", index=0, profile="standard", launch=Launch(engine=Engine("sim", EngineKind.SIMULATED))
    )
    record = WorkerRecord(
        name="w-0", pool="w", wanted=Wanted.UP, phase=phase, process=process, generation=generation, served=True
    )
    return Worker(spec, record)


def test_the_times_of_a_start_that_nobody_saw_whole_are_not_remembered(tmp_path: Path) -> None:
    starts = Starts(Store(tmp_path, "boot"))
    late = worker(Phase.STARTING, PROCESS)
    starts.adopt(late)
    starts.ready(late)
    assert late.start is not None
    assert (late.start.ready, late.start.watched) == (True, False)
    assert starts.remembered == {}

    whole = worker(Phase.STARTING, PROCESS, 2)
    starts.begin(whole, whole.spec, 2, PROCESS)
    starts.ready(whole)
    assert list(starts.remembered["standard"]) == ["launch"]
    assert Starts(Store(tmp_path, "boot")).remembered == starts.remembered


def test_a_start_outlives_its_process_and_its_daemon(tmp_path: Path) -> None:
    starts = Starts(Store(tmp_path, "boot"))
    first = worker(Phase.STARTING, PROCESS, 4)
    starts.begin(first, first.spec, 4, PROCESS)
    starts.ready(first)
    later = worker(Phase.STOPPED, None, 4)
    Starts(Store(tmp_path, "boot")).adopt(later)
    assert later.start == first.start


def test_without_any_start_there_is_none(tmp_path: Path) -> None:
    fresh = worker(Phase.STOPPED, None, 0)
    Starts(Store(tmp_path, "boot")).adopt(fresh)
    assert fresh.start is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b'"step":"launch"', b'"step":"of another release"'),
        (b'"began":50.0', b'"began":1e300'),
        (b'"at":1000.0', b'"at":1e300'),
        (b'"log_offset":7', b'"log_offset":-7'),
        (b'"log_offset":7', b'"log_offset":99999999999999999999'),
        (b'"percent":0', b'"percent":1000'),
        (b'"took":{}', b'"more":' + b"[" * 99_999),
    ],
)
def test_a_start_that_is_none_is_put_aside(tmp_path: Path, ours: bytes, theirs: bytes) -> None:
    store = Store(tmp_path, "boot")
    store.save_start("chat-0", begun(PROCESS, 3, "standard", None))
    file = tmp_path / "workers" / "chat-0" / "start.json"
    assert store.load_start("chat-0") is not None
    content = file.read_bytes()
    assert ours in content
    file.write_bytes(content.replace(ours, theirs))
    assert store.load_start("chat-0") is None
    assert file.with_name("start.json.bad").exists()
