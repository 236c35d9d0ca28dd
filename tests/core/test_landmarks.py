"""Start-up lines are read as real engines write them."""

from itertools import pairwise

import pytest
from qvl.core.landmarks import STEPS, Sighting, read_line, shows_work, starts_record, without_prefix

from tests.core.corpus import LOGS, lines, path_of

STARTS = ["0.5.17-h100-start", "0.5.17-h100-start-from-disk", "0.5.18-cpu-start", "0.5.23-cpu-start"]


def sightings(name: str) -> list[Sighting]:
    return [sighting for line in lines(name) if (sighting := read_line(line)) is not None]


@pytest.mark.parametrize("name", STARTS)
def test_a_start_walks_the_steps_in_order_until_it_is_ready(name: str) -> None:
    seen = sightings(name)
    order = [STEPS.index(sighting.step) for sighting in seen]
    assert order == sorted(order)
    graphs = [] if "cpu" in name else ["graphs"]  # without CUDA there are none
    assert list(dict.fromkeys(s.step for s in seen)) == ["import", "weights", "kv-cache", *graphs, "warm-up"]
    assert [s.ready for s in seen] == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize("name", STARTS)
def test_fractions_grow_within_a_step(name: str) -> None:
    for before, after in pairwise(sightings(name)):
        if before.step == after.step:
            assert before.fraction is not None
            assert after.fraction is not None
            assert before.fraction <= after.fraction


def test_a_start_of_vllm_walks_the_steps_in_order() -> None:
    """Without graphs, as there is no GPU; that it is ready is told by /health alone."""
    seen = sightings("vllm-0.32.0-cpu-start")
    order = [STEPS.index(sighting.step) for sighting in seen]
    assert order == sorted(order)
    assert list(dict.fromkeys(s.step for s in seen)) == ["import", "weights", "kv-cache", "warm-up"]
    assert not any(s.ready for s in seen)


def test_bars_tell_how_far_weights_and_graphs_are() -> None:
    seen = sightings("0.5.17-h100-start-from-disk")
    assert [s.fraction for s in seen if s.step == "weights"][1:4] == [0.0, 0.25, 1.0]
    assert {0.14, 0.47, 0.92} <= {s.fraction for s in seen if s.step == "graphs"}


def test_a_draft_model_begins_steps_anew_and_ends_where_its_module_is_missing() -> None:
    steps = [s.step for s in sightings("0.5.17-h100-draft-module-missing")]
    assert steps.count("weights") == 4
    assert steps[-1] == "graphs"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        # One line of each kind that the recorded starts lack.
        ("[2026-11-21 20:27:22 TP1] Load weight begin. avail mem=76.99 GB", Sighting("weights", 0.0)),
        ("[2026-11-21 20:27:22.123 DP0 TP0] Memory pool end. avail mem=11.03 GB", Sighting("kv-cache", 1.0)),
        ("[2025-06-01 10:00:00] Capture cuda graph begin. This can take up to several minutes.", Sighting("graphs", 0)),
        ("[2025-06-01 10:00:00] Capture cuda graph end. Time elapsed: 3.11 s.", Sighting("graphs", 1.0)),
        (
            "Loading safetensors checkpoint shards:  75% Completed | 3/4 [00:02<00:00,  1.4it/s]",
            Sighting("weights", 0.75),
        ),
        ("Loading pt checkpoint shards:  50% Completed | 1/2 [00:02<00:02,  1.4s/it]", Sighting("weights", 0.5)),
        # vLLM
        (
            "(EngineCore_DP0 pid=17) INFO 09-28 15:47:24 [loader.py:5] Starting to load model Qwen",
            Sighting("weights", 0.0),
        ),
        ("INFO 05-23 09:31:24 [gpu_model_runner.py:1347] Model loading took 18.1450 GiB", Sighting("weights", 1.0)),
        ("Capturing CUDA graph shapes:  40%|████      | 14/35 [00:09<00:14,  1.45it/s]", Sighting("graphs", 0.4)),
    ],
)
def test_other_versions_and_engines(line: str, seen: Sighting) -> None:
    assert read_line(line) == seen


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-21 20:27:22] Capture cuda graph failed: CUDA out of memory. Lower it, or this will end badly",
        "[2026-11-21 20:27:22] Ignore import error when loading sglang.srt.models.inkling: No module named 'helion'",
        "[2026-11-21 20:27:23] INFO:     Waiting for application startup.",
        '[2026-11-21 20:27:23] Receive: obj=GenerateReqInput(text="The server is fired up and ready to roll!")',
        "100%|██████████| 4/4 [00:00<00:00,  5.35it/s]",
        "",
    ],
)
def test_lines_that_say_nothing_of_a_start(line: str) -> None:
    assert read_line(line) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[2026-11-21 20:27:22] hello", "hello"),
        ("[2026-11-21 20:27:22.456 DP1 PP0 TP3 EP1] hello", "hello"),
        ("\x1b[1;33m'--cuda-graph-max-bs' is deprecated\x1b[0m", "'--cuda-graph-max-bs' is deprecated"),
        ("(VllmWorker rank=0 pid=2445155) ERROR 05-10 16:00:15 [multiproc_executor.py:470] hello", "hello"),
        ("[rank0]: hello", "hello"),
        ("  File [2026-11-21 20:27:22] hello", "  File [2026-11-21 20:27:22] hello"),
    ],
)
def test_the_message_of_a_line(line: str, message: str) -> None:
    assert without_prefix(line) == message


