"""What is done to a daemon that dies meanwhile, and what then has to be so: the scenarios of `test_crash_points`."""

import os
import signal
from pathlib import Path
from typing import Any, ClassVar

from tests.blackbox.crashing import PATIENCE, Laboratory, calmly
from tests.blackbox.harness import Daemon, Table, args, ask, complete, pool

PAIR = pool(gpus=2)
LASTING = pool(restart={"max_restarts": 10_000, "backoff": "0.1s", "backoff_max": "0.2s"})
"""Workers that are killed all day and are not given up."""

EAGLE: Table = {"profiles": {"eagle": {"extends": "standard", "args": {"max-running-requests": 7}}}}
BROKEN: Table = {"profiles": {"broken": {"extends": "standard", "args": {"sim-fail": "bad-arguments"}}}}
CHATTY: Table = {"profiles": {"chatty": {"extends": "standard", "args": {"log-requests": True}}}}
LORA = args(enable_lora=True, max_lora_rank=8, lora_target_modules=["q_proj"], lora_paths=["base=org/base"])
JOB: Table = {
    "engines": {"job": {"kind": "command", "command": ["/bin/sh", "-c", "echo done"], "ready": "started"}},
    "profiles": {"job": {"engine": "job"}},
    "pools": {"chat": {"profile": "job", "autostart": False, "restart": {"mode": "on-failure"}}},
}


def apply(daemon: Daemon) -> None:
    """Have the file applied."""
    plan = daemon.client.plan()
    daemon.client.apply(plan["id"])
    calmly(lambda: daemon.file["applied"] == plan["revision"] and not daemon.pool()["switch"], "the file is applied")


class Scenario:
    """What is done to a daemon that may die meanwhile, and what then has to be so."""

    changes: ClassVar[tuple[Table, ...]] = ()
    bystander = True

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.daemon = lab.daemon
        self.unheard = 0

    def prepare(self) -> None:
        """Before each act; nobody dies."""

    def act(self) -> None:
        """Up to its visible end."""
        raise NotImplementedError

    def check(self) -> None:
        """After the act and, where it was cut off, with the successor."""
        raise NotImplementedError

    def starts(self) -> int:
        """How often chat-0 was started since `count`."""
        return len(self.lab.runs("chat-0")) - self._counted

    def count(self) -> None:
        self._counted = len(self.lab.runs("chat-0"))


class Restart(Scenario):
    """An operator's restart of one of two workers."""

    changes = (PAIR,)

    def prepare(self) -> None:
        self.before = [self.lab.ready(f"chat-{index}")["pid"] for index in range(2)]
        self.count()
        self.told = False

    def act(self) -> None:
        self.daemon.client.act("restart", "chat-0", pool=False)
        self.told = True
        self.lab.ready(not_pid=self.before[0])

    def check(self) -> None:
        worker = self.lab.ready(not_pid=self.before[0] if self.told else None)
        assert (worker["restarts"], worker["wanted"]) == (0, "up")
        other = self.lab.ready("chat-1")
        assert (other["pid"], other["restarts"]) == (self.before[1], 0)
        assert self.starts() - (worker["pid"] != self.before[0]) in (0, self.unheard)


class StopAndStart(Scenario):
    """An operator's stop of a pool, and its start."""

    def prepare(self) -> None:
        self.daemon.client.act("start", "chat", pool=True)
        self.before = self.lab.ready()["pid"]
        self.asked = self.told = ""

    def act(self) -> None:
        for verb in ("stop", "start"):
            self.asked = verb
            self.daemon.client.act(verb, "chat", pool=True)
            self.told = verb
            self.lab.until(lambda w: w["phase"] == "stopped" if self.told == "stop" else w["ready"], verb)

    def check(self) -> None:
        wanted = self.daemon.worker()["wanted"]
        if self.asked == self.told:
            assert wanted == {"stop": "down", "start": "up", "": "up"}[self.told], f"{self.told} is forgotten"
        worker = self.lab.ready() if wanted == "up" else self.lab.in_phase("stopped")
        assert (worker["pid"] == self.before) == (self.told == "" and wanted == "up")
        assert worker["restarts"] == 0


