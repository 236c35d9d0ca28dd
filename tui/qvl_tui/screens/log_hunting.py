"""What the log screen does to find something: the prompt, the search under way, jumps to matches and errors."""

import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING

from qvl.model.error import QvlError
from textual import on
from textual.screen import Screen
from textual.widgets import Input

from qvl_tui.logs.goto import Goto, goto
from qvl_tui.logs.hunt import Hunt
from qvl_tui.logs.spots import Spots
from qvl_tui.logs.told import ignores_case, looking
from qvl_tui.paint import Tone

if TYPE_CHECKING:
    from qvl_tui.logs.desk import Desk

_LEVELS = {"all": "info"}


class Hunting(Screen[None]):
    """Needs `desk`, `picture` and `go` of the screen that it is mixed into."""

    desk: "Desk"
    _said = ""
    _fault = ""
    """What is wrong with what stands in the prompt."""
    _hunting: Hunt | None = None
    """The search under way."""
    _asks = ""
    """What the prompt is for: `search` or `goto`."""

    def picture(self) -> None:
        raise NotImplementedError

    def go(self, asked: Coroutine[None, None, None]) -> None:
        raise NotImplementedError

    # --- what is told ---------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell this until the next key that does something."""
        self._said = text

    @property
    def busy(self) -> bool:
        """Something goes on whose progress is shown."""
        return self._hunting is not None

    @property
    def news(self) -> tuple[str, Tone] | None:
        if self._fault:
            return f"✕ {self._fault}", Tone.BAD
        if self._asks:
            back = self.desk.place.following
            way = "back from the end" if back else "on from the cursor"
            what = f"search {'↑' if back else '↓'} {way}" if self._asks == "search" else "go to"
            return f"{what} · Enter, or Esc", Tone.ACCENT
        if self._hunting is not None:
            return looking(self._hunting, self.desk), Tone.ACCENT
        if self._said:
            return self._said, Tone.ACCENT
        if (hunt := self.desk.hunt) is not None:
            arrow = "↑" if hunt.back else "↓"
            return f"/{hunt.pattern} · n goes on {arrow} · Esc ends it", Tone.MUTED
        return None

    # --- the prompt -----------------------------------------------------------------------------------------------

    @property
    def _field(self) -> Input:
        return self.query_one("#prompt", Input)

    def _ask(self, what: str, placeholder: str, value: str = "") -> None:
        self._asks = what
        field = self._field
        field.placeholder = placeholder
        field.value = value
        field.cursor_position = len(value)
        self.add_class("-asking")
        field.focus()

    def _answered(self) -> None:
        self._asks = self._fault = ""
        self.remove_class("-asking")
        self.set_focus(None)
        self.picture()

    def action_search(self) -> None:
        self._ask("search", "regular expression; small letters find capitals too")

    def action_goto(self) -> None:
        self._ask("goto", "50%, a time such as 03:12 or 11-21 03:12:08, or a byte: 1234567, 1.5GB")

    @on(Input.Changed, "#prompt")
    def _typed(self, event: Input.Changed) -> None:
        self._fault = ""
        if self._asks == "search" and event.value:
            try:
                re.compile(event.value)
            except (re.error, OverflowError, RecursionError) as error:
                self._fault = f"not a regular expression: {error}"
        self.picture()

    @on(Input.Submitted, "#prompt")
    def _entered(self, event: Input.Submitted) -> None:
        if self._fault:
            return  # it says so, and one can mend it
        asks, value = self._asks, event.value
        if asks == "goto":
            place = goto(value)
            if place is None:
                self._fault = f"{value!r} is neither a share, nor a time, nor a byte"
                self.picture()
                return
            self._answered()
            self.go(self._go_to(place))
            return
        self._answered()
        if value:
            self._begin_hunt(value)

    async def _go_to(self, place: Goto) -> None:
        if not self.desk.feeds:
            return
        here = self.desk.place.current
        feed = self.desk.feeds[here.entry.feed if here is not None else 0]
        await feed.measure()
        if place.share is not None:
            await self.desk.go_share(feed.worker, place.share)
        elif place.byte is not None:
            offset = place.byte if place.byte >= 0 else feed.extent.end + place.byte
            await self.desk.go(feed.worker, await feed.aligned(min(max(offset, 0), max(feed.extent.end - 1, 0))))
        else:
            newest = here.entry.stamp.at if here is not None else None
            at = place.moment(newest)
            if at is None or not await self.desk.go_time(feed, at):
                self.say("no line there has a time")

    # --- looking --------------------------------------------------------------------------------------------------

    def _begin_hunt(self, pattern: str) -> None:
        ignore = ignores_case(pattern)
        self.desk.look = replace(self.desk.look, spots=Spots(pattern, ignore_case=ignore))
        least = _LEVELS.get(self.desk.least, self.desk.least)
        self.desk.hunt = Hunt(pattern, level=least, ignore_case=ignore)
        self.desk.hunt.back = self.desk.place.following
        self._next(self.desk.hunt, back=self.desk.hunt.back, here=True)

    def action_found(self, step: int) -> None:
        """The next match (1) in the direction of the search, or the one before it (-1)."""
        hunt = self.desk.hunt
        if hunt is None:
            self.say("nothing is looked for; / does")
            self.picture()
            return
        self._next(hunt, back=hunt.back if step > 0 else not hunt.back)

    def action_error(self, step: int) -> None:
        self._next(self.desk.errors, back=step < 0)

    def _next(self, hunt: Hunt, *, back: bool, here: bool = False) -> None:
        self.desk.hold()
        self._said = ""
        self.run_worker(
            self._look(self.desk, hunt, back=back, here=here), name="log-search", group="search", exclusive=True
        )

    async def _look(self, desk: "Desk", hunt: Hunt, *, back: bool, here: bool) -> None:
        self._hunting = hunt
        own, hunt.back = hunt.back, back
        try:
            if not await desk.find(hunt, back=back, here=here):
                where = "above" if back else "below"
                self.say(f"nothing {where} matches /{hunt.pattern}" if hunt.pattern else f"no error line {where}")
        except QvlError as error:
            self.say(error.message)
        finally:
            hunt.back = own
            if self._hunting is hunt:
                self._hunting = None
        self.picture()

    # --- Esc ------------------------------------------------------------------------------------------------------

    def _ends(self) -> bool:
        """Whether Esc has something to end here, before it leads back to the fleet."""
        return bool(self._asks or self._hunting or self.desk.hunt or self.desk.place.mark)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._ends() if action == "escape" else True

    def action_escape(self) -> None:
        if self._asks:
            self._answered()
            return
        if self._hunting is not None:
            self.workers.cancel_group(self, "search")
            self._hunting = None
            self.say("the search was ended")
        elif self.desk.place.mark is not None:
            self.desk.place.mark = None
        else:
            self.desk.hunt = None
            self.desk.look = replace(self.desk.look, spots=None)
            self._said = ""
        self.picture()
