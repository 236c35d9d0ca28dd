"""What the user may ask of the daemon: whether that is permitted now, the question before it, the asking itself, and
what came of it. Screens and the palette say what is wanted; here alone it is sent."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from qvl.model.error import QvlError
from qvl.model.status import PoolStatus

from qvl_tui.format import count
from qvl_tui.link import Link
from qvl_tui.messages import ActWanted, CancelWanted, SwitchWanted
from qvl_tui.sentences import interrupted, state
from qvl_tui.store import Store, Topic

if TYPE_CHECKING:
    from textual.app import App

VERBS = ("start", "stop", "restart")


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

    def permitted(self, what: str) -> bool:
        """Whether this may be asked now; where not, that is told."""
        if not self._store.may_act:
            why = "this view is read-only" if self._store.readonly else "viewers may look only"
            self._app.notify(f"{what} is not permitted: {why}", severity="warning")
            return False
        if not self._store.live:
            self._app.notify(f"{what} can't be asked now: there is no connection to the daemon", severity="warning")
            return False
        return True

    def ask_worker(self, verb: str, name: str) -> None:
        worker = self._store.workers.get(name)
        if worker is None or not self.permitted(verb):
            return
        lines = [f"{name} is {state(worker).word}, with {interrupted([worker], self._store)}."]
        if verb == "stop":
            lines.append("It stays stopped until it is started again.")
        self._confirmed(ActWanted(verb, name), lines)

    def ask_pool(self, verb: str, pool: PoolStatus) -> None:
        if not self.permitted(f"{verb} of {pool.name}"):
            return
        workers = [worker for worker in self._store.workers.values() if worker.pool == pool.name]
        up = f"{pool.ready} of {count(pool.total, 'worker')} ready"
        lines = [f"pool {pool.name} has {up}, with {interrupted(workers, self._store)}."]
        if verb == "stop":
            lines.append("It stays stopped until it is started again, and so do workers that it gets later.")
        self._confirmed(ActWanted(verb, pool.name, pool=True), lines)

    def _confirmed(self, wanted: ActWanted, lines: list[str]) -> None:
        """Ask first what interrupts; to start interrupts nobody."""
        if wanted.verb == "start":
            self._app.post_message(wanted)
            return
        from qvl_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self._app.post_message(wanted)

        what = f"{wanted.verb} {'pool ' if wanted.pool else ''}{wanted.name}?"
        self._app.push_screen(ConfirmScreen(what, lines, yes=wanted.verb), answered)

    # --- sending --------------------------------------------------------------------------------------------------

    async def act(self, wanted: ActWanted) -> None:
        workers = self._store.workers
        names = [worker.name for worker in workers.values() if worker.pool == wanted.name] if wanted.pool else None
        names = names or [wanted.name]
        self._changed(self._store.ask(wanted.verb, names, self._clock()))
        try:
            accepted = await self._link.act(wanted.verb, wanted.name, pool=wanted.pool)
        except QvlError as error:
            self._changed(self._store.refused(names))
            self._refused(error)
        else:
            self._changed(self._store.accepted(names, accepted.seq))

    async def switch(self, wanted: SwitchWanted) -> None:
        try:
            accepted = await self._link.switch(wanted.pool, wanted.profile)
        except QvlError as error:
            self._refused(error)
        else:
            self._app.notify(accepted.message, timeout=4)

    async def cancel(self, wanted: CancelWanted) -> None:
        try:
            accepted = await self._link.cancel_switch(wanted.pool)
        except QvlError as error:
            self._refused(error)
        else:
            self._app.notify(accepted.message, timeout=4)

    def _refused(self, error: QvlError) -> None:
        text = f"{error.message}\n→ {error.hint}" if error.hint else error.message
        self._app.notify(text, severity="error", timeout=10)
