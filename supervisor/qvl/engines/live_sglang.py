"""What SGLang takes without a restart: how it logs, and more LoRA adapters.

Read in the sources of 0.5.3 to 0.5.23 and tried on 0.5.18:

- `/configure_logging` takes what its `ConfigureLoggingReq` has as fields, and answers 200 to any other field all the
  same: log_requests and log_requests_level always, log_requests_format since 0.5.7, log_level since 0.5.13, when it
  began to reach scheduler and detokenizer too. So the fields are read in the installed source.
- Its log level is that of all loggers but uvicorn's, which keep what they were started with: access lines go on.
- Of crash_dump_folder it takes only half: since 0.5.13 a start also says by it where CUDA's core dumps go. And nothing
  takes log-requests-target.
- With several tokenizer processes only one of them gets the call.
- An adapter that is *added* is as good as one given at the start, where rank and modules don't follow from those given
  at the start (`max-lora-rank`, `lora-target-modules`). One that is unloaded comes back with the first request that
  names it (since 0.5.6, `lora_ref_cache`), with its old path. So less, or another path, needs a restart.
- A load beyond `max-loaded-loras` unloads the least used one; a start with so many is refused.
- Adapters are not loaded into several data-parallel replicas. Before 0.5.5 nothing lists the loaded ones.
- All of them want the admin key where there is one, which is none of ours.
"""

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from qvl.engines.live import Live, LiveCall
from qvl.engines.sglang_flags import locate_sglang
from qvl.model.spec import ArgValue, EngineKind, Launch

LOGGING: Mapping[str, ArgValue] = {
    "log-level": "info",
    "log-requests": False,
    "log-requests-level": 2,
    "log-requests-format": "text",
}
"""The arguments that `/configure_logging` takes, with their defaults: the same in every version that was read."""
LORA = "lora-paths"

LEVELS = ("debug", "info", "warning", "error", "critical")
REQUESTS_LEVELS = range(4)
REQUESTS_FORMATS = ("text", "json")

_LOAD, _UNLOAD = "/load_lora_adapter", "/unload_lora_adapter"
_ABSENT, _PRESENT = "does not exist. Loaded LoRAs:", "because it is already loaded"
"""What it says of an adapter to unload that isn't there, and of one to load that is (0.5.5 to 0.5.23)."""

QUICK = 10.0
"""Seconds for what the server process does by itself."""
LOADING = 120.0
"""Seconds for an adapter from a slow disk; the scheduler loads between two batches."""
QUOTED = 300
"""Characters of an answer that a sentence quotes."""

Adapters = dict[str, tuple[str, bool]]
"""By name: path, and whether it is pinned."""


