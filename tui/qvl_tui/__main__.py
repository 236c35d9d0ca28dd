"""`python -m qvl_tui --socket PATH`: the interface on its own. `qvlctl tui` finds the socket and comes here too."""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from qvl.model.error import ErrorCode, QvlError


def main(argv: Sequence[str] | None = None) -> int:
    """Answers the exit code. Raises QvlError where there is no terminal, or where the daemon's host can't be reached in
    the first place."""
    parser = argparse.ArgumentParser(prog="qvl_tui", description="Watch and steer the workers of this host, or others.")
    parser.add_argument(
        "--socket",
        action="append",
        default=[],
        metavar="PATH",
        help="the daemon's socket: supervisor.sock or view.sock",
    )
    parser.add_argument("--host", action="append", default=[], metavar="BOX", help="of another host, by ssh")
    parser.add_argument(
        "--name", action="append", default=[], help="for each --socket: what the host is called that it is carried from"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a recording, and no daemon")
    parser.add_argument("--readonly", action="store_true", help="look only; keys that act are off")
    parser.add_argument("--interval", type=float, metavar="SECONDS", help="between two pictures of figures")
    parser.add_argument("--theme", metavar="NAME", help="dark, light, contrast or colorblind")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--no-color", action="store_true", help="greys only; NO_COLOR does the same")
    parser.add_argument("--web", action="store_true", help="in the browser, on this host's loopback only")
    parser.add_argument("--web-port", type=int, default=0, metavar="N", help="the port for it (default: a free one)")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end when this process, the parent, ends")
    options = parser.parse_args(argv)
    if bool(options.socket or options.host) == (options.replay is not None):
        parser.error("name the daemon, --socket PATH or --host BOX, or a recording, --replay FILE")
    if options.no_color:
        os.environ["NO_COLOR"] = "1"
    # A start makes no garbage worth the looking: that would cost a tenth of the time to the first picture.
    gc.set_threshold(50_000)
    if options.with_parent is not None:
        end_with(options.with_parent)
    if options.web:
        from qvl_tui.web.run import serve

        return serve(options)
    need_terminal()
    from qvl_tui.main import Options, replay, run, show

    chosen = Options(
        readonly=options.readonly, interval=options.interval, theme=options.theme, mouse=not options.no_mouse
    )
    if options.replay is not None:
        return replay(options.replay, chosen)
    if options.host:
        from qvl_tui.remote import links, tunnels

        with tunnels(options.host, options.socket[0] if options.socket else None) as made:
            return show(links(made), chosen)
    if any(options.name):
        from qvl_tui.remote import carried

        return show(
            [carried(Path(path), name) for path, name in zip(options.socket, options.name, strict=True)], chosen
        )
    return run(Path(options.socket[0]), chosen)


def need_terminal() -> None:
    """Textual draws on stderr, and reads a stdin that has ended again and again. Behind a page of the browser it has a
    driver of its own, for pipes."""
    if "TEXTUAL_DRIVER" in os.environ or all(map(os.isatty, (0, 1, 2))):
        return
    hint = "over ssh: ssh -t HOST qvlctl tui, or from here: qvlctl --host HOST tui"
    raise QvlError(ErrorCode.BAD_REQUEST, "the terminal interface needs a terminal", hint)


def end_with(parent: int) -> None:
    """Have the kernel tell us when the parent ends, however it does: nobody would see this interface any more."""
    import ctypes
    import signal

    pr_set_pdeathsig = 1  # <linux/prctl.h>
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QvlError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.code.exit_code)
