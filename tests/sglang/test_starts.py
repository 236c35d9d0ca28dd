"""Starts of the real SGLang that come to nothing, under the daemon: mistakes, ends from outside, ports that are taken.

Each test goes on where the last one left the worker, since a start takes some 18 s.
"""

import contextlib
import datetime
import os
import signal
import time
from collections.abc import Callable

import pytest
from qvl.client.documents import WorkerDoc

from tests.blackbox.harness import Daemon, listening, pool
from tests.sglang import strangers
from tests.sglang.conftest import Row
from tests.sglang.ending import END, START, Run, Tell, alone, profile, serving, shown, starting, unrequested
from tests.sglang.traffic import complete
from tests.support import wait_until

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]

Stranger = contextlib.AbstractContextManager[object]


def given_up(daemon: Daemon, tell: Tell, event: str, cause: str) -> WorkerDoc:
    """A start that can't be mended by another one: said, and not tried again."""

    def over(worker: WorkerDoc) -> bool:
        end = worker["last_exit"]
        return worker["phase"] == "failed" and end is not None and end["cause"] == cause

    began = time.monotonic()
    worker = daemon.until(over, f"failed: {cause}", timeout=START)
    end = worker["last_exit"]
    assert end is not None
    code = "no process" if end["code"] is None else f"exit {end['code']}"
    again = f"not tried again: told after {time.monotonic() - began:.1f}"
    alone(daemon)
    tell(Row(event, f"{cause} ({code}): {shown(daemon, end['evidence'])}", "nothing", again))
    assert (worker["wanted"], worker["pid"], worker["next_start_at"]) == ("up", None, None)
    assert worker["reason"]
    assert worker["hint"]
    return worker


# ---- starts that come to nothing


def test_an_unknown_flag(daemon: Daemon, tell: Tell) -> None:
    """In `raw_args`, since one in `args` isn't let through to SGLang."""
    daemon.edit(
        pool(restart={"max_restarts": 100}, health=None),  # health: what pools have by default
        profile(raw_args=["--no-such-flag"], args={"skip-server-warmup": True}),
    )
    daemon.start()
    worker = given_up(daemon, tell, "unknown flag", "bad-arguments")
    assert worker["last_exit"] is not None
    assert worker["last_exit"]["code"] == 2
    assert "--no-such-flag" in (worker["reason"] or "")
    assert daemon.spawns() == 1


def test_a_model_that_no_hub_has(daemon: Daemon, tell: Tell) -> None:
    """It isn't in the cache, and HF_HUB_OFFLINE is set: no process is spent on it."""
    daemon.edit(profile(raw_args=[], model="nobody/nothing"))
    worker = given_up(daemon, tell, "model missing (a hub's name)", "model-missing")
    assert worker["last_exit"] is not None
    assert worker["last_exit"]["code"] is None
    assert "HF_HUB_OFFLINE" in (worker["reason"] or "")


def test_a_model_that_is_not_mounted_and_comes(daemon: Daemon, tell: Tell) -> None:
    """No process is spent on it, and its coming is enough."""
    late = daemon.root / "late"
    daemon.edit(profile(raw_args=[], model=str(late)))
    daemon.until(lambda w: str(late) in (w["reason"] or ""), "the missing directory is named")
    given_up(daemon, tell, "model missing (a path)", "model-missing")
    began = time.monotonic()
    (daemon.root / "model").rename(late)
    daemon.until(lambda w: w["phase"] == "starting", "it starts by itself", timeout=60)
    tell(Row("the path is there", "", "", f"new start after {time.monotonic() - began:.1f}"))


# ---- starts that are cut short; each next one is the start that the last one led to


@pytest.mark.long
def test_sigterm_before_its_children_are_spawned(daemon: Daemon, tell: Tell) -> None:
    run = starting(daemon)
    wait_until(lambda: b"libtorch" in _maps(run.pid), 60, "it imports")
    assert not run.tree.children()
    terminated(run, tell, "SIGTERM before children are spawned")


def test_sigterm_while_its_children_import(daemon: Daemon, tell: Tell) -> None:
    """SGLang itself leaves a detokenizer and a resource tracker behind, for good."""
    run = starting(daemon)
    children_import(run)
    terminated(run, tell, "SIGTERM while children import")


def test_a_stop_while_its_children_import(daemon: Daemon, tell: Tell) -> None:
    run = starting(daemon)
    children_import(run)
    run.struck()
    daemon.client.act("stop", "chat-0", pool=False)
    worker = run.over()
    stopped = run.told
    assert worker["wanted"] == "down"
    daemon.in_phase("stopped")
    alone(daemon)
    began = time.monotonic()
    daemon.client.act("start", "chat-0", pool=False)
    serving(daemon, run.pid)
    tell(
        run.row("`stop` while children import", f"stopped after {stopped:.1f}; `start`: {time.monotonic() - began:.1f}")
    )
    assert not run.left
    assert run.exit is not None
    assert run.exit["cause"] == "requested"
    assert daemon.worker()["restarts"] == 0


