"""What is written of what is told: all that is news, figures merged, and a picture at the head of each block."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
from qvl.model.event import Change, Lost, Snapshot
from qvl.model.status import WorkerMetrics
from qvl.recording.reader import Recording
from qvl.recording.records import RECENT, Away, Document, End, Key, Log, Opening, Record, Told
from qvl.recording.scribe import BACKLOG, Scribe
from qvl.recording.writer import LARGEST, Writer

from tests.recording.scripts import START, Step, doc, ended, event, figures, night, record
from tests.tui.fleet import NOW, snapshot, starting, worker

FLEET = snapshot(worker("qwen3-vl-0"), worker("qwen3-vl-1"), seq=10)


def lines(path: Path) -> list[Record]:
    recording = Recording(path)
    return [each for index in range(len(recording.blocks)) for each in recording.records(index)]


def frames(path: Path) -> list[dict[str, object]]:
    return [json.loads(bytes(each.frame)) for each in lines(path) if isinstance(each, Told)]


def test_it_begins_with_who_recorded_and_the_picture_of_that_moment(tmp_path: Path) -> None:
    opening, key, first, end = lines(record(tmp_path / "r", [(0, FLEET)]))
    assert isinstance(opening, Opening)
    assert (opening.version, opening.host, opening.interval_s, opening.logs) == (1, "gpu-07", 2.0, False)
    assert isinstance(key, Key)
    assert isinstance(first, Told)
    assert msgspec.json.decode(key.snapshot, type=Snapshot) == msgspec.json.decode(first.frame, type=Snapshot) == FLEET
    assert isinstance(end, End)


def test_figures_are_merged_over_the_interval_and_the_newest_stays(tmp_path: Path) -> None:
    steps: list[Step] = [(0, FLEET)]
    steps += [(at / 4, figures(at / 4, f"qwen3-vl-{at % 2}")) for at in range(1, 41)]
    changes = [each for each in frames(record(tmp_path / "r", steps)) if each["type"] == "change"]
    assert 5 <= len(changes) <= 7
    assert {name for each in changes for name in each["metrics"]} == {"qwen3-vl-0", "qwen3-vl-1"}  # type: ignore
    assert changes[-1]["metrics"]["qwen3-vl-0"]["tokens_per_s"] == 10.0  # type: ignore[index]


def test_news_is_written_at_once_and_after_the_figures_that_came_before_it(tmp_path: Path) -> None:
    news = Change(NOW, workers=(starting("qwen3-vl-0"),))
    steps: list[Step] = [
        (0, FLEET),
        (1, figures(1, "qwen3-vl-0")),
        (1.1, figures(1.1, "qwen3-vl-1")),
        (1.2, news),
        (1.3, event(11, 1.3, "a word")),
        (1.4, Change(NOW, removed=("qwen3-vl-1",))),
    ]
    told = [each for each in lines(record(tmp_path / "r", steps)) if isinstance(each, Told)]
    assert [each.at - START for each in told] == [0, 1000, 1100, 1200, 1300, 1400]
    kinds = [json.loads(bytes(each.frame)) for each in told]
    assert [set(each) - {"at", "type"} for each in kinds[3:]] == [
        {"workers"},
        {"seq", "kind", "message", "worker"},
        {"removed"},
    ]


def test_fields_that_this_version_does_not_know_are_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    scribe = Scribe(writer, 2.0, logs=False)
    frame = doc(FLEET)
    frame["status"]["workers"][0]["mood"] = "fine"
    scribe.take(frame, START)
    change = doc(Change(NOW, metrics={"qwen3-vl-0": WorkerMetrics(1)}))
    change["metrics"]["qwen3-vl-0"]["joy"] = 7
    scribe.take(change, START + 100)
    scribe.take({"type": "weather", "at": "2026-03-04T12:03:11Z"}, START + 200)
    scribe.take({"type": "heartbeat", "at": "2026-03-04T12:03:12Z", "seq": 10}, START + 70_000)
    scribe.end(START + 70_000)
    key = Recording(tmp_path / "r").key(1)
    assert key is not None
    kept = json.loads(bytes(key.snapshot))["status"]["workers"][0]
    assert (kept["mood"], kept["metrics"]["joy"]) == ("fine", 7)
    assert {"type": "weather", "at": "2026-03-04T12:03:11Z"} in frames(tmp_path / "r")


def test_each_block_begins_with_all_that_is_needed_there(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "r", night()))
    key = recording.key(recording.find(START + 700_000))
    assert key is not None
    picture = msgspec.json.decode(key.snapshot, type=Snapshot)
    assert [each.phase for each in picture.status.workers] == ["running", "backoff"]
    assert picture.status.workers[0].metrics.tokens_per_s == 655.0
    assert [json.loads(bytes(each))["seq"] for each in key.events] == [*range(1, 13)]
    assert (key.away, key.since) == (None, START)


def test_a_block_that_begins_while_the_daemon_is_away_says_so(tmp_path: Path) -> None:
    back = msgspec.structs.replace(FLEET, at=NOW + timedelta(seconds=100))
    steps: list[Step] = [(0, FLEET), (10, "the daemon broke off"), (100, back)]
    recording = Recording(record(tmp_path / "r", steps))
    key = recording.key(1)
    assert key is not None
    assert (key.away, key.since) == ("the daemon broke off", START + 10_000)
    assert key.heard == START
    assert isinstance(list(recording.records(0))[-1], Away)


def test_of_events_of_before_only_the_last_are_taken_along(tmp_path: Path) -> None:
    steps: list[Step] = [(0, msgspec.structs.replace(FLEET, seq=1000)), (0, Lost(77))]
    steps += [(0.1, event(seq, -5, "old")) for seq in range(300, 1001)]
    steps += [(70, event(1001, 70, "new"))]
    path = record(tmp_path / "r", steps)
    seqs = [each["seq"] for each in frames(path) if each["type"] == "event"]
    assert seqs == [*range(1001 - BACKLOG, 1002)]
    recording = Recording(path)
    assert sum(block.summary.events for block in recording.blocks) == 1
    key = recording.key(1)
    assert key is not None
    assert len(key.events) == RECENT
    assert key.lost == 0  # the daemon forgot those before anybody asked


def test_events_that_were_lost_on_the_way_are_counted(tmp_path: Path) -> None:
    steps: list[Step] = [(0, FLEET), (1, event(11, 1, "a")), (2, Lost(5)), (3, event(17, 3, "b")), (70, ended(18, 70))]
    key = Recording(record(tmp_path / "r", steps)).key(1)
    assert key is not None
    assert key.lost == 5


def test_a_clock_that_is_set_back_does_not_turn_the_order(tmp_path: Path) -> None:
    steps: list[Step] = [(0, FLEET), (50, event(11, 50, "a"))]
    path = tmp_path / "r"
    writer = Writer(path)
    scribe = Scribe(writer, 2.0, logs=True)
    for at, step in steps:
        assert not isinstance(step, str)
        scribe.take(doc(step), START + int(at * 1000))
    scribe.take(doc(event(12, 20, "b")), START + 20_000)
    scribe.logged("qwen3-vl-0", 0, b"x\n", START + 30_000)
    scribe.end(START + 31_000)
    moments = [each.at - START for each in lines(path)]
    assert moments == [0, 0, 0, 50_000, 50_000, 50_000, 50_000]


def test_an_answer_is_written_when_it_differs_from_the_last_one(tmp_path: Path) -> None:
    bodies = [b'[{"name": "a"}]', b'[{"name": "a"}]', b'[{"name":\n "b"}]']
    documents = [(float(at), "/v1/profiles", body) for at, body in enumerate(bodies, 1)]
    path = record(tmp_path / "r", [(0, FLEET)], documents=documents)
    found = [each for each in lines(path) if isinstance(each, Document)]
    assert [json.loads(bytes(each.body)) for each in found] == [[{"name": "a"}], [{"name": "b"}]]


def test_logs_keep_their_place_and_a_gap_in_them_is_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    scribe = Scribe(writer, 2.0, logs=True)
    scribe.logged("w-0", 0, b"before the first picture\n", START)
    scribe.take(doc(FLEET), START)
    scribe.logged("w-0", 100, b"one\n", START + 10)
    scribe.logged("w-0", 104, b"two\n", START + 20)
    scribe.logged("w-1", 7, b"\xff", START + 30)
    scribe.logged("w-0", 1000, b"three\n", START + 40)
    scribe.flush(START + 50)
    scribe.logged("w-0", 1006, b"x" * 200_000, START + 60)
    scribe.end(START + 70)
    found = [(each.worker, each.offset, each.data) for each in lines(tmp_path / "r") if isinstance(each, Log)]
    assert found == [
        ("w-0", 100, b"one\ntwo\n"),
        ("w-1", 7, b"\xff"),
        ("w-0", 1000, b"three\n"),
        ("w-0", 1006, b"x" * 200_000),
    ]


def test_a_flood_makes_more_blocks_and_none_that_is_large(tmp_path: Path) -> None:
    steps: list[Step] = [(0, FLEET), (30, event(11, 30, "a"))]
    flood = b"".join(b"%09d the quick brown fox\n" % number for number in range(30_000))
    logs = [(1 + place / 10, "w-0", place * len(flood), flood) for place in range(10)]
    recording = Recording(record(tmp_path / "r", steps, logs=logs))
    assert len(recording.blocks) >= 2
    for index in range(len(recording.blocks)):
        assert recording.key(index) is not None
        size = sum(len(each.data) for each in recording.records(index) if isinstance(each, Log))
        assert size <= LARGEST + len(flood)
    told = b"".join(
        each.data
        for index in range(len(recording.blocks))
        for each in recording.records(index)
        if isinstance(each, Log)
    )
    assert told == flood * 10
