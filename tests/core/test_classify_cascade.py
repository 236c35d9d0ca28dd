"""Which of many words is the root, and which is what one rank says because another has failed."""

import pytest
from qvl.model.worker import Cause

from tests.core.spoken import KILLS_ITSELF, LOOPED, End, check, starting, timed

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
GLOO = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:4131"
NCCL = "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"
WORKED = timed("Decode batch, #running-req: 3, #token: 512, token usage: 0.01, cuda graph: True")
SIGQUIT = timed("SIGQUIT received. signum=None, frame=None. It usually means one child failed.")
TIMEOUT = (
    "[rank1]:[E321 02:07:08.408271257 ProcessGroupNCCL.cpp:607] [Rank 1] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=9141, OpType=_ALLGATHER_BASE, Timeout(ms)=600000) ran for 600020 milliseconds before timing out."
)
ATTRIBUTE = "AttributeError: 'NoneType' object has no attribute 'next_token_ids'"


def hit(exception: str, rank: str) -> list[str]:
    return [timed("Scheduler hit an exception: Traceback (most recent call last):", rank), *LOOPED, exception]


CASCADES = [
    End(
        "one rank has no memory, the others lose it",
        [WORKED, *hit(OOM, " TP2"), *hit(GLOO, " TP0"), *hit(GLOO, " TP1"), SIGQUIT],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
        was_ready=True,
    ),
    End(
        "the others notice first",
        [WORKED, *hit(GLOO, " TP0"), *hit(GLOO, " TP1"), SIGQUIT, *hit(OOM, " TP2")],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
        was_ready=True,
    ),
    End(
        "a rank without memory that the others wait for",
        [
            *hit(OOM, " TP0"),
            TIMEOUT,
            "terminate called after throwing an instance of 'c10::DistBackendError'",
            "  what():  [PG 1 Rank 1] Process group watchdog thread terminated with exception: [Rank 1] Watchdog c",
            timed("Received sigquit from a child process. It usually means the child failed."),
        ],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
    ),
    End(
        "the parent hears of it before the rank has said why",  # sglang 5448
        [
            timed("Received sigquit from a child process. It usually means the child failed."),
            *hit(OOM, " TP3"),
        ],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
    ),
    End(
        "a bug on one rank, which is gone for the others",
        [WORKED, *hit(ATTRIBUTE, " TP1"), *hit(GLOO, " TP0"), SIGQUIT],
        Cause.ENGINE_CRASH,
        "AttributeError",
        was_ready=True,
    ),
    End(
        "a link, and a bug in how that is handled",
        [WORKED, *hit(GLOO, " TP0"), *hit(ATTRIBUTE, " TP1"), SIGQUIT],
        Cause.COLLECTIVE_FAULT,
        "Connection closed by peer",
        was_ready=True,
    ),
    End(
        "a rank that was killed, which is gone for the others",
        [
            WORKED,
            timed("Subprocess scheduler_1 (pid=7) crashed with exit code -9. Triggering SIGQUIT for cleanup..."),
            *hit(GLOO, " TP0"),
            SIGQUIT,
        ],
        Cause.KILLED,
        "exit code -9",
        was_ready=True,
    ),
    End(
        "a hang because of a card",
        [
            WORKED,
            timed("Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)"),
            SIGQUIT,
            "[rank0]:[E319 ProcessGroupNCCL.cpp:1595] [Rank 0] Process group watchdog thread terminated with exception"
            ": CUDA error: unspecified launch failure",
        ],
        Cause.GPU_FAULT,
        "unspecified launch failure",
        was_ready=True,
    ),
    End(
        "a hang, and then the others' timeouts",
        [
            WORKED,
            timed("Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)"),
            SIGQUIT,
            TIMEOUT,
        ],
        Cause.HANG,
        "Scheduler watchdog timeout",
        was_ready=True,
    ),
    End(
        "a bug on one rank, and cards that have written to it",
        [
            WORKED,
            *hit(ATTRIBUTE, " TP1"),
            *hit("RuntimeError: CUDA error: unspecified launch failure", " TP0"),
            SIGQUIT,
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
        was_ready=True,
    ),
    End(
        "a kernel that torch tried and did without",
        [
            "Runtime error during autotuning:",
            "No valid triton configs. OutOfResources: out of resource: shared memory, Required: 147456, Hardware limit",
            "Ignoring this choice.",
            *starting(ATTRIBUTE),
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
    ),
    End(
        "a complaint of NCCL that it got over",
        [
            "gpu-01:77:99 [0] transport/net_ib.cc:100 NCCL WARN NET/IB : Call to ibv_open_device failed",
            *starting(ATTRIBUTE),
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
    ),
    End(
        "a bus that it got over",  # sglang 12496
        [
            timed(
                "Setup Custom allreduce failed with CUDART error: peer access is not supported between these two "
                "devices. To silence this warning, specify --disable-custom-all-reduce explicitly.",
                " TP1",
            ),
            *starting(ATTRIBUTE),
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
    ),
    End(
        "an address that it found taken, of two",  # accelerate 2246
        [
            "[W socket.cpp:436] [c10d] The server socket has failed to bind to [::]:12211 (errno: 98 - Address already "
            "in use).",
            *starting(ATTRIBUTE),
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
    ),
    End(
        "someone wants it to end, and it stumbles",
        [
            WORKED,
            timed("SIGTERM received. signum=None frame=None. Draining requests and shutting down..."),
            timed("Gracefully exiting... Remaining number of requests 1. Remaining requests rids=['CUDA error: x']."),
            *hit(OOM, ""),
            timed(KILLS_ITSELF),
        ],
        Cause.KILLED,
        "SIGTERM received",
        "other than qvl",
        was_ready=True,
    ),
    End(
        "a child that dies by a traceback alone",
        [
            WORKED,
            "Process sglang::scheduler:",
            "Traceback (most recent call last):",
            '  File "/usr/lib/python3.12/multiprocessing/process.py", line 314, in _bootstrap',
            OOM,
            timed("Subprocess scheduler_0 (pid=5) crashed with exit code 1. Triggering SIGQUIT for cleanup..."),
            SIGQUIT,
        ],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
        was_ready=True,
    ),
    End(
        "vLLM's worker, its engine, and its server",  # vllm 17939, 25837; club-3090 58
        [
            "(Worker_TP1 pid=9) ERROR 03-11 17:57:10 [multiproc_executor.py:783] WorkerProc failed to start.",
            "(Worker_TP1 pid=9) ERROR 03-11 17:57:10 [multiproc_executor.py:783] Traceback (most recent call last):",
            '(Worker_TP1 pid=9) ERROR 03-11 17:57:10 [multiproc_executor.py:783]   File "vllm/worker.py", line 7, in f',
            f"(Worker_TP1 pid=9) ERROR 03-11 17:57:10 [multiproc_executor.py:783] {OOM}",
            "(Worker_TP0 pid=8) torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:2021",
            "(EngineCore_DP0 pid=7) Process EngineCore_DP0:",
            "(EngineCore_DP0 pid=7) Traceback (most recent call last):",
            '(EngineCore_DP0 pid=7)   File "/usr/lib/python3.12/multiprocessing/process.py", line 314, in _bootstrap',
            "(EngineCore_DP0 pid=7) Exception: WorkerProc initialization failed due to an exception in a background "
            "process. See stack trace for root cause.",
            "(APIServer pid=1) Traceback (most recent call last):",
            '(APIServer pid=1)   File "/usr/local/bin/vllm", line 10, in <module>',
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core p",
        ],
        Cause.OUT_OF_GPU_MEMORY,
        "CUDA out of memory",
        code=1,
        signal=None,
    ),
    End(
        "vLLM's engine, of which its server has lost sight",
        [
            "(EngineCore pid=7) ERROR 05-05 12:36:58 [core.py:1138] EngineCore encountered a fatal error.",
            "(EngineCore pid=7) ERROR 05-05 12:36:58 [core.py:1138] Traceback (most recent call last):",
            '(EngineCore pid=7) ERROR 05-05 12:36:58 [core.py:1138]   File "vllm/v1/engine/core.py", line 1129, in f',
            f"(EngineCore pid=7) ERROR 05-05 12:36:58 [core.py:1138] {ATTRIBUTE}",
            "(APIServer pid=1) ERROR 05-05 12:36:59 [serving.py:1173] vllm.v1.engine.exceptions.EngineDeadError: "
            "EngineCore encountered an issue. See stack trace (above) for the root cause.",
            "[rank0]:[W516 12:46:57.49 ProcessGroupNCCL.cpp:1826] [PG ID 0 Rank 0] Failed to check a flag",
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
        code=0,
        signal=None,
        was_ready=True,
    ),
    End(
        "a handler that logs while something is logged",  # sglang 3685
        [
            timed("Received sigquit from a child process. It usually means the child failed."),
            "--- Logging error ---",
            "Traceback (most recent call last):",
            '  File "/usr/lib/python3.11/logging/__init__.py", line 1113, in emit',
            "RuntimeError: reentrant call inside <_io.BufferedWriter name='<stderr>'>",
            "Message: 'Received sigquit from a child proces. It usually means the child failed.'",
            *hit(ATTRIBUTE, " TP0"),
        ],
        Cause.ENGINE_CRASH,
        "AttributeError",
    ),
    End(
        "lines that a container's client has stamped",  # sglang 12496, 12827
        [f"sglang-1  | {line}" for line in [WORKED, *hit(OOM, " TP0"), SIGQUIT]],
        Cause.OUT_OF_GPU_MEMORY,
        "torch.OutOfMemoryError",
        was_ready=True,
    ),
    End(
        "lines that a cluster has stamped",  # sglang 5096, 12827
        [f"[2025-11-06T02:08:28.503Z] {line}" for line in starting(OOM)],
        Cause.OUT_OF_GPU_MEMORY,
        "torch.OutOfMemoryError",
    ),
    End(
        "a traceback that lost its indentation",  # sglang 8974
        [line.strip() for line in starting('  File "pynccl_wrapper.py", line 350, in NCCL_CHECK', NCCL)],
        Cause.COLLECTIVE_FAULT,
        "NCCL error",
    ),
]


@pytest.mark.parametrize("end", CASCADES, ids=str)
def test_the_root_of_a_cascade(end: End) -> None:
    check(end)
