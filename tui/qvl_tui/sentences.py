"""What is going on, in words: the state of a worker, why it is so and what follows, and the one sentence on the fleet.

Pure. A glyph and a word tell each state; the tone only repeats them. Here alone is decided what needs attention.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from qvl.model.event import Severity
from qvl.model.status import PoolStatus, SwitchStatus, WorkerStatus
from qvl.model.worker import Phase, Wanted

from qvl_tui.format import count, duration
from qvl_tui.paint import Tone
from qvl_tui.store import Store


class State(NamedTuple):
    glyph: str
    word: str
    tone: Tone


STATES = {
    Phase.STOPPED: State("○", "stopped", Tone.MUTED),
    Phase.STARTING: State("◐", "starting", Tone.ACCENT),
    Phase.RUNNING: State("▲", "not ready", Tone.WARN),
    Phase.DRAINING: State("◒", "draining", Tone.ACCENT),
    Phase.STOPPING: State("◌", "stopping", Tone.ACCENT),
    Phase.RELEASING: State("◌", "releasing", Tone.ACCENT),
    Phase.PARKED: State("◇", "parked", Tone.MUTED),
    Phase.BACKOFF: State("↻", "backoff", Tone.WARN),
    Phase.FAILED: State("✕", "failed", Tone.BAD),
}
READY = State("●", "ready", Tone.GOOD)
SEVERITIES = {
    Severity.INFO: State("·", "info", Tone.MUTED),
    Severity.WARNING: State("▲", "warning", Tone.WARN),
    Severity.ERROR: State("✕", "error", Tone.BAD),
}


def state(worker: WorkerStatus) -> State:
    return READY if worker.ready and worker.phase is Phase.RUNNING else STATES[worker.phase]


def waits_up(worker: WorkerStatus) -> bool:
    """Stopped, though it is wanted up: something has to come first."""
    return worker.phase is Phase.STOPPED and worker.wanted is Wanted.UP


def again_in(worker: WorkerStatus, now: datetime | None) -> str:
    if worker.next_start_at is None or now is None:
        return "again soon"
    left = (worker.next_start_at - now).total_seconds()
    return f"again in {duration(left)}" if left >= 0.5 else "again now"


def reason(worker: WorkerStatus) -> str:
    """The daemon's sentence, or else the cause of the last end."""
    return worker.reason or (worker.last_exit.cause.value.replace("-", " ") if worker.last_exit else "")


def why(worker: WorkerStatus, now: datetime | None) -> str:
    """Reason and next action, on one line; empty where nothing needs to be said."""
    cause = reason(worker)
    match worker.phase:
        case Phase.BACKOFF:
            budget = f"/{worker.max_restarts}" if worker.max_restarts else ""
            return _parts(f"{worker.restarts}{budget} · {again_in(worker, now)}", cause, between=": ")
        case Phase.FAILED:
            return _parts(cause or "given up", worker.hint or "s starts it again", between=" → ")
        case Phase.STOPPED if worker.wanted is Wanted.UP:
            return _parts("waits to start", worker.reason or "", between=": ")
        case Phase.STOPPED:
            return worker.reason or "s starts it"
        case Phase.RUNNING if not worker.ready:
            return worker.reason or "does not answer requests now"
        case Phase.DRAINING:
            left = worker.metrics.running
            return worker.reason or ("finishing requests" if left is None else f"{count(left, 'request')} to finish")
        case Phase.RELEASING:
            return worker.reason or "waits for its GPU memory and port"
        case Phase.STOPPING:
            return worker.reason or "ending its processes"
        case Phase.PARKED:
            return worker.reason or "started, GPU memory released"
        case Phase.STARTING:
            return worker.reason or ""
        case Phase.RUNNING:
            if worker.drift:
                differ = "differs" if len(worker.drift) == 1 else "differ"
                return f"{count(len(worker.drift), 'setting')} {differ} until its next restart"
            return worker.reason or ""


def _parts(first: str, second: str, between: str) -> str:
    return f"{first}{between}{second}" if second else first


class Verdict(NamedTuple):
    glyph: str
    tone: Tone
    text: str
    press: str = ""
    """What to do about it."""


_URGENCY = (Phase.FAILED, Phase.BACKOFF, Phase.RUNNING, Phase.STOPPED)


