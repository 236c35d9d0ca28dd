"""Start one worker: look before, make its private directory, hand its secrets to the shim alone."""

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from qvl.daemon.carrying import Carrying
from qvl.daemon.drift import drift
from qvl.daemon.ending import RUN
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.groups import Groups
from qvl.daemon.groups import remove as remove_group
from qvl.daemon.notify import clean_environment
from qvl.engines.base import Command, Driver, Place, Refusal
from qvl.engines.live_sglang import LIVES
from qvl.host.cgroup import oom_kills, own_cgroup
from qvl.host.crashpoint import crash_point
from qvl.host.ports import is_free
from qvl.model.spec import EngineKind, Launch, WorkerSpec
from qvl.model.worker import Cause, Exit, Process, WorkerRecord
from qvl.shim.client import ShimError, launch
from qvl.shim.records import Answer, Bootstrap

log = logging.getLogger(__name__)

SPAWNS = 8
"""Processes that are started at a time: more only keep each other, and the loop, from the processors."""

NCCL_PORTS = range(20000, 29000)
"""Where side ports are taken from: below the kernel's ephemeral ports (32768 on), outside every pool's range."""

SIDE_PORTS = {EngineKind.VLLM: 16}
"""How many in a row an engine takes, where it is more than one: vLLM counts on from the one that it is given, for each
of its parts that listens and for those of data-parallel ranks."""

TMPDIR_NAME = "tmp"
TMPDIR_LIMIT = 64
"""Engines bind unix sockets below $TMPDIR, and a socket's address has 107 bytes."""


