"""A crash of the interface: the report is written, and no worker hears of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qvl.model.event import Frame
from qvl_tui import crash

from tests.tui.fleet import FakeLink, snapshot, worker
from tests.tui.support import screen_test, terminal


class Treacherous(FakeLink):
    """Breaks in a way that no code expects."""

    async def events(self, since: int) -> AsyncIterator[Frame]:
        yield await self._first()
        secret = "sk-do-not-tell"
        raise ZeroDivisionError(f"of {len(secret)}")

    async def _first(self) -> Frame:
        frame = await self.frames.get()
        assert frame is not None
        return frame


def test_a_crash_leaves_a_report_without_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @screen_test
    async def scenario() -> None:
        with pytest.raises(Exception, match="of 14"):
            async with terminal(Treacherous(snapshot(worker())), home=tmp_path) as t:
                await t.until(lambda: not t.app.is_running, "the end")

    scenario()
    (report,) = (tmp_path / "crashes").iterdir()
    text = report.read_text()
    assert "ZeroDivisionError: of 14" in text
    assert "80x24, screen FleetScreen, event " in text
    assert "sk-do-not-tell" not in text.replace('secret = "sk-do-not-tell"', "")
    crash.tell(ZeroDivisionError("of 14"), report)
    told = capsys.readouterr().err
    assert str(report) in told
    assert "workers are not touched" in told
    assert report.stat().st_mode & 0o077 == 0
    crash.tell(ZeroDivisionError("of 14"), report, owned=True)
    assert "ends with its workers" in capsys.readouterr().err


def test_reports_do_not_pile_up_and_a_full_disk_is_no_second_crash(tmp_path: Path) -> None:
    for number in range(crash.KEPT + 5):
        (tmp_path / "crashes").mkdir(exist_ok=True)
        (tmp_path / "crashes" / f"tui-2020010{number:02}.txt").write_text("old")
    made = crash.report(ValueError("x"), tmp_path, size=(80, 24), screen="fleet", seq=1)
    assert made is not None
    assert made.exists()
    assert len(list((tmp_path / "crashes").iterdir())) == crash.KEPT
    assert crash.report(ValueError("x"), Path("/proc/none"), size=(80, 24), screen="fleet", seq=1) is None
