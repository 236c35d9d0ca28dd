"""The user's editor on the daemon's file: only where that file is on this machine and may be written by this user."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

EDITORS = ("editor", "nano", "vim", "vi")
"""Looked for in this order where neither VISUAL nor EDITOR is set."""


def why_not(path: str, host: str) -> str:
    """Why it can't be edited from here, and what to do; empty where it can. `host`: as the user called it, empty for
    this machine."""
    if host:
        return f"the file is on {host}: `ssh {host}`, then `qvlctl edit`"
    file = Path(path)
    if not file.is_file():
        return f"{path} is not on this machine: `qvlctl edit` where the daemon runs"
    if not os.access(file, os.R_OK | os.W_OK):
        return f"{path} is not yours to write: `sudo qvlctl edit`"
    if not command():
        return "no editor is set: EDITOR=nano qvlctl tui"
    return ""


def command() -> list[str]:
    """The editor's words; empty where there is none."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR") or next(filter(shutil.which, EDITORS), "")
    try:
        words = shlex.split(chosen)
    except ValueError:
        return []
    return words if words and shutil.which(words[0]) else []


def edit(path: str, line: int) -> str:
    """Run it on this terminal until it ends. `line`: where to begin, for the editors that take `+LINE`. Answers what
    went wrong, empty for nothing."""
    words = command()
    at = [f"+{line}"] if Path(words[0]).name in _TAKE_LINES and line > 1 else []
    try:
        code = subprocess.run([*words, *at, path], check=False).returncode
    except OSError as error:
        return f"{words[0]}: {error.strerror or error}"
    return f"{words[0]} ended with exit code {code}" if code else ""


_TAKE_LINES = ("editor", "nano", "vim", "vi", "nvim", "emacs", "micro", "joe")
