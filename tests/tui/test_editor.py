"""The user's editor on the daemon's file: where it may be opened, and where not, what to do instead."""

import os
from pathlib import Path

import pytest
from qvl_tui import editor


@pytest.fixture(autouse=True)
def _no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_where_the_file_is_elsewhere_it_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    file = tmp_path / "qvl.toml"
    assert "ssh ann@gpu-07" in editor.why_not(str(file), "ann@gpu-07")
    assert "is not on this machine" in editor.why_not(str(file), "")
    file.touch()
    assert editor.why_not(str(file), "") == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_of_somebody_else_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "qvl.toml"
    file.touch(0o400)
    assert "is not yours to write" in editor.why_not(str(file), "")


def test_without_an_editor_it_is_told_how_to_set_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "qvl.toml"
    file.touch()
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    assert "EDITOR=nano" in editor.why_not(str(file), "")
    monkeypatch.setenv("EDITOR", "an 'unclosed quote")
    assert editor.command() == []
    monkeypatch.setenv("VISUAL", "true --wait")
    assert editor.command() == ["true", "--wait"]


def test_it_begins_at_the_line_that_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("EDITOR", str(script(tmp_path, "vim", f'echo "$@" > {told}')))
    assert editor.edit("/etc/qvl/qvl.toml", 24) == ""
    assert told.read_text() == "+24 /etc/qvl/qvl.toml\n"
    monkeypatch.setenv("EDITOR", str(script(tmp_path, "unknown", f'echo "$@" > {told}')))
    editor.edit("/etc/qvl/qvl.toml", 24)
    assert told.read_text() == "/etc/qvl/qvl.toml\n", "what an unknown editor makes of +24 nobody knows"


def test_an_editor_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = script(tmp_path, "vim", "exit 3")
    monkeypatch.setenv("EDITOR", str(failing))
    assert editor.edit("/etc/qvl/qvl.toml", 1) == f"{failing} ended with exit code 3"