def terminated(run: Run, tell: Tell, event: str) -> None:
    run.struck()
    run.tree.signal(None, signal.SIGTERM)
    unrequested(run, tell, event, run.starts_again)
    assert run.exit is not None
    assert (run.exit["cause"], run.exit["signal"]) == ("killed", 15)


def children_import(run: Run) -> None:
    """Resource tracker, scheduler and detokenizer are there, and the latter two not yet as far as to have a name."""
    wait_until(lambda: len(run.tree.children()) == 3, 120, "its children")
    assert {child.name for child in run.tree.children()} == {"python"}


def _maps(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps:
            return maps.read()
    except OSError:
        return b""


# ---- a port that is taken after the gate: SGLang binds it late


def robbed(daemon: Daemon, run: Run, tell: Tell, event: str, evidence: str, gate: str) -> None:
    """The port is another's since `run` began. It never counts as ready, its end is told in bounded time, and the gate
    before the next start says what is in the way."""

    def over(worker: WorkerDoc) -> bool:
        assert not worker["ready"], worker
        assert worker["phase"] in ("starting", "stopping") or worker["pid"] != run.pid, worker
        return worker["pid"] != run.pid

    run.struck()
    daemon.until(over, "the start comes to its end", timeout=START)
    run.over()
    held = daemon.until(lambda w: w["phase"] == "releasing" and w["reason"], "the gate holds", timeout=30)
    tell(run.row(event, f"told after {run.told:.1f}; then: {held['reason']}"))
    assert not run.left
    assert run.exit is not None
    assert run.exit["cause"] == "port-in-use"
    assert evidence in (run.exit["evidence"] or "")
    assert gate in (held["reason"] or "")
    assert held["pid"] is None


def took(daemon: Daemon) -> float:
    """Seconds of the last start that got ready."""
    began = seconds = 0.0
    for event in daemon.events():
        if event["kind"] == "worker.phase":
            at = datetime.datetime.fromisoformat(event["at"]).timestamp()
            if event["data"]["to"] == "starting":
                began = at
            elif event["data"]["to"] == "running":
                seconds = at - began
    return seconds


def test_its_port_is_taken_before_it_binds(daemon: Daemon, tell: Tell) -> None:
    """Nobody listens, so nobody can be named before SGLang fails, and without a warm-up it ends by itself."""
    daemon.client.act("stop", "chat-0", pool=False)
    daemon.in_phase("stopped", timeout=END)
    daemon.client.act("start", "chat-0", pool=False)
    run = starting(daemon)
    free = f"port {daemon.port} is not free"
    with strangers.bound(daemon.port):
        robbed(daemon, run, tell, "port taken, --skip-server-warmup", "address already in use", free)
        # The next starts are with a warm-up. No silence in a start is as long as the whole of one.
        daemon.client.act("stop", "chat-0", pool=False)
        daemon.in_phase("stopped")
        patience = max(15.0, took(daemon))
        daemon.edit(profile(args={"skip-server-warmup": None}), pool(health={"stall_timeout": f"{patience:.0f}s"}))
        daemon.applied()
        daemon.client.act("start", "chat-0", pool=False)
    assert run.exit is not None
    assert run.exit["code"] == 3


@pytest.mark.long
def test_its_port_is_taken_and_it_waits_for_itself(daemon: Daemon, tell: Tell) -> None:
    """With a warm-up it stands still: alone it would end after 138 s."""
    run = starting(daemon)
    free = f"port {daemon.port} is not free"
    with strangers.bound(daemon.port):
        robbed(daemon, run, tell, "port taken, bound but not listening", "address already in use", free)


@pytest.mark.parametrize("kind", [listening, strangers.agreeable])
def test_its_port_is_taken_by_another_server(kind: Callable[[int], Stranger], daemon: Daemon, tell: Tell) -> None:
    """Alone SGLang would wait for ever where the other never answers, and take an answer for its own."""
    run = starting(daemon)
    holder = f"pid {os.getpid()}"
    with kind(daemon.port):
        what = "a mute listener" if kind is listening else "a server that answers 200"
        robbed(daemon, run, tell, f"port taken by {what}", holder, holder)


def test_its_port_is_free_again(daemon: Daemon, tell: Tell) -> None:
    began = time.monotonic()
    serving(daemon)
    tell(Row("the port is free again", "", "", f"{time.monotonic() - began:.1f}"))
    assert complete(daemon)["choices"]
