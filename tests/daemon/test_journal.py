"""Events: nothing falls between snapshot and stream, what is lost is counted where it was, numbers go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from qvl.daemon.journal import FILE_SIZE, QUEUE, REMEMBERED, Journal, Subscription, merged
from qvl.model.event import Change, Event, Frame, Lost, Snapshot
from qvl.model.gpu import GpuSample
from qvl.model.status import WorkerMetrics, WorkerStatus

from tests.fakes import START, fleet

T = TypeVar("T")
STATUS = fleet()


def journal(directory: Path) -> Journal:
    made = Journal(directory / "events.jsonl")
    made.open()
    return made


def say(to: Journal, *words: str) -> None:
    for word in words:
        to.publish("act", word)


def numbers(frames: Iterable[Frame]) -> list[object]:
    """Events by number, losses as `-n`, the snapshot as `s<seq>`."""
    return [
        frame.seq if isinstance(frame, Event) else -frame.lost if isinstance(frame, Lost) else f"s{frame.seq}"
        for frame in frames
        if isinstance(frame, Event | Lost | Snapshot)
    ]


async def read(frames: Awaitable[T] | object, count: int) -> list[Frame]:
    """The next `count` frames of an iterator."""
    return [await asyncio.wait_for(anext(frames), 5) for _ in range(count)]  # type: ignore[call-overload]


def lived(scenario: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await scenario()

    return asyncio.run(run())


# ---- streams


def test_what_is_said_after_the_snapshot_comes_once_and_in_order(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        say(told, "1", "2")
        frames = told.subscribe(None, changes=False, status=lambda: STATUS)
        first = await read(frames, 1)
        say(told, "3", "4")
        rest = await read(frames, 2)
        say(told, "5")
        return numbers([*first, *rest, *await read(frames, 1)])

    assert lived(scenario) == ["s2", 3, 4, 5]


def test_what_is_said_while_the_past_is_read_comes_after_it(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        say(told, "1", "2", "3")
        frames = told.subscribe(1, changes=False, status=lambda: STATUS)
        first = await read(frames, 2)  # the snapshot and the first remembered event
        say(told, "4")
        return numbers([*first, *await read(frames, 2)])

    assert lived(scenario) == ["s3", 2, 3, 4]


def test_who_asks_for_what_is_no_longer_remembered_is_told_how_much_that_is(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        say(told, *map(str, range(REMEMBERED + 10)))
        frames = told.subscribe(3, changes=False, status=lambda: STATUS)
        return numbers(await read(frames, 3))

    assert lived(scenario) == [f"s{REMEMBERED + 10}", -7, 11]


def test_who_asks_from_beyond_the_end_waits_for_what_comes(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        say(told, "1")
        frames = told.subscribe(1000, changes=False, status=lambda: STATUS)
        first = await read(frames, 1)
        say(told, "2")
        return numbers([*first, *await read(frames, 1)])

    assert lived(scenario) == ["s1", 2]


def test_a_reader_that_lags_loses_the_oldest_and_is_told_in_its_place(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        frames = told.subscribe(None, changes=False, status=lambda: STATUS)
        await read(frames, 1)
        say(told, *map(str, range(QUEUE + 5)))
        return numbers(await read(frames, 3))

    assert lived(scenario) == [-5, 6, 7]


@given(st.lists(st.one_of(st.just("read"), st.integers(1, 9)), max_size=25))
def test_events_and_losses_always_add_up(course: list[int | str]) -> None:
    """Each event is either read or counted as lost, at the place where it is missing."""

    async def scenario() -> None:
        queue = Subscription(changes=False, limit=5)
        frames = queue.frames()
        said = expected = 0
        for act in course:
            if isinstance(act, int):
                for _ in range(act):
                    said += 1
                    queue.push(Event(seq=said, at=START, kind="act", message="x"))
            elif said > expected:
                frame = await asyncio.wait_for(anext(frames), 5)
                if isinstance(frame, Lost):
                    expected += frame.lost
                else:
                    assert isinstance(frame, Event)
                    expected += 1
                    assert frame.seq == expected
        await frames.aclose()

    lived(scenario)


def test_who_wants_no_changes_gets_none_and_nobody_watches(tmp_path: Path) -> None:
    async def scenario() -> tuple[bool, bool, list[object]]:
        told = journal(tmp_path)
        calm = told.subscribe(None, changes=False, status=lambda: STATUS)
        await read(calm, 1)
        before = told.watched
        keen = told.subscribe(None, changes=True, status=lambda: STATUS)
        await read(keen, 1)
        told.change(Change(at=START, removed=("a",)))
        say(told, "1")
        assert [type(frame).__name__ for frame in await read(keen, 2)] == ["Event", "Change"]
        return before, told.watched, numbers(await read(calm, 1))

    assert lived(scenario) == (False, True, [1])


def test_closing_ends_every_stream_after_what_was_said(tmp_path: Path) -> None:
    async def scenario() -> list[object]:
        told = journal(tmp_path)
        frames = told.subscribe(None, changes=False, status=lambda: STATUS)
        first = await read(frames, 1)
        say(told, "1")
        told.close()
        return numbers([*first, *[frame async for frame in frames]])

    assert lived(scenario) == ["s0", 1]


# ---- changes

_names = st.sampled_from("abc")
_statuses = st.builds(
    lambda name, restarts: msgspec.structs.replace(STATUS.workers[0], name=name, restarts=restarts),
    _names,
    st.integers(0, 9),
)


@st.composite
def _changes(draw: st.DrawFn) -> Change:
    """What one turn tells: some workers, or one that is gone; and figures."""
    workers = {status.name: status for status in draw(st.lists(_statuses, max_size=3))}
    gone = tuple(sorted(set(draw(st.lists(_names, max_size=2))) - workers.keys()))
    card = GpuSample(0, "GPU-0", "a card", draw(st.integers(0, 9)))
    return Change(
        at=datetime(2026, 1, 1, 0, 0, draw(st.integers(0, 59)), tzinfo=UTC),
        workers=tuple(workers.values()),
        pools=draw(st.sampled_from([None, (), STATUS.pools])),
        supervisor=draw(st.sampled_from([None, STATUS.supervisor])),
        gpus=draw(st.sampled_from([None, (card,)])),
        metrics=draw(st.dictionaries(_names, st.builds(WorkerMetrics, running=st.integers(0, 9)), max_size=2)),
        removed=gone,
    )


Screen = tuple[dict[str, WorkerStatus], object, object, object, dict[str, WorkerMetrics]]


def _shown(screen: Screen, change: Change) -> Screen:
    """What a screen shows after a change; figures of workers that it doesn't show are nothing to it."""
    workers, pools, supervisor, gpus, metrics = screen
    workers = {name: status for name, status in workers.items() if name not in change.removed}
    workers |= {status.name: status for status in change.workers}
    metrics = {name: figures for name, figures in {**metrics, **change.metrics}.items() if name in workers}
    return (
        workers,
        pools if change.pools is None else change.pools,
        change.supervisor or supervisor,
        gpus if change.gpus is None else change.gpus,
        metrics,
    )


