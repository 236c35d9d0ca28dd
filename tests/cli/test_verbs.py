"""Each verb against the real API over a real socket, with scripted data behind it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from qvl.api.control import LogSource
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Change, Severity
from qvl.model.plan import Plan
from qvl.model.status import PoolStatus, SwitchStatus, WorkerStatus
from qvl.model.worker import Phase, Wanted

from tests.cli.run import Qvlctl
from tests.fakes import START, FakeControl, Served
from tests.support import wait_until

replace = msgspec.structs.replace


@contextmanager
def once_asked(daemon: Served, then: Callable[[FakeControl], None], acts: int = 1) -> Iterator[None]:
    """Does `then` in the daemon's loop as soon as it was asked for `acts` acts."""

    def wait() -> None:
        wait_until(lambda: len(daemon.control.acts) >= acts, 20, "an act")
        daemon.call(lambda: then(daemon.control))

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)


def moved(worker: WorkerStatus, phase: Phase, *, after: int, ready: bool = False) -> WorkerStatus:
    return replace(worker, phase=phase, ready=ready, since=worker.since + timedelta(seconds=after), reason=None)


# ---- reads


def test_status_as_json_is_the_daemons_own(qvlctl: Qvlctl, daemon: Served) -> None:
    assert qvlctl("status", "--json").out.encode() == msgspec.json.encode(daemon.control.state) + b"\n"


def test_status_of_some_workers(qvlctl: Qvlctl) -> None:
    document = qvlctl("status", "chat", "qwen3-vl-1", "--json").json
    assert [worker["name"] for worker in document["workers"]] == ["qwen3-vl-1", "chat-0"]  # type: ignore[attr-defined]
    assert [gpu["index"] for gpu in document["gpus"]] == [1, 3]  # type: ignore[attr-defined]
    assert "chat-0" not in qvlctl("status", "qwen3-vl-1").out


@pytest.mark.parametrize("words", [["status"], ["start"], ["stop"], ["restart"], ["wait"], ["start", "--no-wait"]])
def test_unknown_names_are_answered_with_the_nearest(qvlctl: Qvlctl, daemon: Served, words: list[str]) -> None:
    ran = qvlctl(*words, "qwen3-lv-1")
    assert ran.code == 1
    assert "error: unknown worker or pool 'qwen3-lv-1'\nhint: did you mean qwen3-vl-1" in ran.err
    assert daemon.control.acts == []


def test_events(qvlctl: Qvlctl) -> None:
    ran = qvlctl("events", "--json")
    assert [line["seq"] for line in ran.lines] == [1, 2, 3]
    assert [line["seq"] for line in qvlctl("events", "--json", "--since", "2").lines] == [3]
    assert "qwen3-vl-2      qwen3-vl-2 was killed" in qvlctl("events").out


def test_top(qvlctl: Qvlctl) -> None:
    document = qvlctl("top", "--json").json
    assert set(document) == {"version", "workers", "gpus"}
    assert "1 of 4 workers ready" in qvlctl("top").out


def test_profiles_and_show(qvlctl: Qvlctl) -> None:
    assert "eagle3" in qvlctl("profiles").out
    document = qvlctl("show", "eagle3", "--json").json
    assert (document["engine"], document["resolved"], document["resolved_error"]) == ("sglang", None, None)
    assert "mem-fraction-static  0.85   profile standard" in qvlctl("show", "eagle3").out


def test_show_asks_a_worker_that_runs_the_profile(qvlctl: Qvlctl) -> None:
    document: dict[str, Any] = qvlctl("show", "standard", "--json").json
    assert document["resolved"]["worker"] == "qwen3-vl-0"
    shown = qvlctl("show", "standard").out
    assert "mem-fraction-static  0.85   profile standard  ≠ 0.83" in shown
    assert "log-level" not in shown
    assert "log-level" in qvlctl("show", "standard", "--all").out
    assert "pool chat" in qvlctl("show", "standard", "--pool", "chat").out
    assert "RESOLVED" not in qvlctl("show", "standard", "--pool", "chat").out
    assert "resolved by qwen3-vl-1" in qvlctl("show", "standard", "--worker", "qwen3-vl-1").out
    ran = qvlctl("show", "eagle3", "--worker", "qwen3-vl-1")
    assert (ran.code, "runs profile standard, not eagle3" in ran.err) == (1, True)
    assert "did you mean qwen3-vl-1" in qvlctl("show", "standard", "--worker", "qwen3-lv-1").err