class Launcher:
    """`log_dir` is the directory of all workers' logs, `secrets` a directory for what engines read once at their start,
    `simulated_gpus` what simulated cards and engines share."""

    def __init__(
        self,
        drivers: Mapping[EngineKind, Driver],
        gpus: GpuMonitor,
        log_dir: Path,
        secrets: Path,
        simulated_gpus: Path | None,
        groups: Groups,
        carrying: Carrying | None = None,
    ) -> None:
        self._groups = groups
        self._carrying = carrying
        self._drivers = drivers
        self._gpus = gpus
        self._log_dir = log_dir
        self._spawns = asyncio.Semaphore(SPAWNS)
        self._secrets = secrets
        self._simulated_gpus = simulated_gpus
        self._side_ports: dict[str, range] = {}
        """What was given to each worker last: it binds it seconds after its start, and others start meanwhile."""

    def driver(self, spec: Launch) -> Driver:
        return self._drivers[spec.engine.kind]

    def preflight(self, spec: Launch) -> Refusal | None:
        """What is missing for a start, None where nothing is."""
        return _missing_secret(spec) or self.driver(spec).preflight(spec)

    async def check(self, spec: WorkerSpec) -> str | None:
        """Why a start would be refused, None where it wouldn't."""
        refusal = await asyncio.to_thread(self.preflight, spec.launch)
        if refusal is None and self._carrying is not None:
            refusal = await self._carrying.refusal(spec)
        return refusal.message if refusal is not None else None

    def log_dir(self, name: str) -> Path:
        return self._log_dir / name

    async def start(
        self, spec: WorkerSpec, generation: int, bundle: Path, taken_ports: Collection[int]
    ) -> Process | Exit:
        """Start the worker; an `Exit` says why it could not be."""
        refusal = await asyncio.to_thread(self.preflight, spec.launch)  # a mount that hangs must not hang us
        if refusal is None and self._carrying is not None:
            refusal = await self._carrying.before_start(spec, generation)
        if refusal is not None:
            return refused(refusal)
        nccl_port = self._side_port(spec, taken_ports)
        try:
            key, secret_env = read_secrets(spec.launch)
            tmpdir = _make_tmpdir(bundle)
            secrets = self._secrets / spec.name
            devices = self._devices(spec.launch)
            place = Place(spec.name, tmpdir, secrets, devices, nccl_port, key, self._simulated_gpus)
            command = await asyncio.to_thread(self.driver(spec.launch).command, spec.launch, place)
            self.remove_secrets(spec.name)
            for name, content in command.files.items():
                _write_private(secrets / name, content)
            log_dir = self.log_dir(spec.name)
            for folder in (log_dir.parent, log_dir):  # `parents` would make the upper one with the umask's mode
                folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            self._clean_up(spec.name, bundle)
            where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            return no_start(f"can't prepare the start: {where}", error.errno)
        run = uuid.uuid4().hex
        cgroup = self._groups.make(spec.name)
        around = Path(cgroup) if cgroup else own_cgroup()
        kills = oom_kills(around) if around is not None else None
        bootstrap = Bootstrap(
            worker=spec.name,
            generation=generation,
            bundle=str(bundle),
            argv=list(command.argv),
            env={**environment(spec.launch, command, secret_env), RUN: run},
            cwd="/",
            log_dir=str(log_dir),
            max_size=spec.policy.logs.max_size,
            keep=spec.policy.logs.keep,
            cgroup=cgroup,
            secrets=[secret for secret in (key, *secret_env.values()) if secret],
        )
        crash_point("before the shim is launched")
        try:
            async with self._spawns:
                answer = await launch(bootstrap)
            crash_point("after the shim has answered")
        except ShimError as error:
            self._clean_up(spec.name, bundle)
            if cgroup:
                remove_group(cgroup)
            return no_start(error.message, error.errno)
        process = process_of(answer, nccl_port, str(tmpdir), run)
        return msgspec.structs.replace(process, oom_kills=kills)

    def remove_secrets(self, name: str) -> None:
        """Take away what the engine has read, or what a dead one left."""
        shutil.rmtree(self._secrets / name, ignore_errors=True)

    def drift(self, record: WorkerRecord) -> tuple[str, ...]:
        """What a new start of a running worker would do differently; reads the disk."""
        if record.launched is None:
            return ()
        driver = self.driver(record.launched)
        return drift(
            record,
            driver,
            LIVES.get(record.launched.engine.kind),
            self._devices(record.launched),
            self._secrets / record.name,
        )

    def _clean_up(self, name: str, bundle: Path) -> None:
        self.remove_secrets(name)
        remove_tmpdir(bundle)

    def _side_port(self, spec: WorkerSpec, taken: Collection[int]) -> int | None:
        if spec.launch.engine.kind is EngineKind.COMMAND:
            return None
        kept = {port for name, ports in self._side_ports.items() if name != spec.name for port in ports}
        kept.update(taken)
        count = SIDE_PORTS.get(spec.launch.engine.kind, 1)
        # Engines bind theirs seconds after it was found free: two daemons of a host had better not look in one order.
        first = zlib.crc32(str(self._log_dir).encode()) % len(NCCL_PORTS)
        free = (
            p
            for p in (*NCCL_PORTS[first:], *NCCL_PORTS[:first])
            if all(port not in kept and is_free("127.0.0.1", port) for port in range(p, p + count))
        )
        if (port := next(free, None)) is not None:
            self._side_ports[spec.name] = range(port, port + count)
        return port

    def _devices(self, spec: Launch) -> tuple[str, ...]:
        cards = [(gpu, self._gpus.resolve(gpu)) for gpu in spec.gpus]
        return tuple(card.uuid if card else str(gpu) for gpu, card in cards)


def process_of(answer: Answer, nccl_port: int | None, tmpdir: str, run: str) -> Process:
    return Process(
        pid=answer.pid,
        pid_start=answer.pid_start,
        shim_pid=answer.shim_pid,
        shim_start=answer.shim_start,
        boot_id=answer.boot_id,
        started_at=answer.started_at,
        started_mono=answer.started_mono,
        log_offset=answer.log_offset,
        nccl_port=nccl_port,
        tmpdir=tmpdir,
        run=run,
        cgroup=answer.cgroup,
    )


