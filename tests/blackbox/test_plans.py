"""What a plan says before anything happens: what is wrong with each line, whom it cuts off; and that it is one plan."""

import contextlib
import http.client
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import tomli_w
from qvl.client.documents import PlanDoc

from tests.blackbox.harness import Daemon, Table, args, complete, merged, pool
from tests.support import wait_until

QVLCTL = Path(sys.prefix, "bin", "qvlctl")
EAGLE: Table = {"profiles": {"eagle": {"extends": "standard", "args": {"max-running-requests": 7}}}}

FAULTY = """\
[supervisor]
auto_aply = true
[engines.sim]
kind = "simulated"
[profiles.a]
engine = "sim"
model = "m"
args = { mem-fraction-statc = 0.8 }
[pools.chat]
profile = "b"
port = 70000
"""


def qvlctl(daemon: Daemon, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [QVLCTL, "--socket", daemon.socket, *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def others(plan: PlanDoc) -> dict[str, object]:
    """A plan without its number."""
    return {key: value for key, value in plan.items() if key != "id"}


def test_a_broken_file_is_told_line_by_line(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        broken = tmp_path / "broken.toml"
        broken.write_text(FAULTY)
        lines = [
            f'{broken}:2: supervisor.auto_aply: unknown key (did you mean "auto_apply"?)',
            f"{broken}:8: profiles.a.args.mem-fraction-statc: ",
            f'{broken}:10: pools.chat.profile: there is no profile "b" (known: a)',
            f"{broken}:11: pools.chat.port: 70000 is out of range: 1 to 65535",
        ]
        for verb, hint in (("plan", f"hint: mend {broken}"), ("check", "hint: mend the lines above")):
            code, out, err = qvlctl(daemon, verb, str(broken))
            assert code == 1
            told = [line for line in (out + err).removeprefix("error: ").splitlines() if line.startswith(str(broken))]
            assert [line.startswith(start) for line, start in zip(told, lines, strict=False)] == [True] * 4, told
            assert len([line for line in told if f"{broken}:" in line]) == 4
            assert hint in err
        assert daemon.file["error"] is None, "it is another file than the live one"
        with_daemon = qvlctl(daemon, "plan", str(broken))
        daemon.stop()
        assert qvlctl(daemon, "plan", str(broken)) == with_daemon, "its faults can be told without a daemon"
        assert qvlctl(daemon, "plan", str(daemon.config_file))[0] == 3


def test_requests_that_an_edit_cuts_off_are_told_before(tmp_path: Path) -> None:
    with Daemon(tmp_path, EAGLE, args(sim_token_seconds=0.5), pool(stop={"drain": "0s"})) as daemon:
        daemon.start().ready()
        new = tmp_path / "new.toml"
        new.write_text(tomli_w.dumps(merged(daemon.config, args(max_running_requests=9))))
        assert not daemon.client.plan(str(new))["steps"][0]["requests"]

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the end of the test is its end
                complete(daemon.port, tokens=200)

        asked = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asked:
            thread.start()
        daemon.until(lambda w: w["metrics"]["running"] == 3, "three requests")
        step = daemon.client.plan(str(new))["steps"][0]
        assert (step["requests"], step["drain_s"]) == (3, 0.0)
        for words in (("plan", str(new)), ("switch", "eagle", "--dry-run")):
            code, out, _ = qvlctl(daemon, *words)
            assert code == 0
            assert "interrupts 3 requests in flight" in out
        assert daemon.client.plan()["steps"][0]["requests"] is None, "it is kept"
    for thread in asked:
        thread.join()


def test_many_saves_in_a_moment_are_one_plan(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        before = daemon.start().ready()["pid"]
        for number in range(2, 22):
            daemon.edit(args(max_running_requests=number))
        daemon.ready(not_pid=before)
        daemon.applied()
        assert [event["kind"] for event in daemon.events()].count("apply") == 1
        assert daemon.spawns() == 2


def test_a_file_that_is_still_being_written_is_never_refused(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        content = tomli_w.dumps(merged(daemon.config, pool(restart={"max_restarts": 12}))).encode()
        step = len(content) // 12 + 1
        with daemon.config_file.open("wb") as slow:
            for at in range(0, len(content), step):
                slow.write(content[at : at + step])
                slow.flush()
                time.sleep(0.1)  # a slow writer is what this is about
        daemon.until(lambda w: w["max_restarts"] == 12, "the edit")
        assert "config.refused" not in [event["kind"] for event in daemon.events()]


def test_whoever_asks_gets_the_same_plan(tmp_path: Path) -> None:
    """The command line, the API, SIGHUP: a file is planned in one way, and SIGHUP applies no more than a save."""
    with Daemon(tmp_path, {"supervisor": {"auto_apply": False}}) as daemon:
        before = daemon.start().ready()["pid"]
        daemon.edit(args(max_running_requests=9), pool(stop={"term": "6s"}))
        wait_until(lambda: daemon.file["pending"], 15, "the edit waits")
        plan = daemon.client.plan()
        seq = daemon.events()[-1]["seq"]
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: [e for e in daemon.events(seq) if e["kind"] == "plan"], 15, "SIGHUP has it planned")
        assert daemon.file["pending"]
        assert others(daemon.client.plan()) == others(plan)
        _, out, _ = qvlctl(daemon, "plan", "--json")
        assert out.count(plan["revision"]) == 2
        assert daemon.worker()["pid"] == before
        code, out, err = qvlctl(daemon, "apply")
        assert (code, out) == (0, f"revision {plan['revision']} is applied\n"), err
        assert "args.max-running-requests: unset → 9" in err
        assert daemon.ready(not_pid=before)["restarts"] == 0


def test_the_mend_of_a_failed_worker_interrupts_nobody(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"auto_apply": "safe"}}, args(sim_fail="bad-arguments")) as daemon:
        daemon.start().in_phase("failed")
        daemon.edit(args(sim_fail=None))
        before = daemon.ready()["pid"]
        daemon.edit(args(max_running_requests=9))
        wait_until(lambda: daemon.file["pending"], 15, "now it would")
        assert daemon.worker()["pid"] == before
