"""Every way in which the real SGLang ends that serves, under the daemon: the cause that is named, what is left, what
follows.

Each test goes on where the last one left the worker, since a start takes some 18 s. A signal from outside makes an end
that nobody asked for, whatever SGLang's exit code; a stop or a restart that was typed makes a requested one.
"""

import signal
import time

import pytest

from tests.blackbox.harness import Daemon, pool
from tests.sglang.ending import Tell, alone, profile, serving, unrequested
from tests.sglang.traffic import Load, Stream, running
from tests.support import wait_until

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def begun(daemon: Daemon) -> None:
    """Health as pools have it by default, and no warm-up, which would only take its time."""
    daemon.edit(pool(restart={"max_restarts": 100}, health=None), profile(args={"skip-server-warmup": True}))
    daemon.start()


# ---- ends of a server that serves


@pytest.mark.parametrize(
    ("event", "victim", "sig", "cause", "evidence"),
    [
        ("SIGTERM, idle", None, signal.SIGTERM, "killed", "SIGTERM received"),
        pytest.param("SIGINT", None, signal.SIGINT, "exited", "exited with 0", marks=pytest.mark.long),
        pytest.param("SIGQUIT", None, signal.SIGQUIT, "killed", "SIGQUIT received", marks=pytest.mark.long),
        ("SIGKILL of the scheduler", "sglang::sched", signal.SIGKILL, "killed", "scheduler"),
        pytest.param(
            *("SIGTERM of the scheduler", "sglang::sched", signal.SIGTERM, "killed", "scheduler"),
            marks=pytest.mark.long,
        ),
        ("SIGKILL of the detokenizer", "sglang::detok", signal.SIGKILL, "killed", "detokenizer"),
    ],
    ids=["term", "int", "quit", "kill-scheduler", "term-scheduler", "kill-detokenizer"],
)
def test_a_signal_from_outside(
    event: str, victim: str | None, sig: signal.Signals, cause: str, evidence: str, daemon: Daemon, tell: Tell
) -> None:
    run = serving(daemon)
    run.struck()
    run.tree.signal(victim, sig)
    worker = unrequested(run, tell, event, run.serves_again)
    assert run.exit is not None
    assert run.exit["cause"] == cause
    assert evidence in (run.exit["evidence"] or "")
    assert worker["reason"] is None or cause in worker["reason"]


@pytest.mark.long
def test_sigterm_with_a_request_in_flight(daemon: Daemon, tell: Tell) -> None:
    run = serving(daemon)
    stream = Stream(daemon.port, 800)
    stream.start()
    assert stream.began.wait(60)
    run.struck()
    run.tree.signal(None, signal.SIGTERM)
    unrequested(run, tell, "SIGTERM, a request in flight", run.serves_again)
    stream.join(60)
    assert stream.done, stream.error
    assert run.exit is not None
    assert (run.exit["cause"], run.exit["signal"]) == ("killed", 9)


def test_a_stopped_scheduler_is_found_and_replaced(daemon: Daemon, tell: Tell) -> None:
    """SGLang goes on to answer `/v1/models` and `/metrics`, and SIGTERM doesn't end it."""
    watchful = {"interval": "0.5s", "deep_interval": "3s", "timeout": "6s", "failures": 2}
    daemon.edit(pool(health=watchful))
    daemon.applied()
    run = serving(daemon)
    run.struck()
    run.tree.signal("sglang::sched", signal.SIGSTOP)
    daemon.until(lambda w: not w["ready"], "no longer ready", timeout=60)
    unready = time.monotonic() - run.began
    unrequested(run, tell, "SIGSTOP of the scheduler", lambda: f"{run.serves_again()} (not ready after {unready:.1f})")
    assert run.exit is not None
    assert run.exit["cause"] == "hang"
    daemon.edit(pool(health=None))
    daemon.applied()


# ---- what an operator asks for


@pytest.mark.long
def test_a_restart_under_load(daemon: Daemon, tell: Tell) -> None:
    """Clients that come back at once never let it run dry, so the drain has its end, and SIGTERM has one."""
    daemon.edit(pool(stop={"drain": "3s", "term": "10s"}))
    daemon.applied()
    run = serving(daemon)
    with Load(daemon.port) as load:
        wait_until(lambda: load.whole >= 3, 60, "streams come through")
        run.struck()
        daemon.client.act("restart", "chat-0", pool=False)
        run.over()
        served = load.whole
        again = run.serves_again()
        wait_until(lambda: load.whole > served, 60, "its clients are served again")
    tell(run.row("`restart` under streams", f"{again} (ended after {run.told:.1f}; {load.cut} streams cut)"))
    assert not run.left
    assert run.exit is not None
    assert run.exit["cause"] == "requested"
    assert daemon.worker()["restarts"] == 0  # counted since an operator's last start


def test_a_stop_lets_a_request_finish(daemon: Daemon, tell: Tell) -> None:
    daemon.edit(pool(stop={"drain": "60s", "term": "30s"}))
    daemon.applied()
    run = serving(daemon)
    stream = Stream(daemon.port, 800)
    stream.start()
    # SGLang's figures tell of a request some 40 tokens after its beginning.
    wait_until(lambda: running(daemon) > 0, 60, "a request runs")
    run.struck()
    daemon.client.act("stop", "chat-0", pool=False)
    assert daemon.in_phase("draining")["ready"] is False
    stream.join(120)
    assert stream.done, stream.error
    run.over()
    tell(run.row("`stop`, a request in flight", f"stopped after {run.told:.1f}"))
    daemon.in_phase("stopped")
    assert not run.left
    alone(daemon)
    assert run.exit is not None
    assert run.exit["cause"] == "requested"
