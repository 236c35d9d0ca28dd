"""Ends of real engines, and exits with few words, lead to the right cause, evidence and hint."""

import pytest
from qvl.core.classify import classify
from qvl.core.landmarks import parted
from qvl.model.worker import Cause

from tests.core.corpus import lines
from tests.core.spoken import in_main

End = tuple[str, int | None, int | None, bool, Cause, str, str | None]
ENDS: list[End] = [
    # log, exit code, signal, was it ready: cause, a part of the evidence, a part of the hint
    ("0.5.17-h100-fail-flag", 2, None, False, Cause.BAD_ARGUMENTS, "unrecognized arguments: --no-such-flag", "check"),
    ("0.5.17-h100-fail-value", 2, None, False, Cause.BAD_ARGUMENTS, "invalid float value: 'lots'", "check"),
    ("0.5.18-cpu-bad-value", 1, None, False, Cause.BAD_ARGUMENTS, "context_length (999999) is greater than", "check"),
    ("0.5.17-h100-fail-path", 1, None, False, Cause.MODEL_MISSING, "HFValidationError: Repo id must be", "HF_HOME"),
    ("0.5.17-h100-fail-empty", 1, None, False, Cause.MODEL_MISSING, "ValueError: Unrecognized model in", "its path"),
    ("0.5.17-h100-fail-oom", None, 9, False, Cause.OUT_OF_GPU_MEMORY, "torch.OutOfMemoryError: CUDA", "lower mem-f"),
    ("0.5.17-h100-draft-module-missing", None, 9, False, Cause.ENVIRONMENT, "No module named 'deep_gemm'", "doctor"),
    ("0.5.17-h100-nap-health", None, 9, True, Cause.ENGINE_CRASH, "ValueError: Pointer argument (at 0)", None),
    ("0.5.17-h100-nap-resume-first", None, 9, True, Cause.ENGINE_CRASH, "KeyError: 'kv_cache'", None),
    ("0.5.17-h100-nap-twice", None, 9, True, Cause.ENGINE_CRASH, "[torch_memory_saver.cpp] Cannot pause", None),
    ("0.5.17-h100-kill-parent", None, 9, True, Cause.KILLED, "killed by signal 9", "OOM killer"),
    ("0.5.17-h100-kill-scheduler", None, 9, True, Cause.KILLED, "Subprocess scheduler_0", "-g oom"),
    ("0.5.17-h100-kill-detokenizer", None, 9, True, Cause.KILLED, "Subprocess detokenizer", "-g oom"),
    ("0.5.17-h100-term-early", None, 15, False, Cause.KILLED, "killed by signal 15", "other than qvl"),
    ("0.5.17-h100-term-loading", None, 15, False, Cause.KILLED, "killed by signal 15", "other than qvl"),
    ("0.5.17-h100-sigterm", None, 9, True, Cause.KILLED, "SIGTERM received.", "other than qvl"),
    ("0.5.17-h100-sigquit", None, 9, True, Cause.KILLED, "SIGQUIT received.", "other than qvl"),
    ("0.5.17-h100-sigint", 0, None, True, Cause.EXITED, "exited with 0", None),
    ("0.5.18-cpu-bad-choice", 2, None, False, Cause.BAD_ARGUMENTS, "invalid choice: 'fcf'", "check"),
    ("0.5.18-cpu-no-such-template", 1, None, False, Cause.BAD_ARGUMENTS, "Chat template nosuch is not", "check"),
    ("0.5.18-cpu-no-chat-template", None, 9, False, Cause.BAD_ARGUMENTS, "chat_template is not set", "chat-template"),
    ("0.5.18-cpu-unknown-architecture", 1, None, False, Cause.BAD_ARGUMENTS, "'FooForCausalLM' is not", "newer one"),
    ("0.5.18-cpu-unknown-type", 1, None, False, Cause.ENVIRONMENT, "model type `foo9` but", "transformers"),
    ("0.5.18-cpu-hub-unreachable", 1, None, False, Cause.MODEL_MISSING, "LocalEntry", "acme/no-such-model: the model"),
    ("0.5.18-cpu-hub-offline", 1, None, False, Cause.MODEL_MISSING, "outgoing traffic has been", "download it first"),
    ("0.5.18-cpu-no-weights", None, 9, False, Cause.MODEL_MISSING, "with `<work>/model`", "its path"),
    (
        "0.5.18-cpu-weights-a-pointer",
        None,
        9,
        False,
        Cause.MODEL_MISSING,
        "header too large",
        "<work>/lfs: the model's",
    ),
    ("0.5.18-cpu-config-cut", 1, None, False, Cause.MODEL_MISSING, "not a valid JSON file", "download it again"),
    ("0.5.18-cpu-kill-parent", None, 9, True, Cause.KILLED, "killed by signal 9", "OOM killer"),
    ("0.5.18-cpu-kill-scheduler", None, 9, True, Cause.KILLED, "Subprocess scheduler_0", "-g oom"),
    ("0.5.18-cpu-kill-detokenizer", None, 9, True, Cause.KILLED, "Subprocess detokenizer", "-g oom"),
    ("0.5.18-cpu-port-taken", None, 9, False, Cause.PORT_IN_USE, "31081): address already in use", "free the port"),
    ("0.5.18-cpu-port-taken-no-warmup", 3, None, False, Cause.PORT_IN_USE, "31082): address already in", "free the p"),
    ("0.5.18-cpu-sigint", 0, None, True, Cause.EXITED, "exited with 0", None),
    ("0.5.18-cpu-sigquit", None, 9, True, Cause.KILLED, "SIGQUIT received.", "other than qvl"),
    ("0.5.18-cpu-sigterm-busy", None, 9, True, Cause.KILLED, "SIGTERM received.", "other than qvl"),
    ("0.5.18-cpu-sigterm-idle", None, 9, True, Cause.KILLED, "SIGTERM received.", "other than qvl"),
    ("0.5.18-cpu-sigterm-scheduler", None, 9, True, Cause.KILLED, "crashed with exit code -15", "other than qvl"),
    ("0.5.18-cpu-sigterm-importing", None, 15, False, Cause.KILLED, "killed by signal 15", "other than qvl"),
    ("0.5.18-cpu-sigstop-scheduler", None, 9, True, Cause.KILLED, "SIGTERM received.", "other than qvl"),
    ("vllm-0.32.0-cpu-fail-flag", 2, None, False, Cause.BAD_ARGUMENTS, "unrecognized arguments: --mm-proj", "check"),
    ("vllm-0.32.0-cpu-bad-choice", 2, None, False, Cause.BAD_ARGUMENTS, "--dtype: invalid choice: 'floaty'", "check"),
    ("vllm-0.32.0-cpu-bad-value", 2, None, False, Cause.BAD_ARGUMENTS, "invalid int value: 'lots'", "check"),
    ("vllm-0.32.0-cpu-too-long", 1, None, False, Cause.BAD_ARGUMENTS, "max_model_len (999999) is greater", "check"),
    ("vllm-0.32.0-cpu-model-missing", 1, None, False, Cause.MODEL_MISSING, "HFValidationError: Repo id", "HF_HOME"),
    ("vllm-0.32.0-cpu-no-weights", 1, None, False, Cause.MODEL_MISSING, "Cannot find any model weights", "its path"),
    ("vllm-0.32.0-cpu-hub-offline", 1, None, False, Cause.MODEL_MISSING, "outgoing traffic has been", "download it"),
    ("vllm-0.32.0-cpu-port-taken", 1, None, False, Cause.PORT_IN_USE, "[Errno 98] Address already", "free the port"),
    ("vllm-0.32.0-cpu-no-device", 1, None, False, Cause.ENVIRONMENT, "Failed to infer device type", "nvidia-smi"),
    ("vllm-0.32.0-cpu-package-missing", 1, None, False, Cause.ENVIRONMENT, "failed to be inspected", "is missing"),
    ("vllm-0.32.0-cpu-crash-in-request", 0, None, True, Cause.ENGINE_CRASH, "Unsupported CPU attention", None),
    ("vllm-0.32.0-cpu-kill-engine", 0, None, True, Cause.ENGINE_CRASH, "EngineDeadError", "-g oom"),
    ("vllm-0.32.0-cpu-kill-worker", 0, None, True, Cause.KILLED, "VllmWorker-0 died unexpectedly", "-g oom"),
    ("vllm-0.32.0-cpu-sigterm-busy", 0, None, True, Cause.KILLED, "shutdown triggered", "other than qvl"),
    ("vllm-0.32.0-cpu-start", 0, None, True, Cause.KILLED, "shutdown triggered", "other than qvl"),
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: str(end[0]))
def test_a_real_end_has_its_cause(end: End) -> None:
    name, code, signal, was_ready, cause, evidence, hint = end
    found = classify(code, signal, lines(name), was_ready=was_ready)
    assert found.cause is cause
    assert evidence in (found.evidence or "")
    assert (hint is None) == (found.hint is None)
    assert hint is None or hint in (found.hint or "")


