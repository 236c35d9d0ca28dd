"""Runs qvlctl: in this process where only its words matter, as a program where its process does."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from qvl.cli.main import main

from tests.fakes import FakeControl, Served, serve


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one document on stdout."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Qvlctl:
    """qvlctl in this process, against a socket."""

    def __init__(self, capsys: pytest.CaptureFixture[str], socket: Path | None) -> None:
        self._capsys = capsys
        self._socket = socket

    def __call__(self, *words: str) -> Ran:
        self._capsys.readouterr()
        where = () if self._socket is None else ("--socket", str(self._socket))
        code = main([*where, *words])
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def daemon(control: FakeControl, tmp_path: Path) -> Iterator[Served]:
    with serve(control, tmp_path / "s.sock") as served:
        yield served


@pytest.fixture
def qvlctl(daemon: Served, capsys: pytest.CaptureFixture[str], home: Path) -> Qvlctl:
    """Against a daemon of scripted data."""
    return Qvlctl(capsys, daemon.socket)


@pytest.fixture
def lonely(capsys: pytest.CaptureFixture[str], home: Path) -> Qvlctl:
    """Without a daemon."""
    return Qvlctl(capsys, None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of no qvl at all: no variable and no file of the developer's own is seen."""
    for name in ("QVL_CONFIG", "QVL_SOCKET", "QVL_STATE_DIR", "QVL_LOG_DIR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QVL_CONFIG", str(home / "none.toml"))
    monkeypatch.setenv("QVL_SOCKET", str(home / "none.sock"))
    monkeypatch.setenv("QVL_STATE_DIR", str(home / "state"))
    monkeypatch.setenv("QVL_LOG_DIR", str(home / "logs"))
    return home


def program(*words: str) -> list[str]:
    """The command line that runs qvlctl as a process of its own."""
    return [sys.executable, "-c", "import sys; from qvl.cli.main import main; sys.exit(main())", *words]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
