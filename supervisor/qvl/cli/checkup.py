"""The checks of `qvlctl doctor`. Each looks at one thing and gives back findings; none waits or changes anything."""

from __future__ import annotations

import grp
import logging
import os
import resource
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qvl.cli.check import launch_of, load_with_flags
from qvl.cli.context import Context
from qvl.cli.units import GIB, count, gibibytes
from qvl.config.fleet import Fleet, fleet
from qvl.config.paths import Paths, check_socket_path
from qvl.config.settings import Config, Supervisor
from qvl.engines.router import RouterDriver
from qvl.gpus.simulated import MEMORY_TOTAL
from qvl.host.carrying import DISK_SMALLEST, SHM, Concern, Room, environment_of, existing, free_bytes, look
from qvl.host.carrying import shared_memory as host_shared_memory
from qvl.model.error import ErrorCode, QvlError
from qvl.model.gpu import Gpu, GpuSample
from qvl.model.spec import Engine, EngineKind

DISK_SMALL = 2 * GIB
FILES_SMALLEST = 4096
"""Open files: SGLang raises its own soft limit to 65535 as far as the hard limit lets it."""


class Finding(NamedTuple):
    name: str
    state: str
    """`ok`; `warn`: will hurt some day; `fail`: stops this host from serving."""
    message: str
    mend: str | None = None


