"""`python -m benchmarks [NAME...] [--quick] [--json FILE] [--markdown FILE]`"""

import argparse
import difflib
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import idle, logs, reload, respawn, shim, startup, status, switch, tree, tui
from benchmarks.lab import BenchmarkError, Lab
from benchmarks.peers import CIRCUS, QVL, SUPERVISORD, SYSTEMD, PeersMissing, Qvl, Side, install_peers, peers
from benchmarks.report import Section, as_json, describe, machine, markdown, revised, text
from benchmarks.scale import FULL, QUICK, TINY, Scale

Measure = Callable[[Lab, Sequence[Side], Scale], Section]
MEASUREMENTS: dict[str, Measure] = {
    module.NAME: module.measure for module in (respawn, switch, tree, startup, reload, logs, idle, status, shim, tui)
}


def main() -> int:
    options = _parse()
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, _leave)  # by way of the lab, which ends what runs
    scale = TINY if options.tiny else QUICK if options.quick else FULL
    sides: list[Side] = [Qvl()]
    names = options.names or list(MEASUREMENTS)
    compares = set(names) - {tui.NAME}
    if compares and (not options.only or {SUPERVISORD, CIRCUS} & set(options.only)):
        try:
            sides += peers(install_peers())
        except PeersMissing as error:
            _say(f"{error}; only qvl is measured")
    sides = [side for side in sides if not options.only or side.name in options.only]
    sections: list[Section] = []
    failed = False
    for name in names:
        began = time.monotonic()
        _say(f"{name}: …")
        try:
            boxes = not options.only or SYSTEMD in options.only
            with Lab(options.scratch, boxes=boxes, others=not options.only) as lab:
                sections.append(MEASUREMENTS[name](lab, sides, scale))
            _say(f"{name}: {time.monotonic() - began:.0f} s")
        except BenchmarkError as error:
            failed = True
            _say(f"{name}: {error}")
    about = machine()
    print(f"{describe(about)}\n\n{text(sections)}")
    if options.json:
        options.json.write_text(json.dumps(as_json(about, scale.name, sections), indent=1) + "\n")
    if options.markdown:
        there = options.markdown.read_text() if options.names and options.markdown.exists() else ""
        options.markdown.write_text(revised(there, sections) if there else markdown(about, sections))
    return int(failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure qvl beside supervisord and circus, which are installed below .cache/ for it, and systemd.",
        epilog=f"Measurements: {', '.join(MEASUREMENTS)}; without a name, all of them (about ten minutes).",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="measure only these")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, in about three minutes")
    parser.add_argument(
        "--only", action="append", choices=[QVL, SUPERVISORD, CIRCUS, SYSTEMD], help="leave the others out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the document")
    parser.add_argument("--scratch", type=Path, metavar="DIR", default=Path("/tmp"), help="where to work (/tmp)")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # the test suite's
    options = parser.parse_args()
    for name in options.names:
        if name not in MEASUREMENTS:
            nearest = difflib.get_close_matches(name, MEASUREMENTS, 1)
            parser.error(f"no measurement {name}" + (f"; {nearest[0]} is the nearest" if nearest else ""))
    return options


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
