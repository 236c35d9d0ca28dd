"""The command palette: every key that does something here, every screen of every worker, acts on workers and pools,
and the themes."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.screen import Screen

from qvl_tui.acts import VERBS
from qvl_tui.keys import KEYS, SCREENS, Where
from qvl_tui.screens.frame import Frame
from qvl_tui.session import Session
from qvl_tui.theme import THEMES

if TYPE_CHECKING:
    from qvl_tui.app import QvlApp


def commands(app: "QvlApp", screen: Screen[object]) -> Iterator[SystemCommand]:
    for key in KEYS:
        local = isinstance(screen, Frame) and key.where is screen.where
        common = key.where is Where.EVERYWHERE or (key.where is Where.REPLAY and app.context.replay is not None)
        if key.id != "app.palette" and (local or common):
            node = screen if local else app
            yield SystemCommand(key.label or key.tooltip, key.tooltip, _run(app, key.action, node))
    for session, name in app.context.places():
        at = f" on {session.name}" if app.context.several else ""
        for where in SCREENS[1:4]:
            yield SystemCommand(
                f"{_NOUN[where]} {name}{at}", _TOLD[where], lambda w=where, s=session, n=name: _open(app, w, s, n)
            )
        for verb in VERBS:
            asks = "" if verb == "start" else "; asks first"
            acts = session.acts
            yield SystemCommand(
                f"{verb} {name}{at}", f"{verb} it{asks}", lambda v=verb, n=name, a=acts: a.ask_worker(v, n)
            )
    for session in app.context.sessions:
        at = f" on {session.name}" if app.context.several else ""
        for pool in session.store.pools:
            for verb in VERBS:
                what = f"{verb} all workers of {pool.name}" + ("" if verb == "start" else "; asks first")
                acts = session.acts
                yield SystemCommand(
                    f"{verb} pool {pool.name}{at}", what, lambda v=verb, p=pool, a=acts: a.ask_pool(v, p)
                )
            first = next((worker.name for worker in session.store.rows() if worker.pool == pool.name), None)
            yield SystemCommand(
                f"profile of pool {pool.name}{at}",
                "switch it; plan first",
                lambda s=session, n=first: _open(app, Where.SWITCH, s, n),
            )
    for theme in THEMES:
        yield SystemCommand(
            f"theme {theme.name.removeprefix('qvl-')}", "colours", lambda t=theme: app.action_theme(t.name)
        )


_NOUN = {Where.WORKER: "worker", Where.LOG: "log", Where.METRICS: "metrics"}
_TOLD = {Where.WORKER: "all about it", Where.LOG: "live log", Where.METRICS: "plots"}


def _run(app: "QvlApp", action: str, node: "Screen[object] | QvlApp") -> Callable[[], None]:
    def run() -> None:
        app.call_later(app.run_action, action, node)

    return run


def _open(app: "QvlApp", where: Where, session: Session, worker: str | None) -> None:
    app.context.focus(session, worker)
    if isinstance(app.screen, Frame) and app.screen.where is where:
        app.screen.refocus()
    else:
        app.action_show(where.value)
