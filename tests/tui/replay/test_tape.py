"""A moment gone to holds what it would hold had one listened all the time."""

from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qvl.model.api import History
from qvl.model.event import Event, Snapshot
from qvl.model.status import WorkerMetrics
from qvl.recording.block import Mark
from qvl_tui.replay.deck import tell
from qvl_tui.replay.past import history
from qvl_tui.replay.tape import Heard, Linked, Tape
from qvl_tui.store import LinkPhase, Store

from tests.recording.scripts import START, Step, event, figures, night, record
from tests.tui.fleet import snapshot, worker

SCRIPT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return Tape(record(tmp_path_factory.mktemp("tape") / "r", night()))


def held(heard: list[Heard]) -> Store:
    store = Store()
    for each in heard:
        tell(store, each)
    store.publish()
    return store


def straight(tape: Tape, at: int) -> Store:
    """A store that listened from the beginning on."""
    heard = tape.until(tape.recording.begin)
    for index in range(len(tape.recording.blocks)):
        heard += (each for each in tape.block(index) if tape.recording.begin < each.at <= at)
    return held(heard)


def differences(one: Store, other: Store) -> dict[str, object]:
    """A worker's own figures are those of when it was told; the store keeps the newest apart."""
    for store in (one, other):
        store.workers = {
            name: msgspec.structs.replace(each, metrics=WorkerMetrics()) for name, each in store.workers.items()
        }
    return {
        field.name: (getattr(one, field.name), getattr(other, field.name))
        for field in fields(Store)
        if getattr(one, field.name) != getattr(other, field.name)
    }


@SCRIPT
@given(seconds=st.floats(0, 1200))
def test_a_moment_gone_to_is_as_if_one_had_listened(tape: Tape, seconds: float) -> None:
    at = START + round(seconds * 1000)
    assert differences(held(tape.until(at)), straight(tape, at)) == {}


@SCRIPT
@given(seconds=st.floats(0, 1200))
def test_even_told_from_the_last_block_alone_only_charts_are_shorter(tape: Tape, seconds: float) -> None:
    at = START + round(seconds * 1000)
    found = differences(held(tape.until(at, warm=0)), straight(tape, at))
    assert found.keys() <= {"series", "shown", "_gap_counted"}


def test_the_picture_of_a_moment(tape: Tape) -> None:
    store = held(tape.until(START + 700_000))
    assert store.workers["qwen3-vl-1"].phase == "backoff"
    assert store.events[-1].message.startswith("ended: out-of-gpu-memory")
    assert store.live
    assert held(tape.until(START + 599_000)).workers["qwen3-vl-1"].phase == "running"
    away = held(tape.until(START + 915_000))
    assert (away.link.phase, away.link.reason) == (LinkPhase.DOWN, "the daemon broke off")
    assert away.age(START / 1000 + 915) == pytest.approx(19.5)
    assert held(tape.until(START + 935_000)).live


def test_events_of_long_ago_are_there(tmp_path: Path) -> None:
    steps: list[Step] = [(0, snapshot(worker("w-0"), seq=10))]
    steps += [(at, event(10 + at, at, f"number {at}")) for at in range(1, 700)]
    steps += [(at, figures(at, "w-0")) for at in range(700, 3000, 5)]
    tape = Tape(record(tmp_path / "r", steps))
    events = [each.seq for each in held(tape.until(START + 2_990_000)).events]
    assert events == [*range(210, 710)]


def test_where_something_happened(tape: Tape) -> None:
    found = [(round(each.at - START / 1000), each.mark) for each in tape.moments]
    assert [at for at, mark in found if mark & Mark.EXIT] == [601]
    assert [at for at, mark in found if mark & Mark.AWAY] == [901]
    assert {at for at, mark in found if mark & Mark.EVENT} >= {301, 601, 721, 931}
    exit_at = next(each.at for each in tape.moments if each.mark & Mark.EXIT)
    told = [each.what for each in tape.until(round(exit_at * 1000)) if isinstance(each.what, Event)]
    assert told[-1].kind == "worker.exit"