@given(st.lists(_changes(), min_size=2, max_size=6))
def test_changes_merged_show_what_they_show_one_by_one(changes: list[Change]) -> None:
    full: Screen = ({name: msgspec.structs.replace(STATUS.workers[0], name=name) for name in "abc"}, 1, 2, 3, {})
    one_by_one, together = full, changes[0]
    for change in changes:
        one_by_one = _shown(one_by_one, change)
    for change in changes[1:]:
        together = merged(together, change)
    shown = _shown(full, together)
    assert shown[:4] == one_by_one[:4]
    assert together.at == changes[-1].at
    # Figures of a worker that came back are new ones, if there are any.
    assert all(shown[4].get(name) == figures for name, figures in one_by_one[4].items())


# ---- on disk


def test_numbers_go_on_and_the_past_stays_after_a_restart(tmp_path: Path) -> None:
    say(journal(tmp_path), "1", "2")
    again = journal(tmp_path)
    say(again, "3")
    assert [(event.seq, event.message) for event in again.since(0)] == [(1, "1"), (2, "2"), (3, "3")]
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    say(journal(tmp_path), "1", "2")
    file = tmp_path / "events.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    after = journal(tmp_path)
    assert [event.message for event in after.since(0)] == ["1"]
    say(after, "3", "4")
    assert [event.message for event in journal(tmp_path).since(0)] == ["1", "3", "4"]


def test_lines_of_a_newer_version_and_garbage_are_passed_over(tmp_path: Path) -> None:
    say(journal(tmp_path), "1")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"event","seq":"x"}\n\xff\xfe\n[]\n')
    again = journal(tmp_path)
    assert again.seq == 1
    say(again, "2")
    assert [event.message for event in journal(tmp_path).since(0)] == ["1", "2"]


def test_the_file_is_turned_over_and_both_halves_are_read(tmp_path: Path) -> None:
    told = journal(tmp_path)
    count = 0
    while not (tmp_path / "events.old").exists():
        count += 1
        told.publish("act", "x" * 100_000)
        assert count <= FILE_SIZE // 100_000 + 1
    say(told, "last")
    assert (tmp_path / "events.jsonl").stat().st_size < 1000
    again = journal(tmp_path)
    assert again.seq == count + 1
    assert [event.seq for event in again.since(0)] == list(range(1, count + 2))


def test_a_place_that_can_not_be_written_loses_no_event(tmp_path: Path) -> None:
    told = Journal(tmp_path / "absent" / "events.jsonl")
    told.open()
    say(told, "1", "2")
    assert [event.message for event in told.since(0)] == ["1", "2"]
    (tmp_path / "absent").mkdir()
    say(told, "3")
    assert [event.message for event in journal(tmp_path / "absent").since(0)] == ["3"]