@pytest.mark.parametrize("end", [end for end in ENDS if not end[3]], ids=lambda end: str(end[0]))
def test_what_was_logged_before_an_end_from_outside_is_no_reason(end: End) -> None:
    """However a start would have failed later: killed by a stranger after its first words it was killed."""
    quiet = [line for line in lines(end[0]) if line.startswith("[")][:3]
    assert classify(None, 9, quiet, was_ready=False).cause is Cause.KILLED


DIED = (
    "RuntimeError: Rank 0 scheduler died during initialization (exit code: {}). If exit code is -9 (SIGKILL), a common "
    "cause is the OS OOM killer. Run `dmesg -T | grep -i oom` to check."
)
VLLM_OOM = (
    "(VllmWorker rank=0 pid=2445155) ERROR 05-10 16:00:15 [multiproc_executor.py:470] RuntimeError: CUDA out of memory "
    "occurred when warming up sampler with 256 dummy requests."
)
VLLM_FULL = (
    "(EngineCore_DP0 pid=17374) ERROR 09-28 15:47:24 [core.py:718] ValueError: Free memory on device (3.22/4.0 GiB) on "
    "startup is less than desired GPU memory utilization (0.9, 3.6 GiB)."
)
VLLM_ROOTLESS = [
    "ERROR 05-10 16:00:15 [core.py:396] EngineCore failed to start.",
    "RuntimeError: Engine core initialization ",
]

