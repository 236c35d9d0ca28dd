"""Any part of a recorded log, by offset."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qvl.recording.records import Log
from qvl_tui.replay.shelf import Shelf
from qvl_tui.replay.tape import Tape

from tests.recording.scripts import START, night, record

TEXT = b"".join(b"line of second %04d\n" % at for at in range(1200))
"""20 bytes each, written a line a second; from 400 to 499 the worker is silent, and 700 to 799 were never seen."""
SEEN = [at for at in range(1, 1200) if not 400 <= at < 500 and not 700 <= at < 800]


def offset(at: int) -> int:
    """The silence writes nothing, so that what comes after it follows what was before; the gap keeps its room."""
    return 20 * (at - 1 if at < 400 else at - 101)


LOGS = [(at + 0.5, "qwen3-vl-1", offset(at), TEXT[at * 20 : at * 20 + 20]) for at in SEEN]


def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Tape(record(tmp_path / "r", night(), logs=LOGS)))


def test_how_far_it_reaches_as_of_a_moment(tmp_path: Path) -> None:
    found = shelf(tmp_path)
    assert found.extent("qwen3-vl-1", START + 300_000) == (0, 299 * 20)
    assert found.extent("qwen3-vl-1", START + 450_000) == (0, 399 * 20)
    assert found.extent("qwen3-vl-1", START + 1_300_000) == (0, offset(1199) + 20)
    assert found.extent("qwen3-vl-1", START) == (0, 0)
    assert found.extent("nobody", START + 1_300_000) == (0, 0)


def test_who_wrote_nothing_is_looked_for_once(tmp_path: Path) -> None:
    class Counted(Tape):
        read = 0

        def logs(self, index: int) -> list[Log]:
            self.read += 1
            return super().logs(index)

    tape = Counted(record(tmp_path / "r", night(), logs=LOGS))
    found = Shelf(tape)
    assert found.extent("nobody", START + 1_300_000) == (0, 0)
    read = tape.read
    assert read > 8, "more blocks than are held"
    assert found.extent("nobody", START + 1_300_000) == (0, 0)
    assert tape.read == read


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(since=st.integers(0, 22_500), limit=st.integers(1, 5000), seconds=st.integers(1, 1300))
def test_every_page_has_what_was_written_there(tmp_path: Path, since: int, limit: int, seconds: int) -> None:
    at = START + seconds * 1000
    written = {place + n: line[n] for when, _, place, line in LOGS if when <= seconds for n in range(20)}
    start, data = shelf(tmp_path).page("qwen3-vl-1", since, limit, at)
    here = next((place for place in sorted(written) if place >= since), None)
    if here is None:
        assert data == b""
        return
    assert start == here
    expected = bytearray()
    while len(expected) < limit and start + len(expected) in written:
        expected.append(written[start + len(expected)])
    assert data == bytes(expected)
