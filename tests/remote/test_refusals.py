"""What --host has no meaning for is refused before anything is connected to, with what to type instead."""

import pytest

from tests.cli.run import Qvlctl


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["check"], "check reads a file of this host", "ssh -t box qvlctl check"),
        (["edit"], "edit edits a file of this host", "ssh -t box qvlctl edit"),
        (["up", "--demo"], "up runs a daemon on this host", "ssh -t box qvlctl up"),
        (["doctor"], "doctor looks at this host", "ssh -t box qvlctl doctor"),
        (["plan", "new.toml"], "new.toml is a file of this host", "ssh box qvlctl plan FILE"),
        (["tui", "--replay", "r.qvlrec"], "r.qvlrec is a file of this host", "qvlctl tui --replay r.qvlrec"),
        (["status", "--host", "other"], "status speaks to one daemon, and --host is given 2 times", "tui"),
        (["status", "--config", "q.toml"], "--config is a place of this host", "ssh -t box qvlctl status"),
        (["logs", "w", "--log-dir", "log"], "--log-dir is a place of this host", "ssh -t box qvlctl logs"),
        (["status", "--socket", "run/q.sock"], "must be absolute", "--socket /run/qvl/supervisor.sock"),
        (["status", "--host=-oProxyCommand=x"], "--host '-oProxyCommand=x' is no host", "--host user@box"),
        (["status", "--host", "box rm"], "--host 'box rm' is no host", "--host user@box"),
        (["status", "--host="], "--host '' is no host", "--host user@box"),
    ],
    ids=" ".join,
)
def test_refused(lonely: Qvlctl, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str, hint: str) -> None:
    monkeypatch.setenv("QVL_SSH", "/no/such/ssh")
    ran = lonely("--host", "box", *words)
    assert (ran.code, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert second.startswith("hint: ")
    assert hint in second


def test_the_interface_takes_several_hosts_but_needs_a_terminal(lonely: Qvlctl) -> None:
    ran = lonely("tui", "--host", "box", "--host", "other")
    assert (ran.code, "the terminal interface needs a terminal" in ran.err) == (1, True)


def test_the_themes_that_may_be_named_are_those_there_are() -> None:
    from qvl.cli.tui import THEMES
    from qvl_tui import theme

    assert {f"qvl-{name}" for name in THEMES} == {one.name for one in theme.THEMES}