EXITS: list[tuple[str, list[str], int | None, int | None, Cause, str]] = [
    ("no SGLang", ["/usr/bin/python3: No module named sglang"], 1, None, Cause.ENVIRONMENT, "No module named sglang"),
    ("no program", ["sh: 1: exec: sglang: not found"], 127, None, Cause.ENVIRONMENT, "not found"),
    ("a bus error of its own", [], None, 7, Cause.SHM_FULL, "signal 7"),
    ("the kernel's OOM killer", in_main(DIED.format(-9)), 1, None, Cause.OUT_OF_HOST_MEMORY, "exit code: -9"),
    ("a bus error in a child", in_main(DIED.format(-7)), 1, None, Cause.SHM_FULL, "exit code: -7"),
    ("a segmentation fault in a child", in_main(DIED.format(-11)), 1, None, Cause.ENGINE_CRASH, "exit code: -11"),
    ("an instruction that the processor lacks", in_main(DIED.format(-4)), 1, None, Cause.ENVIRONMENT, "exit code: -4"),
    ("a container's client", ["standard words"], 137, None, Cause.KILLED, "signal 9"),
    ("a crash without words", ["last words"], None, 11, Cause.ENGINE_CRASH, "last words"),
    ("an exit without words", [], 1, None, Cause.UNKNOWN, "exited with 1"),
    ("a code of its own", ["bye"], 4, None, Cause.UNKNOWN, "exited with 4: bye"),
    ("an end that nobody saw", ["bye"], None, None, Cause.UNKNOWN, "nobody saw it end: bye"),
    ("an end without a reason", ["bye"], 0, None, Cause.EXITED, "exited with 0"),
    ("something failed in Python", in_main("ZeroDivisionError: division by zero"), 1, None, Cause.ENGINE_CRASH, "Zero"),
    ("vLLM, whose engine's death exits with 0", [VLLM_OOM], 0, None, Cause.OUT_OF_GPU_MEMORY, "warming up sampler"),
    ("vLLM on an occupied card", [VLLM_FULL], 1, None, Cause.OUT_OF_GPU_MEMORY, "Free memory on device"),
    ("vLLM, without a root", VLLM_ROOTLESS, 0, None, Cause.ENGINE_CRASH, "Engine core initialization"),
]