class Killed(Scenario):
    """An end that nobody asked for, and the way back through the backoff."""

    changes = (LASTING,)

    def prepare(self) -> None:
        self.daemon.client.act("start", "chat-0", pool=False)  # the count begins anew
        self.before = self.lab.ready()["pid"]
        assert self.daemon.worker()["restarts"] == 0

    def act(self) -> None:
        assert self.before is not None
        os.kill(self.before, signal.SIGKILL)
        self.lab.ready(not_pid=self.before)

    def check(self) -> None:
        worker = self.lab.ready(not_pid=self.before)
        assert worker["restarts"] == 1, "one end is to be counted once"
        assert worker["last_exit"] is not None
        assert (worker["last_exit"]["cause"], worker["last_exit"]["signal"]) == ("killed", 9)


class FailingForEver(Scenario):
    """A worker that never gets ready: its count and its deadline go on."""

    changes = (
        args(sim_fail="unknown"),
        pool(autostart=False, restart={"max_restarts": 10_000, "backoff": "0.8s", "backoff_max": "3s"}),
    )

    def prepare(self) -> None:
        self.daemon.client.act("stop", "chat-0", pool=False)
        self.lab.in_phase("stopped")
        self.count()
        self.told = False

    def act(self) -> None:
        self.daemon.client.act("start", "chat-0", pool=False)
        self.told = True
        self.lab.until(lambda w: w["phase"] == "backoff" and w["restarts"] == 2, "two failures")

    def check(self) -> None:
        if not self.told and self.daemon.worker()["wanted"] == "down":
            self.lab.in_phase("stopped")
            return
        worker = self.lab.until(lambda w: w["phase"] == "backoff" and w["restarts"] >= 1, "a failure")
        assert self.starts() - worker["restarts"] in (0, self.unheard), "each failure is to be counted once"


class Final(Scenario):
    """An exit with 0 that is the end of it."""

    changes = (JOB,)

    def prepare(self) -> None:
        self.count()
        self.told = False

    def act(self) -> None:
        self.daemon.client.act("start", "chat-0", pool=False)
        self.told = True
        self.lab.until(lambda w: w["phase"] == "stopped" and self.daemon.record()["final"], "its end")

    def check(self) -> None:
        if not self.told and self.daemon.worker()["phase"] == "stopped" and self.starts() == 0:
            return
        worker = self.lab.until(lambda w: w["phase"] == "stopped" and self.daemon.record()["final"], "its end")
        assert (worker["wanted"], worker["restarts"]) == ("up", 1)
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["code"] == 0
        assert self.starts() in (1, 1 + self.unheard), "what is final is not started again"


class Switch(Scenario):
    """To another profile, with a daemon that applies nothing by itself: what it takes back is no edit's doing."""

    changes: ClassVar[tuple[Table, ...]] = (EAGLE, BROKEN, PAIR, {"supervisor": {"auto_apply": False}})

    def prepare(self) -> None:
        for index in range(2):
            self.lab.ready(f"chat-{index}")
        self.old = self.daemon.pool()["override"]
        self.new = None if self.old else "eagle"
        self.done = False

    def act(self) -> None:
        seq = self.daemon.client.switch("chat", self.new)["seq"]
        calmly(lambda: self.outcome(seq), "the end of the switch")
        self.done = True

    def outcome(self, seq: int) -> str | None:
        """How a switch has ended that began after event `seq`."""
        events = [e for e in self.daemon.events(seq) if e["kind"] == "switch" and e["data"]]
        return next((str(e["data"]["outcome"]) for e in events if "outcome" in e["data"]), None)

    def check(self) -> None:
        override = self.daemon.pool()["override"]
        assert override == self.new if self.done else override in (self.old, self.new)
        self.both_run(override)

    def both_run(self, override: str | None) -> None:
        """Both workers serve what their pool runs, say so, and have no failure to their name."""
        profile = override or "standard"
        for index in range(2):
            worker = self.lab.until(lambda w: w["ready"] and w["profile"] == profile, profile, f"chat-{index}")
            command = Path(f"/proc/{worker['pid']}/cmdline").read_bytes()
            assert (b"--max-running-requests" in command) == (profile == "eagle"), f"it runs another profile: {worker}"
            assert worker["restarts"] == 0
        assert self.daemon.pool()["profile"] == profile


