"""What this host can carry: a profile's model on the disk, the memory it takes of the cards, shared memory, free disk.

Looks at the disk, so never call it in an event loop: a mount may hang. What the daemon asks before a start and for a
plan, `qvlctl check` and `qvlctl doctor` ask too.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from qvl.core.capacity import GIB, Estimate, Room, Weights, concerns, estimate, gib, has_vision
from qvl.core.memory_wish import Wish, wish_of
from qvl.host.hub_cache import PLACES, find, guessed_size, is_hub_name, offline
from qvl.host.model_files import CONFIG, Survey, survey
from qvl.model.concern import Concern
from qvl.model.spec import EngineKind, Launch
from qvl.model.worker import Cause

__all__ = ["Concern", "Look", "Room", "disk", "environment_of", "existing", "free_bytes", "look", "shared_memory"]

_KINDS = (EngineKind.SGLANG, EngineKind.VLLM, EngineKind.SIMULATED)
SHM = "/dev/shm"
SHM_SMALLEST = GIB
"""NCCL and the image tensors of vision models travel by /dev/shm; a container's default of 64 MiB is no use."""
SHM_FULL = 1 << 20
"""Bytes; below it nobody can make a segment."""
SHM_SCARCE = 0.2
DISK_SMALLEST = 100 * 1024**2
DOWNLOAD = 10 * GIB
"""What must be free for a model whose name doesn't tell its size."""


class Look(msgspec.Struct, frozen=True):
    """What was found. `estimate` is None where nothing can be said of memory."""

    concerns: tuple[Concern, ...] = ()
    estimate: Estimate | None = None


def environment_of(launch: Launch) -> dict[str, str]:
    """The environment of the engine as far as it says where models are: of its secret file that alone."""
    return {**os.environ, **launch.engine.env, **_of_file(launch.engine.env_file), **launch.env}


def _of_file(path: str) -> dict[str, str]:
    found = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path(path).read_text().splitlines() if path else ():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and name.strip() in PLACES:
                found[name.strip()] = value.strip().strip("'\"")
    return found


def look(launch: Launch, rooms: Sequence[Room], env: Mapping[str, str], shm: str | None = SHM) -> Look:
    """`rooms`: the worker's cards, empty where they aren't known. `env`: of the engine's process. `shm`: None where
    shared memory is not to be looked at."""
    kind, wish = launch.engine.kind, wish_of(launch)
    if kind not in _KINDS or (kind is EngineKind.SIMULATED and not _real(launch.model)):
        return Look()
    revision, folder = (str(launch.args.get(name, "")) for name in ("revision", "download-dir"))
    model, found = _model("model", launch.model, wish, find_in=(env, revision, folder))
    draft = None
    if wish.draft:
        draft, more = _model("draft model", wish.draft, wish, find_in=(env, "", folder))
        found += more
    if model is not None and not model.tokenizer and not _tokenizer_elsewhere(launch):
        found.append(Concern(f"model {model.path}: no tokenizer is there", "copy its tokenizer files there too"))
    if shm is not None and kind is not EngineKind.SIMULATED:
        vision = model is not None and has_vision(model.config)
        found += filter(None, (shared_memory(shm, heavy=vision or wish.cards > 1),))
    made = None
    if model is not None and (draft is not None or not wish.draft) and not any(each.error for each in found):
        weighed = Weights(draft.config, draft.stored) if draft is not None else None
        made = estimate(Weights(model.config, model.stored), weighed, wish, rooms)
    return Look((*found, *(concerns(made, wish) if made is not None else ())), made)


def _real(model: str) -> bool:
    """Simulated engines need no model: one is looked at where it is there."""
    return model.startswith("/") and os.path.isfile(os.path.join(model, CONFIG))


def _tokenizer_elsewhere(launch: Launch) -> bool:
    words = {*launch.args, *(word.removeprefix("--").partition("=")[0] for word in launch.raw_args)}
    return bool(words & {"tokenizer-path", "tokenizer", "skip-tokenizer-init", "tokenizer-mode"})


# ---- the model


def _model(
    what: str, name: str, wish: Wish, find_in: tuple[Mapping[str, str], str, str]
) -> tuple[Survey | None, list[Concern]]:
    """The model where it lies on this host in full, and what is to be said of it."""
    if not name:
        return None, []
    if name.startswith("~"):
        return None, [Concern(f"{what} {name}: engines don't expand ~", "write the whole path")]
    path = os.path.join("/", name)  # engines run in /, and take what is there before they ask a hub
    try:
        if name.startswith("/") or os.path.isdir(path):
            return _from_disk(what, path, wish)
        if is_hub_name(name) and find_in[0].get("SGLANG_USE_MODELSCOPE", "").lower() not in ("1", "true"):
            return _from_hub(what, name, wish, *find_in)
    except OSError as error:
        where = error.filename or path
        return None, [Concern(f"{what} {name}: {where} can't be read: {error.strerror}", "see to its owner and mode")]
    return None, []


