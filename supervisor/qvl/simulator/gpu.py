"""The engine's share of its simulated GPUs: how much it takes, and the files that show it to the supervisor.

Sizes follow one H100 80GB with Qwen3-VL-8B. Without QVL_SIMULATED_GPUS nothing is written, and the card is all ours.
"""

import contextlib
import json
import os
import re
import time

GIB = 1 << 30
TOTAL = 80 * GIB
_CONTEXT = 3.01  # GiB: CUDA contexts and the pool for image features
_PARKED = 3.1  # GiB that stay while the memory is released
_QUIET = 1.0  # seconds between two files that differ in utilization only


class Card:
    """What this engine holds on each of its GPUs; all figures in GiB, the same on every rank."""

    def __init__(self, model: str, ranks: int, speculative: bool) -> None:
        found = re.search(r"(\d+(?:\.\d+)?)B\b", os.path.basename(model), re.IGNORECASE)
        billions = float(found[1]) if found else 8.0
        small = bool(re.search(r"fp8|int8|awq|gptq|int4", model, re.IGNORECASE))
        self.weights = (1.9 * billions + 1.3) / (2 if small else 1) / ranks
        self.draft = 2.36 if speculative else 0.0
        self.graphs = 0.32
        self.token_bytes = (147456 if billions <= 14 else 262144) // ranks
        self.kv = 0.0
        self.tokens = 0
        self._memory = 0.0
        self._utilization = 0.0
        self._written: tuple[int, float] | None = None
        self._written_at = 0.0
        self._indexes = _indexes()[: max(1, ranks)]
        self._directory = os.environ.get("QVL_SIMULATED_GPUS", "")
        self._start = _start_time(os.getpid())
        self.available = TOTAL / GIB

    def survey(self) -> None:
        """Look at what others hold: `available` is what there is before the weights, on the fullest of its cards."""
        self.available = min((self._free(index) for index in self._indexes), default=TOTAL / GIB) - _CONTEXT

    def plan(self, fraction: float, limit: float) -> bool:
        """Size the KV cache as SGLang does: what `fraction` of the free memory leaves beside the weights."""
        self.kv = self.available * fraction - self.weights - self.draft
        self.tokens = int(self.kv * GIB / self.token_bytes)
        if 0 < limit < self.tokens:
            self.tokens = int(limit)
            self.kv = self.tokens * self.token_bytes / GIB
        return self.tokens > 0

    def load(self, part: str, done: float = 1.0) -> None:
        """Note that `done` (0–1) of `weights`, `kv` or `graphs` is on the card; each comes after the one before it."""
        sizes = {"context": _CONTEXT, "weights": self.weights + self.draft, "kv": self.kv, "graphs": self.graphs}
        total = 0.0
        for name, size in sizes.items():
            if name == part:
                self._memory = total + size * done
                return self._write()
            total += size

    def park(self, released: set[str]) -> None:
        """Note what is left after the memory of these tags was released (an empty set: nothing was)."""
        sizes = {"weights": self.weights + self.draft, "kv_cache": self.kv}
        kept = sum(size for tag, size in sizes.items() if tag not in released)
        self._memory = max(_PARKED, _CONTEXT + self.graphs + kept) if released else _CONTEXT + self.graphs + kept
        self._write()

    def room(self, tags: set[str]) -> bool:
        """Whether these tags fit back on the card."""
        sizes = {"weights": self.weights + self.draft, "kv_cache": self.kv}
        wanted = self._memory + sum(size for tag, size in sizes.items() if tag in tags)
        return all(self._free(index) >= wanted for index in self._indexes)

    def use(self, running: int) -> None:
        """Utilization follows the requests that run. It is shown once a second at most; see `settle`."""
        self._utilization = min(1.0, 0.4 + 0.05 * running) if running else 0.0
        self._write()

    def settle(self) -> float | None:
        """Show what had to wait; the seconds after which to ask again, or None when all is shown."""
        self._write()
        stale = self._written is not None and self._written != (self._bytes(), self._utilization)
        return max(0.0, self._written_at + _QUIET - time.monotonic()) if stale else None

    def leave(self) -> None:
        """Take the files away at a clean end; a killed engine leaves them, as a driver takes a moment."""
        for path in self._paths():
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _bytes(self) -> int:
        return int(self._memory * GIB)

    def _write(self) -> None:
        figures = (self._bytes(), self._utilization)
        now = time.monotonic()
        same_memory = self._written is not None and self._written[0] == figures[0]
        if figures == self._written or (same_memory and now - self._written_at < _QUIET):
            return
        self._written, self._written_at = figures, now
        record = {
            "pid": os.getpid(),
            "start": self._start,
            "memory": figures[0],
            "utilization": figures[1],
            "name": "sglang::scheduler",
        }
        for path in self._paths():
            with contextlib.suppress(OSError):  # a directory that a test has removed
                with open(f"{path}.new", "w", encoding="ascii") as file:
                    json.dump(record, file)
                os.replace(f"{path}.new", path)

    def _paths(self) -> list[str]:
        if not self._directory:
            return []
        return [os.path.join(self._directory, f"gpu{index}.{os.getpid()}.json") for index in self._indexes]

    def _free(self, index: int) -> float:
        """GiB that nobody else holds there."""
        held = 0
        with contextlib.suppress(OSError):
            for name in os.listdir(self._directory or "/nonexistent"):
                ours = name == f"gpu{index}.{os.getpid()}.json"
                if name.startswith(f"gpu{index}.") and name.endswith(".json") and not ours:
                    held += _held(os.path.join(self._directory, name))
        return (TOTAL - held) / GIB


def _held(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            record = json.load(file)
        alive = "start" not in record or _start_time(record["pid"]) == record["start"]
        return int(record["memory"]) if alive else 0
    except (OSError, ValueError, KeyError):
        return 0


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat, in ticks since boot: with the pid it names one process. None for a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _indexes() -> list[int]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    found = (re.fullmatch(r"(?:GPU-SIM-)?(\d+)(?:-.*)?", word.strip()) for word in visible.split(","))
    return [int(match[1]) for match in found if match]
