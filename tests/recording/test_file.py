"""The file: whatever is written comes back, wherever it is cut off, and by whatever reads gzip."""

import gzip
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qvl.model.error import ErrorCode, QvlError
from qvl.recording.block import HEADER_SIZE, LONGEST_MS, Content, Mark, Summary, unpack
from qvl.recording.reader import Recording
from qvl.recording.records import LATEST, Away, Document, End, Key, Log, Opening, Record, Told, encode, log
from qvl.recording.writer import Writer

from tests.recording.scripts import START, night, record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RAW = JSON.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
AT = st.integers(0, 200_000)
RECORDS = st.one_of(
    st.builds(Told, at=AT, frame=RAW),
    st.builds(Document, at=AT, target=st.text(max_size=20), body=RAW),
    st.builds(Away, at=AT, message=st.text(max_size=20)),
    st.builds(log, at=AT, worker=st.text(max_size=9), offset=st.integers(0, 2**40), data=st.binary(max_size=50)),
)


def written(path: Path, records: list[Record]) -> Path:
    """The records after an opening, in blocks as they come due."""
    writer = Writer(path, force=True)
    writer.begin(START)
    writer.write(Opening(1, START, "gpu-07", "0.1.0", 2.0, True))
    for each in records:
        if writer.due(each.at):
            writer.begin(each.at)
        writer.write(each)
    writer.close()
    return path


def all_of(recording: Recording) -> list[Record]:
    return [each for index in range(len(recording.blocks)) for each in recording.records(index)]


def same(found: list[Record], expected: list[Record]) -> bool:
    return [encode(each) for each in found] == [encode(each) for each in expected]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, max_size=30))
def test_what_is_written_comes_back(tmp_path: Path, records: list[Record]) -> None:
    ordered = [msgspec.structs.replace(each, at=START + each.at) for each in sorted(records, key=lambda each: each.at)]
    recording = Recording(written(tmp_path / "r", ordered))
    assert same(all_of(recording)[1:], ordered)
    assert recording.begin == START
    assert recording.end == max([START, *(each.at for each in ordered)])
    assert recording.damage is None
    recording.close()


def test_a_log_that_is_no_text_comes_back() -> None:
    told = log(START, "w-0", 7, b"\xff\x00\xfe")
    assert told.text is None
    back = msgspec.json.decode(encode(told), type=Log)
    assert back.data == b"\xff\x00\xfe"
    assert log(START, "w-0", 7, "schön".encode()).text == "schön"


def test_cut_off_at_any_byte_it_is_good_up_to_its_last_complete_line(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole", night(70)).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole)
    expected = [encode(each) for each in all_of(Recording(path))]
    lengths = set()
    for size in range(len(whole) - 1, 0, -1):
        os.truncate(path, size)
        try:
            recording = Recording(path)
        except QvlError:
            # Nothing but the very first line can be missed as a whole.
            assert size < len(whole) // 3
            continue
        found = [encode(each) for each in all_of(recording)]
        assert found == expected[: len(found)]
        assert not recording.ended
        lengths.add(len(found))
        recording.close()
    assert max(lengths) >= len(expected) - 1
    assert len(lengths) > 3


def test_it_is_a_gzip_of_json_lines_to_everything_else(tmp_path: Path) -> None:
    path = record(tmp_path / "r", night(200))
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert lines[0]["type"] == "recording"
    assert lines[1]["type"] == "key"
    assert lines[-1] == {"type": "end", "at": START + 195_500}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_each_block_covers_a_minute_and_says_what_is_in_it(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "r", night()))
    summaries = [block.summary for block in recording.blocks]
    assert len(summaries) == 20
    assert all(LONGEST_MS - 6000 < each.end - each.begin < LONGEST_MS for each in summaries[:-1])
    assert sum(each.size for each in summaries) == recording.size
    assert sum(each.exits for each in summaries) == 1
    assert sum(each.events for each in summaries) == 4  # those of before are none of the recording
    exits = [index for index, each in enumerate(summaries) if each.exits]
    assert exits == [recording.find(START + 600_000)]
    assert any(mark & Mark.EXIT for mark in summaries[exits[0]].marks)
    assert any(Mark.AWAY & mark for each in summaries for mark in each.marks)
    assert isinstance(next(recording.records(7)), Key)


def test_a_block_that_was_never_finished_is_measured(tmp_path: Path) -> None:
    logs = [(601.0, "qwen3-vl-1", 0, b"Traceback\n")]
    steps = night(610)
    path = record(tmp_path / "r", steps, logs=logs, whole=False, documents=[(602.0, "/v1/profiles", b"[]")])
    recording = Recording(path)
    last = recording.blocks[-1]
    assert not last.whole
    assert not recording.ended
    assert (last.summary.exits, last.summary.content) == (1, Content.DOCUMENTS | Content.LOGS)
    assert recording.end >= START + 605_000


