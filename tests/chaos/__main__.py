"""`python -m tests.chaos --seed 1 --minutes 10`: exit code 1 where something that must hold did not."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.draw import KINDS, draw

_INSIDE = "QVL_CHAOS_INSIDE"
"""Set in the run that has a mount namespace of its own."""


def main() -> int:
    options = _parse()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    only = tuple(options.only.split(",")) if options.only else ()
    if options.list:
        for number in range(1, options.list + 1):
            print(f"round {number:3}  {', '.join(map(str, draw(seed, number, only)))}")
        return 0
    if _INSIDE not in os.environ and _may_mount():
        words = [sys.executable, "-m", "tests.chaos", *_words(sys.argv[1:], seed)]
        # Its mounts end with it, however it ends.
        os.execvpe("unshare", ["unshare", "--mount", *words], {**os.environ, _INSIDE: "1"})
    small_disk = _INSIDE in os.environ
    root = Path(tempfile.mkdtemp(prefix="qvl-chaos-", dir="/tmp"))  # short: sockets lie below it
    print(f"seed {seed}" + ("" if small_disk else "; no disk may be mounted here: it is not filled"), flush=True)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(130))  # as after Ctrl+C, nothing stays behind
    campaign = Campaign(seed, root, sys.stdout, small_disk=small_disk, only=only)
    campaign.run(options.minutes * 60, options.rounds)
    campaign.summary()
    if campaign.violations:
        print(f"kept: {root}")
        return 1
    shutil.rmtree(root, ignore_errors=True)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults at random, against a fleet.")
    parser.add_argument("--seed", type=int, help="the sequence of faults; drawn and printed where it isn't given")
    parser.add_argument("--minutes", type=float, default=2, help="no round begins later (default: 2)")
    parser.add_argument("--rounds", type=int, default=0, help="no more than so many")
    parser.add_argument("--only", default="", help=f"draw from these kinds alone: {','.join(KINDS)}")
    parser.add_argument("--list", type=int, default=0, metavar="N", help="show the first N rounds and play none")
    options = parser.parse_args()
    if unknown := {kind for kind in options.only.split(",") if kind} - set(KINDS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


def _words(argv: list[str], seed: int) -> list[str]:
    """The command line with its seed, so that the one that was drawn is the one that is played."""
    return argv if any(word.startswith("--seed") for word in argv) else [*argv, f"--seed={seed}"]


def _may_mount() -> bool:
    """Whether we may have a mount namespace, and mount in it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as place:
        trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
        return subprocess.run(trial, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
