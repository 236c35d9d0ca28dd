"""What every full screen has: two lines at the top on how things are, one at the bottom on what to press; and of a
recording one above that on the moment that shows."""

from collections.abc import Iterable

from textual import on
from textual.app import ComposeResult
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from qvl_tui.context import Clock, Context
from qvl_tui.keys import Where
from qvl_tui.paint import Line
from qvl_tui.store import Store, Topic
from qvl_tui.widgets.banner import banner
from qvl_tui.widgets.canvas import Canvas
from qvl_tui.widgets.footer import footer_line, key_at
from qvl_tui.widgets.header import header, tab_at

__all__ = ["Clock", "Context", "Frame"]


class Frame(Screen[None]):
    where: Where = Where.FLEET
    AUTO_FOCUS = ""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context

    @property
    def store(self) -> Store:
        """Of the host in focus."""
        return self.context.store

    def compose(self) -> ComposeResult:
        # As long as there is no widget in it: later a change of its classes styles all of them anew.
        self.update_classes(self.looks(), update=False)
        yield Canvas("header", "bar")
        yield Canvas("banner", "bar")
        yield from self.body()
        if self.context.replay is not None:
            yield Canvas("replay", "bar")
        yield Canvas("footer", "bar")

    def body(self) -> Iterable[Widget]:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.show(set(Topic))

    def on_resize(self) -> None:
        self.show(set(Topic))

    def on_screen_resume(self) -> None:
        self.show(set(Topic))

    def refocus(self) -> None:
        """Another worker came into focus while this screen shows."""
        self.show(set(Topic))

    @property
    def there(self) -> bool:
        """It is not being left: its widgets go before its workers end, and an answer may come in between."""
        return self.is_attached and not self._pruning

    def show(self, topics: set[Topic]) -> None:
        """Repaint what these topics may have changed; the canvases find out what really did."""
        if self.there:
            self.draw(topics)

    def draw(self, topics: set[Topic]) -> None:
        """What `show` does of a screen that is there."""
        width = self.room.width
        self.update_classes(self.looks())
        self.canvas("header").show((self.header(width),))
        self.canvas("banner").show((self.banner(width),))
        if self.context.replay is not None:
            self.canvas("replay").show((self.context.replay.bar(width),))
        self.canvas("footer").show((footer_line(self.where, width, self.context),))

    @property
    def room(self) -> Size:
        """Of the terminal: a screen has its own size only once it was laid out, which is to be done once."""
        return self.app.size

    def looks(self) -> dict[str, bool]:
        """The classes that change with what is shown."""
        heard = any(session.store.heard_at is not None for session in self.context.sessions)
        return {"-stale": heard and not self.fresh}

    @property
    def fresh(self) -> bool:
        """What is shown is what is."""
        return self.store.live

    def header(self, width: int) -> Line:
        return header(self.context, self.where, width)

    def banner(self, width: int) -> Line:
        return banner(self.context, self.where, width)

    def canvas(self, id: str) -> Canvas:
        return self.query_one(f"#{id}", Canvas)

    @on(Canvas.Picked, "#footer")
    async def _pressed(self, event: Canvas.Picked) -> None:
        if key := key_at(self.where, self.size.width, self.context, event.x):
            await self.run_action(key.action)

    @on(Canvas.Picked, "#header")
    async def _turned(self, event: Canvas.Picked) -> None:
        if where := tab_at(self.context, self.where, self.size.width, event.x):
            await self.run_action(f"app.show('{where}')")
