"""From a configuration and the cards of a host to the workers that are to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from qvl.config.fault import Fault, join
from qvl.config.settings import Config, Pool, Profile
from qvl.core.placement import Ask, Clash, Slot, canonical, group_size, place
from qvl.model.gpu import Gpu
from qvl.model.spec import ArgValue, Engine, EngineKind, Launch, PoolSpec, StopPolicy, WorkerSpec

LOOPBACK = "127.0.0.1"
"""Where workers listen that have a gateway: it is the one who talks to others."""


class Fleet(msgspec.Struct, frozen=True):
    pools: tuple[PoolSpec, ...]
    faults: tuple[Fault, ...] = ()
    """What makes this configuration impossible on this host."""
    notes: tuple[str, ...] = ()
    """Worth telling the user, and no reason to refuse."""

    @property
    def workers(self) -> tuple[WorkerSpec, ...]:
        """With the gateways."""
        return tuple(worker for pool in self.pools for worker in pool.members)


def fleet(config: Config, inventory: Sequence[Gpu] | None, overrides: Mapping[str, str] | None = None) -> Fleet:
    """`inventory`: the cards of the host, None where it isn't known. Pass what is remembered of a card that is lost
    for now too: a pool with `all` has no worker for a card that isn't in it.

    `overrides`: pool -> profile that runs instead of the file's; one that names a profile or a pool which is gone is
    dropped with a note.
    """
    notes: list[str] = []
    profiles = {name: config.profiles[pool.profile] for name, pool in config.pools.items()}
    for name, override in (overrides or {}).items():
        if name not in config.pools:
            notes.append(f"the override of pool {name} is dropped: there is no such pool any more")
        elif override not in config.profiles:
            notes.append(f'the override of pool {name} is dropped: there is no profile "{override}" any more')
        else:
            profiles[name] = config.profiles[override]
    placed = place([ask_of(pool, profiles[name].args) for name, pool in config.pools.items()], inventory)
    notes += [f"pool {note.pool} {note.message}" for note in placed.notes]
    pools = tuple(
        PoolSpec(
            name=name,
            profile=profiles[name].name,
            file_profile=pool.profile,
            host=pool.host,
            port=pool.port,
            workers=tuple(_worker(config, pool, profiles[name], slot) for slot in placed.slots[name]),
            gateway=_gateway(config, pool) if pool.has_gateway else None,
        )
        for name, pool in config.pools.items()
    )
    return Fleet(pools, tuple(_fault(config, clash) for clash in placed.clashes), tuple(notes))


def ask_of(pool: Pool, args: Mapping[str, object]) -> Ask:
    return Ask(pool.name, pool.gpus, pool.workers, group_size(args), pool.port, pool.has_gateway)


def launch_args(engine: Engine, args: Mapping[str, ArgValue]) -> dict[str, ArgValue]:
    """With one name for each flag, so that another spelling is no change; those of a command are its own business."""
    return dict(args) if engine.kind is EngineKind.COMMAND else canonical(args)


def _worker(config: Config, pool: Pool, profile: Profile, slot: Slot) -> WorkerSpec:
    engine = config.engines[profile.engine]
    return WorkerSpec(
        name=f"{pool.name}-{slot.index}",
        pool=pool.name,
        index=slot.index,
        profile=profile.name,
        launch=Launch(
            engine=engine,
            model=profile.model,
            args=launch_args(engine, profile.args),
            raw_args=profile.raw_args,
            env=profile.env,
            gpus=slot.gpus,
            host=LOOPBACK if pool.has_gateway else pool.host,
            port=slot.port,
            api_key_file=pool.api_key_file,
        ),
        policy=msgspec.structs.replace(pool.policy, routed=pool.has_gateway),
        autostart=pool.autostart,
    )


def _gateway(config: Config, pool: Pool) -> WorkerSpec:
    # It takes nothing new from SIGTERM on and ends by itself once the last request has: its drain is part of its end.
    stop = StopPolicy(drain=0.0, term=pool.policy.stop.drain + pool.policy.stop.term)
    return WorkerSpec(
        name=gateway_name(pool.name),
        pool=pool.name,
        index=-1,
        profile=pool.gateway,
        launch=Launch(
            engine=Engine(pool.gateway, EngineKind.ROUTER, python=config.supervisor.gateway_python),
            args=pool.gateway_args,
            host=pool.host,
            port=pool.port,
            api_key_file=pool.api_key_file,
        ),
        policy=msgspec.structs.replace(pool.policy, stop=stop),
        autostart=pool.autostart,
        external=pool.external_workers,
    )


def gateway_name(pool: str) -> str:
    """What the gateway of a pool is called among its workers."""
    return f"{pool}-gateway"


def _fault(config: Config, clash: Clash) -> Fault:
    key = join("pools", clash.pool, clash.key)
    where = config.where.get(key) or config.where.get(join("pools", clash.pool))
    file, line = (where.file, where.line) if where else (config.path, 0)
    return Fault(Path(file), line, key, clash.message)
