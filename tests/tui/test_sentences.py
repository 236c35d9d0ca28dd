"""Each state in words: the sign, the reason, and the one sentence on the fleet."""

from datetime import timedelta

import msgspec
import pytest
from qvl.model.status import SwitchStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase, Wanted
from qvl_tui.keys import Where
from qvl_tui.sentences import READY, STATES, State, state, verdict, why
from qvl_tui.store import Store
from qvl_tui.widgets.banner import possible

from tests.tui.fleet import NOW, backoff, failed, snapshot, starting, status, worker


def fleet(*workers: WorkerStatus, error: str | None = None, pending: bool = False) -> Store:
    store = Store()
    made = snapshot(*workers)
    store.apply(msgspec.structs.replace(made, status=status(*workers, error=error, pending=pending)), 0.0)
    return store


def said(store: Store) -> str:
    found = verdict(store, NOW)
    return f"{found.glyph} {found.text}" + (f" | {found.press}" if found.press else "")


def test_every_phase_has_a_sign_of_its_own_and_a_word() -> None:
    assert set(STATES) == set(Phase)
    signs: list[State] = [READY, *STATES.values()]
    assert len({sign.word for sign in signs}) == len(signs)
    assert all(sign.glyph and sign.word for sign in signs)
    assert state(worker("w-0")) is READY
    assert state(worker("w-0", ready=False)).word == "not ready"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (backoff("w-0"), "3/8 · again in 40 s: out of GPU memory at load"),
        (backoff("w-0", reason=None), "3/8 · again in 40 s: out of gpu memory"),
        (backoff("w-0", max_restarts=None, next_start_at=None), "3 · again soon: out of GPU memory at load"),
        (backoff("w-0", next_start_at=NOW - timedelta(seconds=3)), "3/8 · again now: out of GPU memory at load"),
        (
            failed("w-0"),
            "the model /models/Qwen3-VL-8B-Instruct is not there → mount it, or change `model` in the profile",
        ),
        (failed("w-0", reason=None, hint=None, last_exit=None), "given up → s starts it again"),
        (worker("w-0", Phase.STOPPED), "s starts it"),
        (worker("w-0", Phase.STOPPED, wanted=Wanted.UP, reason="GPU 2 is absent"), "waits to start: GPU 2 is absent"),
        (worker("w-0", Phase.DRAINING, metrics=WorkerMetrics(running=1)), "1 request to finish"),
        (worker("w-0", Phase.DRAINING), "finishing requests"),
        (worker("w-0", Phase.RELEASING), "waits for its GPU memory and port"),
        (worker("w-0", Phase.RELEASING, reason="GPU 2 is held by pid 9"), "GPU 2 is held by pid 9"),
        (worker("w-0", Phase.STOPPING), "ending its processes"),
        (worker("w-0", Phase.PARKED), "started, GPU memory released"),
        (worker("w-0", drift=("a", "b")), "2 settings differ until its next restart"),
        (worker("w-0", ready=False), "does not answer requests now"),
        (worker("w-0"), ""),
    ],
)
def test_why_is_one_line_with_what_comes_next(known: WorkerStatus, text: str) -> None:
    assert why(known, NOW) == text


@pytest.mark.parametrize(
    ("store", "text"),
    [
        (Store(), "◌ waiting for the daemon's first word"),
        (fleet(), "○ no workers are configured | qvlctl edit"),
        (fleet(worker("w-0")), "● well: w-0 is ready"),
        (fleet(worker("w-0"), worker("w-1")), "● well: all 2 workers are ready"),
        (fleet(worker("w-0"), worker("w-1", Phase.PARKED)), "● well: w-0 is ready"),
        (
            fleet(worker("w-0"), worker("w-1", Phase.STOPPED)),
            "● well: 1 of 2 workers are ready, 1 stopped by request",
        ),
        (fleet(worker("w-0", Phase.STOPPED)), "○ all workers are stopped | s starts the selected one"),
        (fleet(worker("w-0"), starting("w-1")), "◐ 1 of 2 ready, w-1 starting 42%, 21 s left"),
        (fleet(starting("w-0"), backoff("w-1")), "↻ w-1 backoff: out of GPU memory at load | again in 40 s"),
        (
            fleet(backoff("w-0"), failed("w-1", hint=None, reason="no")),
            "✕ w-1 failed (+1 more): no | s starts it again",
        ),
        (fleet(worker("w-0", ready=False, reason="hangs")), "▲ w-0 not ready: hangs | its log may tell why"),
        (
            fleet(worker("w-0", Phase.STOPPED, wanted=Wanted.UP, reason="GPU 2 is absent")),
            "▲ w-0 waits: GPU 2 is absent",
        ),
        (
            fleet(worker("w-0"), error="qvl.toml:3: pols: unknown (pools)"),
            "▲ config refused: qvl.toml:3: pols: unknown (pools) | the last good one runs; 6 shows it",
        ),
        (
            fleet(worker("w-0"), error="qvl.toml:3: one\nqvl.toml:4: two"),
            "▲ config refused: qvl.toml:3: one (+1 more) | the last good one runs; 6 shows it",
        ),
        (
            fleet(worker("w-0"), error="/etc/qvl/conf.d/a.toml:3: one"),
            "▲ config refused: conf.d/a.toml:3: one | the last good one runs; 6 shows it",
        ),
        (fleet(worker("w-0"), pending=True), "▲ an edit of the config waits | 6 shows it"),
    ],
)
def test_the_fleet_in_one_sentence_with_what_to_press(store: Store, text: str) -> None:
    assert said(store) == text


def test_a_switch_is_told_while_it_runs() -> None:
    store = fleet(worker("w-0"))
    switch = SwitchStatus("switch", "eagle3", "smoke test", "w-0", 0, 1, NOW, 92)
    store.pools = tuple(msgspec.structs.replace(pool, switch=switch) for pool in store.pools)
    assert said(store) == "◐ switching w to eagle3, 92%: smoke test on w-0, 0/1 done | 5 shows it"


def test_a_hint_leads_on_from_where_one_is() -> None:
    told = "the last good one runs; 6 shows it"
    assert possible(told, Where.FLEET) == told
    assert possible(told, Where.CONFIG) == "the last good one runs"
    assert possible("5 shows it", Where.SWITCH) == ""
    assert possible("s starts it again", Where.FLEET) == "s starts it again"
    assert possible("s starts it again", Where.LOG) == ""