def verdict(store: Store, now: datetime | None) -> Verdict:
    """The fleet in one sentence: the worst that is wrong, or that nothing is."""
    if store.supervisor is None:
        return Verdict("◌", Tone.MUTED, "waiting for the daemon's first word")
    fronts = [pool.gateway for pool in store.pools if pool.gateway]  # one that only waits for its workers is no news
    broken = [front for front in fronts if front.phase in (Phase.FAILED, Phase.BACKOFF)]
    troubled = troubles([*broken, *store.workers.values()])
    if troubled:
        return _about(troubled[0], len(troubled) - 1, now)
    config = store.supervisor.config
    if config.error:
        line, *more = config.error.splitlines()
        # Which directory it is in matters less than what is wrong.
        line = line.removeprefix(f"{config.path.rpartition('/')[0]}/")
        text = f"config refused: {line}{_more(len(more))}"
        return Verdict("▲", Tone.WARN, text, "the last good one runs; 6 shows it")
    for pool in store.pools:
        if pool.switch:
            return Verdict("◐", Tone.ACCENT, switching(pool, pool.switch), "5 shows it")
    if config.pending:
        return Verdict("▲", Tone.WARN, "an edit of the config waits", "6 shows it")
    workers = [worker for worker in store.workers.values() if worker.phase is not Phase.PARKED]
    if not workers:
        return Verdict("○", Tone.MUTED, "no workers are configured", "qvlctl edit")
    moving = [worker for worker in workers if not worker.ready and worker.wanted is Wanted.UP]
    ready = sum(worker.ready for worker in workers)
    if moving:
        first = moving[0]
        return Verdict("◐", Tone.ACCENT, f"{ready} of {len(workers)} ready, {_doing(first)}{_more(len(moving) - 1)}")
    down = len(workers) - ready
    if not ready:
        return Verdict("○", Tone.MUTED, "all workers are stopped", "s starts the selected one")
    words = f"all {len(workers)} workers are" if len(workers) > 1 else f"{workers[0].name} is"
    if down:
        words = f"{ready} of {len(workers)} workers are"
    return Verdict("●", Tone.GOOD, f"well: {words} ready" + (f", {down} stopped by request" if down else ""))


def troubles(workers: Iterable[WorkerStatus]) -> list[WorkerStatus]:
    """Workers that need a look, the worst first."""
    found = [worker for worker in workers if _troubled(worker)]
    return sorted(found, key=lambda worker: _URGENCY.index(worker.phase))


def _troubled(worker: WorkerStatus) -> bool:
    if worker.phase in (Phase.FAILED, Phase.BACKOFF) or waits_up(worker):
        return True
    return worker.phase is Phase.RUNNING and not worker.ready


def _about(worker: WorkerStatus, others: int, now: datetime | None) -> Verdict:
    known = state(worker)
    cause = reason(worker)
    text = _parts(f"{worker.name} {known.word}{_more(others)}", cause, between=": ")
    if worker.phase is Phase.FAILED:
        return Verdict(known.glyph, known.tone, text, worker.hint or "s starts it again")
    if worker.phase is Phase.BACKOFF:
        return Verdict(known.glyph, known.tone, text, again_in(worker, now))
    if waits_up(worker):
        return Verdict("▲", Tone.WARN, _parts(f"{worker.name} waits{_more(others)}", cause, between=": "))
    return Verdict(known.glyph, known.tone, text, "its log may tell why")


def _more(others: int) -> str:
    return f" (+{others} more)" if others else ""


def _doing(worker: WorkerStatus) -> str:
    if worker.progress is None:
        return f"{worker.name} {state(worker).word}"
    eta = f", {duration(worker.progress.eta_s)} left" if worker.progress.eta_s is not None else ""
    done = "" if worker.progress.percent is None else f" {worker.progress.percent}%"
    return f"{worker.name} {state(worker).word}{done}{eta}"


def change(pool: PoolStatus, switch: SwitchStatus) -> str:
    """What a transaction does: `switching qwen3-vl to eagle3`."""
    match switch.kind:
        case "switch":
            return f"switching {pool.name} to {switch.to}"
        case "reset":
            return f"taking {pool.name} back to the file's profile, {switch.to}"
        case "apply":
            return "applying the edited configuration"
        case "restart":
            return f"restarting {pool.name}, one after the other"
        case other:
            return f"{other} of {pool.name}"


def switching(pool: PoolStatus, switch: SwitchStatus) -> str:
    """The same with how far it is."""
    where = f" on {switch.worker}" if switch.worker else ""
    return f"{change(pool, switch)}, {switch.percent}%: {switch.step}{where}, {switch.done}/{switch.total} done"


def interrupted(workers: Iterable[WorkerStatus], store: Store) -> str:
    """What a stop of these would cut off, for a question."""
    names = [worker.name for worker in workers]
    figures = [store.metrics[name].running for name in names if name in store.metrics]
    known = [figure for figure in figures if figure is not None]
    if not known:
        return "how many requests it runs is not known"
    return f"{count(sum(known), 'request')} in flight" if sum(known) else "no requests in flight"


def kv_tone(fraction: float | None) -> Tone:
    if fraction is None:
        return Tone.FAINT
    return Tone.BAD if fraction >= 0.97 else Tone.WARN if fraction >= 0.9 else Tone.ACCENT