class SwitchThatFails(Switch):
    """To a profile that doesn't start: everything goes back."""

    def prepare(self) -> None:
        super().prepare()
        self.new = "broken"

    def check(self) -> None:
        assert self.daemon.pool()["override"] is None
        self.both_run(None)


class SwitchTakenBack(Switch):
    """Cancelled when the first worker serves with the new profile already."""

    def prepare(self) -> None:
        super().prepare()
        before = self.daemon.worker()["pid"]
        self.seq = self.daemon.client.switch("chat", "eagle")["seq"]
        self.lab.ready(not_pid=before)
        self.lab.until(lambda w: not w["ready"], "the second is under way", "chat-1")

    def act(self) -> None:
        self.daemon.client.cancel_switch("chat")
        calmly(lambda: self.outcome(self.seq), "the end of the switch")

    def check(self) -> None:
        assert self.daemon.pool()["override"] is None
        self.both_run(None)


class Edit(Scenario):
    """Of the file: a pool goes, which waits for `apply`, another comes, a third gets another policy."""

    def __init__(self, lab: Laboratory) -> None:
        super().__init__(lab)
        self.now, self.next = "left", "right"
        lab.recurring = {"left-0", "right-0"}
        self.save(self.now)

    def prepare(self) -> None:
        self.before = self.lab.ready()["pid"]
        self.lab.ready(f"{self.now}-0")

    def save(self, name: str) -> None:
        other = {"left": "right", "right": "left"}[name]
        port = self.daemon.port + (2 if name == "left" else 3)
        comes: Table = {"profile": "standard", "gpus": 1, "port": port, "stop": {"drain": "0s", "term": "5s"}}
        policy = pool(logs={"max_size": "1MB" if name == "left" else "2MB"})
        self.daemon.edit({"pools": {name: comes, other: None}}, policy)

    def act(self) -> None:
        self.save(self.next)
        calmly(lambda: self.daemon.file["pending"], "the edit waits")
        apply(self.daemon)
        self.lab.ready(f"{self.next}-0")
        calmly(lambda: f"{self.now}-0" not in self.names(), "the pool is gone")

    def names(self) -> list[str]:
        return [worker["name"] for worker in self.daemon.status["workers"]]

    def check(self) -> None:
        revision = self.daemon.revision_of_file()
        calmly(lambda: self.daemon.file["applied"] == revision or self.daemon.file["pending"], "a decision")
        if self.daemon.file["applied"] != revision:
            assert f"{self.next}-0" not in self.names()
            assert self.lab.ready(f"{self.now}-0")["restarts"] == 0
            apply(self.daemon)
        self.lab.ready(f"{self.next}-0")
        calmly(lambda: f"{self.now}-0" not in self.names(), "the pool is gone")
        self.lab.has_no_tree(f"{self.now}-0")
        assert not (self.daemon.state / "workers" / f"{self.now}-0").exists()
        worker = self.lab.ready()
        assert (worker["pid"], worker["restarts"]) == (self.before, 0)
        self.now, self.next = self.next, self.now


class EditThatFails(Scenario):
    """Of the file, to arguments that a worker doesn't start with: everything goes back and the file is rejected."""

    changes = (PAIR,)

    def prepare(self) -> None:
        self.daemon.edit(args(sim_fail=None))
        calmly(lambda: self.daemon.file["error"] is None, "the file is as it was")
        for index in range(2):
            self.lab.ready(f"chat-{index}")

    def act(self) -> None:
        self.daemon.edit(args(sim_fail="bad-arguments"))
        calmly(lambda: self.daemon.file["error"], "the way back")

    def check(self) -> None:
        calmly(lambda: self.daemon.file["error"], "the way back")
        assert self.daemon.file["applied"] != self.daemon.file["revision"]
        for index in range(2):
            assert self.lab.ready(f"chat-{index}")["restarts"] == 0