def test_version(qvlctl: Qvlctl) -> None:
    assert qvlctl("version", "--json").json == {
        "version": 1,
        "qvlctl": "0.1.0",
        "daemon": "0.1.0",
        "python": "3.11.9",
        "engines": {"sglang": "0.5.18", "other": None},
    }
    assert "engine  other not found" in qvlctl("version").out


def test_version_without_a_daemon_still_tells_its_own(lonely: Qvlctl) -> None:
    assert lonely("version").out == "qvlctl  0.1.0\n"
    assert lonely("version", "--json").json["daemon"] is None


# ---- acts


def test_start_waits_until_ready(qvlctl: Qvlctl, daemon: Served) -> None:
    def start(control: FakeControl) -> None:
        worker = control.worker("chat-0")
        control.show(moved(worker, Phase.STARTING, after=1))
        control.show(moved(worker, Phase.RUNNING, after=2, ready=True))

    with once_asked(daemon, start):
        ran = qvlctl("start", "chat-0")
    assert (ran.code, ran.out) == (0, "chat-0 ready at http://127.0.0.1:8100\n")
    assert "chat-0: starting\nchat-0: ready\n" in ran.err or ran.err.endswith("chat-0: ready\n")
    assert [(act.what, act.name, act.pool) for act in daemon.control.acts] == [("start", "chat-0", False)]


def test_start_that_fails_says_why_and_what_to_do(qvlctl: Qvlctl, daemon: Served) -> None:
    def fail(control: FakeControl) -> None:
        worker = control.worker("chat-0")
        failed = moved(worker, Phase.FAILED, after=1)
        control.show(replace(failed, reason="model Qwen/Qwen3-32B is not there", hint="download it"))

    with once_asked(daemon, fail):
        ran = qvlctl("start", "chat-0", "--json")
    assert ran.code == 1
    assert ran.json["outcome"] == "failed"
    assert ran.err.endswith(
        "error: chat-0 failed: model Qwen/Qwen3-32B is not there\n  said: OSError: Qwen/Qwen3-32B\nhint: download it\n"
    )


def test_a_pool_and_all_are_asked_for_as_pools(qvlctl: Qvlctl, daemon: Served) -> None:
    def stop(control: FakeControl) -> None:
        for worker in control.state.workers:
            control.show(replace(moved(worker, Phase.STOPPED, after=1), wanted=Wanted.DOWN, pid=None))

    with once_asked(daemon, stop, acts=2):
        ran = qvlctl("stop", "qwen3-vl", "all")
    assert (ran.code, len(ran.out.splitlines())) == (0, 4)
    assert [(act.name, act.pool) for act in daemon.control.acts] == [("qwen3-vl", True), ("all", True)]


def test_restart_waits_for_another_process(qvlctl: Qvlctl, daemon: Served) -> None:
    def restart(control: FakeControl) -> None:
        worker = control.worker("qwen3-vl-0")
        control.show(moved(worker, Phase.STOPPING, after=1))
        control.show(replace(moved(worker, Phase.RUNNING, after=9, ready=True), pid=77))

    with once_asked(daemon, restart):
        ran = qvlctl("restart", "qwen3-vl-0", "--json")
    assert (ran.code, ran.json["outcome"]) == (0, "ready")
    assert ran.json["workers"][0]["pid"] == 77  # type: ignore[index]


def test_a_wait_that_takes_too_long_exits_4_and_names_who_is_late(qvlctl: Qvlctl) -> None:
    ran = qvlctl("wait", "qwen3-vl", "--timeout", "200ms")
    assert ran.code == 4
    assert "error: qwen3-vl-1, qwen3-vl-2 not ready after 0s (qwen3-vl-1 is starting)" in ran.err
    assert "hint: see what it does: qvlctl logs qwen3-vl-1 -f" in ran.err


def test_wait_for_what_is_so_already(qvlctl: Qvlctl, daemon: Served) -> None:
    assert qvlctl("wait", "qwen3-vl-0").code == 0
    assert qvlctl("wait", "chat-0").code == 1
    assert daemon.control.acts == []


def test_no_wait_tells_what_was_taken_in(qvlctl: Qvlctl, daemon: Served) -> None:
    assert qvlctl("stop", "chat-0", "--no-wait").out == "stop chat-0 was taken in\n"
    document = qvlctl("start", "chat-0", "--no-wait", "--json").json
    assert (document["outcome"], len(document["accepted"])) == ("accepted", 1)  # type: ignore[arg-type]