def refused(refusal: Refusal) -> Exit:
    return Exit(
        at=time.time(), cause=refusal.cause, evidence=refusal.message, hint=refusal.hint, missing=refusal.missing
    )


_CAUSES = {
    None: Cause.UNKNOWN,  # its shim did not answer in time: a busy machine's fault, so it is tried again
    errno.ENOSPC: Cause.DISK_FULL,
    errno.EDQUOT: Cause.DISK_FULL,
    errno.ENOMEM: Cause.OUT_OF_HOST_MEMORY,
    errno.EAGAIN: Cause.OUT_OF_HOST_MEMORY,
}
"""What the kernel says of a start that came to nothing; the rest lies in how the host is set up."""


def no_start(message: str, number: int | None) -> Exit:
    """A start that came to nothing with error `number`."""
    cause = _CAUSES.get(number, Cause.ENVIRONMENT)
    hint = "mend this, then `qvlctl start` the worker" if cause in (Cause.ENVIRONMENT, Cause.DISK_FULL) else None
    return refused(Refusal(cause, message, hint))


def environment(spec: Launch, command: Command, secret: Mapping[str, str]) -> dict[str, str]:
    """The complete environment: the daemon's own without what is only its, then engine, secrets, profile, driver."""
    inherited = {name: value for name, value in clean_environment(os.environ).items() if not name.startswith("QVL_")}
    for name in command.unset:
        inherited.pop(name, None)
    ours = dict(command.env)
    merged = {**inherited, **spec.engine.env, **secret, **spec.env}
    if "PATH" in ours and "PATH" in {**spec.engine.env, **spec.env}:
        ours.pop("PATH")
    defaults = {name: value for name, value in ours.items() if name.startswith(("SGLANG_", "VLLM_")) and name in merged}
    return {**merged, **{name: value for name, value in ours.items() if name not in defaults}}


def read_secrets(spec: Launch) -> tuple[str | None, dict[str, str]]:
    """The API key and the secret environment. OSError where a file can't be read, or holds what no client can send."""
    key = _text(spec.api_key_file).strip() if spec.api_key_file else None
    if key and not (key.isascii() and key.isprintable()):
        raise OSError(errno.EINVAL, "it must hold one key, of printable ASCII", spec.api_key_file)
    secret: dict[str, str] = {}
    if spec.engine.env_file:
        for line in _text(spec.engine.env_file).splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and name and not name.startswith("#"):
                secret[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return key or None, secret


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "it is no UTF-8 text", path) from None


def _missing_secret(spec: Launch) -> Refusal | None:
    for setting, path in (("api_key_file", spec.api_key_file), ("env_file", spec.engine.env_file)):
        if path and not os.access(path, os.R_OK):
            absent = not os.path.exists(path)
            return Refusal(
                Cause.ENVIRONMENT,
                f"{setting} {path} {'does not exist' if absent else 'is not readable'}",
                f"make it readable for uid {os.getuid()} alone (chmod 0600), or mend {setting}",
                path if absent else None,
            )
    return None


def _make_tmpdir(bundle: Path) -> Path:
    """The private directory of a run: in the bundle, or where that is too long a path, a link to it."""
    remove_tmpdir(bundle)
    path = bundle / TMPDIR_NAME
    if len(str(path)) > TMPDIR_LIMIT:
        link, path = path, Path(f"/tmp/qvl-{uuid.uuid4().hex[:12]}")
        link.symlink_to(path)  # first, so that whoever finds the bundle finds the directory
    path.mkdir(mode=0o700)
    return path


def remove_tmpdir(bundle: Path) -> None:
    """Take away what the last run of a bundle kept for itself."""
    path = bundle / TMPDIR_NAME
    with contextlib.suppress(OSError):
        if path.is_symlink():
            shutil.rmtree(path.readlink(), ignore_errors=True)
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
