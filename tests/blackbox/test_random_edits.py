"""Random edits of a running daemon lead to just what a fresh daemon runs on the last file, and keep whom they can.

Each run goes from one drawn file to the next, and begins anew on the last one for comparison. There are two runs;
`QVL_RANDOM_EDITS=20` has 20, `QVL_RANDOM_EDITS=20/7` draws them from the seed 7. `tests/config/test_edits.py` asks the
same of plans alone, hundreds of times.
"""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from qvl.config.fleet import fleet
from qvl.config.load import load

from tests.blackbox.harness import BRISK, Daemon, Table
from tests.config.files import host
from tests.support import wait_until

COUNT, _, SEED = os.environ.get("QVL_RANDOM_EDITS", "2").partition("/")

EDITS = 3
"""Files that follow the first one in each run."""

PATIENCE = 60.0
"""Seconds for what takes a few: the machine has other work."""

TP = ("tp", "tp-size", "tensor-parallel-size")
WAITS = "while :; do sleep 1; done"
KEPT = ("keep", "reconfigure", "live")


class Draw:
    """Files for one host with four cards and eight ports."""

    def __init__(self, seed: str, port: int, key: Path) -> None:
        self._random = random.Random(seed)
        self._port = port
        self._key = key

    def one(self, *options: Any) -> Any:
        return self._random.choice(options)

    def maybe(self, keys: Table) -> Table:
        return {name: value for name, value in keys.items() if self.one(True, False)}

    def first(self) -> Table:
        return {"supervisor": {"gpus": "simulated:4"}, **self.engines(), **self.profiles(), **self.pools()}

    def next(self, before: Table) -> Table:
        """`before` with one or two of its parts drawn anew."""
        parts = self._random.sample([self.engines, self.profiles, self.pools, self.pools], self.one(1, 1, 2))
        return {**before, **{key: value for part in parts for key, value in part().items()}}

    def engines(self) -> Table:
        own = {"kind": "command", "command": ["/bin/sh", "-c", WAITS, self.one("a", "b")], "ready": "started"}
        return {"engines": {"sim": {"kind": "simulated", "env": self.maybe({"E": "1"})}, "own": own}}

    def profiles(self) -> Table:
        standard = {"sim-load-seconds": 0.05, **self.maybe({"max-running-requests": self.one(5, 6)})}
        other = self.maybe({"max-running-requests": 9, self.one(*TP): 2})
        return {
            "profiles": {
                "standard": {
                    "engine": "sim",
                    "model": self.one("m", "n"),
                    "args": standard,
                    "env": self.maybe({"F": "1"}),
                },
                "other": {"extends": "standard", "args": other, "unset": self.one([], [], ["env.F"])},
                "own": {"engine": "own", "args": self.maybe({self.one(*TP): 1})},
            }
        }

    def pools(self) -> Table:
        cards: dict[str, list[Any]] = {
            "chat": [1, 2, [0], [1, 0], [0, 1], "all"],
            "more": [1, [2], [3, 2], "none"],
            "extra": ["none", [3]],
        }
        pools: Table = {}
        for number, (name, gpus) in enumerate(cards.items()):
            if number and self.one(True, True, False):
                chosen = self.one(*gpus)
                pools[name] = self.pool(name, chosen, self._port + (0, 4, 6)[number])
        return {"pools": {"chat": self.pool("chat", self.one(*cards["chat"]), self._port), **pools}}

    def pool(self, name: str, gpus: Any, port: int) -> Table:
        return {
            "profile": "own" if gpus == "none" else self.one("standard", "standard", "other", "own"),
            "gpus": gpus,
            "port": port,
            **({"workers": self.one(1, 2)} if gpus == "none" else {}),
            **BRISK,
            "health": {"interval": self.one("0.2s", "0.3s")},
            **self.maybe(
                {
                    "autostart": self.one(True, True, name == "chat"),
                    "api_key_file": str(self._key),
                    "logs": {"keep": self.one(1, 2)},
                }
            ),
        }


def runs(table: Table, scratch: Path) -> bool:
    """Whether this host can run it: the draws don't look at each other."""
    file = scratch / "drawn.toml"
    file.write_text(tomli_w.dumps(table))
    config = load(file).config
    return config is not None and not fleet(config, host(4)).faults


