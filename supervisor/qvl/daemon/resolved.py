"""What a profile comes to: on paper, with all that pool and daemon add, and in a running engine by its own word."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx
import msgspec

from qvl.config.fault import nearest
from qvl.config.origins import Around, find_profile, names_a_secret, origins
from qvl.config.settings import Config
from qvl.daemon.configuration import Configuration
from qvl.daemon.engine_client import EngineClient
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.launcher import Launcher, read_secrets
from qvl.daemon.shared import Shared
from qvl.daemon.supervisor import Supervisor
from qvl.daemon.worker import Worker
from qvl.engines.base import Command, Place, Surface
from qvl.engines.flags import EngineNotFound, FlagTable
from qvl.engines.server_info import resolved
from qvl.engines.sglang_flags import load_flags
from qvl.engines.simulated import simulated_table
from qvl.model.api import ProfileDetail, Resolved, ResolvedValue
from qvl.model.error import ErrorCode, QvlError
from qvl.model.spec import EngineKind, Launch
from qvl.model.worker import Phase

PATIENCE: Final = 5.0
"""Seconds for an answer that a busy scheduler gives between two steps, and a hung one never."""
MUTE: Final = 30.0
"""Seconds for which a worker that did not answer isn't asked again: what it was asked still waits in there."""

_SERVING = (Phase.RUNNING, Phase.DRAINING, Phase.PARKED)


class Resolver:
    """Asks engines, never by itself, and one of them never twice at a time: who asks meanwhile gets the same answer.

    `cache` keeps the flag tables of the installed engines; `surface` tells how a worker is asked, and with which key.
    """

    def __init__(
        self,
        client: EngineClient,
        surface: Callable[[Worker], tuple[Surface, str | None]],
        cache: Path | None,
        patience: float = PATIENCE,
    ) -> None:
        self._client = client
        self._surface = surface
        self._cache = cache
        self._patience = patience
        self._shared = Shared[Resolved]("resolved")
        self._mute: dict[str, tuple[int, float]] = {}
        """Worker -> its generation, and until when it isn't asked, by the monotonic clock."""

    async def ask(self, worker: Worker) -> Resolved:
        """QvlError where there is nothing to ask, no answer in time, or one that can't be shown."""
        return await self._shared.ask(worker.name, lambda: self._ask(worker))

    async def _ask(self, worker: Worker) -> Resolved:
        record, launch = worker.record, worker.record.launched
        if record.phase not in _SERVING or launch is None:
            raise QvlError(
                ErrorCode.CONFLICT,
                f"worker {worker.name} is {record.phase}: its engine has resolved nothing yet",
                f"qvlctl wait {worker.name}" if record.phase is Phase.STARTING else f"qvlctl start {worker.name}",
            )
        surface, key = self._surface(worker)
        if not surface.info:
            text = f"engine {launch.engine.name} ({launch.engine.kind}) doesn't tell what it makes of its arguments"
            raise QvlError(ErrorCode.CONFLICT, text, f"its log may: qvlctl logs {worker.name}")
        try:
            _, secret_env = await asyncio.to_thread(read_secrets, launch)
        except OSError as error:
            text = f"{error.filename} can't be read, so its secrets can't be told from what {worker.name} answers"
            raise QvlError(ErrorCode.CONFLICT, text, "put it back, or restart the worker") from error
        document = await self._fetch(worker, surface, key)
        length = await self._context_length(worker, surface, key)
        table = await asyncio.to_thread(flag_table, launch, self._cache)
        secrets = [secret for secret in (key, *secret_env.values()) if secret]
        values, hidden = resolved(document, table, launch.args, secrets, names_a_secret)
        if length is not None:
            values = with_context_length(values, length)
        version = document.get("version")
        return Resolved(
            worker=worker.name,
            pool=record.pool,
            profile=record.profile or worker.spec.profile,
            engine=launch.engine.name,
            version=version if isinstance(version, str) and len(version) < 40 and version not in secrets else None,
            values=values,
            hidden=hidden,
        )

    async def _fetch(self, worker: Worker, surface: Surface, key: str | None) -> Mapping[str, object]:
        generation, until = self._mute.get(worker.name, (-1, 0.0))
        if generation == worker.record.generation and time.monotonic() < until:
            raise self._silent(worker, surface.info[0])
        try:
            for path in surface.info:
                if document := await self._client.fetch(worker, path, key, self._patience):
                    return document
        except (TimeoutError, httpx.TimeoutException):
            self._mute[worker.name] = (worker.record.generation, time.monotonic() + MUTE)
            raise self._silent(worker, surface.info[0]) from None
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            hint = "its key was changed since it started: restart it" if status == 401 else f"qvlctl logs {worker.name}"
            text = f"{worker.name} answered {status} when asked for its arguments"
            raise QvlError(ErrorCode.CONFLICT, text, hint) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            text = f"{worker.name} can't be asked for its arguments: {type(error).__name__}"
            raise QvlError(ErrorCode.CONFLICT, text, f"qvlctl logs {worker.name}") from None
        text = f"{worker.name} has no {' and no '.join(surface.info)} to ask for its arguments"
        raise QvlError(ErrorCode.CONFLICT, text, "it may be something else than the engine that its profile names")

    def _silent(self, worker: Worker, path: str) -> QvlError:
        text = f"{worker.name} gave no answer to {path} within {self._patience:g} s: its scheduler is busy or hangs"
        hint = f"it isn't asked again for {MUTE:g} s; see whether it makes progress: qvlctl status {worker.name}"
        return QvlError(ErrorCode.CONFLICT, text, hint)

    async def _context_length(self, worker: Worker, surface: Surface, key: str | None) -> int | None:
        """Where no flag sets it, the arguments don't have it; the list of models does."""
        if not surface.openai:
            return None
        try:
            document = await self._client.fetch(worker, "/v1/models", key)
            return msgspec.convert(document, _Models).data[0].max_model_len
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError, IndexError):
            return None


