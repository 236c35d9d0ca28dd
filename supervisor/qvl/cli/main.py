"""The entry of qvlctl: finds the verb, loads its module and nothing else, and turns errors into sentences.

There is one parser, the verb's own. The verb is looked for first, so that the global options may stand on either side
of it, and so that no other verb's options, modules and help texts are loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from qvl.cli.context import Context
from qvl.cli.terminal import painter, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qvl.model.error import QvlError

Run = Callable[[Context, argparse.Namespace], int]

VERBS = {
    "status": ("status", "pools, workers and GPUs: what is up, what isn't, and why"),
    "start": ("acts", "start workers, a pool or all, and wait until they are ready"),
    "stop": ("acts", "stop workers, a pool or all, and wait until they are gone"),
    "restart": ("acts", "restart workers, a pool or all, and wait until they are ready"),
    "switch": ("switching", "change the profile that a pool runs, with a way back"),
    "wait": ("acts", "wait until a worker, a pool or all is ready or stopped"),
    "plan": ("planning", "what an edit of the configuration would do"),
    "apply": ("planning", "apply the edit that waits"),
    "check": ("check", "validate a configuration file; needs no daemon"),
    "edit": ("edit", "edit the live configuration, checked before it is saved"),
    "logs": ("logs", "what a worker wrote"),
    "events": ("events", "what happened, and why"),
    "top": ("top", "one screen of GPU and engine figures"),
    "profiles": ("profiles", "the profiles, and the pools that run them"),
    "show": ("profiles", "a profile's resolved arguments and where each comes from"),
    "tui": ("tui", "the terminal interface; --replay shows a recording"),
    "record": ("record", "write down all that happens, to be replayed later and elsewhere"),
    "up": ("up", "run the daemon in this terminal; --demo needs no GPU and no engine"),
    "daemon": ("daemon", "`daemon restart` replaces the daemon's code; workers keep serving"),
    "doctor": ("doctor", "what would stop this host from serving, and the mend"),
    "version": ("version", "versions of qvlctl, of the daemon and of each engine"),
}
"""verb -> (module of qvl.cli, summary). A module has `configure(parser, verb)`, which adds the options and gives
back what runs."""

VALUED = ("--host", "--socket", "--config", "--state-dir", "--log-dir")
USAGE = "qvlctl [--host BOX] [--socket PATH] [--json] [--no-color] VERB …"
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Usage errors in the voice of all other errors: `error:`, `hint:`, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help")


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse makes one of these for each option, to check it, and asks shutil for the width: 3 ms of imports."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=width(sys.stdout) - 2)


class UsageError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and gives back its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        complain(str(error), error.hint)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Without this the interpreter complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        # Only now: the module of errors brings msgspec, which a command that succeeds has no need of.
        from qvl.model.error import QvlError

        if not isinstance(error, QvlError):
            raise
        return fail(error)


def run(arguments: list[str]) -> int:
    at = verb_at(arguments)
    if at is None:
        return without_verb(arguments)
    verb = arguments.pop(at)
    if verb == "help":
        return help_of(arguments)
    if verb not in VERBS:
        raise UsageError(f"unknown verb {verb!r}", nearest_verb(verb))
    parser, run_verb = parser_of(verb)
    args = parser.parse_args(arguments)
    if args.hosts:
        from qvl.cli.remote import refusal

        if refused := refusal(verb, args):
            raise UsageError(*refused)
    with Context(args) as context:
        return run_verb(context, args)


def verb_at(arguments: Sequence[str]) -> int | None:
    """The index of the verb: the first word that is neither an option nor the value of one."""
    skip = False
    for at, word in enumerate(arguments):
        if skip:
            skip = False
        elif word in VALUED:
            skip = True
        elif not word.startswith("-"):
            return at
    return None


def parser_of(verb: str) -> tuple[Parser, Run]:
    """The verb's parser, with the global options in it."""
    module, summary = VERBS[verb]
    parser = Parser(
        prog=f"qvlctl {verb}",
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=Help,
        allow_abbrev=False,
    )
    run_verb: Run = import_module(f"qvl.cli.{module}").configure(parser, verb)
    everywhere = parser.add_argument_group("everywhere")
    everywhere.add_argument(
        "--socket", metavar="PATH", help="the daemon's socket (else QVL_SOCKET, else the usual one)"
    )
    everywhere.add_argument(
        "--host",
        action="append",
        default=[],
        dest="hosts",
        metavar="BOX",
        help="of another host, by ssh: [USER@]BOX; --socket is then one over there",
    )
    everywhere.add_argument("--config", metavar="FILE", help="the configuration (else QVL_CONFIG, else the usual one)")
    everywhere.add_argument("--state-dir", metavar="DIR", help="the state directory (else QVL_STATE_DIR)")
    everywhere.add_argument("--log-dir", metavar="DIR", help="the directory of the logs (else QVL_LOG_DIR)")
    everywhere.add_argument("--json", action="store_true", help="one JSON document, or an object a line for streams")
    everywhere.add_argument("--no-color", action="store_true", help="no colour; NO_COLOR=1 does the same")
    return parser, run_verb


def without_verb(arguments: list[str]) -> int:
    if "--version" in arguments or "-V" in arguments:
        from qvl import __version__

        print(f"qvlctl {__version__}")
        return 0
    if {"-h", "--help"} & set(arguments):
        print(overview())
        return 0
    if arguments and arguments[-1] in VALUED:
        raise UsageError(f"{arguments[-1]} needs a value", "qvlctl --help")
    raise UsageError("no verb was given", "qvlctl --help, or `qvlctl status` to see what is up")


def help_of(words: list[str]) -> int:
    """`qvlctl help [VERB]`, since people type it."""
    if not words:
        print(overview())
        return 0
    if words[0] not in VERBS:
        raise UsageError(f"unknown verb {words[0]!r}", nearest_verb(words[0]))
    parser_of(words[0])[0].print_help()
    return 0


def overview() -> str:
    longest = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{longest}}  {summary}" for verb, (_, summary) in VERBS.items())
    return f"""usage: {USAGE}

Commands qvl, which runs SGLang workers on the GPUs of this host and keeps them running.

{verbs}

Each verb explains itself: qvlctl VERB --help. Data goes to stdout, everything else to stderr.
Exit codes: 0 done, 1 refused or failed, 2 usage, 3 the daemon can't be reached, 4 timed out,
5 `plan --exit-code` found changes, 130 interrupted."""


def nearest_verb(word: str) -> str:
    from qvl.cli.names import nearest

    close = nearest(word, VERBS)
    return f"did you mean `qvlctl {close[0]}`?" if close else "see all verbs: qvlctl --help"


def fail(error: QvlError) -> int:
    complain(error.message, error.hint)
    return error.code.exit_code


def complain(message: str, hint: str | None) -> None:
    paint = painter(sys.stderr, allowed="--no-color" not in sys.argv)
    print(paint("error:", "bad"), message, file=sys.stderr)
    if hint:
        print(paint("hint:", "bold"), hint, file=sys.stderr)
