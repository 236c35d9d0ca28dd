"""How a simulated engine ends: by signals, by itself, by its children, by misuse; and what it leaves behind."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.simulator.harness import Engine, long_request, settle
from tests.support import wait_until

PARKING = ("--enable-memory-saver", "--enable-weights-cpu-backup")


def child(engine: Engine, name: str) -> int:
    return next(pid for pid, title in engine.processes().items() if title == name)


def waiting(engine: Engine) -> int:
    loads = json.loads(engine.get("/v1/loads").body)["loads"]
    return int(loads[0]["num_waiting_reqs"])


def test_it_has_the_children_of_sglang(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        names = sorted(engine.processes().values())
    assert names[1:] == ["sglang::detoken", "sglang::schedul"]


def test_sigterm_when_idle_is_a_kill_of_itself(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        engine.process.terminate()
        assert engine.exit_code() == -9
        assert "SIGTERM received. signum=None frame=None. Draining requests and shutting down..." in engine.log
        assert "Gracefully exiting... Remaining number of requests 0." in engine.log
        wait_until(lambda: not engine.processes(), what="no process is left")


def test_sigterm_waits_for_requests_and_takes_new_ones(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-token-seconds", "0.01").ready() as engine:
        with engine.stream("/generate", long_request(60)) as events:
            assert next(events)
            engine.process.terminate()
            engine.wait_for("SIGTERM received")
            assert engine.get("/health").status == 503
            assert engine.get("/ready").status == 503
            assert engine.chat(max_tokens=2).status == 200
            *_, last, done = events
        assert json.loads(last)["meta_info"]["completion_tokens"] == 60
        assert done == "[DONE]"
        assert engine.exit_code() == -9


def test_sigterm_while_starting_ends_it_at_once(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-stall-at", "weights") as engine:
        engine.wait_for("Load weight begin.")
        engine.process.terminate()
        assert engine.exit_code() == -15
        wait_until(lambda: not engine.processes(), what="no process is left")


def test_sigterm_can_be_ignored(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-ignore-sigterm").ready() as engine:
        engine.process.terminate()
        settle(0.2)
        assert engine.get("/health").status == 200


def test_sigint_is_an_orderly_exit(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        engine.process.send_signal(signal.SIGINT)
        assert engine.exit_code() == 0
        assert f"INFO:     Finished server process [{engine.process.pid}]" in engine.log
        wait_until(lambda: not engine.processes(), what="no process is left")


@pytest.mark.parametrize("stalled", [(), ("--sim-stall-at", "graphs")], ids=["running", "starting"])
def test_sigquit_is_taken_for_a_dead_child(tmp_path: Path, stalled: tuple[str, ...]) -> None:
    with Engine(tmp_path, *stalled) as engine:
        engine.wait_for("Capture target decode CUDA graph begin." if stalled else "fired up")
        engine.process.send_signal(signal.SIGQUIT)
        assert engine.exit_code() == -9
        assert "Received sigquit from a child process." in engine.log or "SIGQUIT received." in engine.log


@pytest.mark.parametrize("name", ["scheduler", "detokenizer"])
def test_the_death_of_a_child_is_its_own(tmp_path: Path, name: str) -> None:
    with Engine(tmp_path).ready() as engine:
        os.kill(child(engine, f"sglang::{name}"[:15]), signal.SIGKILL)
        assert engine.exit_code() == -9
        label = "scheduler_0" if name == "scheduler" else name
        assert f"Subprocess {label} (pid=" in engine.log
        assert "crashed with exit code -9. Triggering SIGQUIT for cleanup..." in engine.log


def test_a_child_that_dies_early_ends_the_start(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-stall-at", "weights") as engine:
        engine.wait_for("Load weight begin.")
        os.kill(child(engine, "sglang::schedul"), signal.SIGKILL)
        assert engine.exit_code() == 1
        assert "Rank 0 scheduler died during initialization (exit code: -9)" in engine.log


def test_children_do_not_outlive_a_killed_engine_but_strays_do(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-children", "2").ready() as engine:
        assert len(engine.processes()) == 5
        engine.process.kill()
        engine.process.wait()
        wait_until(lambda: len(engine.processes()) == 2, what="two strays")
        strays = engine.processes()
        for pid in strays:
            assert os.getsid(pid) != os.getsid(0)
            os.kill(pid, signal.SIGTERM)
        settle(0.1)
        assert engine.processes() == strays


@pytest.mark.parametrize("code", [0, 7, -11])
def test_it_can_end_by_itself(tmp_path: Path, code: int) -> None:
    with Engine(tmp_path, "--sim-exit-after", "0.1", f"--sim-exit-code={code}").ready() as engine:
        assert engine.exit_code() == code


@pytest.mark.parametrize("flags", [("--sim-hang-after", "0"), ("--sim-fail", "hang")])
def test_a_hung_engine_listens_and_does_nothing(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with Engine(tmp_path, *flags, env={"SGLANG_HEALTH_CHECK_TIMEOUT": "0.2"}).ready() as engine:
        wait_until(lambda: engine.get("/health").status == 503, what="health says 503")
        before = engine.get("/v1/loads").json()["loads"]
        assert engine.get("/v1/models").status == 200
        with pytest.raises(TimeoutError):
            engine.get("/server_info", timeout=0.2)
        with ThreadPoolExecutor(1) as pool, pytest.raises(TimeoutError):
            pool.submit(engine.post, "/generate", long_request(1), timeout=0.2).result()
        after = engine.get("/v1/loads").json()["loads"]
        assert isinstance(before, list)
        assert isinstance(after, list)
        assert before[0]["token_usage"] == after[0]["token_usage"]


def test_parking_keeps_the_engine_alive(tmp_path: Path) -> None:
    with Engine(tmp_path, *PARKING).ready() as engine, ThreadPoolExecutor(1) as pool:
        assert engine.post("/pause_generation", {"mode": "abort"}).status == 200
        assert engine.post("/release_memory_occupation").body == b"null"
        assert engine.get("/v1/models").status == 200
        held = pool.submit(engine.chat, max_tokens=2)
        wait_until(lambda: waiting(engine) == 1, what="a request waits for the memory to come back")
        assert engine.post("/resume_memory_occupation").status == 200
        assert engine.post("/continue_generation", {}).status == 200
        assert held.result(timeout=10).status == 200


@pytest.mark.parametrize(
    ("acts", "words"),
    [
        (("/resume_memory_occupation",), "KeyError: 'kv_cache'"),
        (("/release_memory_occupation", "/release_memory_occupation"), "Cannot pause allocation that is not active"),
        (("/release_memory_occupation", "/health"), "Pointer argument (at 0) cannot be accessed"),
        (("busy", "/release_memory_occupation"), "AssertionError: release_memory_occupation should be called only"),
    ],
)
def test_misuse_of_parking_kills_it(tmp_path: Path, acts: tuple[str, ...], words: str) -> None:
    with Engine(tmp_path, *PARKING).ready() as engine, ThreadPoolExecutor(1) as pool:
        *before, last = acts
        for act in before:
            if act == "busy":
                pool.submit(engine.chat, ignore_eos=True, max_tokens=10_000)
                engine.wait_for("#running-req: 1, ")
            else:
                assert engine.get(act).status == 200
        with pytest.raises(ConnectionError):  # it dies without an answer
            engine.get(last)
        assert engine.exit_code() == -9
        assert words in engine.log


def test_without_the_memory_saver_parking_frees_and_breaks_nothing(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        assert engine.post("/release_memory_occupation").status == 200
        assert "will not save memory because torch_memory_saver is not enabled" in engine.log
        assert engine.chat(max_tokens=2).status == 200


def test_a_chatty_engine(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-log-rate", "2000").ready() as engine:
        wait_until(lambda: engine.log.count("Simulated chatter, line ") > 200, what="200 lines")
