"""What the user may ask of the daemon: whether that is permitted now, the question before it, the asking itself, and
what came of it. Screens and the palette say what is wanted; here alone it is sent."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from qvl.model.api import Accepted
from qvl.model.error import QvlError
from qvl.model.plan import Plan
from qvl.model.status import PoolStatus

from qvl_tui.asked import FILE, AskedChanges
from qvl_tui.format import count
from qvl_tui.link import Link
from qvl_tui.sentences import interrupted, state
from qvl_tui.store import REPLAY, Store, Topic

if TYPE_CHECKING:
    from textual.app import App

VERBS = ("start", "stop", "restart")
_WHY = {"viewer": "viewers may look only", REPLAY: "this is a recording"}


class Acts:
    def __init__(
        self,
        app: "App[None]",
        link: Link,
        store: Store,
        clock: Callable[[], float],
        changed: Callable[[set[Topic]], None],
    ) -> None:
        self._app = app
        self._link = link
        self._store = store
        self._clock = clock
        self._changed = changed
        self.changes = AskedChanges(store)

    def permitted(self, what: str) -> bool:
        """Whether this may be asked now; where not, that is told."""
        if not self._store.may_act:
            why = _WHY.get(self._store.role or "", "this view is read-only")
            self._app.notify(f"{what} is not permitted: {why}", severity="warning")
            return False
        if not self._store.live:
            self._app.notify(f"{what} can't be asked now: there is no connection to the daemon", severity="warning")
            return False
        return True

    def ask_worker(self, verb: str, name: str) -> None:
        worker = self._store.find(name)
        if worker is None or not self.permitted(verb):
            return
        lines = [f"{name} is {state(worker).word}, with {interrupted([worker], self._store)}."]
        if verb == "stop":
            lines.append("It stays stopped until it is started again.")
        self._confirmed(verb, name, lines, pool=False)

    def ask_pool(self, verb: str, pool: PoolStatus) -> None:
        if not self.permitted(f"{verb} of {pool.name}"):
            return
        workers = [worker for worker in self._store.workers.values() if worker.pool == pool.name]
        up = f"{pool.ready} of {count(pool.total, 'worker')} ready"
        lines = [f"pool {pool.name} has {up}, with {interrupted(workers, self._store)}."]
        if verb == "stop":
            lines.append("It stays stopped until it is started again, and so do workers that it gets later.")
        self._confirmed(verb, pool.name, lines, pool=True)

    def _confirmed(self, verb: str, name: str, lines: list[str], *, pool: bool) -> None:
        """Ask first what interrupts; to start interrupts nobody."""

        def send() -> None:
            self._app.run_worker(self._act(verb, name, pool=pool))

        if verb == "start":
            send()
        else:
            self.confirm(f"{verb} {'pool ' if pool else ''}{name}?", lines, verb, send)

    def confirm(self, title: str, lines: list[str], yes: str, then: Callable[[], None]) -> None:
        """Ask, and go on only with a yes."""
        from qvl_tui.screens.confirm import ConfirmScreen

        def answered(sure: bool | None) -> None:
            if sure:
                then()

        self._app.push_screen(ConfirmScreen(title, lines, yes=yes), answered)

    # --- sending --------------------------------------------------------------------------------------------------

    def switch(self, pool: str, profile: str | None) -> None:
        """The user saw what that does and confirmed it. `profile` None: back to the one of the file."""
        what = f"switch to {profile}" if profile is not None else "back to the file's profile"
        self._change(pool, what, self._link.switch(pool, profile))

    def cancel(self, pool: str) -> None:
        """The change under way on this pool shall be taken back."""
        self._change(pool, "take it back", self._link.cancel_switch(pool))

    def apply(self, plan: Plan) -> None:
        """The user saw this plan of the file and confirmed it."""
        self._change(FILE, f"apply revision {plan.revision}", self._link.apply(plan.id))

    def _change(self, name: str, what: str, asked: Awaitable[Accepted]) -> None:
        self.changes.ask(name, what, self._clock())
        self._changed({Topic.STATE})
        self._app.run_worker(self._told(name, asked))

    async def _told(self, name: str, asked: Awaitable[Accepted]) -> None:
        try:
            accepted = await asked
        except QvlError as error:
            self.changes.refused(name)
            self._refused(error)
        else:
            self.changes.accepted(name, accepted.seq)
        self._changed({Topic.STATE})

    async def _act(self, verb: str, name: str, *, pool: bool) -> None:
        names = [worker.name for worker in self._store.workers.values() if worker.pool == name] if pool else [name]
        self._changed(self._store.ask(verb, names, self._clock()))
        try:
            accepted = await self._link.act(verb, name, pool=pool)
        except QvlError as error:
            self._changed(self._store.refused(names))
            self._refused(error)
        else:
            self._changed(self._store.accepted(names, accepted.seq))

    def _refused(self, error: QvlError) -> None:
        text = f"{error.message}\n→ {error.hint}" if error.hint else error.message
        self._app.notify(text, severity="error", timeout=10)
