"""What the user likes, kept between runs in one small file. What can't be read counts as never written, and what can't
be written costs nothing but the memory: the interface must not fail for it."""

import contextlib
import os
from pathlib import Path

import msgspec


class Preferences(msgspec.Struct):
    """Every field has a default, so that files of other versions are read as far as they are understood."""

    theme: str = "qvl-dark"
    screen: str = "fleet"
    """The screen to begin with: where one left."""
    worker: str = ""
    log_wrap: bool = False
    log_stamps: str = "absolute"
    """`absolute`, `relative` or `off`"""
    log_level: str = "all"
    """`all`, `warning` or `error`: the least that is shown."""
    metrics_span: float = 900.0
    """Seconds that plots go back."""
    metrics_scope: str = "worker"
    """`worker`, `pool` or `all`"""


def home(env: dict[str, str] | None = None) -> Path:
    """`$XDG_STATE_HOME/qvl`, where preferences and reports of crashes lie."""
    known = os.environ if env is None else env
    base = known.get("XDG_STATE_HOME") or os.path.join(known.get("HOME") or "~", ".local", "state")
    return Path(os.path.expanduser(base), "qvl")


def load(path: Path) -> Preferences:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Preferences)
    except (OSError, msgspec.DecodeError):
        return Preferences()


def save(path: Path, prefs: Preferences) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(prefs)) + b"\n")
        draft.replace(path)