def test_a_refused_act_exits_1(qvlctl: Qvlctl, daemon: Served) -> None:
    daemon.control.refusal = QvlError(ErrorCode.CONFLICT, "pool chat is switching", "qvlctl switch --cancel")
    ran = qvlctl("stop", "chat-0")
    assert (ran.code, ran.err) == (1, "error: pool chat is switching\nhint: qvlctl switch --cancel\n")


# ---- switching and planning


def switching(control: FakeControl, switch: SwitchStatus | None, profile: str) -> None:
    pools = (PoolStatus("qwen3-vl", profile, None, None, 1, 3, switch), control.state.pools[1])
    control.state = replace(control.state, pools=pools)
    control.journal.change(Change(at=START, pools=pools))


UNDER_WAY = SwitchStatus("switch", "eagle3", "restarting", "qwen3-vl-0", 0, 3, START)


def test_switch_ends_with_the_transaction(qvlctl: Qvlctl, daemon: Served) -> None:
    def go(control: FakeControl) -> None:
        switching(control, UNDER_WAY, "eagle3")
        control.publish("switch", "qwen3-vl runs eagle3", pool="qwen3-vl", data={"outcome": "done"})

    with once_asked(daemon, go):
        ran = qvlctl("switch", "eagle3", "--pool", "qwen3-vl")
    assert (ran.code, ran.out) == (0, "qwen3-vl runs eagle3\n")
    assert daemon.control.acts[0].profile == "eagle3"


def test_a_switch_that_goes_back_exits_1(qvlctl: Qvlctl, daemon: Served) -> None:
    def go(control: FakeControl) -> None:
        switching(control, UNDER_WAY, "eagle3")
        data: dict[str, object] = {"outcome": "rolled-back"}
        control.publish("switch", "qwen3-vl-0 did not get ready", severity=Severity.ERROR, pool="qwen3-vl", data=data)
        switching(control, None, "standard")

    with once_asked(daemon, go):
        ran = qvlctl("switch", "eagle3", "--pool", "qwen3-vl", "--json")
    assert (ran.code, ran.json["outcome"]) == (1, "failed")
    assert "error: qwen3-vl-0 did not get ready\nhint: see what happened: qvlctl events\n" in ran.err


def test_a_client_that_gives_up_leaves_the_switch_alone(qvlctl: Qvlctl, daemon: Served) -> None:
    ran = qvlctl("switch", "eagle3", "--pool", "qwen3-vl", "--timeout", "100ms")
    assert (ran.code, "it goes on" in ran.err) == (4, True)
    assert [act.what for act in daemon.control.acts] == ["switch"]


def test_switch_reset_cancel_and_dry_run(qvlctl: Qvlctl, daemon: Served) -> None:
    assert qvlctl("switch", "--reset", "--pool", "chat", "--no-wait").code == 0
    assert qvlctl("switch", "--cancel", "--pool", "chat").code == 0
    assert qvlctl("switch", "eagle3", "--pool", "chat", "--dry-run", "--json").json["id"] == "p1"
    assert [act.what for act in daemon.control.acts] == ["reset", "cancel"]


def test_cancel_finds_the_pool_that_is_switching(qvlctl: Qvlctl, daemon: Served) -> None:
    daemon.call(lambda: switching(daemon.control, UNDER_WAY, "eagle3"))
    assert qvlctl("switch", "--cancel").code == 0
    assert daemon.control.acts[0].name == "qwen3-vl"


def test_where_there_are_several_pools_one_must_be_named(qvlctl: Qvlctl, daemon: Served) -> None:
    ran = qvlctl("switch", "eagle3")
    assert (ran.code, "--pool qwen3-vl" in ran.err) == (1, True)
    assert "did you mean chat?" in qvlctl("switch", "eagle3", "--pool", "chta").err
    assert "did you mean eagle3?" in qvlctl("switch", "egle3", "--pool", "chat").err
    assert daemon.control.acts == []


def test_plan_shows_and_changes_nothing(qvlctl: Qvlctl, daemon: Served, tmp_path: Path) -> None:
    assert qvlctl("plan").code == 0
    assert qvlctl("plan", "--exit-code").code == 5
    document = qvlctl("plan", "--json").json
    assert (document["version"], document["revision"]) == (1, "r1")
    file = tmp_path / "new.toml"
    file.write_text("# new\n")
    assert "profile: standard → new" in qvlctl("plan", str(file)).out
    assert "there is no file" in qvlctl("plan", str(tmp_path / "nwe.toml")).err
    assert daemon.control.acts == []


