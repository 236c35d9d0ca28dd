"""Ends of real engines, and the words of faults that are rare, lead to the right cause, evidence and hint."""

import pytest
from qvl.core.classify import classify
from qvl.core.faults import RULES
from qvl.model.worker import Cause

from tests.core.corpus import lines

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


TIMED = "[2026-11-21 20:48:29{}] {}"


def in_scheduler(*messages: str, before: tuple[str, ...] = (), rank: str = "") -> list[str]:
    """What SGLang logs when its scheduler ends by an exception while it loads."""
    return [
        *before,
        TIMED.format(rank, "Scheduler hit an exception: Traceback (most recent call last):"),
        '  File "sglang/srt/managers/scheduler.py", line 4931, in run_scheduler_process',
        "    scheduler = Scheduler(",
        *messages,
        "",
        TIMED.format("", "Received sigquit from a child process. It usually means the child failed."),
        TIMED.format("", "kill_process_tree called: parent_pid=5661, include_parent=True, pid=5661"),
    ]


def in_main(*messages: str) -> list[str]:
    return [
        "Traceback (most recent call last):",
        '  File "<frozen runpy>", line 198, in _run_module_as_main',
        *messages,
    ]


FRACTION = (
    "ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.88. Raise "
    "--mem-fraction-static above 0.912 (minimum viable = 1 - available/pre = 0.9113)."
)
SHM = (
    "gpu-01:202016:202235 [0] misc/shmutils.cc:88 NCCL WARN Error: failed to extend /dev/shm/nccl-WU88OE to 9637892 "
    "bytes, error: No space left on device (28)"
)
NCCL = "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"
COLLECTIVE = (
    "[rank5]:[E321 02:07:08.408271257 ProcessGroupNCCL.cpp:607] [Rank 5] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=9141, OpType=_ALLGATHER_BASE, Timeout(ms)=600000) ran for 600020 milliseconds before timing out."
)
DIED = (
    "RuntimeError: Rank 0 scheduler died during initialization (exit code: {}). If exit code is -9 (SIGKILL), a common "
    "cause is the OS OOM killer. Run `dmesg -T | grep -i oom` to check."
)
ABI = (
    "ImportError: /opt/venv/lib/python3.11/site-packages/sgl_kernel/common_ops.abi3.so: undefined symbol: "
    "_ZN3c104cuda9SetDeviceEab"
)
GATED = "OSError: You are trying to access a gated repo."
OFFLINE = (
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached "
    "files."
)
VLLM_OOM = (
    "(VllmWorker rank=0 pid=2445155) ERROR 05-10 16:00:15 [multiproc_executor.py:470] RuntimeError: CUDA out of memory "
    "occurred when warming up sampler with 256 dummy requests."
)
VLLM_FULL = (
    "(EngineCore_DP0 pid=17374) ERROR 09-28 15:47:24 [core.py:718] ValueError: Free memory on device (3.22/4.0 GiB) on "
    "startup is less than desired GPU memory utilization (0.9, 3.6 GiB)."
)
WILD: list[tuple[str, list[str], int | None, int | None, Cause, str]] = [
    # Sources: sglang issues 322, 1693, 5096, 5100, 7033, 8131, 14644, 18203, 18421, 40723; vllm 17939, 25837; torch.
    ("the least fraction", in_scheduler(FRACTION), None, 9, Cause.OUT_OF_GPU_MEMORY, "Loaded weights"),
    (
        "no room at all",
        in_scheduler("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."),
        None,
        9,
        Cause.OUT_OF_GPU_MEMORY,
        "Not enough memory",
    ),
    (
        "another process on one card",
        in_scheduler("ValueError: The memory capacity is unbalanced. Some GPUs may be occupied by other processes."),
        None,
        9,
        Cause.OUT_OF_GPU_MEMORY,
        "unbalanced",
    ),
    (
        "memory ends while graphs are captured",
        in_scheduler("Exception: Capture cuda graph failed: CUDA error: out of memory"),
        None,
        9,
        Cause.OUT_OF_GPU_MEMORY,
        "out of memory",
    ),
    (
        "a resume on an occupied card",
        [
            "[torch_memory_saver.cpp] CUresult error: 2 (out of memory) file=csrc/core.cpp func=resume line=225",
            TIMED.format("", "Subprocess scheduler_0 (pid=3900) crashed with exit code 1. Triggering SIGQUIT for cle"),
        ],
        None,
        9,
        Cause.OUT_OF_GPU_MEMORY,
        "CUresult error: 2",
    ),
    ("NCCL", in_scheduler(NCCL, rank=" TP1"), None, 9, Cause.COLLECTIVE_FAULT, "NCCL error: unhandled system"),
    ("a collective that timed out", [COLLECTIVE], None, 6, Cause.COLLECTIVE_FAULT, "collective operation timeout"),
    (
        "out of memory on one rank, and the other misses it",
        [
            *in_scheduler(NCCL, rank=" TP1")[:-2],
            *in_scheduler("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", rank=" TP0"),
        ],
        None,
        9,
        Cause.OUT_OF_GPU_MEMORY,
        "torch.OutOfMemoryError",
    ),
    ("NCCL without room in /dev/shm", in_scheduler(NCCL, before=(SHM,)), None, 9, Cause.SHM_FULL, "/dev/shm/nccl"),
    ("a bus error in a child", in_main(DIED.format(-7)), 1, None, Cause.SHM_FULL, "exit code: -7"),
    ("a bus error of its own", [], None, 7, Cause.SHM_FULL, "signal 7"),
    (
        "a bus error of a serving child",
        [TIMED.format("", "Subprocess scheduler_0 (pid=5) crashed with exit code -7. Triggering SIGQUIT for cleanup")],
        None,
        9,
        Cause.SHM_FULL,
        "exit code -7",
    ),
    (
        "shared memory without room",
        in_main("OSError: [Errno 28] No space left on device: '/psm_21467a46'"),
        1,
        None,
        Cause.SHM_FULL,
        "/psm_21467a46",
    ),
    (
        "a full disk",
        in_main("OSError: [Errno 28] No space left on device: '/opt/nvme/hf/models/blobs/x.incomplete'"),
        1,
        None,
        Cause.DISK_FULL,
        "No space left",
    ),
    ("the kernel's OOM killer", in_main(DIED.format(-9)), 1, None, Cause.OUT_OF_HOST_MEMORY, "exit code: -9"),
    (
        "no host memory to pin",
        in_scheduler("RuntimeError: [enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        None,
        9,
        Cause.OUT_OF_HOST_MEMORY,
        "can't allocate memory",
    ),
    ("a segmentation fault", in_main(DIED.format(-11)), 1, None, Cause.ENGINE_CRASH, "exit code: -11"),
    ("another torch", in_main(ABI), 1, None, Cause.ENVIRONMENT, "undefined symbol"),
    (
        "another glibc",
        in_main("OSError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by core.so)"),
        1,
        None,
        Cause.ENVIRONMENT,
        "GLIBC_2.34",
    ),
    ("no SGLang", ["/usr/bin/python3: No module named sglang"], 1, None, Cause.ENVIRONMENT, "No module named sglang"),
    ("no program", ["sh: 1: exec: sglang: not found"], 127, None, Cause.ENVIRONMENT, "not found"),
    ("torch for CPUs", in_main("AssertionError: Torch not compiled with CUDA enabled"), 1, None, Cause.ENVIRONMENT, ""),
    (
        "a card that the wheel has no kernels for",
        in_scheduler("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
        None,
        9,
        Cause.ENVIRONMENT,
        "no kernel image",
    ),
    (
        "a driver too old",
        in_main("RuntimeError: The NVIDIA driver on your system is too old (found version 12020)."),
        1,
        None,
        Cause.ENVIRONMENT,
        "too old",
    ),
    ("no card", in_main("RuntimeError: No CUDA GPUs are available"), 1, None, Cause.GPU_FAULT, "No CUDA GPUs"),
    (
        "an illegal access",
        in_scheduler("torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
        None,
        9,
        Cause.GPU_FAULT,
        "illegal memory access",
    ),
    (
        "a fault that NCCL's watchdog meets first",
        [
            "terminate called after throwing an instance of 'c10::DistBackendError'",
            "  what():  [PG 3 Rank 5] Process group watchdog thread terminated with exception: CUDA error: unspecified "
            "launch failure",
        ],
        None,
        6,
        Cause.GPU_FAULT,
        "unspecified launch failure",
    ),
    ("NVLink", ["NVRM: Xid (PCI:0000:3b:00): 74, pid=77, NVLink: fatal error"], None, 6, Cause.GPU_FAULT, "Xid"),
    (
        "a hang that SGLang's own watchdog found",
        [
            TIMED.format("", "Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)"),
            TIMED.format("", "SIGQUIT received. signum=None, frame=None. It usually means one child failed."),
            TIMED.format("", "kill_process_tree called: parent_pid=1, include_parent=True, pid=1"),
        ],
        None,
        9,
        Cause.HANG,
        "watchdog timeout",
    ),
    ("a gated model", in_main(GATED, "401 Client Error. (Request ID: Root=1)"), 1, None, Cause.MODEL_MISSING, "gated"),
    ("a hub out of reach", in_main(OFFLINE), 1, None, Cause.MODEL_MISSING, "couldn't connect"),
    (
        "no such name on the hub",
        in_main(
            "OSError: qwen/nope is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'"
        ),
        1,
        None,
        Cause.MODEL_MISSING,
        "qwen/nope",
    ),
    (
        "an architecture that it does not know",
        in_main("ValueError: Model architectures ['FooForCausalLM'] are not supported for now."),
        1,
        None,
        Cause.BAD_ARGUMENTS,
        "FooForCausalLM",
    ),
    (
        "two flags that exclude each other",
        in_scheduler("AssertionError: You cannot use --mem-fraction-static with --page-size"),
        None,
        9,
        Cause.BAD_ARGUMENTS,
        "--page-size",
    ),
    (
        "an ambiguous flag",
        ["launch_server.py: error: ambiguous option: --cuda-graph-max-bs could match --cuda-graph-max-bs-decode"],
        2,
        None,
        Cause.BAD_ARGUMENTS,
        "ambiguous",
    ),
    (
        "the port of the collectives",
        in_scheduler(
            "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. "
            "port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"
        ),
        None,
        9,
        Cause.PORT_IN_USE,
        "29500",
    ),
    ("vLLM, whose engine's death exits with 0", [VLLM_OOM], 0, None, Cause.OUT_OF_GPU_MEMORY, "warming up sampler"),
    ("vLLM on an occupied card", [VLLM_FULL], 1, None, Cause.OUT_OF_GPU_MEMORY, "Free memory on device"),
    (
        "vLLM, without a root",
        ["ERROR 05-10 16:00:15 [core.py:396] EngineCore failed to start.", "RuntimeError: Engine core initialization "],
        0,
        None,
        Cause.ENGINE_CRASH,
        "Engine core initialization",
    ),
    ("a container's client", ["standard words"], 137, None, Cause.KILLED, "signal 9"),
    ("a crash without words", ["last words"], None, 11, Cause.ENGINE_CRASH, "last words"),
    ("an exit without words", [], 1, None, Cause.UNKNOWN, "exited with 1"),
    ("a code of its own", ["bye"], 4, None, Cause.UNKNOWN, "exited with 4: bye"),
    ("an end that nobody saw", ["bye"], None, None, Cause.UNKNOWN, "nobody saw it end: bye"),
    ("an end without a reason", ["bye"], 0, None, Cause.EXITED, "exited with 0"),
    ("something failed in Python", in_main("ZeroDivisionError: division by zero"), 1, None, Cause.ENGINE_CRASH, "Zero"),
]


@pytest.mark.parametrize("wild", WILD, ids=lambda wild: str(wild[0]))
def test_the_words_of_a_fault_lead_to_its_cause(
    wild: tuple[str, list[str], int | None, int | None, Cause, str],
) -> None:
    _, log, code, signal, cause, evidence = wild
    found = classify(code, signal, log, was_ready=False)
    assert (found.cause, evidence in (found.evidence or "")) == (cause, True), found


def test_the_fraction_that_sglang_asks_for_is_in_the_hint() -> None:
    found = classify(None, 9, in_scheduler(FRACTION), was_ready=False)
    assert "raise mem-fraction-static above 0.912;" in (found.hint or "")


def test_the_advice_is_not_to_lower_what_is_too_low() -> None:
    found = classify(
        None,
        9,
        in_scheduler("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."),
        was_ready=False,
    )
    assert (found.hint or "").startswith("raise mem-fraction-static")


REQUEST_WORDS = [
    "ModuleNotFoundError: No module named 'flash_attn'",
    "OSError: [Errno 98] Address already in use",
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error",
    "ValueError: --chat-template is unknown",
    "error: unrecognized arguments: --prompt",
    "CUDA out of memory",
    "NCCL error: unhandled system error",
    "No space left on device",
]


@pytest.mark.parametrize("words", REQUEST_WORDS)
def test_words_of_a_request_are_no_cause(words: str) -> None:
    """Logged requests and their failures stand close before an end that has nothing to do with them."""
    log = [
        TIMED.format("", "The server is fired up and ready to roll!"),
        TIMED.format("", f"Receive: obj=GenerateReqInput(rid='1', text='{words}')"),
        TIMED.format("", "ERROR:    Exception in ASGI application"),
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "http_server.py", line 700, in generate_request',
        "Traceback (most recent call last):",
        '  File "http_server.py", line 700, in generate_request',
        "During handling of the above exception, another exception occurred:",
        f"ValueError: {words}",
        TIMED.format("", f"[http_server] Error: {words}"),
        f'{{"timestamp": "2026", "event": "request.finished", "out": "{words}"}}',
        TIMED.format("", "Decode batch, #running-req: 1, #token: 46"),
    ]
    crash = [
        TIMED.format("", "Scheduler hit an exception: Traceback (most recent call last):"),
        "AttributeError: 'NoneType' object has no attribute 'next_token_ids'",
        TIMED.format("", "SIGQUIT received. signum=None, frame=None. It usually means one child failed."),
    ]
    found = classify(None, 9, log + crash, was_ready=True)
    assert (found.cause, found.evidence) == (Cause.ENGINE_CRASH, crash[1])
    assert classify(None, 9, log, was_ready=True).cause is Cause.KILLED
    assert classify(0, None, log, was_ready=True).cause is Cause.EXITED


@pytest.mark.parametrize("words", REQUEST_WORDS[:5])
def test_a_serving_engine_had_its_arguments_model_port_and_modules(words: str) -> None:
    crash = [TIMED.format("", "Scheduler hit an exception: Traceback (most recent call last):"), words]
    assert classify(None, 9, crash, was_ready=True).cause is Cause.ENGINE_CRASH


def test_a_recovered_fault_of_long_ago_is_no_cause() -> None:
    old = [TIMED.format("", "CUDA out of memory. Tried to allocate 2 GiB: retried with less")]
    served = [TIMED.format("", f"Decode batch, #running-req: 1, #token: {n}") for n in range(60)]
    end = [TIMED.format("", "Scheduler hit an exception: Traceback (most recent call last):"), "KeyError: 'x'"]
    assert classify(None, 9, old + served + end, was_ready=True).cause is Cause.ENGINE_CRASH
    assert classify(1, None, old + served, was_ready=True).cause is Cause.UNKNOWN


def test_an_import_that_an_engine_survived_is_not_why_it_ended() -> None:
    log = [
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'torchcodec'",
        TIMED.format(
            "", "OpenAI Responses API disabled: failed (ModuleNotFoundError: No module named 'openai_harmony')"
        ),
        *in_scheduler("AttributeError: no"),
    ]
    found = classify(None, 9, log, was_ready=False)
    assert (found.cause, found.evidence) == (Cause.ENGINE_CRASH, "AttributeError: no")


def test_a_soft_watchdog_only_complains() -> None:
    log = [TIMED.format("", "Scheduler watchdog timeout (self.watchdog_timeout=60, self.soft=True)")]
    assert classify(0, None, log, was_ready=True).cause is Cause.EXITED


def test_evidence_is_short_and_free_of_colours_and_stamps() -> None:
    found = classify(
        1, None, [f"[2026-11-21 20:48:29 TP0] \x1b[31mCUDA out of memory\x1b[0m {'x' * 9000}"], was_ready=False
    )
    assert found.evidence is not None
    assert found.evidence.startswith("CUDA out of memory xxx")
    assert len(found.evidence) == 300


def test_every_hint_can_be_filled() -> None:
    for rule in RULES:
        if rule.hint is not None:
            assert rule.hint.format(**dict.fromkeys(rule.pattern.groupindex, "1"))
