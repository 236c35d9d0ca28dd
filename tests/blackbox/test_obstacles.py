"""What a worker has to wait for is named, and it starts by itself once that is out of the way."""

import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from tests import models
from tests.blackbox.harness import Daemon, Table, command, listening, merged, pool
from tests.support import wait_until

SERVER = f"exec {sys.executable} -m http.server --bind 127.0.0.1 {{port}}"


def own(program: str) -> Table:
    """Engine `own` is this program itself, without a shell."""
    return merged(command("true"), {"engines": {"own": {"command": [program, "600"]}}})


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    program = tmp_path / "serve"
    with Daemon(tmp_path, own(str(program))) as daemon:
        worker = daemon.start().in_phase("failed")
        assert str(program) in (worker["reason"] or "")
        assert "does not exist" in (worker["reason"] or "")
        assert worker["hint"]
        assert worker["last_exit"] is not None
        assert (worker["last_exit"]["cause"], worker["last_exit"]["code"]) == ("environment", None)
        program.symlink_to("/bin/sleep")  # it comes: nobody has to type anything
        daemon.ready()


def test_a_command_that_is_not_executable(tmp_path: Path) -> None:
    program = tmp_path / "serve"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    with Daemon(tmp_path, own(str(program))) as daemon:
        worker = daemon.start().in_phase("failed")
        assert "executable" in (worker["reason"] or "")
        program.chmod(0o755)
        daemon.client.act("start", "chat-0", pool=False)
        daemon.ready()


def test_a_command_without_a_slash_is_looked_for_on_the_path(tmp_path: Path) -> None:
    with Daemon(tmp_path, own("no-such-command-anywhere")) as daemon:
        worker = daemon.start().in_phase("failed")
        assert "no-such-command-anywhere" in (worker["reason"] or "")
        daemon.edit(own("sleep"))
        daemon.ready()


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """The kernel refuses it only when it is to be executed."""
    program = tmp_path / "serve"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with Daemon(tmp_path, own(str(program))) as daemon:
        worker = daemon.start().in_phase("failed")
        assert str(program) in (worker["reason"] or "")
        assert daemon.process is not None
        wait_until(lambda: len(daemon.processes()) == 1, 5, "no shim stays behind")


INTERPRETER = """\
#!/bin/sh
[ "$1" = -m ] || exit 1  # who asks about SGLang learns nothing
echo the engine runs
exec sleep 600
"""


def sglang(python: Path, model: str) -> Table:
    return {
        "engines": {"sglang": {"kind": "sglang", "python": str(python)}},
        "profiles": {"real": {"engine": "sglang", "model": model}},
        "pools": {"chat": {"profile": "real"}},
    }


def test_an_interpreter_that_comes_later(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    with Daemon(tmp_path, sglang(python, "Qwen/Qwen3-VL-8B-Instruct")) as daemon:
        worker = daemon.start().in_phase("failed")
        assert str(python) in (worker["reason"] or "")
        assert worker["hint"]
        python.parent.mkdir(parents=True)
        python.with_name("new").write_text(INTERPRETER)
        python.with_name("new").chmod(0o755)
        python.with_name("new").replace(python)
        daemon.in_phase("starting")
        wait_until(lambda: b"the engine runs" in daemon.log(), 10, "its output")


def test_a_model_directory_that_comes_later(tmp_path: Path) -> None:
    python, model = tmp_path / "python", tmp_path / "mnt" / "model"
    python.write_text(INTERPRETER)
    python.chmod(0o755)
    with Daemon(tmp_path, sglang(python, str(model))) as daemon:
        worker = daemon.start().in_phase("failed")
        assert worker["last_exit"] is not None
        assert worker["last_exit"]["cause"] == "model-missing"
        assert str(model) in (worker["reason"] or "")
        models.model(model)
        daemon.in_phase("starting")
        wait_until(lambda: b"the engine runs" in daemon.log(), 10, "its output")


def test_what_is_missing_is_looked_for_after_a_crash_too(tmp_path: Path) -> None:
    program = tmp_path / "serve"
    with Daemon(tmp_path, own(str(program))) as daemon:
        daemon.start().in_phase("failed")
        daemon.kill()
        daemon.start()
        assert daemon.worker()["phase"] == "failed"
        program.symlink_to("/bin/sleep")
        daemon.ready()


def test_a_card_that_this_host_lacks(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=[0, 7])) as daemon:
        daemon.start().ready("chat-0")
        worker = daemon.until(lambda w: w["reason"], "a reason", "chat-1")
        assert worker["phase"] != "failed"
        assert "GPU 7" in (worker["reason"] or "")
        assert daemon.file["error"] is None
        daemon.edit(pool(gpus=[0, 3]))
        assert daemon.ready("chat-1")["gpus"] == [3]


