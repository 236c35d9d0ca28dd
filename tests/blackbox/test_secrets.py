"""A key is known to the daemon and to its worker, and shows nowhere else."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.blackbox.harness import Daemon, Table, args, ask, command, complete, merged, pool
from tests.support import wait_until

KEY = "sk-3c9f0e7d-quite-unmistakable"
TOKEN = "hf_kT0qWv-also-unmistakable"

READS = (
    "/v1/status",
    "/v1/events?follow=0&since=0",
    "/v1/workers/chat-0/log",
    "/v1/history",
    "/v1/profiles",
    "/v1/profiles/standard",
    "/v1/config",
    "/v1/version",
    "/v1/openapi.json",
)


def with_key(root: Path) -> Table:
    file = root / "key"
    file.touch(0o600)
    file.write_text(f"{KEY}\n")
    return pool(api_key_file=str(file))


def places(daemon: Daemon, secret: str, *, environment: bool = True) -> list[str]:
    """Where a secret can be found."""
    wanted = secret.encode()
    found = []
    for folder in (daemon.logs, daemon.state):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and wanted in path.read_bytes():
                    found.append(str(path))
    for pid in daemon.processes():
        for name in ("cmdline", "environ") if environment else ("cmdline",):
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append(f"{name} of {pid}")
    for target in READS:
        if wanted in daemon.client.raw(target):
            found.append(target)
    if secret in daemon.said():
        found.append("stderr")
    return found


def test_a_key_shows_nowhere(tmp_path: Path) -> None:
    with Daemon(tmp_path, with_key(tmp_path), args(sim_load_seconds=0.6)) as daemon:
        daemon.start()
        daemon.until(lambda w: w["pid"], "a process")
        assert places(daemon, KEY) == []  # while the engine has yet to read it
        first = daemon.ready()
        assert complete(daemon.port)[0] == 401
        assert complete(daemon.port, "wrong")[0] == 401
        assert complete(daemon.port, KEY)[0] == 200
        daemon.until(lambda w: w["metrics"]["running"] is not None, "figures need the key too")
        assert places(daemon, KEY) == []
        assert first["pid"] is not None
        os.kill(first["pid"], signal.SIGKILL)
        daemon.ready(not_pid=first["pid"])
        assert places(daemon, KEY) == []
        assert list(daemon.socket.parent.rglob("*.yaml")) == []


def test_a_key_of_a_start_that_failed_shows_nowhere(tmp_path: Path) -> None:
    with Daemon(tmp_path, with_key(tmp_path), args(sim_fail="bad-arguments")) as daemon:
        daemon.start().in_phase("failed")
        assert places(daemon, KEY) == []
        assert list(daemon.socket.parent.rglob("*.yaml")) == []


def test_no_file_with_a_key_outlives_a_crash(tmp_path: Path) -> None:
    with Daemon(tmp_path, with_key(tmp_path), args(sim_load_seconds=0.5)) as daemon:
        daemon.start().until(lambda w: w["pid"], "a process")
        daemon.kill()
        daemon.start().ready()
        wait_until(lambda: list(daemon.socket.parent.rglob("*.yaml")) == [], 5, "nothing lies about")
        assert complete(daemon.port, KEY)[0] == 200
        assert places(daemon, KEY) == []


@pytest.mark.parametrize(
    "talk",
    [
        "cat {api_key_file}",
        "cat {api_key_file} >&2",
        "echo Authorization: Bearer $(cat {api_key_file}) done",
        "for part in $(fold -w 7 {api_key_file}); do printf %s $part; sleep 0.02; done; echo",
        "printf x%.0s $(seq 5000); cat {api_key_file}",
    ],
)
def test_a_worker_that_prints_its_key(talk: str, tmp_path: Path) -> None:
    chatty = merged(command(f"{talk}; echo said it; exec sleep 600"), with_key(tmp_path))
    with Daemon(tmp_path, chatty) as daemon:
        daemon.start().ready()
        wait_until(lambda: b"said it" in daemon.log(), 10, "its output")
        assert places(daemon, KEY) == []


def test_an_end_whose_evidence_would_be_a_key(tmp_path: Path) -> None:
    dying = merged(command("sleep 0.1; echo RuntimeError: key $(cat {api_key_file}) is bad >&2; exit 1"))
    with Daemon(tmp_path, dying, with_key(tmp_path), pool(restart={"max_restarts": 0})) as daemon:
        worker = daemon.start().in_phase("failed")
        assert worker["last_exit"] is not None
        assert "is bad" in (worker["last_exit"]["evidence"] or "")
        assert places(daemon, KEY) == []


def test_an_environment_file_is_redacted(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.touch(0o600)
    file.write_text(f'# of the hub\nexport HF_TOKEN="{TOKEN}"\n')
    telling = merged(
        command("echo token $HF_TOKEN; echo said it; exec sleep 600"), {"engines": {"own": {"env_file": str(file)}}}
    )
    with Daemon(tmp_path, telling) as daemon:
        daemon.start().ready()
        wait_until(lambda: b"said it" in daemon.log(), 10, "its output")
        assert places(daemon, TOKEN, environment=False) == []
        assert daemon.process is not None
        assert TOKEN.encode() not in Path(f"/proc/{daemon.process.pid}/environ").read_bytes()


def test_a_key_file_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with Daemon(tmp_path, pool(api_key_file=str(file))) as daemon:
        worker = daemon.start().in_phase("failed")
        assert str(file) in (worker["reason"] or "")
        file.write_text(KEY)
        daemon.ready()
        assert ask(daemon.port, "GET", "/v1/models", key=KEY)[0] == 200


def test_a_new_key_counts_from_the_next_start(tmp_path: Path) -> None:
    with Daemon(tmp_path, with_key(tmp_path)) as daemon:
        pid = daemon.start().ready()["pid"]
        (tmp_path / "key").write_text("another-key-that-counts-later")
        daemon.kill()
        daemon.start()  # this one never knew the key that the worker has
        time.sleep(1)  # five health checks
        assert (daemon.worker()["pid"], daemon.worker()["ready"]) == (pid, True)
        daemon.client.act("restart", "chat-0", pool=False)
        daemon.ready(not_pid=pid)
        assert complete(daemon.port, KEY)[0] == 401
        assert complete(daemon.port, "another-key-that-counts-later")[0] == 200
