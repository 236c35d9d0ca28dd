"""The interface on the real API, over a real socket: what the fakes of the other tests promise holds there too."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from qvl.api.control import LogSource
from qvl.model.error import ErrorCode, QvlError
from qvl.model.log import LogEnd, LogExtent, LogMatch, LogSearch
from qvl.model.worker import Phase
from qvl.shim.logfile import segment_name
from qvl_tui.app import QvlApp
from qvl_tui.wire import SocketLink

from tests.fakes import FakeControl, serving
from tests.tui.support import until


def screen(app: QvlApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def test_it_shows_acts_and_comes_back(tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"

    async def scenario() -> None:
        control = FakeControl()
        app = QvlApp([SocketLink(socket, tmp_path / "view.sock")])
        async with app.run_test(size=(100, 30)) as pilot:
            await until(app, lambda: "nobody listens" in screen(app) or "no daemon" in screen(app), "the absence")
            async with serving(control, socket):
                await until(app, lambda: "● live" in screen(app), "the daemon")
                await until(app, lambda: app.context.store.role == "operator", "our role")
                assert "1/4 ready" in screen(app)
                assert "qwen3-vl-2 was killed" in screen(app)
                await pilot.press("j", "j", "r", "enter")
                await until(app, lambda: "restart asked" in screen(app), "the act as asked")
                assert [(act.what, act.name) for act in control.acts] == [("restart", "qwen3-vl-2")]
                control.show(msgspec.structs.replace(control.worker("qwen3-vl-2"), phase=Phase.RELEASING))
                await until(app, lambda: "◌ releasing" in screen(app), "the confirmation")
                control.refusal = QvlError(ErrorCode.CONFLICT, "a change is under way", "wait for it")
                await pilot.press("r", "enter")
                await until(app, lambda: not app.context.store.asked, "the refusal")
            await until(app, lambda: "reconnecting" in screen(app), "the loss")
            async with serving(control, socket):
                await until(app, lambda: "● live" in screen(app), "the daemon again")
                assert app.context.store.lost == 0

    asyncio.run(scenario())


def test_the_plan_comes_from_the_daemon(tmp_path: Path) -> None:
    async def scenario() -> None:
        control = FakeControl()
        async with serving(control, tmp_path / "s.sock"):
            link = SocketLink(tmp_path / "s.sock")
            assert [profile.name for profile in await link.profiles()] == ["standard", "eagle3", "chat"]
            assert (await link.plan_switch("qwen3-vl", "eagle3")).changes
            assert (await link.history()).interval_s == 5.0
            assert (await link.history_of(900, 240)).profiles == {}
            assert control.spans == [(900, 240)]
            for profile in ("eagle3", None):
                assert (await link.switch("qwen3-vl", profile)).workers
            await link.cancel_switch("qwen3-vl")
            await link.act("stop", "qwen3-vl", pool=True)
            await link.act("start", "chat-0", pool=False)
            assert [(act.what, act.name) for act in control.acts] == [
                ("switch", "qwen3-vl"),
                ("reset", "qwen3-vl"),
                ("cancel", "qwen3-vl"),
                ("stop", "qwen3-vl"),
                ("start", "chat-0"),
            ]

    asyncio.run(scenario())


def test_the_log_begins_with_its_end_and_resumes_at_the_byte(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    file = logs / segment_name(100)
    file.write_bytes(b"one\ntwo\nthree\n")

    async def scenario() -> None:
        control = FakeControl(logs={"chat-0": LogSource(logs, lambda: ((1, 100),))})
        async with serving(control, tmp_path / "s.sock"):
            link = SocketLink(tmp_path / "s.sock")
            first = link.log("chat-0", lines=2, since=None)
            assert await anext(first) == (104, b"two\nthree\n")
            with file.open("ab") as more:
                more.write(b"four\n")
            assert await anext(first) == (114, b"four\n")
            assert await anext(link.log("chat-0", lines=2, since=108)) == (108, b"three\nfour\n")
            with pytest.raises(QvlError) as refused:
                await anext(link.log("no-such", lines=2, since=None))
            assert refused.value.code is ErrorCode.NOT_FOUND

    asyncio.run(scenario())


def test_a_log_is_read_by_offset_measured_and_searched(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / segment_name(100)).write_bytes(b"one\ntwo\nthree\n")

    async def scenario() -> None:
        control = FakeControl(logs={"chat-0": LogSource(logs, lambda: ())})
        async with serving(control, tmp_path / "s.sock"):
            link = SocketLink(tmp_path / "s.sock")
            assert await link.log_page("chat-0", 0, 6) == (100, b"one\ntw")
            assert await link.log_page("chat-0", 114, 6) == (114, b"")
            assert await link.log_extent("chat-0") == LogExtent(100, 114)
            found = [answer async for answer in link.log_search("chat-0", LogSearch(pattern="t", before=114))]
            assert [answer.text for answer in found if isinstance(answer, LogMatch)] == ["three", "two"]
            assert found[-1] == LogEnd("exhausted", 100, 2)

    asyncio.run(scenario())
