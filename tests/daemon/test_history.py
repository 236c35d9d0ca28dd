"""The past over all steps of time, and from one daemon to the next."""

import asyncio
import resource
import signal
from pathlib import Path

import pytest
from qvl.daemon.history import UNWRITTEN, WAITING, HistoryRing
from qvl.daemon.history_file import LARGEST, HistoryFile
from qvl.daemon.tiers import GPU, KEPT, STEPS, WORKER, Row, Tier
from qvl.model.api import History
from qvl.model.error import ErrorCode, QvlError

NOON = 1_800_000_000
"""Unix time of a bucket's beginning in every step."""


def row(at: float, tokens: float, profile: str = "standard") -> Row:
    values = tuple(tokens if figure == "tokens_per_s" else None for figure in WORKER)
    return Row(int(at // 5), {"chat-0": (profile, values)}, {"0": (tokens,) * len(GPU)})


def lived(seconds: int, history: HistoryRing | None = None, start: int = NOON, every: int = 5) -> HistoryRing:
    """With a rate that is the number of the minute."""
    if history is None:
        history = HistoryRing()
        history.adopt([Tier(step) for step in STEPS])
    for at in range(start, start + seconds, every):
        history.put(row(at, (at - NOON) // 60))
    return history


def over(history: HistoryRing, span: int, points: int, now: float) -> History:
    return asyncio.run(history.read_span(span, points, now))


def newest(history: HistoryRing, last: int | None = None) -> History:
    return asyncio.run(history.read(last))


def rates(told: History) -> list[float | None]:
    return told.workers["chat-0"]["tokens_per_s"]


def test_a_day_is_there_in_steps_that_get_longer_with_age() -> None:
    history, now = lived(23 * 3600, every=30), NOON + 86399.0
    lived(3600, history, NOON + 23 * 3600)
    hour, six, day = (over(history, span, KEPT, now) for span in (3600, 21600, 86400))
    assert [told.interval_s for told in (hour, six, day)] == [5, 30, 120]
    assert [len(told.at) for told in (hour, six, day)] == [KEPT] * 3
    assert rates(hour)[0] == 23 * 60
    assert rates(six)[0] == 18 * 60
    assert rates(day)[:2] == [0.5, 2.5]
    assert all(None not in rates(told) for told in (hour, six, day))
    few = over(history, 86400, 100, now)
    assert (few.interval_s, len(few.at)) == (960, 90)
    assert few.profiles["chat-0"] == ["standard"] * 90


def test_the_newest_samples_are_as_they_were_taken() -> None:
    history = lived(600)
    assert newest(history, 3).at == [NOON + 585, NOON + 590, NOON + 595]
    assert rates(newest(history, 3)) == [9, 9, 9]
    assert len(newest(history).at) == 120
    assert newest(HistoryRing(), 3).at == []


def test_the_step_under_way_is_told_too() -> None:
    told = over(lived(125), 21600, KEPT, NOON + 124)
    assert rates(told)[-5:] == [0, 0, 1, 1, 2]


def kept(folder: Path, *histories: HistoryRing) -> HistoryRing:
    """Write down each as a daemon would that knows what came before, and begin anew."""

    async def scene() -> HistoryRing:
        for history in histories:
            await HistoryFile(folder).close(history)
        new = HistoryRing()
        new.adopt(HistoryFile(folder).load())
        return new

    return asyncio.run(scene())


def test_a_daemon_that_comes_back_knows_what_the_last_one_did(tmp_path: Path) -> None:
    """Ten minutes, then half an hour of nothing, then five minutes."""
    second = kept(tmp_path / "history", lived(600))
    lived(300, second, start=NOON + 2400)
    now = NOON + 2699.0
    for again in (second, kept(tmp_path / "history", second)):
        told = over(again, 3600, 60, now)  # by the minute
        found = {(at - NOON) // 60: rate for at, rate in zip(told.at, rates(told), strict=True) if rate is not None}
        assert found == {float(minute): float(minute) for minute in (*range(10), *range(40, 45))}
        day = over(again, 86400, 720, now)
        found = {(at - NOON) // 60: rate for at, rate in zip(day.at, rates(day), strict=True) if rate is not None}
        assert found == {minute: minute + 0.5 for minute in (0, 2, 4, 6, 8, 40, 42)} | {44.0: 44.0}


def test_what_comes_before_the_past_was_read_is_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    kept(folder, lived(600))
    second = lived(30, HistoryRing(), start=NOON + 600)
    second.adopt(HistoryFile(folder).load())
    assert rates(newest(second)) == [minute for minute in range(10) for _ in range(12)] + [10] * 6


def test_a_torn_line_costs_that_line_alone(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    kept(folder, lived(60))
    file = folder / "5.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    second = HistoryRing()
    again = HistoryFile(folder)
    second.adopt(again.load())
    assert len(newest(second).at) == 11
    second.put(row(NOON + 60, 1))
    asyncio.run(again.write(second))
    third = HistoryRing()
    third.adopt(HistoryFile(folder).load())
    assert newest(third).at == [*range(NOON, NOON + 55, 5), NOON + 60]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 64,
        b"\xff\xfe\n",
        b"[]\n",
        b'{"bucket": 1}\n',
        b'[1, {"a": [3, []]}, {}]\n',
        b"null\n",
        b"[1,{},{}," + b"[" * 99_999,
    ],
)
def test_whatever_lies_in_the_files_a_daemon_starts(tmp_path: Path, junk: bytes) -> None:
    folder = tmp_path / "history"
    kept(folder, lived(60))
    file = folder / "5.jsonl"
    file.write_bytes(junk + file.read_bytes())
    assert len(newest(kept(folder)).at) >= 11


def test_the_files_do_not_grow_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    history, file = HistoryRing(), HistoryFile(folder)
    history.adopt(file.load())

    async def live() -> None:
        for at in range(NOON, NOON + 4 * 3600, 300):
            lived(300, history, at)
            await file.write(history)

    asyncio.run(live())
    assert sorted(path.name for path in folder.iterdir()) == ["120.jsonl", "30.jsonl", "5.jsonl", "5.old"]
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(path.read_bytes().splitlines()) < KEPT + 60
    assert len(newest(kept(folder)).at) == KEPT


def test_what_a_full_disk_does_not_take_is_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on the size of files stands for the disk: the last line is torn there as well."""
    folder = tmp_path / "history"
    history, file = lived(60), HistoryFile(folder)
    history.adopt(file.load())
    old_signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        for _ in range(3):
            asyncio.run(file.write(history))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old_signal)
    assert len([r for r in caplog.records if "can't be written" in r.message]) == 1
    assert len(history.unwritten[0]) == 12
    asyncio.run(file.write(history))
    assert len(newest(kept(folder)).at) == 12


def test_what_waits_for_the_disk_is_bounded() -> None:
    history = lived(5 * 3600, every=30)
    assert [len(rows) for rows in history.unwritten] == [UNWRITTEN] * 3


def test_those_who_ask_for_the_past_wait_in_a_queue_with_an_end() -> None:
    async def scene() -> None:
        history = lived(60)
        asking = [asyncio.create_task(history.read(1)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(QvlError) as refused:
            await history.read_span(60, 10, NOON)
        assert refused.value.code is ErrorCode.CONFLICT
        assert all(len(told.at) == 1 for told in await asyncio.gather(*asking))
        await history.read_span(60, 10, NOON)

    asyncio.run(scene())


def test_of_a_file_that_is_none_of_ours_the_end_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    kept(folder, lived(60))
    file = folder / "5.jsonl"
    content = file.read_bytes()
    with file.open("wb") as junk:
        junk.truncate(LARGEST)
        junk.seek(LARGEST)
        junk.write(b"\n" + content)
    assert len(newest(kept(folder)).at) == 12