def test_plan_of_a_faulty_file_exits_1_with_every_fault(
    qvlctl: Qvlctl, daemon: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(FakeControl):
        async def plan(self, path: Path | None) -> Plan:
            raise QvlError(ErrorCode.REFUSED, "q.toml:1: a: unknown key\nq.toml:2: b: unknown key", "qvlctl edit")

    daemon.control.__class__ = Faulty
    ran = qvlctl("plan")
    assert (ran.code, ran.err.splitlines()[:2]) == (1, ["error: q.toml:1: a: unknown key", "q.toml:2: b: unknown key"])


def test_apply_applies_the_plan_that_was_shown(qvlctl: Qvlctl, daemon: Served) -> None:
    def go(control: FakeControl) -> None:
        control.publish("apply", "r1 is applied", data={"outcome": "done"})

    with once_asked(daemon, go):
        ran = qvlctl("apply")
    assert (ran.code, ran.out) == (0, "r1 is applied\n")
    assert "restart     qwen3-vl-0" in ran.err
    assert [(act.what, act.name) for act in daemon.control.acts] == [("apply", "p1")]


def test_daemon_restart_waits_for_another_daemon(qvlctl: Qvlctl, daemon: Served) -> None:
    def go(control: FakeControl) -> None:
        control.state = replace(control.state, supervisor=replace(control.state.supervisor, pid=4343))

    with once_asked(daemon, go):
        ran = qvlctl("daemon", "restart")
    assert (ran.code, ran.out) == (0, "the daemon runs anew: version 0.1.0, pid 4343\n")
    ran = qvlctl("daemon", "restart", "--timeout", "100ms")
    assert (ran.code, "no new daemon answers" in ran.err) == (4, True)


def test_the_terminal_interface_needs_a_terminal(qvlctl: Qvlctl) -> None:
    ran = qvlctl("tui")
    assert (ran.code, "needs a terminal" in ran.err) == (1, True)


# ---- the stream outlives a connection


def test_a_wait_goes_on_where_the_daemon_comes_back(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.fakes import serve

    socket = tmp_path / "s.sock"
    control = FakeControl()
    result: list[int] = []
    with serve(control, socket) as first:
        thread = threading.Thread(target=lambda: result.append(Qvlctl(capsys, socket)("wait", "qwen3-vl-1").code))
        thread.start()
        wait_until(lambda: first.call(lambda: first.server.streams), 20, "the wait's stream")
    again = FakeControl()
    again.show(moved(again.worker("qwen3-vl-1"), Phase.RUNNING, after=5, ready=True))
    with serve(again, socket):
        thread.join(30)
    assert result == [0]


def test_logs_by_the_daemon(qvlctl: Qvlctl, daemon: Served, tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    (directory / f"{0:016d}.log").write_bytes(b"old\n" * 3 + b"".join(b"line %d\n" % n for n in range(5)))
    daemon.control.logs["qwen3-vl-0"] = LogSource(directory, lambda: ((1, 0), (2, 12)))
    assert qvlctl("logs", "qwen3-vl-0").out == "".join(f"line {n}\n" for n in range(5))
    assert qvlctl("logs", "qwen3-vl-0", "-n", "2").out == "line 3\nline 4\n"
    assert qvlctl("logs", "qwen3-vl-0", "-n", "0").out == ""
    assert qvlctl("logs", "qwen3-vl-0", "--previous").out == "old\n" * 3
    assert qvlctl("logs", "qwen3-vl-0", "--json", "-n", "1").lines == [
        {"worker": "qwen3-vl-0", "level": "info", "line": "line 4"}
    ]


def test_logs_of_a_pool_and_of_nobody(qvlctl: Qvlctl) -> None:
    assert "name one of qwen3-vl-0, qwen3-vl-1, qwen3-vl-2" in qvlctl("logs", "qwen3-vl").err
    assert "did you mean chat-0?" in qvlctl("logs", "caht-0").err
    assert qvlctl("logs", "chat-0", "--previous").code == 1
    assert qvlctl("logs", "chat-0", "--previous", "-f").code == 1


def test_the_default_socket_comes_from_the_environment(
    daemon: Served, lonely: Qvlctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QVL_SOCKET", os.fspath(daemon.socket))
    assert lonely("status").code == 0
