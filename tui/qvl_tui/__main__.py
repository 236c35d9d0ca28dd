"""`python -m qvl_tui --socket PATH`: the interface on its own. `qvlctl tui` finds the socket and comes here too."""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="qvl_tui", description="Watch and steer the workers of this host.")
    parser.add_argument("--socket", type=Path, required=True, help="the daemon's socket: supervisor.sock or view.sock")
    parser.add_argument("--readonly", action="store_true", help="look only; keys that act are off")
    parser.add_argument("--no-color", action="store_true", help="greys only; NO_COLOR does the same")
    options = parser.parse_args(argv)
    if options.no_color:
        os.environ["NO_COLOR"] = "1"
    # A start makes no garbage worth the looking: that would cost a tenth of the time to the first picture.
    gc.set_threshold(50_000)
    from qvl_tui.main import Options, run

    return run(options.socket, Options(readonly=options.readonly))


if __name__ == "__main__":
    sys.exit(main())
