"""A user's own keys: a TOML file of `"id" = "keys"`, with the ids of the key table.

    # ~/.config/qvl/keys.toml
    "fleet.stop" = "ctrl+s"
    "app.quit" = "ctrl+q,Q"

What is wrong with the file is told on screen, and everything else in it holds.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from qvl_tui.keys import KEYS, Key

_SHOWN = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "space": "Space",
    "enter": "⏎",
    "escape": "Esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
}


class Keymap:
    """The table's keys with the user's in their place. `faults` are sentences."""

    def __init__(self, own: Mapping[str, object] | None = None, faults: tuple[str, ...] = ()) -> None:
        known = {key.id: key for key in KEYS}
        found: list[str] = list(faults)
        self.own: dict[str, str] = {}
        for name, keys in (own or {}).items():
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                found.append(f'there is no key "{name}"' + (f' (did you mean "{near[0]}"?)' if near else ""))
            elif not isinstance(keys, str) or not keys.strip():
                found.append(f'the key of "{name}" must be a text such as "ctrl+s", not {keys!r}')
            else:
                self.own[name] = ",".join(part.strip() for part in keys.split(","))
        found += self._doubled(known)
        self.faults = tuple(found)

    def _doubled(self, known: Mapping[str, Key]) -> list[str]:
        """Keys that were given to two things of one screen: the first in the table has them."""
        told = []
        for name, keys in self.own.items():
            for other in KEYS:
                shared = set(keys.split(",")) & set(self.keys(other).split(","))
                same_place = other.where is known[name].where
                if other.id != name and shared and same_place and (other.id not in self.own or other.id > name):
                    told.append(f'"{min(shared)}" is the key of both "{name}" and "{other.id}"')
        return told

    def keys(self, key: Key) -> str:
        return self.own.get(key.id, key.keys)

    def shown(self, key: Key) -> str:
        """What people are told to press."""
        if key.id not in self.own:
            return key.shown
        first = self.own[key.id].split(",")[0]
        if "+" not in first:
            return _SHOWN.get(first) or (first if len(first) == 1 else first.capitalize())
        return "+".join(_SHOWN.get(part) or part.capitalize() for part in first.split("+"))


def path(env: Mapping[str, str] | None = None) -> Path:
    known = os.environ if env is None else env
    base = known.get("XDG_CONFIG_HOME") or os.path.join(known.get("HOME") or "~", ".config")
    return Path(os.path.expanduser(base), "qvl", "keys.toml")


def load(file: Path) -> Keymap:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Keymap()
    except (OSError, UnicodeDecodeError) as error:
        return Keymap(faults=(f"{file} can't be read: {error}",))
    import tomllib

    try:
        return Keymap(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        return Keymap(faults=(f"{file}: {error}",))