def _from_disk(what: str, path: str, wish: Wish) -> tuple[Survey | None, list[Concern]]:
    seen = survey(path)
    if not seen.there:
        hint = f"mount or download it to {path}; the worker starts by itself once it is there"
        return None, [_absent(f"{what} {path} does not exist", hint, path)]
    flaws = _flaws(what, seen, wish)
    return (seen if not flaws else None), flaws


def _flaws(what: str, seen: Survey, wish: Wish) -> list[Concern]:
    """What is missing of a model. Without weights that are read from files, its config.json is all that has to be."""
    flaws = [flaw for flaw in seen.flaws if wish.loads_files or os.path.basename(flaw.path) == CONFIG]
    if not flaws:
        return []
    first, rest = flaws[0], len(flaws) - 1
    if first.path == seen.path:
        message = f"{what} {seen.path} {first.what}"
    else:
        name = "its weights" if "*" in first.path else os.path.basename(first.path)
        message = f"{what} {seen.path}: {name} {first.what}"
    if rest:
        message += f", and {rest} more {'file of it is' if rest == 1 else 'files of it are'} not whole"
    hint = f"copy the model to {seen.path} in full; the worker starts by itself once it is there"
    # Copies come in the order of their names: once the last one is there, the others are.
    return [_absent(message, hint, flaws[-1].path)]


def _absent(message: str, hint: str, missing: str) -> Concern:
    return Concern(message, hint, error=True, cause=Cause.MODEL_MISSING, missing=missing)


def _from_hub(
    what: str, name: str, wish: Wish, env: Mapping[str, str], revision: str, folder: str
) -> tuple[Survey | None, list[Concern]]:
    cached = find(name, env, revision, folder)
    seen = survey(cached.snapshot) if cached.snapshot else None
    if seen is not None and seen.there and not (flaws := _flaws(what, seen, wish)):
        return seen, []
    if offline(env):
        if seen is not None and seen.there:
            return None, flaws
        hint = f"download it first (HF_HUB_CACHE={cached.root} hf download {name}), or name a local directory"
        message = f"{what} {name} is not in {cached.root}, and HF_HUB_OFFLINE keeps it from being downloaded"
        return None, [_absent(message, hint, os.path.join(cached.folder, "snapshots", "*", CONFIG))]
    free, size = free_bytes(Path(cached.root)), guessed_size(name)
    if not wish.loads_files or free is None or free >= (size or DOWNLOAD):
        return None, []
    some = f", and by its name it has some {gib(size)}" if size else ""
    message = f"{what} {name} is to be downloaded to {cached.root}, which has {gib(free)} free{some}"
    return None, [Concern(message, "make room, or set HF_HOME in the engine's env")]


# ---- the rest of the host


def shared_memory(path: str = SHM, *, heavy: bool = True) -> Concern | None:
    """`heavy`: images or tensor parallelism, which take much of it."""
    grow = f"mount -o remount,size=50% {path}; in a container: --shm-size=16g or --ipc=host"
    try:
        stat = os.statvfs(path)
    except OSError:
        mount = f"mount it: mount -t tmpfs -o size=50% tmpfs {path}"
        return Concern(f"{path} is not there", mount, error=True, cause=Cause.SHM_FULL)
    size, free = stat.f_frsize * stat.f_blocks, stat.f_frsize * stat.f_bavail
    text = f"{path} has {gib(free)} of {gib(size)} free"
    if free < SHM_FULL:
        return Concern(f"{text}: it is full", f"look for leftovers: ls {path}", error=True, cause=Cause.SHM_FULL)
    if heavy and size < SHM_SMALLEST:
        return Concern(f"{text}: too small for vision models and tensor parallelism", grow)
    if heavy and free < size * SHM_SCARCE:
        return Concern(f"{text}: workers die with SIGBUS when it is full", f"look for leftovers: ls {path}")
    return None


def disk(what: str, path: Path) -> Concern | None:
    """A disk that is all but full costs logs and records, never the worker, so it is a warning."""
    free = free_bytes(path)
    if free is None or free >= DISK_SMALLEST:
        return None
    return Concern(f"the disk of the {what}, {path}, has {free >> 20} MiB free", "make room")


def existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(existing(path)).free
    except OSError:
        return None
