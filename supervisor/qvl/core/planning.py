"""The difference between what runs and what a configuration wants, as steps that do the least.

A worker is compared by the configuration that its process runs, never by generated arguments, so that a newer qvl or
engine causes no restart by itself.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from qvl.core.live import all_live, takes_changes
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.spec import EngineKind, Launch, Policy, WorkerSpec
from qvl.model.worker import Phase, Wanted, WorkerRecord

_LAYOUT = ("gpus", "host", "port")
"""Keys whose change moves a worker to other GPUs or another address."""


_UNSEEN = ("engine.name", "engine.smoke")
"""Keys that no process was started with: what we call its engine, and what a switch asks it."""


_OVERHEAD = 1.0
"""Seconds that a restart takes beside the start-up itself."""


class Current(msgspec.Struct, frozen=True):
    """A worker as it is: the specification that holds for it now, and its record."""

    spec: WorkerSpec
    record: WorkerRecord
    requests: int | None = None
    """In flight, running and queued, as it said last; None where it said nothing."""


def changed_keys(old: Mapping[str, object], new: Mapping[str, object], prefix: str = "") -> Iterator[KeyChange]:
    """The leaves that differ, with dotted keys, in order. Lists are leaves."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if is_same(before, after):
            continue
        if isinstance(before, Mapping | None) and isinstance(after, Mapping | None) and (before or after):
            yield from changed_keys(before or {}, after or {}, f"{prefix}{key}.")
        else:
            yield KeyChange(f"{prefix}{key}", before, after)


def is_same(before: object, after: object) -> bool:
    """As written: to Python `true` equals 1, to a command line the bare flag is not the flag with a value."""
    return msgspec.json.encode(before, order="deterministic") == msgspec.json.encode(after, order="deterministic")


def launch_changes(old: Launch, new: Launch) -> tuple[KeyChange, ...]:
    """What another process has to be started for."""
    return tuple(change for change in _all_changes(old, new) if _is_seen(change, old, new))


def _unseen_changes(old: Launch, new: Launch) -> tuple[KeyChange, ...]:
    return tuple(change for change in _all_changes(old, new) if not _is_seen(change, old, new))


def _all_changes(old: Launch, new: Launch) -> Iterator[KeyChange]:
    return changed_keys(msgspec.to_builtins(old), msgspec.to_builtins(new))


def _is_seen(change: KeyChange, old: Launch, new: Launch) -> bool:
    """Whether the process could tell. A command has its arguments in its command line, never in `args`, which only
    count its cards."""
    if old.engine.kind is new.engine.kind is EngineKind.COMMAND and change.key.split(".")[0] == "args":
        return False
    return change.key not in _UNSEEN


def policy_changes(old: WorkerSpec, new: WorkerSpec) -> tuple[KeyChange, ...]:
    servers = {"external_workers": old.external}, {"external_workers": new.external}
    return (*changed_keys(msgspec.to_builtins(old.policy), msgspec.to_builtins(new.policy)), *changed_keys(*servers))


def plan(
    current: Mapping[str, Current],
    wanted: Sequence[WorkerSpec],
    *,
    revision: str,
    pool_wanted: Mapping[str, Wanted],
    downtime: Mapping[str, float],
    live: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """What it takes to get from `current` to `wanted`.

    `pool_wanted` is the operator's will for a pool as a whole, which new workers inherit; `downtime` the remembered
    start-up seconds by worker name; `live` the arguments that a worker's process takes without another start.
    """
    live = live or {}
    steps = [_step(current.get(spec.name), spec, pool_wanted, downtime, live.get(spec.name, ())) for spec in wanted]
    names = {spec.name for spec in wanted}
    for name, gone in current.items():
        if name not in names:
            ends = PlanStep(name, Action.STOP, _profile_change(gone.spec.profile, None))
            steps.append(_interrupting(ends, gone, gone.spec.policy))
    pools = {spec.pool for spec in wanted}
    removed = sorted({c.spec.pool for c in current.values() if c.spec.pool not in pools and _is_up(c.record)})
    return Plan(revision=revision, steps=tuple(steps), removes_pools=tuple(removed))


def expected_downtime(wanted: Sequence[WorkerSpec], remembered: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Seconds without each worker while it restarts; `remembered` are those of each step of a start, by profile."""
    return {
        spec.name: round(sum(took.values()) + _OVERHEAD, 1)
        for spec in wanted
        if (took := remembered.get(spec.profile)) is not None
    }


def _is_up(record: WorkerRecord) -> bool:
    """Whether somebody would miss it: it has a process, or would have one again by itself."""
    idle = record.phase in (Phase.STOPPED, Phase.FAILED)
    return record.phase.has_process or (record.wanted is Wanted.UP and not idle)


def _profile_change(old: str | None, new: str | None) -> tuple[KeyChange, ...]:
    return () if old == new else (KeyChange("profile", old, new),)


def _step(
    now: Current | None,
    spec: WorkerSpec,
    pool_wanted: Mapping[str, Wanted],
    downtime: Mapping[str, float],
    live: Collection[str],
) -> PlanStep:
    if now is None:
        up = pool_wanted.get(spec.pool, Wanted.UP if spec.autostart else Wanted.DOWN) is Wanted.UP
        expected = downtime.get(spec.name) if up else None
        return PlanStep(spec.name, Action.START, _profile_change(None, spec.profile), expected)
    record = now.record
    # Nobody is interrupted by what becomes of one that was told to stop, and its next start is the only one to come.
    alive = record.phase.has_process and record.wanted is Wanted.UP
    launched = record.launched if alive and record.launched is not None else now.spec.launch
    keys = launch_changes(launched, spec.launch)
    if keys:
        profile = record.profile if alive else now.spec.profile
        named = (*_profile_change(profile, spec.profile), *keys)
        if not alive and (record.wanted is Wanted.DOWN or record.phase is Phase.STOPPED):
            return PlanStep(spec.name, Action.RECONFIGURE, named)
        if takes_changes(record) and all_live(keys, live):
            return PlanStep(spec.name, Action.LIVE, (*named, *_quiet_changes(now.spec, spec)))
        moved = any(change.key.split(".")[0] in _LAYOUT for change in keys)
        # One that moves leaves its place first, by the policy that it has; any other is asked with the new one in hand.
        action, policy = (Action.RELAYOUT, now.spec.policy) if moved else (Action.RESTART, spec.policy)
        return _interrupting(PlanStep(spec.name, action, named, downtime.get(spec.name)), now, policy)
    keys = (*_profile_change(now.spec.profile, spec.profile), *_quiet_changes(now.spec, spec))
    return PlanStep(spec.name, Action.RECONFIGURE if keys else Action.KEEP, keys)


def _quiet_changes(old: WorkerSpec, new: WorkerSpec) -> tuple[KeyChange, ...]:
    """What no process has to be told."""
    return (*_unseen_changes(old.launch, new.launch), *policy_changes(old, new))


def _interrupting(step: PlanStep, now: Current, policy: Policy) -> PlanStep:
    """With what it cuts off. Who drains already is not interrupted by this."""
    if now.requests is None or now.record.phase is not Phase.RUNNING:
        return step
    return msgspec.structs.replace(step, requests=now.requests, drain_s=policy.stop.drain)
