"""doctor: what would stop this host from serving, each with its mend. It looks, and changes nothing.

Exit code 1 where something would; a warning is what will hurt some day.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from qvl.cli import table
from qvl.cli.context import Context

STYLES = {"ok": "good", "warn": "warn", "fail": "bad"}


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = (
        "examples:\n  qvlctl doctor\n  sudo -u qvl qvlctl doctor --json     as the user that the daemon runs as"
    )
    return doctor


def doctor(context: Context, args: argparse.Namespace) -> int:
    from qvl.cli.checkup import checkup

    findings = checkup(context)
    sick = any(finding.state == "fail" for finding in findings)
    if context.json:
        checks = [
            {"name": found.name, "state": found.state, "message": found.message, "mend": found.mend}
            for found in findings
        ]
        context.print_json({"version": 1, "ok": not sick, "checks": checks})
        return int(sick)
    longest = max(len(finding.name) for finding in findings)
    for finding in findings:
        lead = f"{finding.state:<4}  {finding.name:<{longest}}  "
        first, *rest = table.wrapped(finding.message, width=context.width, first=lead, rest=" " * len(lead))
        print(context.paint(finding.state, STYLES[finding.state]) + first[len(finding.state) :])
        print("".join(f"{line}\n" for line in rest), end="")
        if finding.mend:
            mend = " " * len(lead) + "mend: "
            print("\n".join(table.wrapped(finding.mend, width=context.width, first=mend, rest=" " * len(mend))))
    return int(sick)
