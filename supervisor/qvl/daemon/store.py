"""The state directory: one bundle per worker, and what outlives the daemon.

    daemon.lock            held by the one daemon of this directory; holds its pid
    workers/NAME/          a worker's bundle, 0700: record.json, start.json (ours), shim.json, exit.json (its shim's)
    pools.json             the operator's will for whole pools, which their later workers inherit
    gpus.json              the cards that were seen last
    quarantine.json        the cards that are set aside, by UUID
    history/               figures of the last day, for plots; see qvl.daemon.history_file
    startups.json          how long the steps of a start took, by profile: the ETA's memory

A record is written before its change is told. A disk that is full loses nothing that is in memory: what could not be
written is kept and tried again.
"""

import contextlib
import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from qvl.core.starts import Start
from qvl.host.crashpoint import crash_point
from qvl.host.files import write_atomically
from qvl.model.error import ErrorCode, QvlError
from qvl.model.gpu import Gpu, SetAside
from qvl.model.worker import Wanted, WorkerRecord

log = logging.getLogger(__name__)

T = TypeVar("T")
VERSION = 1


class _Versioned(msgspec.Struct, frozen=True):
    version: int = VERSION


class RecordFile(msgspec.Struct, frozen=True):
    """A worker's record on disk, with the boot whose monotonic clock its times are of."""

    boot_id: str
    record: WorkerRecord
    version: int = VERSION


class Store:
    """All files of the state directory but the configuration's own. Single-threaded."""

    def __init__(self, directory: Path, boot_id: str) -> None:
        self.directory = directory
        self._boot_id = boot_id
        self._unwritten: dict[Path, bytes] = {}
        self._lock: int | None = None
        self.trouble: str | None = None
        """Why the last write failed, None while all is on disk."""

    def open(self) -> None:
        """Make the directory and take its lock. QvlError when another daemon has it or it can't be used."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.directory / "workers").mkdir(exist_ok=True, mode=0o700)
            self._lock = os.open(self.directory / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise QvlError(
                ErrorCode.REFUSED,
                f"state directory {self.directory} can't be used: {error.strerror}",
                "make it writable for this user, or name another with --state-dir",
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise QvlError(
                ErrorCode.CONFLICT,
                f"another qvl-supervisor with pid {pid} runs on state directory {self.directory}",
                "talk to it with qvlctl, or give this one its own --state-dir",
            ) from None
        with contextlib.suppress(OSError):  # a full disk does not keep a daemon from looking after its workers
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ---- workers

    def bundle(self, name: str) -> Path:
        path = self.directory / "workers" / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def save_record(self, record: WorkerRecord, *, durable: bool = False) -> None:
        path = self.directory / "workers" / record.name / "record.json"
        self._write(path, msgspec.json.encode(RecordFile(self._boot_id, record)), durable=durable)

    def load_records(self) -> dict[str, RecordFile]:
        """The records that can be read, by name; an unreadable one is put aside as record.json.bad. One that lies
        under another name is somebody's copy, and none of ours."""
        found = {
            name: self._read(self.directory / "workers" / name / "record.json", RecordFile) for name in self.bundles()
        }
        return {name: read for name, read in found.items() if read is not None and read.record.name == name}

    def save_start(self, name: str, start: Start) -> None:
        """A worker's start under way, or its last one."""
        self._write(self.directory / "workers" / name / "start.json", msgspec.json.encode(start))

    def load_start(self, name: str) -> Start | None:
        return self._read(self.directory / "workers" / name / "start.json", Start)

    def bundles(self) -> list[str]:
        """The names of all workers that have a bundle, with or without a record."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in (self.directory / "workers").iterdir() if path.is_dir())
        return []

    def forget(self, name: str) -> None:
        """Remove a worker's bundle. Its logs stay."""
        for file in ("record.json", "start.json"):
            self._unwritten.pop(self.directory / "workers" / name / file, None)
        crash_point(f"before {name} is forgotten")
        shutil.rmtree(self.directory / "workers" / name, ignore_errors=True)
        crash_point(f"after {name} was forgotten")

    # ---- small documents

    def load_pools(self) -> dict[str, Wanted]:
        return self._read(self.directory / "pools.json", dict[str, Wanted]) or {}

    def save_pools(self, wanted: dict[str, Wanted]) -> None:
        self._write(self.directory / "pools.json", msgspec.json.encode(wanted), durable=True)

    def load_startups(self) -> dict[str, dict[str, float]]:
        return self._read(self.directory / "startups.json", dict[str, dict[str, float]]) or {}

    def save_startups(self, startups: dict[str, dict[str, float]]) -> None:
        self._write(self.directory / "startups.json", msgspec.json.encode(startups))

    def load_cards(self) -> tuple[Gpu, ...]:
        return self._read(self.directory / "gpus.json", tuple[Gpu, ...]) or ()

    def save_cards(self, cards: tuple[Gpu, ...]) -> None:
        self._write(self.directory / "gpus.json", msgspec.json.encode(cards))

    def load_quarantine(self) -> dict[str, SetAside]:
        return self._read(self.directory / "quarantine.json", dict[str, SetAside]) or {}

    def save_quarantine(self, aside: dict[str, SetAside]) -> None:
        self._write(self.directory / "quarantine.json", msgspec.json.encode(aside), durable=True)

    # ---- files

    def retry(self) -> None:
        """Write again what could not be written."""
        for path, content in list(self._unwritten.items()):
            self._write(path, content)

    def _write(self, path: Path, content: bytes, *, durable: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, content, durable=durable)
        except OSError as error:
            if self.trouble is None:
                log.error("state can't be written, it is kept in memory: path=%s error=%s", path, error.strerror)
            self.trouble = f"{path}: {error.strerror}"
            self._unwritten[path] = content
            return
        self._unwritten.pop(path, None)
        if not self._unwritten and self.trouble is not None:
            log.info("state can be written again")
            self.trouble = None

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("can't read %s: %s", path, error.strerror)
            return None
        try:
            version = msgspec.json.decode(content, type=_Versioned).version if kind is RecordFile else VERSION
            if version > VERSION:
                raise msgspec.ValidationError(f"it is of version {version}, this qvl knows {VERSION}")
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.error("%s is put aside as .bad: %s", path, error)
            with contextlib.suppress(OSError):
                path.replace(path.with_name(path.name + ".bad"))
            return None
