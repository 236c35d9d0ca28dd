"""`python -m qvl_tui --socket PATH`: the interface on its own. `qvlctl tui` finds the socket and comes here too."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="qvl_tui", description="Watch and steer the workers of this host.")
    parser.add_argument("--socket", type=Path, required=True, help="the daemon's socket: supervisor.sock or view.sock")
    parser.add_argument("--readonly", action="store_true", help="look only; keys that act are off")
    options = parser.parse_args(argv)
    from qvl_tui.app import run

    return run(options.socket, readonly=options.readonly)


if __name__ == "__main__":
    sys.exit(main())
