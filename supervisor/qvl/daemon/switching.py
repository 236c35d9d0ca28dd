"""`qvlctl switch`: another profile for a pool, as a transaction whose outcome is remembered as an override.

The user's file is never written. An override lasts until it is reset or until the pool's profile is edited in the file.
"""

from qvl.config.state import Override
from qvl.daemon.changes import Changes
from qvl.daemon.configuration import Configuration, Prepared
from qvl.daemon.journal import Journal
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Severity
from qvl.model.plan import Plan


class Switching:
    def __init__(self, configuration: Configuration, changes: Changes, journal: Journal) -> None:
        self._configuration = configuration
        self._changes = changes
        self._journal = journal

    def plan(self, pool: str, profile: str | None) -> Plan:
        return self._prepare(pool, profile)[0].plan

    def check(self, pool: str, profile: str | None) -> Plan:
        """Refuse now what can't be, before anything is under way."""
        made = self.plan(pool, profile)
        self._changes.refuse_if_busy(pool)
        return made

    async def run(self, pool: str, profile: str | None) -> None:
        """Run the transaction to its end: commit the override, or everything is as it was."""
        prepared, overrides, target = self._prepare(pool, profile)
        self._journal.publish("switch", f"switching to profile {target}", pool=pool, data={"to": target})
        wanted = [worker for worker in prepared.fleet.workers if worker.pool == pool]
        kind = "reset" if profile is None else "switch"
        wrong = await self._changes.run(pool, kind, target, prepared.plan, wanted)
        if wrong is None:
            self._configuration.commit_overrides(overrides, pool, prepared.fleet)
            self._journal.publish(
                "switch", f"switched to profile {target}", pool=pool, data={"to": target, "outcome": "done"}
            )
            return
        back = self._configuration.pools[pool].profile
        self._journal.publish(
            "switch",
            f"went back to profile {back}: {wrong}",
            pool=pool,
            severity=Severity.ERROR,
            data={"to": target, "back": back, "why": wrong, "outcome": "rolled-back"},
        )

    def _prepare(self, pool: str, profile: str | None) -> tuple[Prepared, dict[str, Override], str]:
        config = self._configuration.applied
        if config is None or pool not in config.pools:
            pools = ", ".join(config.pools) if config is not None else ""
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no pool "{pool}"', f"pools: {pools or 'none'}")
        if profile is not None and profile not in config.profiles:
            known = ", ".join(config.profiles)
            raise QvlError(ErrorCode.NOT_FOUND, f'there is no profile "{profile}"', f"profiles: {known}")
        of_file = config.pools[pool].profile
        overrides = self._configuration.overrides
        overrides.pop(pool, None)
        if profile is not None and profile != of_file:
            overrides[pool] = Override(profile, of_file)
        prepared = self._configuration.with_overrides(overrides, pool)
        if prepared.fleet.faults:
            faults = "\n".join(map(str, prepared.fleet.faults))
            raise QvlError(ErrorCode.REFUSED, faults, "free GPUs or ports for it first")
        return prepared, overrides, profile or of_file
