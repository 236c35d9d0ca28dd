"""One run of the interface in this terminal, from links to an exit code. `python -m qvl_tui`, `qvlctl tui` and
`qvlctl up` come here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qvl_tui import crash, keymap, prefs
from qvl_tui.link import Link

if TYPE_CHECKING:
    from qvl_tui.app import QvlApp


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may say of a run."""

    readonly: bool = False
    interval: float | None = None
    """Seconds between two pictures of figures; None: the usual ones."""
    theme: str | None = None
    """A theme's name with or without `qvl-`; None: that of the last run."""
    mouse: bool = True
    """False: the terminal's own way to mark and copy text works without a modifier."""


def show(
    links: Sequence[Link],
    options: Options | None = None,
    *,
    owned: bool = False,
) -> int:
    """Show these daemons until the user leaves; answers the exit code."""
    from qvl_tui.app import BEAT, QvlApp

    options = options or Options()
    home, liked = _liked(options)
    app = QvlApp(
        links,
        owned=owned,
        readonly=options.readonly,
        interval=options.interval or BEAT,
        prefs=liked,
        keymap=keymap.load(keymap.path()),
        home=home,
    )
    return _run(app, options)


def _liked(options: Options) -> tuple[Path, prefs.Preferences]:
    """Where preferences are kept, and what they are."""
    home = prefs.home()
    liked = prefs.load(home / "tui.json")
    if options.theme is not None:
        liked.theme = f"qvl-{options.theme.removeprefix('qvl-')}"
    return home, liked


def _run(app: "QvlApp", options: Options) -> int:
    app.run(mouse=options.mouse)
    if app.crashed is not None:
        crash.tell(app.crashed, app.report, owned=app.owned)
        return 1
    return app.return_code or 0


def replay(path: Path, options: Options | None = None) -> int:
    """Show the recording at `path`, from its beginning. Raises QvlError where it is none."""
    from qvl_tui.app import BEAT
    from qvl_tui.replay.app import ReplayApp
    from qvl_tui.replay.deck import Deck
    from qvl_tui.replay.tape import Tape

    deck = Deck(Tape(path))
    options = options or Options()
    home, liked = _liked(options)
    app = ReplayApp(deck, interval=options.interval or BEAT, prefs=liked, keymap=keymap.load(keymap.path()), home=home)
    deck.toggle()
    return _run(app, options)


def run(socket: Path, options: Options | None = None, *, owned: bool = False) -> int:
    """Show the daemon behind `socket`."""
    from qvl_tui.wire import SocketLink

    return show([SocketLink(socket, socket.with_name("view.sock"))], options, owned=owned)
