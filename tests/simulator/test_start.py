"""The start of a simulated engine: lines, order, port, stalls and every way to fail."""

import re
import socket
from pathlib import Path

import pytest
from qvl.simulator.flags import FLAGS

from tests.simulator.harness import Engine, settle
from tests.support import wait_until

LANDMARKS = (
    "server_args=ServerArgs(model_path=",
    "Init torch distributed begin.",
    "Load weight begin. avail mem=",
    "Multi-thread loading shards: 100% Completed | 4/4",
    "Load weight end. elapsed=",
    "KV Cache is allocated. dtype: torch.bfloat16, #tokens: ",
    "Capture target decode CUDA graph begin.",
    "Capturing batches (bs=1 avail_mem=",
    "100%|██████████| 36/36",
    "Capture target decode CUDA graph end.",
    "max_total_num_tokens=",
    "INFO:     Application startup complete.",
    "INFO:     Uvicorn running on http://127.0.0.1:",
    "Prefill batch, #new-seq: 1",
    "The server is fired up and ready to roll!",
)

ENDS = {
    "bad-arguments": (2, "error: unrecognized arguments"),
    "model-missing": (1, "is not a local folder and is not a valid model identifier"),
    "port-in-use": (3, "[Errno 98] error while attempting to bind on address ('127.0.0.1', "),
    "out-of-gpu-memory": (-9, "torch.OutOfMemoryError: CUDA out of memory"),
    "out-of-host-memory": (1, "scheduler died during initialization (exit code: -9)"),
    "gpu-fault": (-9, "CUDA error: an illegal memory access was encountered"),
    "collective-fault": (-9, "NCCL error: unhandled system error"),
    "engine-crash": (-9, "Scheduler hit an exception: Traceback"),
    "environment": (1, "Please reinstall the latest version with"),
    "shm-full": (1, "Bus error"),
    "disk-full": (-9, "[Errno 28] No space left on device"),
    "killed": (-9, "server_args="),
    "exited": (0, "server_args="),
    "unknown": (1, "server_args="),
}


def test_the_landmarks_come_in_sglangs_order(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        places = [engine.log.find(landmark) for landmark in LANDMARKS]
    assert -1 not in places, LANDMARKS[places.index(-1)]
    assert places == sorted(places)


def test_the_port_opens_after_the_load_and_health_follows_the_warm_up(tmp_path: Path) -> None:
    with (
        Engine(tmp_path, "--sim-stall-at", "graphs") as loading,
        Engine(tmp_path, "--sim-stall-at", "warm-up") as warming,
    ):
        loading.wait_for("Capture target decode CUDA graph begin.")
        assert not loading.listening()
        warming.wait_for("Uvicorn running on")
        assert warming.get("/health").status == 503
        assert warming.get("/ready").status == 503
        assert warming.get("/v1/models").status == 200


def test_a_speculative_engine_loads_two_models(tmp_path: Path) -> None:
    flags = ("--speculative-algorithm", "EAGLE3", "--speculative-draft-model-path", "draft")
    with Engine(tmp_path, *flags).ready() as engine:
        assert engine.log.count("Load weight begin.") == 2
        assert "type=LlamaForCausalLMEagle3" in engine.log
        assert "Capture target verify CUDA graph begin." in engine.log


@pytest.mark.parametrize("cause", ENDS)
def test_a_failing_start_ends_as_sglang_does(tmp_path: Path, cause: str) -> None:
    code, words = ENDS[cause]
    with Engine(tmp_path, "--sim-fail", cause) as engine:
        assert engine.exit_code() == code
        assert words in engine.log
        assert "fired up" not in engine.log
        wait_until(lambda: not engine.processes(), what="no process is left")


def test_every_cause_is_accounted_for() -> None:
    causes = next(flag.choices for flag in FLAGS if flag.name == "sim-fail")
    assert set(causes) == {*ENDS, "hang", "start-stalled"}


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("import", "Using default HuggingFace chat template", "Init torch distributed"),
        ("weights", "Multi-thread loading shards:  50%", "Load weight end."),
        ("kv-cache", "Load weight end.", "KV Cache is allocated."),
        ("graphs", "Capturing batches (bs=", "Capture target decode CUDA graph end."),
        ("warm-up", "Uvicorn running on", "fired up"),
    ],
)
def test_a_stalled_start_stands_still_at_its_step(tmp_path: Path, step: str, before: str, after: str) -> None:
    with Engine(tmp_path, "--sim-stall-at", step) as engine:
        engine.wait_for(before)
        settle(0.3)  # three whole starts
        assert after not in engine.log
        assert engine.process.poll() is None


def test_start_stalled_is_a_cause_too(tmp_path: Path) -> None:
    with Engine(tmp_path, "--sim-fail", "start-stalled") as engine:
        engine.wait_for("Multi-thread loading shards:  50%")
        settle(0.3)
        assert "Load weight end." not in engine.log


def test_a_taken_port_ends_it_with_uvicorns_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with Engine(tmp_path, port=other.getsockname()[1]) as engine:
            assert engine.exit_code() == 3
            assert "[Errno 98] error while attempting to bind on address" in engine.log


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--no-such-flag", "1"), "error: unrecognized arguments: --no-such-flag 1"),
        (("--mem-fraction-static", "lots"), "error: argument --mem-fraction-static: invalid float value: 'lots'"),
        (("--schedule-policy", "best"), "error: argument --schedule-policy: invalid choice: 'best'"),
        (("--cuda-graph-max", "8"), "error: ambiguous option: --cuda-graph-max could match"),
    ],
)
def test_a_wrong_command_line_is_refused_as_argparse_does(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    with Engine(tmp_path, *flags) as engine:
        assert engine.exit_code() == 2
        assert sentence in engine.log
        assert "usage: sglang serve" in engine.log
        assert "--tokenizer-path" in engine.log, "the usage shows all flags"


def test_the_config_file_gives_a_key_that_the_log_leaks(tmp_path: Path) -> None:
    config = tmp_path / "engine.yaml"
    config.write_text(
        '# ours\napi-key: "se cret"\ncontext-length: 4096\nenable-metrics: true\nport: 1\ntrust-remote-code: false\n'
    )
    with Engine(tmp_path, "--config", str(config)).ready() as engine:
        assert "api_key='se cret'" in engine.log
        assert "context_length=4096" in engine.log
        assert "enable_metrics=True" in engine.log
        assert f"port={engine.port}," in engine.log, "the command line wins"
        cmdline = Path(f"/proc/{engine.process.pid}/cmdline").read_bytes()
        assert b"cret" not in cmdline


def test_a_config_key_with_underscores_is_an_unknown_flag(tmp_path: Path) -> None:
    config = tmp_path / "engine.yaml"
    config.write_text("context_length: 4096\n")
    with Engine(tmp_path, "--config", str(config)) as engine:
        assert engine.exit_code() == 2
        assert "unrecognized arguments: --context_length" in engine.log


def test_aliases_prefixes_and_suffixes_mean_what_they_mean_in_sglang(tmp_path: Path) -> None:
    with Engine(
        tmp_path, "--tp", "2", "--context-length", "32k", "--served-model-name=vl", "--log-requests-level", "1"
    ).ready() as engine:
        assert "tp_size=2" in engine.log
        assert "context_length=32000" in engine.log
        assert "served_model_name='vl'" in engine.log
        assert "log_requests_level=1" in engine.log


def test_the_log_has_sglangs_time_stamps(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        lines = [line for line in engine.log.splitlines() if line and not line.startswith(("Multi", "Capturing"))]
    assert all(re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ", line) for line in lines if "%|" not in line)
