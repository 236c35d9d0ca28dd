"""What the log screen does to take lines away: copies by OSC 52, which works over SSH, and files."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.model.error import QvlError

from qvl_tui.format import count, size
from qvl_tui.logs.around import texts
from qvl_tui.logs.items import Item
from qvl_tui.logs.save import pages, write
from qvl_tui.paint import Tone
from qvl_tui.screens.log_hunting import Hunting
from qvl_tui.screens.log_save import LogSaveScreen, Order, Scope

if TYPE_CHECKING:
    from qvl_tui.logs.desk import Desk

CLIPBOARD = 72 * 1024
"""Bytes that are copied at most: terminals drop longer ones without a word."""


class Taking(Hunting):
    _saving = ""
    """How far the file is that is written."""

    @property
    def busy(self) -> bool:
        return bool(self._saving) or super().busy

    @property
    def news(self) -> tuple[str, Tone] | None:
        if self._saving and not self._fault:
            return self._saving, Tone.ACCENT
        return super().news

    # --- copies ---------------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        place = self.desk.place
        self.desk.hold()
        here = place.current
        place.mark = None if place.mark is not None or here is None else here.id
        self.say("move to the other end, then y copies" if place.mark else "")
        self.picture()

    def action_copy(self) -> None:
        self._copy(self.desk.place.chosen())
        self.desk.place.mark = None
        self.picture()

    def action_copy_view(self) -> None:
        self._copy([self.desk.place.items[at] for at, _ in self.desk.place.visible()])
        self.picture()

    def _copy(self, chosen: Sequence[Item]) -> None:
        lines = texts(chosen, self.desk.look.tags)
        text = "\n".join(lines)
        cut = text.encode()[:CLIPBOARD].decode(errors="ignore")
        if not text:
            self.say("nothing to copy here")
            return
        self.app.copy_to_clipboard(cut)
        whole = f"copied {count(len(lines), 'line')}, {size(len(text.encode()))}"
        self.say(
            whole if cut == text else f"copied the first {size(CLIPBOARD)} of {whole.removeprefix('copied ')}; s saves"
        )

    # --- files ----------------------------------------------------------------------------------------------------

    def action_save(self) -> None:
        if not self.desk.feeds:
            return
        here = self.desk.place.current
        feed = self.desk.feeds[here.entry.feed if here is not None else 0]
        name = f"{feed.worker}-{datetime.now().astimezone():%Y%m%d-%H%M%S}.log"
        desk = self.desk

        def chosen(order: Order | None) -> None:
            if order is not None:
                self.run_worker(self._save(desk, feed.part.feed, order), name="log-save", group="save", exclusive=True)

        self.app.push_screen(LogSaveScreen(feed.worker, name), chosen)

    async def _save(self, desk: "Desk", number: int, order: Order) -> None:
        feed = desk.feeds[number]
        try:
            await feed.measure()
            begin, end = feed.extent.begin, feed.extent.end
            if order.scope is Scope.VIEW:
                whole = 0
                pieces = _once("".join(f"{line}\n" for line in texts(desk.place.items, desk.look.tags)).encode())
            else:
                here = desk.place.current
                start = here.entry.offset if order.scope is Scope.REST and here is not None else begin
                whole = end - start
                pieces = pages(desk.link, feed.worker, start, end)

            def told(done: int) -> None:
                part = f" of {size(whole)}" if whole else ""
                self._saving = f"saving {order.path.name}: {size(done)}{part} · Esc stops"

            done = await write(pieces, order.path, told, over=order.over)
            self.say(f"saved {size(done)} to {_home(order.path)}")
        except QvlError as error:
            self.say(f"not saved: {error.message}")
        except asyncio.CancelledError:
            self.say(f"{order.path.name} was not saved")
            raise
        finally:
            self._saving = ""
        self.picture()

    def _ends(self) -> bool:
        return bool(self._saving) or super()._ends()

    def action_escape(self) -> None:
        if self._saving and not self._asks:
            self.workers.cancel_group(self, "save")
            self.picture()
            return
        super().action_escape()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _home(path: Path) -> str:
    whole = str(path.absolute())
    home = str(Path.home())
    return f"~{whole.removeprefix(home)}" if whole.startswith(f"{home}/") else whole