def test_only_lines_with_a_stamp_start_a_record() -> None:
    assert starts_record("[2026-11-21 20:27:22 TP0] Scheduler hit an exception: Traceback (most recent call last):")
    assert not starts_record("ValueError: no")
    assert not starts_record('  File "x.py", line 1, in f')


def test_work_shows_in_batches_and_bars() -> None:
    start = lines("0.5.17-h100-start")
    assert shows_work(next(line for line in start if "Prefill batch" in line))
    assert shows_work(next(line for line in start if "Capturing batches" in line))
    assert shows_work("[2026-11-21 20:27:36] Decode batch, #running-req: 1, #token: 46, token usage: 0.00")
    assert shows_work(
        "(APIServer pid=1) INFO 11-26 06:50:10 [loggers.py:273] Engine 000: Avg prompt throughput: 0.0 tokens/s, "
        "Avg generation throughput: 31.4 tokens/s, Running: 1 reqs, Waiting: 0 reqs"
    )


def test_a_hung_scheduler_whose_server_is_still_asked_shows_no_work() -> None:
    """The scheduler was stopped by SIGSTOP once the engine served; what follows are our questions and its death."""
    log = lines("0.5.18-cpu-sigstop-scheduler")
    stopped = next(i for i, line in enumerate(log) if "Health check failed" in line)
    assert [line for line in log[stopped:] if shows_work(line) and "killpg" not in line] == []


@pytest.mark.parametrize(
    "line",
    [
        '[2026-11-21 19:44:51] INFO:     127.0.0.1:39062 - "GET /health HTTP/1.1" 503 Service Unavailable',
        "[2026-11-21 20:46:36] Health check failed. Server couldn't get a response from detokenizer for 20 s",
        "[2026-11-21 20:27:36] Endpoint '/get_load' is deprecated and will be removed in a future version.",
        "[2026-11-21 20:27:36] Receive: obj=GenerateReqInput(rid='1')",
        "[2026-11-21 20:27:36] ERROR:    Exception in ASGI application",
        "(APIServer pid=1) INFO 11-26 06:50:10 [loggers.py:273] Engine 000: Avg prompt throughput: 0.0 tokens/s, "
        "Avg generation throughput: 0.0 tokens/s, Running: 1 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.1%",
        "(EngineCore pid=7) INFO 11-26 06:50:10 [shm_broadcast.py:546] No available shared memory broadcast block "
        "found in 60 seconds. This typically happens when some processes are hanging",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in f',
        "ValueError: prompt too long",
        "",
        "   ",
    ],
)
def test_what_a_question_makes_is_no_work(line: str) -> None:
    assert not shows_work(line)


def test_every_log_is_used() -> None:
    from tests.core.test_classify import ENDS

    named = {path_of(name).name for name in (*STARTS, *(end[0] for end in ENDS))}
    assert named == {path.name for path in LOGS.glob("*.log")}