class SglangLive:
    """For an interpreter that has SGLang installed."""

    def arguments(self, old: Launch, new: Launch, since: float) -> frozenset[str]:
        installed = locate_sglang(Path(old.engine.python))
        if installed is None or _changed_at(installed.package) > since:
            return frozenset()  # another version may run than the one that is there now
        return takes(_fields(installed.package), _lists_adapters(installed.package), old, new)

    def look(self, olds: Sequence[Launch], new: Launch) -> str:
        return "/v1/models" if any(old.args.get(LORA) != new.args.get(LORA) for old in olds) else ""

    def calls(self, olds: Sequence[Launch], new: Launch, seen: Mapping[str, object]) -> tuple[LiveCall, ...]:
        loaded = loaded_adapters(seen)
        wanted, known = adapters(new) or {}, [adapters(old) or {} for old in olds]
        calls = []
        ours = {(name, path) for found in known for name, (path, _) in found.items()}
        gone = {name for name, _ in ours} - wanted.keys()
        moved = {name for name, (path, _) in wanted.items() if loaded.get(name, path) != path}
        for name in sorted(gone | moved):
            if name in loaded and (name, loaded[name]) not in ours:
                continue  # somebody else's
            # Also where it isn't there: it may be about to be. This waits for a load that is under way, a look doesn't.
            what = f"{'unloading' if name in loaded else 'keeping out'} the LoRA adapter {name}"
            calls.append(LiveCall(_UNLOAD, {"lora_name": name}, what, LOADING, _ABSENT))
        for name, (path, pinned) in wanted.items():
            body: dict[str, object] = {"lora_name": name, "lora_path": path, "pinned": pinned}
            if any(found != wanted for found in known) and loaded.get(name) != path:
                calls.append(LiveCall(_LOAD, body, f"loading the LoRA adapter {name}", LOADING))
            elif len(olds) > 1 and any(found.get(name) != (path, pinned) for found in known):  # or about to go
                calls.append(LiveCall(_LOAD, body, f"keeping the LoRA adapter {name}", LOADING, _PRESENT))
        changed = [key for key in LOGGING if any(_logging(old, key) != _logging(new, key) for old in olds)]
        if changed:
            body = {key.replace("-", "_"): _logging(new, key) for key in changed}
            what = ", ".join(f"{key} = {json.dumps(_logging(new, key))}" for key in changed)
            calls.append(LiveCall("/configure_logging", body, what, QUICK))
        return tuple(calls)

    def wrong(self, call: LiveCall, status: int, text: str) -> str | None:
        said = _words(text)
        if (status == 200 and said is None) or (call.so_already and call.so_already in (said or "")):
            return None
        if status == 401:
            why = f"{call.path} wants a key that qvl does not know (401): is there an admin key?"
            return f"{call.what}: {why} stop the worker, apply the edit, start it"
        return f"{call.what}: {said or text[:QUOTED].strip() or 'no reason given'} ({call.path} answered {status})"

    def left_behind(self, started: Launch, now: Launch) -> tuple[str, ...]:
        if "log-level-http" in now.args or _is_quiet(started) == _is_quiet(now):
            return ()
        level = str(_logging(started, "log-level"))
        return (f"log-level of its web server (still {level})",)


class SimulatedLive(SglangLive):
    """Our own, which does as SGLang 0.5.18 does."""

    def arguments(self, old: Launch, new: Launch, since: float) -> frozenset[str]:
        return takes([key.replace("-", "_") for key in LOGGING], True, old, new)


LIVES: Mapping[EngineKind, Live] = {EngineKind.SGLANG: SglangLive(), EngineKind.SIMULATED: SimulatedLive()}
"""A kind that isn't here takes nothing without a restart."""


def takes(fields: Collection[str], lists_adapters: bool, old: Launch, new: Launch) -> frozenset[str]:
    """`fields` of the installed `ConfigureLoggingReq`; `lists_adapters`: /v1/models tells which are loaded."""
    if "admin-api-key" in new.args or _number(new, "tokenizer-worker-num", 1) > 1:
        return frozenset()
    # Handed over after the arguments, so it wins: what the arguments say then isn't what runs.
    raw = {word.partition("=")[0] for word in (*old.raw_args, *new.raw_args) if word.startswith("--")}
    if "--admin-api-key" in raw or "--config" in raw:
        return frozenset()
    found = {
        key
        for key in LOGGING
        if key.replace("-", "_") in fields and _may_say(old, key) and _may_say(new, key) and not _meant(key, raw)
    }
    if {"SGLANG_LOGGING_CONFIG_PATH"} & {*new.env, *new.engine.env, *os.environ}:
        found.discard("log-level")  # a start would not look at it
    if lists_adapters and _adds_adapters(old, new) and not _meant(LORA, raw):
        found.add(LORA)
    return frozenset(found)


def _meant(key: str, raw: Collection[str]) -> bool:
    """Whether one of these words may mean the flag: argparse takes abbreviations."""
    return any(len(word) > 2 and f"--{key}".startswith(word) for word in raw)


def _may_say(launch: Launch, key: str) -> bool:
    """Whether it says something that SGLang would take at its start. The rest is left to a start to complain about."""
    value = _logging(launch, key)
    match key:
        case "log-requests":
            return isinstance(value, bool)
        case "log-requests-level":
            return isinstance(value, int) and not isinstance(value, bool) and value in REQUESTS_LEVELS
        case "log-requests-format":
            return value in REQUESTS_FORMATS
        case _:
            return isinstance(value, str) and value.lower() in LEVELS


def _logging(launch: Launch, key: str) -> ArgValue:
    return launch.args.get(key, LOGGING[key])