def edit(daemon: Daemon, table: Table) -> None:
    """Save, and wait until it is what runs; who was to be kept was kept."""
    before = {worker["name"]: worker for worker in daemon.status["workers"]}
    new = daemon.root / "next.toml"
    new.write_text(tomli_w.dumps(table))
    steps = {step["worker"]: step for step in daemon.client.plan(str(new))["steps"]}
    daemon.write(table)
    revision = daemon.revision_of_file()
    wait_until(lambda: daemon.file["revision"] == revision, PATIENCE, "the edit is noticed")
    wait_until(lambda: daemon.file["pending"] or daemon.file["applied"] == revision, PATIENCE, "it is planned")
    if daemon.file["pending"]:
        assert daemon.client.plan()["removes_pools"], "an edit waits for no reason"
        daemon.client.apply(daemon.client.plan()["id"])
    settled(daemon, revision, {name for name, step in steps.items() if step["action"] != "stop"})
    for worker in daemon.status["workers"]:
        was, step = before.get(worker["name"]), steps[worker["name"]]
        assert (was is None) == (step["action"] == "start"), step
        if was is not None:
            assert (worker["pid"] == was["pid"]) == (step["action"] in KEPT or was["pid"] is None), step
            assert (worker["restarts"], worker["wanted"]) == (0, was["wanted"])


def settled(daemon: Daemon, revision: str, names: set[str]) -> None:
    def calm() -> bool:
        status = daemon.status
        file, workers = status["supervisor"]["config"], status["workers"]
        return (
            (file["revision"], file["applied"], file["pending"], file["error"]) == (revision, revision, False, None)
            and all(pool["switch"] is None for pool in status["pools"])
            and {worker["name"] for worker in workers} == names
            and all(w["ready"] if w["wanted"] == "up" else w["phase"] == "stopped" for w in workers)
        )

    wait_until(calm, PATIENCE, f"revision {revision} runs, with {sorted(names)}")


def picture(daemon: Daemon) -> dict[str, object]:
    """What runs, without what belongs to one run of it."""
    status = daemon.status
    told = ("name", "profile", "override", "endpoint", "total")
    pools = [{key: value for key, value in pool.items() if key in told} for pool in status["pools"]]
    workers = {}
    for worker in status["workers"]:
        keys = ("pool", "profile", "engine", "gpus", "port", "endpoint", "max_restarts")
        seen: dict[str, object] = {key: worker[key] for key in keys}  # type: ignore[literal-required]
        if worker["pid"] is not None:
            proc = Path("/proc", str(worker["pid"]))
            words = (proc / "cmdline").read_bytes().split(b"\0")
            if b"--nccl-port" in words:  # a free one is drawn for each start
                del words[words.index(b"--nccl-port") + 1]
            environ = (proc / "environ").read_bytes().split(b"\0")
            seen["command"] = words
            seen["environment"] = sorted(word for word in environ if word[:2] in (b"E=", b"F=", b"CU"))
        workers[worker["name"]] = seen
    return {"pools": pools, "workers": workers}


def alike(edited: dict[str, Any], fresh: dict[str, Any]) -> None:
    assert edited["pools"] == fresh["pools"]
    assert list(edited["workers"]) == list(fresh["workers"])
    for name, worker in edited["workers"].items():
        other = fresh["workers"][name]
        both = worker.keys() & other.keys()  # what is wanted of it may be from an earlier file
        assert {key: worker[key] for key in both} == {key: other[key] for key in both}, name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(int(COUNT)))
def test_edits_lead_to_what_a_fresh_daemon_runs(number: int, tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        key = tmp_path / "key"
        key.touch(0o600)
        key.write_text("sk-random-edits\n")
        draw = Draw(f"{SEED}/{number}", daemon.port, key)
        table = draw.first()
        while not runs(table, tmp_path):
            table = draw.first()
        daemon.write(table)
        daemon.start()
        first = daemon.client.plan()
        settled(daemon, first["revision"], {step["worker"] for step in first["steps"]})
        for _ in range(EDITS):
            after = draw.next(table)
            while not runs(after, tmp_path) or after == table:
                after = draw.next(table)
            edit(daemon, after)
            table = after
        edited, names = picture(daemon), {worker["name"] for worker in daemon.status["workers"]}
        daemon.stop()
        shutil.rmtree(daemon.state)
        daemon.start()
        settled(daemon, daemon.revision_of_file(), names)
        alike(edited, picture(daemon))
