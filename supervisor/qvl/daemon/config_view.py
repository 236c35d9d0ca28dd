"""The configuration for people to read, viewers among them: the files as they are now, without what is secret in them.

It is read anew for each answer, in a thread, and never twice at a time: who asks meanwhile gets the same answer. So a
client that asks all the time costs no more than one that asks once it has been answered.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from qvl.config.fault import Fault
from qvl.config.load import Loaded
from qvl.config.redaction import HIDDEN, Hide, Mask, hides, may_show, prose, redacted
from qvl.daemon.configuration import Configuration
from qvl.daemon.launcher import read_secrets
from qvl.daemon.shared import Shared
from qvl.model.config import ConfigFault, ConfigFile, ConfigView
from qvl.model.plan import KeyChange, Plan
from qvl.model.spec import Launch
from qvl.model.status import ConfigStatus

MOST_TEXT: Final = 2 << 20
"""Bytes of all files together. One of them has 1 MiB at most; there may be any number of drop-ins."""
MOST_FAULTS: Final = 200
MOST_FILES: Final = 200


class ConfigReader:
    """`launches`: what workers run, or are to; their key files say what must not be shown."""

    def __init__(self, configuration: Configuration, launches: Callable[[], Iterable[Launch]]) -> None:
        self._configuration = configuration
        self._launches = launches
        self._shared = Shared[ConfigView]("read")

    async def read(self) -> ConfigView:
        return await self._shared.ask("configuration", self._read)

    async def _read(self) -> ConfigView:
        loaded, prepared = await self._configuration.look()
        plan = prepared.plan if prepared is not None else None
        return await asyncio.to_thread(view, loaded, self._configuration.status(), plan, tuple(self._launches()))


def view(loaded: Loaded, status: ConfigStatus, plan: Plan | None, launches: Iterable[Launch]) -> ConfigView:
    """Reads the key files of `launches`; one that can't be read has nothing that anybody knows."""
    secrets = known_secrets(launches)
    files, values, room = [], set(secrets), MOST_TEXT
    for path in loaded.sources[:MOST_FILES]:
        data = loaded.contents.get(path)
        whole = [fault.message for fault in loaded.faults if fault.file == path and not fault.line]
        if data is None:
            files.append(ConfigFile(str(path), None, whole[0] if whole else "can't be read"))
        elif len(data) > room:
            problem = f"is not shown: with it the answer would be larger than {MOST_TEXT >> 20} MiB"
            files.append(ConfigFile(str(path), None, problem))
        else:
            room -= len(data)
            file, hidden = _file(path, data, secrets)
            files.append(file)
            values |= hidden
    if more := loaded.sources[MOST_FILES:]:
        files.append(ConfigFile(str(more[0].parent), None, f"{len(more)} more files in it are not shown"))
    mask = Mask(values)
    faults, warnings = loaded.faults[:MOST_FAULTS], loaded.warnings[:MOST_FAULTS]
    return ConfigView(
        status=msgspec.structs.replace(status, error=mask(status.error)) if status.error else status,
        revision=loaded.revision,
        files=tuple(files),
        faults=tuple(_told(fault, mask) for fault in faults),
        warnings=tuple(_told(fault, mask) for fault in warnings),
        left_out=len(loaded.faults) + len(loaded.warnings) - len(faults) - len(warnings),
        plan=_safe(plan, mask) if plan is not None else None,
    )


def known_secrets(launches: Iterable[Launch]) -> frozenset[str]:
    found: set[str] = set()
    for launch in launches:
        with suppress(OSError):
            key, environment = read_secrets(launch)
            found.update(value for value in (key, *environment.values()) if value)
    return frozenset(found)


def _file(path: Path, data: bytes, secrets: Iterable[str]) -> tuple[ConfigFile, frozenset[str]]:
    try:
        text, problem = data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        problem = f"is not text in UTF-8: byte 0x{data[error.start]:02x} at {error.start}"
    if "\0" in text:  # as UTF-16 has it: no name of a secret could be found in there
        return ConfigFile(str(path), None, "is not text: it holds NUL bytes"), frozenset()
    done = redacted(text, secrets)
    return ConfigFile(str(path), done.text, problem, done.places), done.values


def _told(fault: Fault, mask: Mask) -> ConfigFault:
    message, nearest = mask.message(fault.message, fault.key), mask.message(fault.nearest, fault.key)
    return ConfigFault(str(fault.file), fault.line, fault.key, message, nearest)


def _safe(plan: Plan, mask: Mask) -> Plan:
    """A plan tells values of the environment, which are for operators; what is secret among them isn't for viewers."""
    steps = (msgspec.structs.replace(step, keys=tuple(_change(key, mask) for key in step.keys)) for step in plan.steps)
    warnings = (msgspec.structs.replace(warning, message=mask(warning.message)) for warning in plan.warnings)
    return msgspec.structs.replace(plan, id="", steps=tuple(steps), warnings=tuple(warnings))


def _change(change: KeyChange, mask: Mask) -> KeyChange:
    hide = hides(change.key.rpartition(".")[2])
    return KeyChange(change.key, _shown(change.old, hide, mask), _shown(change.new, hide, mask))


def _shown(value: object, hide: Hide, mask: Mask) -> object:
    match value:
        case str() if hide is not Hide.NOTHING and not may_show(value, hide):
            return HIDDEN
        case str():
            return prose(mask(value))
        case list() | tuple():
            before = (None, *value)
            return [_shown(item, max(hide, _flag(flag)), mask) for flag, item in zip(before, value, strict=False)]
        case Mapping():
            return {str(key): _shown(item, max(hide, hides(str(key))), mask) for key, item in value.items()}
    return value


def _flag(word: object) -> Hide:
    """What the word after this one is to be hidden as: a command has a flag and its value side by side."""
    return hides(word[2:]) if isinstance(word, str) and word.startswith("--") and "=" not in word else Hide.NOTHING
