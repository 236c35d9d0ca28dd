"""GPUs that do not exist, for the demo and the tests: they hold what the simulated engines say they hold.

The engines, which are real processes, keep a file each (`gpu<index>.<pid>.json`) in the directory that
QVL_SIMULATED_GPUS names. A test puts `gpu<index>.hold.json` there to play a foreign process, or `gpu<index>.lost` to
let a card fall off the bus. Each line that is appended to `<index>.xid` is the number of an Xid that the card tells;
while the last line is 79, the card is off the bus. Nothing is drawn at random, and at rest nothing moves.
"""

import contextlib
import json
import math
import os
import pwd
import time
from pathlib import Path

from qvl.model.gpu import Gpu, GpuFault, GpuHolder, GpuSample

MEMORY_TOTAL = 80 << 30
"""Bytes on each card."""
_NAME = "Simulated H100 80GB"
_LINGER = 0.5  # seconds that the memory of a dead process stays taken, as a driver needs to free it
_INERTIA = 4.0  # seconds in which temperature and power go two thirds of their way
_COOL, _HOT = 34.0, 71.0  # °C
_IDLE, _FULL = 72.0, 640.0  # W
_OFF_THE_BUS = 79


class SimulatedGpus:
    """`count` cards, indexes from 0; a `GpuSource`."""

    def __init__(self, count: int, directory: Path) -> None:
        self._cards = tuple(Gpu(index, f"GPU-SIM-{index}", _NAME, MEMORY_TOTAL) for index in range(count))
        self._directory = directory
        self._strain = [_Strain() for _ in range(count)]
        self._dead_since: dict[Path, float] = {}
        self._told = {card.index: self._xids(card) for card in self._cards}
        """What each card's file of Xids held when it was last looked at; an earlier run told what is there at first."""

    def inventory(self) -> tuple[Gpu, ...]:
        return self._cards

    def sample(self) -> tuple[GpuSample, ...]:
        now = time.monotonic()
        files = self._files()
        self._dead_since = {path: since for path, since in self._dead_since.items() if path.name in files}
        return tuple(self._sample(card, files, now) for card in self._cards)

    def faults(self) -> tuple[GpuFault, ...]:
        found = []
        for card in self._cards:
            told, now = self._told[card.index], self._xids(card)
            self._told[card.index] = now
            for number in now[_known(told, now) :]:
                found.append(GpuFault(card.index, card.uuid, time.time(), time.monotonic(), number))
        return tuple(found)

    def close(self) -> None:
        """Nothing is held open."""

    def _xids(self, card: Gpu) -> list[int]:
        """The numbers in a card's file. A line that is none is passed over; one without its end is being written."""
        try:
            lines = (self._directory / f"{card.index}.xid").read_bytes().split(b"\n")[:-1]
        except OSError:
            return []
        words = (line.strip() for line in lines)
        return [int(word) for word in words if word.isdigit() and len(word) < 5]

    def _files(self) -> frozenset[str]:
        with contextlib.suppress(FileNotFoundError):
            return frozenset(os.listdir(self._directory))
        return frozenset()

    def _sample(self, card: Gpu, files: frozenset[str], now: float) -> GpuSample:
        prefix = f"gpu{card.index}."
        fallen = f"{card.index}.xid" in files and self._xids(card)[-1:] == [_OFF_THE_BUS]
        if fallen or f"{prefix}lost" in files:
            return GpuSample(card.index, card.uuid, card.name, health="lost")
        holders: list[GpuHolder] = []
        load = 0.0
        for name in sorted(files):
            if name.startswith(prefix) and name.endswith(".json"):
                holder, utilization = self._holder(self._directory / name, now)
                if holder is not None:
                    holders.append(holder)
                    load = max(load, utilization)
        strain = self._strain[card.index].follow(load, now)
        return GpuSample(
            card.index,
            card.uuid,
            card.name,
            memory_used=min(MEMORY_TOTAL, sum(holder.memory or 0 for holder in holders)),
            memory_total=MEMORY_TOTAL,
            utilization=load,
            temperature=round(_COOL + (_HOT - _COOL) * strain),
            power=round(_IDLE + (_FULL - _IDLE) * strain),
            holders=tuple(holders),
        )

    def _holder(self, path: Path, now: float) -> tuple[GpuHolder | None, float]:
        """Who holds memory by this file, and how busy it keeps the card; the file of one long dead is swept."""
        try:
            record = json.loads(path.read_bytes())
            pid, memory = int(record["pid"]), int(record["memory"])
            foreign = path.name.endswith(".hold.json")
            alive = foreign or _start_time(pid) == record["start"]
            utilization = float(record.get("utilization", 0))
            command = str(record.get("command") or record.get("name") or "")
        except (OSError, ValueError, KeyError, TypeError):
            return None, 0.0  # swept by another reader, or half of a file that a test wrote in place
        holder = GpuHolder(pid, memory, command, _user(pid))
        if alive:
            return holder, utilization
        if now - self._dead_since.setdefault(path, now) < _LINGER:
            return holder, 0.0
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return None, 0.0


class _Strain:
    """How hard a card works, 0–1, with the inertia of a heat sink."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at: float | None = None

    def follow(self, load: float, now: float) -> float:
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        self._level += (load - self._level) * (1 - math.exp(-passed / _INERTIA))
        if abs(load - self._level) < 0.002:  # less than anything that is shown
            self._level = load
        return self._level


def _known(told: list[int], now: list[int]) -> int:
    """How many of the numbers in the file are old: all where it only lost its end, none where it is another file."""
    if now[: len(told)] == told:
        return len(told)
    return len(now) if told[: len(now)] == now else 0


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None for a process that is gone or a zombie, which holds no GPU memory."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _user(pid: int) -> str:
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