class _Model(msgspec.Struct):
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


def with_context_length(values: tuple[ResolvedValue, ...], length: int) -> tuple[ResolvedValue, ...]:
    """`context-length` as the server tells its clients, where the arguments leave it open."""
    key = "context-length"
    if any(value.key == key and value.value is None for value in values):
        return tuple(msgspec.structs.replace(v, value=length) if v.key == key else v for v in values)
    return values


def flag_table(launch: Launch, cache: Path | None) -> FlagTable | None:
    """The flags of what is installed now; None where that can't be told. Reads the disk."""
    if launch.engine.kind is EngineKind.SIMULATED:
        return simulated_table()
    if launch.engine.kind is not EngineKind.SGLANG:
        return None
    try:
        return load_flags(Path(launch.engine.python), cache)
    except (EngineNotFound, OSError, SyntaxError):
        return None


class Profiles:
    """Profiles as they are on paper: with what pool and daemon add to them."""

    def __init__(
        self, supervisor: Supervisor, configuration: Configuration, launcher: Launcher, gpus: GpuMonitor
    ) -> None:
        self._supervisor = supervisor
        self._configuration = configuration
        self._launcher = launcher
        self._gpus = gpus

    async def detail(self, name: str, pool: str | None) -> ProfileDetail:
        """`pool`: with the place that this pool gives it, whatever it runs. QvlError where a name is unknown."""
        config = self._configuration.applied
        if config is None:
            raise QvlError(ErrorCode.CONFLICT, "no configuration is applied yet")
        find_profile(config, name)
        if pool is not None and pool not in self._configuration.pools:
            near = nearest(pool, self._configuration.pools)
            hint = near or f"pools: {', '.join(self._configuration.pools) or 'none'}"
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no pool "{pool}"', hint)
        running = [
            worker
            for worker in self._supervisor.workers.values()
            if worker.record.phase in _SERVING and worker.record.profile == name and not worker.spec.is_gateway
        ]
        runs = [worker.record.pool for worker in running]
        runs += [one.name for one in self._configuration.pools.values() if one.profile == name]
        chosen = pool or next(iter(runs), None)
        running.sort(key=lambda worker: (worker.record.pool != chosen, worker.record.pool, worker.spec.index))
        launch, around = self._launch(config, name, chosen)
        command = await asyncio.to_thread(self._command, launch) if _complete(launch) else None
        if command is not None:
            around = msgspec.structs.replace(around, argv=command.argv, env=command.env)
        detail = origins(config, name, around)
        return msgspec.structs.replace(detail, workers=tuple(worker.name for worker in running))

    def _launch(self, config: Config, name: str, pool: str | None) -> tuple[Launch, Around]:
        profile = config.profiles[name]
        launch = Launch(
            engine=config.engines[profile.engine],
            model=profile.model,
            args=profile.args,
            raw_args=profile.raw_args,
            env=profile.env,
        )
        if pool is None:
            return launch, Around()
        members = [w.spec for w in self._supervisor.workers.values() if w.record.pool == pool and not w.spec.is_gateway]
        first = min(members, key=lambda spec: spec.index, default=None)
        if first is None:
            return launch, Around(pool=pool)
        place = first.launch
        launch = msgspec.structs.replace(
            launch, gpus=place.gpus, host=place.host, port=place.port, api_key_file=place.api_key_file
        )
        settings: dict[str, object] = {"host": place.host, "port": place.port, "gpus": list(place.gpus)}
        if place.api_key_file:
            settings["api_key_file"] = place.api_key_file
        return launch, Around(pool=pool, settings=settings)

    def _command(self, launch: Launch) -> Command:
        cards = [(gpu, self._gpus.resolve(gpu)) for gpu in launch.gpus]
        devices = tuple(card.uuid if card else str(gpu) for gpu, card in cards)
        # Words stand where each start has its own value. Only that there is a key shows in the command line.
        side_port = None if launch.engine.kind is EngineKind.COMMAND else 0
        key = "KEY" if launch.api_key_file else None
        place = Place("WORKER", Path("TMPDIR"), Path("SECRETS"), devices, side_port, key)
        return self._launcher.driver(launch).command(launch, place)


def _complete(launch: Launch) -> bool:
    return launch.engine.kind is not EngineKind.COMMAND or bool(launch.engine.command)