@pytest.mark.parametrize("case", EXITS, ids=lambda case: str(case[0]))
def test_an_exit_and_few_words(case: tuple[str, list[str], int | None, int | None, Cause, str]) -> None:
    _, log, code, signal, cause, evidence = case
    found = classify(code, signal, log, was_ready=False)
    assert (found.cause, evidence in (found.evidence or "")) == (cause, True), found


def test_evidence_is_short_and_free_of_colours_and_stamps() -> None:
    found = classify(
        1, None, [f"[2026-11-21 20:48:29 TP0] \x1b[31mCUDA out of memory\x1b[0m {'x' * 9000}"], was_ready=False
    )
    assert found.evidence is not None
    assert found.evidence.startswith("CUDA out of memory xxx")
    assert len(found.evidence) == 300


@pytest.mark.parametrize(
    ("line", "message", "stamped", "source"),
    [
        ("[2026-02-12 14:28:58] WARNING server_args.py:1968: hello", "hello", True, None),
        ("[2026-06-17 06:48:31 DisaggregationMode.DECODE TP6] hello", "hello", True, None),
        ("[18:19:57 TP6] hello", "hello", True, None),
        (
            "Capturing batches (bs=8):  8%|▊ | 3/36 [00:04<00:43, 1.3s/it][2026-01-20 02:40:29 TP1] hello",
            "hello",
            True,
            None,
        ),
        ("Loading shards:   0% Completed | 0/4 [00:00<?, ?it/s][2026-01-20 02:40:29] hello", "hello", True, None),
        ("[DP0 TP0] hello", "hello", True, None),
        ("2025-03-07 23:50:27,531 - __main__ - INFO - [2025-03-07 23:50:27 TP0] hello", "hello", True, None),
        ("(SGLangHttpServer pid=77) [2026-03-20 16:01:37 TP0] hello", "hello", True, None),
        ("sglang-1  | [2025-11-01 16:50:36 TP0] hello", "hello", True, None),
        ("[2025-11-06T02:08:28.503Z]   File x", "  File x", False, None),
        ("ERROR 2025-04-05T00:01:19.209112405Z hello", "hello", False, None),
        ("ERROR 01-28 03:21:01 engine.py:387] hello", "hello", True, "engine.py:387]"),
        ("(Worker_TP1 pid=3534) ERROR 10-11 22:28:17 [v1/x.py:694] hello", "hello", True, "[v1/x.py:694]"),
        (
            "(EngineCore_DP0 pid=7) Traceback (most recent call last):",
            "Traceback (most recent call last):",
            False,
            None,
        ),
        ("[rank2]:[E210 02:06:33.39 x.cpp:6] hello", "[rank2]:[E210 02:06:33.39 x.cpp:6] hello", False, None),
    ],
)
def test_what_stands_before_a_message(line: str, message: str, stamped: bool, source: str | None) -> None:
    assert parted(line) == (message, stamped, source)