class LiveSwitch(Switch):
    """To a profile that a running engine takes: whatever dies, no process is started. The one that follows applies
    nothing by itself, so what wasn't committed is taken back."""

    changes = (CHATTY, {"supervisor": {"auto_apply": False}})

    def prepare(self) -> None:
        self.before = self.lab.ready()["pid"]
        self.old = self.daemon.pool()["override"]
        self.new = None if self.old else "chatty"
        self.done = False

    def both_run(self, override: str | None) -> None:
        calmly(lambda: settled(self.lab.records()["chat-0"]), "nothing in doubt")
        worker = self.lab.until(lambda w: w["ready"] and w["profile"] == (override or "standard"), "its profile")
        assert (worker["pid"], worker["restarts"]) == (self.before, 0)
        seen = self.logged()
        assert complete(self.daemon.port)[0] == 200
        assert self.logged() - seen == (override == "chatty"), "it logs otherwise than its profile says"
        assert self.daemon.pool()["profile"] == (override or "standard")

    def logged(self) -> int:
        return self.daemon.log().count(b"Receive: obj=GenerateReqInput(")


class LiveEditThatFails(Scenario):
    """Of the file, to one adapter that the engine loads and one that it doesn't: the first is unloaded again."""

    changes = (LORA,)

    def prepare(self) -> None:
        self.daemon.edit(LORA)
        calmly(lambda: self.daemon.file["error"] is None, "the file is as it was")
        self.before = self.lab.ready()["pid"]
        self.seq = getattr(self, "seq", 0) + 1  # another edit than the last, which is remembered as rejected

    def act(self) -> None:
        gone = f"{self.daemon.root}/nowhere-{self.seq}"
        self.daemon.edit(args(lora_paths=["base=org/base", "sql=org/sql", f"gone={gone}"]))
        calmly(lambda: self.daemon.file["error"], "the way back")

    def check(self) -> None:
        calmly(lambda: self.daemon.file["error"], "the way back")
        calmly(lambda: settled(self.lab.records()["chat-0"]), "nothing in doubt")
        worker = self.lab.ready()
        assert (worker["pid"], worker["restarts"]) == (self.before, 0)
        cards = ask(self.daemon.port, "GET", "/v1/models")[1]["data"]
        assert [card["id"] for card in cards if card["parent"]] == ["base"]


def settled(record: Any) -> bool:
    """Whether a record says for certain what its process runs."""
    return not record["trial"] and not (record["live"] or {}).get("tried")


class NewCode(Scenario):
    """`daemon restart`: the daemon executes itself."""

    def prepare(self) -> None:
        self.before = self.lab.ready()
        self.count()

    def act(self) -> None:
        began = self.starts_of_daemon()
        self.daemon.client.restart_daemon()
        calmly(lambda: self.starts_of_daemon() > began or self.lab.has_ended, "the new code")

    def starts_of_daemon(self) -> int:
        return self.daemon.said().count("started with pid")

    def check(self) -> None:
        worker = self.lab.ready()
        for field in ("pid", "restarts", "wanted", "since", "phase"):
            assert worker[field] == self.before[field], field
        assert self.starts() == 0


class DaemonStop(Scenario):
    """A stop of the daemon, which stops its workers: nobody wants them down."""

    changes = (PAIR,)
    bystander = False

    def prepare(self) -> None:
        for index in range(2):
            self.lab.ready(f"chat-{index}")

    def act(self) -> None:
        assert self.daemon.process is not None
        self.daemon.process.terminate()
        self.daemon.process.wait(PATIENCE)

    def check(self) -> None:
        for index in range(2):
            worker = self.lab.ready(f"chat-{index}")
            assert (worker["wanted"], worker["restarts"]) == ("up", 0)