def _is_quiet(launch: Launch) -> bool:
    """Whether uvicorn writes no access lines at this level."""
    level = str(_logging(launch, "log-level")).lower()
    return level in LEVELS and LEVELS.index(level) > LEVELS.index("info")


def _number(launch: Launch, key: str, otherwise: int) -> float:
    value = launch.args.get(key, otherwise)
    return value if isinstance(value, int | float) else otherwise


def _adds_adapters(old: Launch, new: Launch) -> bool:
    """Whether the adapters of `new` are those of `old` and more, and its memory pool takes them as a start would."""
    before, after = adapters(old), adapters(new)
    if before is None or after is None or not before.items() <= after.items():
        return False
    enabled = old.args.get("enable-lora", bool(before))
    shaped = {"max-lora-rank", "lora-target-modules"} <= old.args.keys()
    alone = _number(new, "dp-size", 1) == 1
    return enabled is True and shaped and alone and len(after) <= _number(new, "max-loaded-loras", len(after))


def adapters(launch: Launch) -> Adapters | None:
    """What `lora-paths` names, as SGLang reads it: `PATH`, `NAME=PATH`, or JSON. None where it would refuse it."""
    given = launch.args.get(LORA, [])
    found: Adapters = {}
    items = given if isinstance(given, list) else [given]
    for item in items:
        entry = _adapter(item)
        if entry is None or entry[0] in found:
            return None
        found[entry[0]] = entry[1:]
    return found


def _adapter(item: object) -> tuple[str, str, bool] | None:
    if isinstance(item, str) and item.strip().startswith("{"):
        try:
            item = json.loads(item)
        except ValueError:
            return None
    if isinstance(item, Mapping):
        name, path = item.get("lora_name"), item.get("lora_path")
        return (name, path, item.get("pinned") is True) if isinstance(name, str) and isinstance(path, str) else None
    if not isinstance(item, str) or not item.strip():
        return None
    name, equals, path = item.strip().partition("=")
    return (name, path, False) if equals else (name, name, False)


def loaded_adapters(models: Mapping[str, object]) -> dict[str, str]:
    """Name and path of those that /v1/models lists: each has the model as its parent."""
    data = models.get("data")
    cards = [card for card in data if isinstance(card, Mapping)] if isinstance(data, list) else []
    return {str(card["id"]): str(card.get("root")) for card in cards if "id" in card and card.get("parent")}


def _words(text: str) -> str | None:
    """What an answer gives as the reason that nothing was done; None where it gives none."""
    try:
        said = json.loads(text)
    except ValueError:
        return None
    if not isinstance(said, Mapping) or said.get("success") is True:
        return None
    error = said.get("error_message") or said.get("message") or said.get("error")
    error = error.get("message") if isinstance(error, Mapping) else error
    return str(error)[:QUOTED] if error else "it did not succeed" if "success" in said else None


# ---- the installed source

_REQUESTS = "srt/managers/io_struct.py"
_SERVER = "srt/entrypoints/http_server.py"


def _changed_at(package: Path) -> float:
    """When this version was put there (unix time), 0 where that can't be told. An installer makes the directory of the
    metadata anew, and may give files the times that they had elsewhere; a checkout has nothing but its files. (The
    package's own directory changes when an interpreter first writes its bytecode.)"""
    metadata = package.parent.glob("sglang-[0-9]*.dist-info")
    files = (package / name for name in (_REQUESTS, _SERVER))
    return max((path.stat().st_mtime for path in (*metadata, *files) if path.exists()), default=0.0)


def _fields(package: Path) -> frozenset[str]:
    source = _text(package / _REQUESTS)
    found = re.search(r"^class ConfigureLoggingReq\b.*\n((?:[ \t].*\n|\n)*)", source, re.MULTILINE)
    return frozenset(re.findall(r"^    (\w+):", found[1], re.MULTILINE)) if found else frozenset()


def _lists_adapters(package: Path) -> bool:
    source = _text(package / _SERVER)
    found = re.search(r'^@app\.get\("/v1/models"(?:.*\n(?!@))*', source, re.MULTILINE)
    return found is not None and "get_all_adapters" in found[0]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
