"""A transaction under way on a pool: how far it is, worker by worker, and the way back. It stays until it is closed,
so that the outcome is read where the change was watched."""

from typing import ClassVar

from qvl.model.event import Event
from qvl.model.status import PoolStatus, SwitchStatus, WorkerStatus
from textual.binding import Binding

from qvl_tui.format import bar, count, duration
from qvl_tui.keys import Bindings
from qvl_tui.messages import CancelWanted
from qvl_tui.paint import BLANK, Line, Tone, choices, clip, cut, left, wrap
from qvl_tui.screens.dialog import Dialog
from qvl_tui.screens.frame import Clock
from qvl_tui.sentences import SEVERITIES, change, state, why
from qvl_tui.store import Store, Topic

_METER = 16
_WORKERS = 8


class ChangeScreen(Dialog[None]):
    BINDINGS: ClassVar[Bindings] = [
        Binding("c", "cancel", id="change.cancel", tooltip="take it back"),
        Binding("escape,q,enter,n", "dismiss(None)", id="change.leave", tooltip="close; the change goes on"),
    ]

    def __init__(self, store: Store, clock: Clock, pool: PoolStatus) -> None:
        super().__init__(f"pool {pool.name}")
        self.store = store
        self.clock = clock
        self.pool = pool.name
        self.asked = False

    def on_mount(self) -> None:
        self.show(set(Topic))

    def show(self, topics: set[Topic]) -> None:
        width = self.room()
        pool = next((pool for pool in self.store.pools if pool.name == self.pool), None)
        if pool is not None and pool.switch is not None:
            self.put((*self._under_way(pool, pool.switch, width), BLANK, self._keys(pool.switch)))
        else:
            self.put((*self._over(pool, width), BLANK, choices(("⏎ Esc", "close", Tone.MUTED))))

    def _under_way(self, pool: PoolStatus, switch: SwitchStatus, width: int) -> tuple[Line, ...]:
        filled, empty = bar(switch.percent / 100, _METER)
        now = self.store.now(self.clock())
        age = "" if now is None else f"for {duration((now - switch.started_at).total_seconds())}"
        meter: Line = (
            (filled, Tone.ACCENT),
            (empty, Tone.FAINT),
            (f"  {switch.percent}%  {switch.done} of {count(switch.total, 'worker')}", Tone.STRONG),
            (f"   {switch.step}", Tone.TEXT),
            (f"   {age}", Tone.MUTED),
        )
        workers = [worker for worker in self.store.workers.values() if worker.pool == pool.name]
        rows = [self._row(worker, switch, width) for worker in workers[:_WORKERS]]
        if len(workers) > _WORKERS:
            rows.append(((f"  and {count(len(workers) - _WORKERS, 'worker')} more", Tone.MUTED),))
        return ((change(pool, switch), Tone.STRONG),), BLANK, clip(meter, width), BLANK, *rows

    def _row(self, worker: WorkerStatus, switch: SwitchStatus, width: int) -> Line:
        known = state(worker)
        here = worker.name == switch.worker
        progress = worker.progress
        doing = "" if progress is None or worker.ready else f"{progress.step} {progress.percent or 0}%"
        told = doing or why(worker, self.store.now(self.clock()))
        line: Line = (
            ("› " if here else "  ", Tone.ACCENT),
            (left(worker.name, 20), Tone.STRONG if here else Tone.TEXT),
            (left(f"{known.glyph} {known.word}", 13), known.tone),
            (left(worker.profile, 14), Tone.MUTED),
        )
        return clip((*line, (cut(told, max(width - 49, 0)), Tone.MUTED)), width)

    def _over(self, pool: PoolStatus | None, width: int) -> tuple[Line, ...]:
        told = next((e for e in reversed(self.store.events) if self._is_end(e)), None)
        if told is not None:
            known = SEVERITIES[told.severity]
            parts = wrap(told.message, width - 2)
            return tuple(
                ((f"{known.glyph} " if n == 0 else "  ", known.tone), (part, Tone.TEXT)) for n, part in enumerate(parts)
            )
        runs = f"; it runs {pool.profile}" if pool else ""
        return (((cut(f"no change is under way{runs}", width), Tone.TEXT),),)

    def _is_end(self, event: Event) -> bool:
        """Whether it tells of this pool's change more than a step of it."""
        return event.kind == "switch" and event.pool == self.pool and "step" not in (event.data or {})

    def _keys(self, switch: SwitchStatus) -> Line:
        tone = Tone.TEXT if self.store.may_act and not self._going_back(switch) else Tone.FAINT
        back = "taking it back" if self._going_back(switch) else "take it back"
        return choices(("c", back, tone), ("Esc", "close, it goes on", Tone.MUTED))

    def _going_back(self, switch: SwitchStatus) -> bool:
        return self.asked or switch.step == "rolling back"

    def action_cancel(self) -> None:
        pool = next((pool for pool in self.store.pools if pool.name == self.pool), None)
        if pool is None or pool.switch is None or self._going_back(pool.switch) or not self.store.may_act:
            return
        self.asked = True
        self.app.post_message(CancelWanted(self.pool))
        self.show(set(Topic))