@pytest.mark.parametrize("frame", [b'"\xff"', b'{"type":"event","severity":"\xff"}', b"[" * 5000 + b"]" * 5000, b"4"])
def test_a_frame_that_makes_no_sense_is_not_measured(tmp_path: Path, frame: bytes) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(Opening(1, START, "h", "1", 2.0, False))
    writer.write(Told(START, msgspec.Raw(frame)))
    writer.write(Told(START + 1, msgspec.Raw(b'{"type":"event","seq":1,"severity":"error"}')))
    writer.flush()
    writer.abandon()
    (block,) = Recording(tmp_path / "r").blocks
    assert (block.whole, block.summary.events) == (False, 1)


def test_it_may_be_read_while_it_is_written(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(Opening(1, START, "gpu-07", "0.1.0", 2.0, False))
    writer.write(Away(START + 5, "one"))
    writer.flush()
    assert [type(each) for each in all_of(Recording(tmp_path / "r"))] == [Opening, Away]
    writer.write(End(START + 9))
    writer.close()
    assert Recording(tmp_path / "r").ended


def test_lines_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r"
    writer = Writer(path)
    writer.begin(START)
    writer.write(Opening(1, START, "gpu-07", "0.1.0", 2.0, False))

    class Weather(msgspec.Struct, tag="weather"):
        at: int

    writer.write(Weather(START))  # type: ignore[arg-type]
    writer.write(End(START + 9))
    writer.close()
    assert [type(each) for each in all_of(Recording(path))] == [Opening, End]


# ---- what is none


def refused(path: Path) -> QvlError:
    with pytest.raises(QvlError) as caught:
        Recording(path)
    return caught.value


def test_what_is_no_recording_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "r"
    assert "can't be opened: No such file" in refused(path).message
    path.write_bytes(b"")
    assert refused(path).message == f"{path} is empty"
    for content in (b"hello", b"x" * 4096, gzip.compress(b'{"type":"recording","version":1}\n'), bytes(500)):
        path.write_bytes(content)
        assert refused(path).message == f"{path} is no recording"
    assert refused(tmp_path).message == f"{tmp_path} is no file"
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refused(tmp_path / "pipe").message


def test_one_of_a_newer_version_is_told_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(Opening(2, START, "gpu-07", "9.9.0", 2.0, False))
    writer.close()
    error = refused(tmp_path / "r")
    assert error.code is ErrorCode.UNSUPPORTED
    assert "has version 2, this one reads 1" in error.message
    assert "9.9.0" in str(error.hint)


def test_what_follows_it_and_is_none_of_it_is_left_out_and_told(tmp_path: Path) -> None:
    path = record(tmp_path / "r", night(150))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"rubbish" * 100)
    recording = Recording(path)
    assert recording.damage == f"what follows byte {size:,} is none of it"
    assert len(recording.blocks) == 3
    assert not recording.ended


@settings(max_examples=200, deadline=None)
@given(header=st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE))
def test_a_header_of_anything_else_is_none(header: bytes) -> None:
    assert unpack(header) is None


@given(begin=st.integers(0, LATEST), marks=st.lists(st.tuples(st.integers(0, 70_000), st.integers(1, 31)), max_size=9))
def test_a_header_comes_back(begin: int, marks: list[tuple[int, int]]) -> None:
    summary = Summary(begin, size=HEADER_SIZE + 20)
    for at, mark in marks:
        summary.mark(begin + at, Mark(mark))
    assert unpack(summary.pack()) == summary


def test_a_header_that_contradicts_itself_is_none() -> None:
    summary = Summary(START)
    summary.size = HEADER_SIZE
    assert unpack(summary.pack()) is None
    summary.size, summary.begin = 0, START + 1
    assert unpack(summary.pack()) is None


# ---- making the file


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("precious")
    with pytest.raises(QvlError, match="is there already") as caught:
        Writer(path)
    assert "--force" in str(caught.value.hint)
    assert path.read_text() == "precious"
    Writer(path, force=True).abandon()
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    for path in (tmp_path, tmp_path / "link", Path("/dev/null")):
        with pytest.raises(QvlError):
            Writer(path, force=True)
    assert target.read_text() == "precious"
    with pytest.raises(QvlError, match="can't be created: No such file"):
        Writer(tmp_path / "nowhere" / "r")