def test_a_card_that_fell_off_the_bus(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        (daemon.state / "simulated-gpus").mkdir(parents=True, mode=0o700)
        lost = daemon.state / "simulated-gpus" / "gpu0.lost"
        lost.touch()
        worker = daemon.start().until(lambda w: w["reason"], "a reason")
        assert "GPU 0" in (worker["reason"] or "")
        lost.unlink()
        daemon.ready()


def test_a_port_that_a_stranger_has(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        with listening(daemon.port):
            worker = daemon.start().until(lambda w: w["reason"], "a reason")
            assert worker["phase"] == "releasing"
            reason = worker["reason"] or ""
            assert f"port {daemon.port}" in reason
            assert f"pid {os.getpid()}" in reason
            assert Path(f"/proc/{os.getpid()}/comm").read_text().strip() in reason
            assert daemon.spawns() == 0
        worker = daemon.ready()
        assert (worker["reason"], worker["restarts"]) == (None, 0)


def test_a_stranger_on_a_wildcard_address_has_the_port_too(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon, socket.socket() as stranger:
        stranger.bind(("0.0.0.0", daemon.port))
        stranger.listen(1)
        worker = daemon.start().until(lambda w: w["reason"], "a reason")
        assert f"pid {os.getpid()}" in (worker["reason"] or "")


def test_a_stranger_does_not_count_as_our_worker(tmp_path: Path) -> None:
    """It answers on our port before our worker listens: no request to it may make the worker ready."""
    slow = {"profiles": {"standard": {"args": {"sim-load-seconds": 2}}}}
    with Daemon(tmp_path, slow) as daemon:
        daemon.start().until(lambda w: w["pid"], "a process")
        with listening(daemon.port):
            worker = daemon.until(lambda w: w["ready"] or w["last_exit"], "the end of the start")
            assert not worker["ready"]
            assert worker["last_exit"] is not None
            assert worker["last_exit"]["cause"] == "port-in-use"
            worker = daemon.until(lambda w: w["phase"] == "releasing" and w["reason"], "it waits for the port")
            assert f"pid {os.getpid()}" in (worker["reason"] or "")
        daemon.ready()


def test_memory_that_a_stranger_has(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        cards = daemon.state / "simulated-gpus"
        cards.mkdir(parents=True, mode=0o700)
        hold = cards / "gpu0.hold.json"
        hold.write_text(json.dumps({"pid": os.getpid(), "memory": 30 << 30, "command": "jupyter"}))
        worker = daemon.start().until(lambda w: w["reason"], "a reason")
        assert worker["phase"] == "releasing"
        reason = worker["reason"] or ""
        assert "GPU 0" in reason
        assert f"pid {os.getpid()}" in reason
        assert "jupyter" in reason
        assert daemon.spawns() == 0
        assert any(holder["pid"] == os.getpid() for holder in daemon.status["gpus"][0]["holders"])
        daemon.client.act("stop", "chat-0", pool=False)  # one may also give up
        daemon.in_phase("stopped")
        daemon.client.act("start", "chat-0", pool=False)
        daemon.until(lambda w: w["reason"], "the reason again")
        hold.unlink()
        daemon.ready()


def test_a_gate_is_kept_over_a_crash(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        with listening(daemon.port):
            daemon.start().until(lambda w: w["reason"], "a reason")
            daemon.kill()
            daemon.start().until(lambda w: w["reason"], "the reason again")
            assert daemon.spawns() == 0
        daemon.ready()


def test_a_stop_does_not_wait_for_strangers_for_ever(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon, listening(daemon.port):
        daemon.start().until(lambda w: w["reason"], "a reason")
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < 5


def test_a_command_engine_is_ready_when_its_path_answers(tmp_path: Path) -> None:
    with Daemon(tmp_path, command(f"sleep 0.5; {SERVER}", ready="/")) as daemon:
        daemon.start()
        worker = daemon.until(lambda w: w["phase"] == "starting" and w["pid"], "a process")
        assert not worker["ready"]
        daemon.ready()


@pytest.mark.parametrize("word", ["{port}", "{gpus}", "{worker}", "{host}"])
def test_what_a_command_line_is_filled_with(word: str, tmp_path: Path) -> None:
    with Daemon(tmp_path, command(f"echo '<{word}>'; exec sleep 600")) as daemon:
        daemon.start().ready()
        value = {"{port}": str(daemon.port), "{gpus}": "GPU-SIM-0", "{worker}": "chat-0", "{host}": "127.0.0.1"}[word]
        wait_until(lambda: f"<{value}>".encode() in daemon.log(), 10, "its output")
