"""--host: which command lines make sense for another host's daemon. What the rest means is `qvl.client.ssh`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HERE = {
    "check": "reads a file of this host",
    "edit": "edits a file of this host",
    "up": "runs a daemon on this host",
    "doctor": "looks at this host",
}
"""Verbs that need no daemon's socket -> why --host says nothing to them."""
PLACES = ("config", "state_dir", "log_dir")


def refusal(verb: str, args: argparse.Namespace) -> tuple[str, str] | None:
    """Why this command line has no --host to it, and what to type instead; None where it has."""
    host = args.hosts[0]
    on_it = f"run it there: ssh -t {host} qvlctl {verb}"
    for one in args.hosts:
        if not one or one.startswith("-") or not one.isprintable() or " " in one:
            return f"--host {one!r} is no host", "write it as ssh takes it: --host user@box"
    if verb in HERE:
        return f"{verb} {HERE[verb]}, so --host means nothing to it", on_it
    if len(args.hosts) > 1 and verb != "tui":
        return f"{verb} speaks to one daemon, and --host is given {len(args.hosts)} times", "only tui shows several"
    if verb == "plan" and args.file:
        hint = f"copy it there, then: ssh {host} qvlctl plan FILE"
        return f"{args.file} is a file of this host, which the daemon of {host} can't read", hint
    if verb == "tui" and args.replay:
        return (
            f"{args.replay} is a file of this host, so it is shown without --host",
            f"qvlctl tui --replay {args.replay}",
        )
    for name in PLACES:
        if getattr(args, name):
            return f"--{name.replace('_', '-')} is a place of this host, so it does not go with --host", on_it
    if args.socket and not args.socket.startswith("/"):
        return (
            f"--socket {args.socket} would be one of {host}, so it must be absolute",
            "--socket /run/qvl/supervisor.sock",
        )
    return None
