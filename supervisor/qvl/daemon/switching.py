"""`qvlctl switch`: another profile for a pool, as a transaction whose outcome is remembered as an override.

The user's file is never written. An override lasts until it is reset or until the pool's profile is edited in the file.
"""

from collections.abc import Awaitable

from qvl.config.state import Override
from qvl.daemon.changes import Changes
from qvl.daemon.configuration import Configuration
from qvl.daemon.journal import Journal
from qvl.daemon.planner import Prepared
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Severity
from qvl.model.plan import Plan


class Switching:
    def __init__(self, configuration: Configuration, changes: Changes, journal: Journal) -> None:
        self._configuration = configuration
        self._changes = changes
        self._journal = journal

    async def plan(self, pool: str, profile: str | None) -> Plan:
        prepared = self._prepare(pool, profile)[0]
        return await self._configuration.warned(prepared.plan, prepared.fleet.workers)

    def begin(self, pool: str, profile: str | None) -> tuple[Plan, Awaitable[None]]:
        """Refuse now what can't be. From then on the pool is taken; what is returned with the plan is to be awaited."""
        prepared, override, target = self._prepare(pool, profile)
        wanted = [worker for worker in prepared.fleet.workers if worker.pool == pool]
        kind = "reset" if profile is None else "switch"

        def commit() -> None:
            self._configuration.commit_override(pool, override, prepared.fleet)

        change = self._changes.begin(pool, kind, target, prepared.plan, wanted, commit)
        self._journal.publish("switch", f"switching to profile {target}", pool=pool, data={"to": target})
        return prepared.plan, self._finish(change, pool, target)

    def tell_cut_off(self) -> None:
        """Say how the switches ended of which an earlier daemon told the beginning and no end: it died meanwhile, and
        what it had committed holds."""
        last: dict[str, dict[str, object]] = {}
        for event in self._journal.since(0):
            if event.kind == "switch" and event.pool is not None and event.data is not None:
                last[event.pool] = event.data
        for pool, data in last.items():
            if "outcome" in data or pool not in self._configuration.pools:
                continue
            target, now = data.get("to"), self._configuration.pools[pool].profile
            if target == now:
                self._tell_done(pool, now)
            else:
                self._tell_back(pool, target, f"the daemon ended before the switch to {target} was through")

    def _tell_done(self, pool: str, target: str) -> None:
        data: dict[str, object] = {"to": target, "outcome": "done"}
        self._journal.publish("switch", f"switched to profile {target}", pool=pool, data=data)

    def _tell_back(self, pool: str, target: object, why: str) -> None:
        back = self._configuration.pools[pool].profile
        self._journal.publish(
            "switch",
            f"went back to profile {back}: {why}",
            pool=pool,
            severity=Severity.ERROR,
            data={"to": target, "back": back, "why": why, "outcome": "rolled-back"},
        )

    async def _finish(self, change: Awaitable[str | None], pool: str, target: str) -> None:
        """Run the transaction to its end: the override is committed, or everything is as it was."""
        wrong = await change
        if wrong is None:
            self._tell_done(pool, target)
        else:
            self._tell_back(pool, target, wrong)

    def _prepare(self, pool: str, profile: str | None) -> tuple[Prepared, Override | None, str]:
        config = self._configuration.applied
        if config is None or pool not in config.pools:
            pools = ", ".join(config.pools) if config is not None else ""
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no pool "{pool}"', f"pools: {pools or 'none'}")
        if profile is not None and profile not in config.profiles:
            known = ", ".join(config.profiles)
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no profile "{profile}"', f"profiles: {known}")
        of_file = config.pools[pool].profile
        override = Override(profile, of_file) if profile is not None and profile != of_file else None
        prepared = self._configuration.with_override(pool, override)
        if prepared.fleet.faults:
            faults = "\n".join(map(str, prepared.fleet.faults))
            raise QvlError(ErrorCode.REFUSED, faults, "free GPUs or ports for it first")
        return prepared, override, profile or of_file