def test_answers_hold_until_the_next_one(tmp_path: Path) -> None:
    documents = [(100.0, "/v1/profiles", b'["a"]'), (500.0, "/v1/profiles", b'["b"]'), (510.0, "/v1/version", b"{}")]
    tape = Tape(record(tmp_path / "r", night(), documents=documents))

    def asked(target: str, at: int) -> bytes | None:
        raw = tape.document(target, START + at * 1000)
        return None if raw is None else bytes(raw)

    assert asked("/v1/profiles", 99) is None
    assert asked("/v1/profiles", 100) == b'["a"]'
    assert asked("/v1/profiles", 499) == b'["a"]'
    assert asked("/v1/profiles", 1199) == b'["b"]'
    assert asked("/v1/whoami", 1199) is None


def test_figures_of_before_the_recording_are_those_of_the_daemons_memory(tmp_path: Path) -> None:
    past = b'{"interval_s":5,"at":[1,2,3],"workers":{"qwen3-vl-0":{"running":[7,8,9]}},"gpus":{}}'
    tape = Tape(record(tmp_path / "r", night(20), documents=[(0.05, "/v1/history", past)]))
    store = held(tape.until(START + 1000))
    assert store.shown.samples("qwen3-vl-0", "running")[:3] == (7, 8, 9)
    assert any(isinstance(each.what, History) for each in tape.until(START + 1000))


def test_the_figures_of_the_past_as_of_a_moment(tape: Tape) -> None:
    found = history(tape, START + 800_000)
    assert len(found.at) == 120
    assert found.at[-1] == START // 1000 + 800 - (START // 1000) % 5
    values = found.workers["qwen3-vl-0"]["tokens_per_s"]
    assert values[-1] in (790.0, 795.0, 800.0)
    assert values == sorted(values, key=lambda value: value or 0)
    assert found.gpus["1"]["power"][-1] == 452.0
    assert history(tape, START).at == []


def test_a_daemon_that_was_away_leaves_a_gap_in_the_figures(tape: Tape) -> None:
    found = history(tape, START + 950_000)
    known = zip(found.at, found.workers["qwen3-vl-0"]["tokens_per_s"], strict=True)
    missing = [at - START // 1000 for at, value in known if value is None]
    assert missing
    assert all(900 <= at < 930 for at in missing)
    assert len(missing) == 6


def test_of_hours_a_picture_of_each_minute_is_taken(tape: Tape) -> None:
    found = history(tape, START + 1_199_000, span_s=7200, step_s=60)
    assert found.interval_s == 60
    values = [value for value in found.workers["qwen3-vl-0"]["tokens_per_s"] if value is not None]
    assert len(values) >= 18
    assert values[1:16] == sorted(values[1:16])


def test_a_recording_of_a_newer_daemon_is_shown_as_far_as_it_is_understood(tmp_path: Path) -> None:
    from tests.recording.scripts import doc

    steps: list[Step] = [(0, snapshot(worker("w-0"), seq=10)), (5, event(11, 5, "known"))]
    path = record(tmp_path / "r", steps)
    tape = Tape(path)
    assert [type(each.what) for each in tape.block(0)] == [Linked, Snapshot, Event]
    from qvl.recording.scribe import Scribe
    from qvl.recording.writer import Writer

    writer = Writer(path, force=True)
    scribe = Scribe(writer, 2.0, logs=False)
    scribe.take(doc(snapshot(worker("w-0"), seq=10)), START)
    scribe.take({"type": "weather", "at": "2026-03-04T12:03:11Z"}, START + 10)
    scribe.take(doc(event(11, 5, "known")), START + 20)
    scribe.end(START + 30)
    assert [type(each.what) for each in Tape(path).block(0)] == [Linked, Snapshot, Event]
