"""A config file and its drop-ins, understood or refused: every fault at once, and never an exception."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qvl.config.check import check
from qvl.config.draft import Draft, read_draft
from qvl.config.fault import Fault, Report, join
from qvl.config.flags import FlagCheck
from qvl.config.fleet import ask_of
from qvl.config.settings import Config, Profile, Where
from qvl.config.source import read_sources
from qvl.core.placement import place
from qvl.model.spec import Engine, EngineKind


@dataclass(frozen=True, slots=True)
class Loaded:
    config: Config | None
    """None where there are faults."""
    faults: tuple[Fault, ...]
    """In the order of the files and their lines."""
    warnings: tuple[Fault, ...]
    revision: str
    """12 hex digits over the names and bytes of all files; empty where there was none to read."""
    sources: tuple[Path, ...]
    """The main file, then its drop-ins, read or not."""
    contents: Mapping[Path, bytes]
    """Of those that could be read: what the faults are about."""


def load(path: Path, *, flag_check: FlagCheck | None = None) -> Loaded:
    """`flag_check`: asked about the arguments of each profile, see `qvl.config.flags.installed_check`."""
    report = Report()
    sources = read_sources(path, report)
    config = None
    if not report.faults:
        draft = read_draft(sources.table, report)
        check(draft)
        _check_placement(draft)
        if flag_check is not None:
            _check_flags(draft, flag_check)
        if not report.faults:
            config = _config(draft, path, sources.revision)
    order = {file: index for index, file in enumerate(sources.paths)}

    def position(fault: Fault) -> tuple[int, int, str, str]:
        return order.get(fault.file, len(order)), fault.line, fault.key, fault.message

    faults = tuple(sorted(report.faults, key=position))
    warnings = tuple(sorted(report.warnings, key=position))
    return Loaded(config, faults, warnings, sources.revision, sources.paths, sources.contents)


def _check_placement(draft: Draft) -> None:
    """Pools whose demands are known; those with a fault of their own have been told about."""
    asks = [
        ask_of(pool, draft.profiles[pool.profile].args)
        for name, pool in draft.pools.items()
        if draft.sound("pools", name) and draft.sound_profile(pool.profile)
    ]
    placed = place(asks, None)
    for clash in placed.clashes:
        draft.fault(("pools", clash.pool, clash.key), clash.message)
    if draft.supervisor.gpus == "none":
        for ask in asks:
            if ask.gpus != "none":
                draft.warn(("pools", ask.pool, "gpus"), 'waits for GPUs for ever, since supervisor.gpus is "none"')
    if not draft.pools:
        draft.warn((), "has no pools: nothing will run")


def _check_flags(draft: Draft, flag_check: FlagCheck) -> None:
    for name, profile in draft.profiles.items():
        engine = draft.engines.get(profile.engine or "")
        if engine is None or engine.kind is EngineKind.COMMAND or not draft.sound("engines", engine.name):
            continue
        for found in flag_check(engine, msgspec.convert(profile.args, dict)):
            path = ("profiles", profile.origins.get(f"args.{found.key}", name), "args", found.key)
            if not found.key:
                draft.warn(("engines", engine.name), found.message, found.hint)
            elif found.severity == "warning":
                draft.warn(path, found.message, found.hint)
            elif draft.sound(*path):
                draft.fault(path, found.message, found.hint)
    for name, pool in draft.pools.items():
        if not pool.has_gateway or not pool.gateway_args or not draft.sound("pools", name, "gateway"):
            continue
        router = Engine(pool.gateway, EngineKind.ROUTER, python=draft.supervisor.gateway_python)
        for found in flag_check(router, pool.gateway_args):
            at = ("pools", name, "gateway_args", found.key) if found.key else ("pools", name, "gateway")
            if found.severity == "warning":
                draft.warn(at, found.message, found.hint)
            elif draft.sound(*at):
                draft.fault(at, found.message, found.hint)
    _check_key_files(draft, flag_check)


def _check_key_files(draft: Draft, flag_check: FlagCheck) -> None:
    """A key file is handed over by `--config`, which SGLang has since 0.5.3; an older one takes the key itself only."""
    for name, pool in draft.pools.items():
        profile = draft.profiles.get(pool.profile)
        engine = draft.engines.get(profile.engine or "") if profile else None
        if not pool.api_key_file or engine is None or engine.kind is not EngineKind.SGLANG or not engine.python:
            continue
        if any(found.key and found.absent for found in flag_check(engine, {"config": "key.yaml"})):
            text = f"the SGLang of engine {engine.name} takes a key in its arguments only, where everyone sees it"
            draft.fault(("pools", name, "api_key_file"), text, "0.5.3 and later read it from a file")


def _config(draft: Draft, path: Path, revision: str) -> Config:
    profiles = {name: _profile(draft, name) for name, whole in draft.profiles.items() if whole.engine is not None}
    return Config(
        path=str(path),
        revision=revision,
        supervisor=draft.supervisor,
        engines={name: engine for name, engine in draft.engines.items() if engine is not None},
        profiles=profiles,
        pools=dict(draft.pools),
        where={
            join(*at): Where(str(mark.file), mark.line)
            for name in draft.pools
            for at in (("pools", name), ("pools", name, "gpus"), ("pools", name, "port"))
            for mark in (draft.mark(*at),)
        },
    )


def _profile(draft: Draft, name: str) -> Profile:
    whole = draft.profiles[name]
    return msgspec.convert(
        {**msgspec.structs.asdict(whole), "name": name, "extends": draft.tables[name].extends}, Profile
    )
