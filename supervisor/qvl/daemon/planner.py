"""From a configuration to a plan for this host: who is to run where, and what that takes for those who run now."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from qvl.config.fleet import Fleet, fleet
from qvl.config.settings import Config
from qvl.config.state import Override, hold
from qvl.core.planning import Current, expected_downtime, plan
from qvl.daemon.live import LiveChanges
from qvl.daemon.supervisor import Supervisor
from qvl.model.gpu import Gpu
from qvl.model.plan import Plan, PlanStep
from qvl.model.spec import WorkerSpec


class Prepared(msgspec.Struct, frozen=True):
    """A plan with the configuration that it leads to. `path`: of another file than the live one."""

    plan: Plan
    config: Config
    fleet: Fleet
    path: Path | None = None


class Planner:
    """`inventory`: the host's cards; `remembered`: seconds of each step of the last good start, by profile."""

    def __init__(
        self,
        supervisor: Supervisor,
        live: LiveChanges,
        inventory: Callable[[], Sequence[Gpu]],
        remembered: Callable[[], Mapping[str, Mapping[str, float]]],
    ) -> None:
        self._supervisor = supervisor
        self._live = live
        self._inventory = inventory
        self._remembered = remembered

    def place(self, config: Config, overrides: Mapping[str, Override]) -> Fleet:
        """With the overrides that hold with this configuration."""
        held, _ = hold(overrides, config)
        return fleet(config, self._inventory(), {name: override.profile for name, override in held.items()})

    def prepare(self, config: Config, overrides: Mapping[str, Override], pool: str | None = None) -> Prepared:
        """`pool`: what it takes for this one alone."""
        placed = self.place(config, overrides)
        wanted = [worker for worker in placed.workers if pool in (None, worker.pool)]
        return Prepared(self._plan(wanted, config.revision, pool), config, placed)

    def _plan(self, wanted: Sequence[WorkerSpec], revision: str, pool: str | None) -> Plan:
        current = {
            worker.name: Current(worker.spec, worker.record, worker.metrics.in_flight)
            for worker in self._supervisor.workers.values()
            if not worker.removing and pool in (None, worker.record.pool)
        }
        return plan(
            current,
            wanted,
            revision=revision,
            pool_wanted=self._supervisor.pool_wanted,
            downtime=expected_downtime(wanted, self._remembered()),
            live=self._live.arguments(current, wanted),
        )

    def applies_itself(self, config: Config, made: Plan) -> bool:
        """Whether nobody has to type `apply`, by `auto_apply`."""
        if made.removes_pools or config.supervisor.auto_apply is False:
            return False
        return config.supervisor.auto_apply is True or not any(map(self._interrupts, made.steps))

    def _interrupts(self, step: PlanStep) -> bool:
        """A worker that has failed, or waits for its next start, is interrupted by nothing."""
        worker = self._supervisor.workers.get(step.worker)
        return step.action.interrupts and worker is not None and worker.record.phase.has_process