def checkup(context: Context) -> list[Finding]:
    """All findings, what the others depend on first."""
    paths = context.places.paths
    file, daemon = the_daemon(context, paths)
    running = file is not None
    named = context.places.flags.config is not None or "QVL_CONFIG" in os.environ
    config, found = configuration(paths.config if named or file is None else file)
    found += daemon
    if config is not None:
        cards, samples, graphics = gpus(config.supervisor)
        planned = fleet(config, cards)
        found += graphics
        found += [Finding("config", "fail", str(fault), "mend the file: qvlctl edit") for fault in planned.faults]
        found += holders(samples, running=running)
        found += [finding for engine in used_engines(config) for finding in engine_there(engine)]
        found += gateway_there(planned, paths)
        found += carrying(config, planned, cards, free_memory(samples, running=running))
        found += groups(config.supervisor)
        found += [] if running else ports(planned)
        found += log_space(config, planned, paths)
    found += shared_memory(SHM)
    found += [finding for name, path in places(paths) for finding in disk(name, path)]
    found += limits(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    return found


def configuration(path: Path) -> tuple[Config | None, list[Finding]]:
    loaded = load_with_flags(path)
    found = [Finding("config", "fail", str(fault), "mend the file: qvlctl edit") for fault in loaded.faults]
    found += [Finding("config", "warn", str(warning)) for warning in loaded.warnings]
    return loaded.config, found or [Finding("config", "ok", f"{path} is valid")]


def the_daemon(context: Context, paths: Paths) -> tuple[Path | None, list[Finding]]:
    """The file that a daemon runs on, None where none answers: that isn't what stops it from being started."""
    if sentence := check_socket_path(paths.socket):
        return None, [Finding("socket", "fail", sentence, "name a shorter one: --socket, or `socket` in [supervisor]")]
    try:
        doc = context.client.status()["supervisor"]
    except QvlError as error:
        state = "warn" if error.code is ErrorCode.UNREACHABLE else "fail"
        return None, [Finding("daemon", state, error.message, error.hint)]
    error_text = doc["config"]["error"]
    if error_text:
        message = f"runs on an older configuration: {error_text}"
        return Path(doc["config"]["path"]), [Finding("daemon", "warn", message, "mend the file: qvlctl edit")]
    answers = f"version {doc['version']} answers, pid {doc['pid']}"
    return Path(doc["config"]["path"]), [Finding("daemon", "ok", answers)]


def gpus(supervisor: Supervisor) -> tuple[Sequence[Gpu] | None, Sequence[GpuSample], list[Finding]]:
    """The cards, what they do, and what is wrong with them."""
    if supervisor.gpus == "none":
        return (), (), [Finding("gpus", "ok", "none are wanted")]
    if supervisor.gpus != "nvml":
        number = int(supervisor.gpus.rpartition(":")[2])
        cards = [Gpu(index, f"GPU-SIM-{index}", "simulated", MEMORY_TOTAL) for index in range(number)]
        return cards, (), [Finding("gpus", "ok", f"{count(number, 'simulated card')}")]
    from qvl.gpus.nvml import NvmlGpus

    logging.getLogger("qvl.gpus").setLevel(logging.ERROR)  # what it would warn of is a finding of ours
    source = NvmlGpus()
    try:
        seen = source.inventory()
        samples = source.sample()
    finally:
        source.close()
    if not seen:
        mend = "see whether nvidia-smi works; in a container, hand the cards in (--gpus all)"
        return None, (), [Finding("gpus", "fail", "the NVIDIA driver shows no card", mend)]
    lost = [sample for sample in samples if sample.health != "ok"]
    found = [
        Finding("gpus", "fail", f"GPU {sample.index} is {sample.health}", "look for Xid in dmesg; reset it or reboot")
        for sample in lost
    ]
    return seen, samples, found or [Finding("gpus", "ok", f"{count(len(seen), 'card')}: {seen[0].name}")]


def holders(samples: Sequence[GpuSample], *, running: bool) -> list[Finding]:
    """Whoever holds memory of a card while no daemon runs is in the way of the workers that are to come."""
    if running:
        return []
    return [
        Finding(
            "gpus",
            "warn",
            f"GPU {sample.index}: {gibibytes(holder.memory)} GiB are held by pid {holder.pid} ({holder.command})",
            "workers of an earlier daemon are adopted by the next one; anything else has to end first",
        )
        for sample in samples
        for holder in sample.holders
    ]


def used_engines(config: Config) -> Iterator[Engine]:
    """Those that a pool runs: a spare engine that isn't installed stops nobody."""
    names = {config.profiles[pool.profile].engine for pool in config.pools.values()}
    return (config.engines[name] for name in sorted(names))


def engine_there(engine: Engine) -> list[Finding]:
    name = f"engine {engine.name}"
    if engine.kind is EngineKind.SIMULATED:
        return [Finding(name, "ok", "simulated")]
    if engine.kind is EngineKind.COMMAND:
        program = engine.command[0] if engine.command else ""
        if shutil.which(program):
            return [Finding(name, "ok", program)]
        mend = f"install it, or mend engines.{engine.name}.command"
        return [Finding(name, "fail", f"{program} is not an executable file", mend)]
    from qvl.engines.flags.installed import SGLANG, VLLM, EngineNotFound, find

    package, title = (VLLM, "vLLM") if engine.kind is EngineKind.VLLM else (SGLANG, "SGLang")
    try:
        installed = find(package, Path(engine.python))
    except EngineNotFound as missing:
        install = f"{engine.python} -m pip install {package.name}"
        mend = f"install {title} there: {install}; or mend engines.{engine.name}.python"
        return [Finding(name, "fail", str(missing), mend)]
    return [Finding(name, "ok", f"{title} {installed.version} in {engine.python}")]


def gateway_there(planned: Fleet, paths: Paths) -> list[Finding]:
    """The router that pools with a gateway need."""
    fronts = [pool.gateway for pool in planned.pools if pool.gateway is not None]
    if not fronts:
        return []
    driver = RouterDriver(paths.state_dir / "gateway")
    if (refusal := driver.preflight(fronts[0].launch)) is not None:
        return [Finding("gateway", "fail", refusal.message, refusal.hint)]
    return [Finding("gateway", "ok", f"sglang-router {driver.version(fronts[0].launch) or 'of unknown version'}")]


def carrying(config: Config, planned: Fleet, cards: Sequence[Gpu] | None, free: Mapping[int, int]) -> list[Finding]:
    """What the daemon would find before it starts each worker; once for all workers of a profile of which it is the
    same. `free`: bytes by card."""
    found: dict[Finding, None] = {}
    here = {key: card for card in cards or () for key in (card.index, card.uuid)}
    for name in sorted({pool.profile for pool in config.pools.values()}):
        profile = config.profiles[name]
        workers = [worker for worker in planned.workers if worker.profile == name]
        launches = [worker.launch for worker in workers] or [launch_of(config, profile)]
        for launch in launches:
            there = [here[gpu] for gpu in launch.gpus if gpu in here]
            rooms = [
                Room(card.memory_total, free.get(card.index, card.memory_total)) for card in there if card.memory_total
            ]
            seen = look(launch, rooms, environment_of(launch), shm=None)
            found.update(dict.fromkeys(finding(f"model {name}", concern) for concern in seen.concerns))
            if not seen.concerns and seen.estimate is not None:
                found[Finding(f"model {name}", "ok", seen.estimate.sentence)] = None
        for worker in workers:
            absent = ", ".join(str(gpu) for gpu in worker.launch.gpus if gpu not in here)
            if absent and cards is not None:
                message = f"{worker.name} takes GPU {absent}, and this host has {count(len(cards), 'card')}"
                found[Finding("gpus", "warn", message, f"mend pools.{worker.pool}.gpus, or look for the card")] = None
    return list(found)


def finding(name: str, concern: Concern) -> Finding:
    return Finding(name, "fail" if concern.error else "warn", concern.message, concern.hint)


def free_memory(samples: Sequence[GpuSample], *, running: bool) -> dict[int, int]:
    """Bytes of each card that nobody holds. Whoever is on it while a daemon runs may be a worker of that."""
    return {
        sample.index: sample.memory_total - (0 if running else sum(holder.memory or 0 for holder in sample.holders))
        for sample in samples
        if sample.memory_total is not None
    }


def groups(supervisor: Supervisor) -> list[Finding]:
    """A default group that isn't there is a note; a chosen one is an error of the daemon's."""
    found = []
    usual = Supervisor()
    for key in ("operator_group", "viewer_group"):
        name: str = getattr(supervisor, key)
        try:
            grp.getgrnam(name)
        except KeyError:
            chosen = name != getattr(usual, key)
            message = f"there is no group {name}" + ("" if chosen else ": only root and the daemon's own user may act")
            found.append(Finding("groups", "fail" if chosen else "warn", message, f"groupadd --system {name}"))
    return found


def ports(planned: Fleet) -> list[Finding]:
    """Ports that somebody else listens on; asked only while no daemon runs."""
    from qvl.host.ports import holder, is_free

    found = []
    for worker in planned.workers:
        host, port = worker.launch.host, worker.launch.port
        if not is_free(host, port):
            message = f"{worker.name} is to have port {port}, which {holder(port) or 'somebody'} has"
            found.append(Finding("ports", "warn", message, "end it, or give the pool another port"))
    return found or [Finding("ports", "ok", f"{count(len(planned.workers), 'port')} free")]


def log_space(config: Config, planned: Fleet, paths: Paths) -> list[Finding]:
    """Whether all logs fit once each has reached its size."""
    free = free_bytes(paths.log_dir)
    needed = 0
    for worker in planned.workers:
        logs = config.pools[worker.pool].policy.logs
        needed += logs.max_size * (logs.keep + 1)
    if free is None or free >= needed:
        return []
    message = f"logs may grow to {gibibytes(needed)} GiB, and {paths.log_dir} has {gibibytes(free)} GiB free"
    return [Finding("logs", "warn", message, "lower logs.max_size or logs.keep, or make room")]


def shared_memory(path: str) -> list[Finding]:
    concern = host_shared_memory(path)
    if concern is not None:
        return [finding("shm", concern)]
    stat = os.statvfs(path)
    size, free = stat.f_frsize * stat.f_blocks, stat.f_frsize * stat.f_bavail
    return [Finding("shm", "ok", f"{path} has {gibibytes(free)} of {gibibytes(size)} GiB free")]


def places(paths: Paths) -> Iterable[tuple[str, Path]]:
    return (("state", paths.state_dir), ("logs", paths.log_dir))


def disk(name: str, path: Path) -> list[Finding]:
    there = existing(path)
    free = free_bytes(path)
    if free is None:
        return [Finding(name, "fail", f"{path} can't be looked at", "make it readable for the daemon's user")]
    text = f"{path} has {gibibytes(free)} GiB free"
    if not os.access(there, os.W_OK | os.X_OK):
        return [Finding(name, "warn", f"{there} can't be written to by this user", "run doctor as the daemon's user")]
    if free < DISK_SMALLEST:
        return [Finding(name, "fail", text, "make room")]
    return [Finding(name, "warn" if free < DISK_SMALL else "ok", text, "make room" if free < DISK_SMALL else None)]


def limits(hard_files: int) -> list[Finding]:
    if hard_files == resource.RLIM_INFINITY or hard_files >= FILES_SMALLEST:
        return [Finding("limits", "ok", f"up to {hard_files} open files")]
    message = f"at most {hard_files} open files, and an engine under load needs more"
    return [Finding("limits", "warn", message, "LimitNOFILE=1048576 in the unit, or ulimit -Hn in the shell")]
