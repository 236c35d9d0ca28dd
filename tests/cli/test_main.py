"""The command line itself: options on either side of the verb, usage, errors, and how it ends."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from qvl import __version__
from qvl.cli.main import VERBS, parser_of, verb_at

from tests.cli.run import Qvlctl, environment, program
from tests.fakes import Served
from tests.support import wait_until


def test_options_stand_on_either_side_of_the_verb(daemon: Served, lonely: Qvlctl) -> None:
    path = str(daemon.socket)
    for words in (
        ["--socket", path, "--json", "status"],
        ["status", "--json", "--socket", path],
        ["--json", "status", f"--socket={path}"],
    ):
        assert lonely(*words).json["version"] == 1


def test_the_value_of_an_option_is_no_verb() -> None:
    assert verb_at(["--socket", "status", "--json", "top"]) == 3
    assert verb_at(["--socket=x", "status"]) == 1
    assert verb_at(["--socket", "status"]) is None


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser, run = parser_of(verb)
    text = parser.format_help()
    assert f"qvlctl {verb}" in text.partition("examples:")[2]
    assert callable(run)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ([], "no verb was given", "qvlctl --help"),
        (["stauts"], "unknown verb 'stauts'", "did you mean `qvlctl status`?"),
        (["xyzzy"], "unknown verb 'xyzzy'", "qvlctl --help"),
        (["help", "strat"], "unknown verb 'strat'", "qvlctl start"),
        (["status", "--colour"], "unrecognized arguments: --colour", "qvlctl status --help"),
        (["start"], "TARGET", "qvlctl start --help"),
        (["start", "all", "--timeout", "soon"], '"soon" is not a duration', "qvlctl start --help"),
        (["switch"], "PROFILE --reset --cancel", "qvlctl switch --help"),
        (["switch", "a", "--reset"], "not allowed with", "qvlctl switch --help"),
        (["daemon"], "action", "qvlctl daemon --help"),
        (["logs", "w", "-n", "many"], "'many' is not a number of lines", "qvlctl logs --help"),
        (["logs", "w", "--grep", "("], "is not a regular expression", "qvlctl logs --help"),
        (["wait", "w", "--for", "lunch"], "invalid choice: 'lunch'", "qvlctl wait --help"),
        (["--socket"], "--socket needs a value", "qvlctl --help"),
        (["status", "--sock", "x"], "unrecognized arguments", "qvlctl status --help"),
    ],
)
def test_usage_errors_exit_2(lonely: Qvlctl, words: list[str], error: str, hint: str) -> None:
    ran = lonely(*words)
    first, second = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert first.startswith("error: ")
    assert error in first
    assert second.startswith("hint: ")
    assert hint in second


def test_help_and_version_ask_nobody(lonely: Qvlctl, capsys: pytest.CaptureFixture[str]) -> None:
    assert lonely("--version").out == f"qvlctl {__version__}\n"
    assert all(f"  {verb} " in lonely("--help").out for verb in VERBS)
    assert lonely("help").out == lonely("--help").out
    assert "usage: qvlctl switch" in lonely("help", "switch").out
    with pytest.raises(SystemExit) as ended:
        lonely("status", "--help")
    assert ended.value.code == 0


NEEDS_A_DAEMON = [
    ["status"],
    ["start", "all"],
    ["stop", "all", "--no-wait"],
    ["restart", "all"],
    ["wait", "all"],
    ["switch", "fp8"],
    ["plan"],
    ["apply"],
    ["logs", "w"],
    ["events"],
    ["events", "-f"],
    ["top"],
    ["top", "--watch"],
    ["profiles"],
    ["show", "fp8"],
    ["daemon", "restart"],
    ["version"],
]


@pytest.mark.parametrize("words", NEEDS_A_DAEMON, ids=" ".join)
def test_without_a_daemon_it_exits_3_and_says_how_to_start_one(lonely: Qvlctl, home: Path, words: list[str]) -> None:
    ran = lonely(*words)
    assert ran.code == 3
    assert f"error: no daemon is running: there is no socket {home}/none.sock\n" in ran.err
    assert "hint: start it with `systemctl start qvl-supervisor`" in ran.err


def test_a_socket_that_nobody_listens_on(lonely: Qvlctl, tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    ran = lonely("--socket", str(path), "status")
    assert (ran.code, "nobody listens at" in ran.err) == (3, True)


def test_a_reader_that_leaves_is_no_error(daemon: Served) -> None:
    """`qvlctl events | head -1`: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = program("--socket", str(daemon.socket), "events")
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=30)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("words", [["events", "-f"], ["top", "--watch"]], ids=" ".join)
def test_ctrl_c_ends_quietly_with_130(daemon: Served, words: list[str]) -> None:
    command = program("--socket", str(daemon.socket), *words, "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


def test_following_events_tells_what_happens_next_and_nothing_twice(daemon: Served) -> None:
    command = program("--socket", str(daemon.socket), "events", "-f", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["seq"] for _ in range(3)]
        wait_until(lambda: daemon.call(lambda: daemon.server.streams), 20, "the stream")
        daemon.call(lambda: daemon.control.publish("act", "somebody asked"))
        seen.append(json.loads(process.stdout.readline())["seq"])
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert seen == [1, 2, 3, 4]


def test_colour_is_for_terminals_that_want_it(daemon: Served) -> None:
    def shown(*words: str, **variables: str) -> bytes:
        """What qvlctl writes to a terminal of its own."""
        leader, terminal = os.openpty()
        command = program("--socket", str(daemon.socket), "status", *words)
        env = environment(TERM="xterm", COLUMNS="80", **variables)
        process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=env)
        os.close(terminal)
        seen = bytearray()

        def ended() -> bool:
            try:
                seen.extend(os.read(leader, 65536))
            except OSError:  # EIO: the other side is closed
                return True
            return False

        wait_until(ended, 30, "the end of qvlctl status")
        os.close(leader)
        assert process.wait(30) == 0
        return bytes(seen)

    assert b"\033[" in shown()
    assert b"\033[" not in shown("--no-color")
    assert b"\033[" not in shown(NO_COLOR="1")
    assert b"\033[" not in shown("--json")
    assert shown("--json").startswith(b"{\r\n  ")  # for people: indented


def test_errors_of_the_daemon_keep_their_hint(qvlctl: Qvlctl, daemon: Served) -> None:
    ran = qvlctl("show", "eagl3")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: unknown profile 'eagl3'\nhint: did you mean eagle3?\n"
