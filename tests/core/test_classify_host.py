"""Ports, /dev/shm, disks; cards and the links between them; hangs and crashes."""

import pytest
from qvl.model.worker import Cause

from tests.core.spoken import KILLS_ITSELF, End, check, in_main, serving, starting, timed

SHM = Cause.SHM_FULL
GPU = Cause.GPU_FAULT
LINKS = Cause.COLLECTIVE_FAULT
CRASH = Cause.ENGINE_CRASH
NCCL = "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"
WORKED = timed("Decode batch, #running-req: 3, #token: 512, token usage: 0.01, cuda graph: True")

HOST = [
    End(
        "the port of SGLang's older versions",  # sglang 0.4.9
        [
            timed("port 30000 is in use. Waiting for 30 seconds for nccl_port to be available. Process: (pid=7)"),
            *in_main("ValueError: nccl_port at 30000 is not available in 30 seconds. Process: (pid=7, name='python3')"),
        ],
        Cause.PORT_IN_USE,
        "nccl_port at 30000",
        "free the port",
        code=1,
    ),
    End(
        "ZeroMQ's port",
        starting("zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:33421')"),
        Cause.PORT_IN_USE,
        "33421",
    ),
    End(
        "the port of a container",
        ["docker: Error response from daemon: Bind for 0.0.0.0:80 failed: port is already allocated."],
        Cause.PORT_IN_USE,
        "already allocated",
        code=125,
    ),
    End(
        "the store of the collectives",  # vllm 11617, 15987
        starting(
            "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. "
            "port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"
        ),
        Cause.PORT_IN_USE,
        "29500",
    ),
    End(
        "NCCL's segments",  # nccl 290, sglang 5096
        starting(
            NCCL,
            before=(
                "gpu-01:2143:2561 [1] shm.h:28 NCCL WARN Call to posix_fallocate failed : No space left on device",
            ),
        ),
        SHM,
        "posix_fallocate",
    ),
    End(
        "NCCL's segments, without a reason",  # sglang 5096
        starting(
            "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:2021, unhandled system error",
            "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
            "Last error:",
            "Error while creating shared memory segment /dev/shm/nccl-lNPZ0f (size 7340384)",
        ),
        SHM,
        "/dev/shm/nccl-lNPZ0f",
    ),
    End(
        "torch's tensors between processes",  # pytorch 10396, 31701
        serving("RuntimeError: unable to write to file </torch_76_3625483894>: No space left on device (28)"),
        SHM,
        "/torch_76",
        was_ready=True,
    ),
    End(
        "a queue between processes",  # the frames say it
        serving(
            '  File "/usr/lib/python3.12/multiprocessing/shared_memory.py", line 121, in __init__',
            "    os.ftruncate(self._fd, size)",
            "OSError: [Errno 28] No space left on device",
        ),
        SHM,
        "Errno 28",
        "/dev/shm",
        was_ready=True,
    ),
    End(
        "a bus error, as Python tells it",
        [
            WORKED,
            "Fatal Python error: Bus error",
            "Current thread 0x00007f1 (most recent call first):",
            timed("Subprocess scheduler_0 (pid=5) crashed with exit code -7. Triggering SIGQUIT for cleanup..."),
            timed("SIGQUIT received. signum=None, frame=None. It usually means one child failed."),
        ],
        SHM,
        "Bus error",
        was_ready=True,
    ),
    End(
        "a disk that is full of compiled kernels",
        starting(
            "RuntimeError: Ninja build failed. Ninja output:",
            "/tmp/cc9y1.s: fatal error: error writing to /tmp/ccX.o: No space left on device",
        ),
        Cause.DISK_FULL,
        "error writing",
    ),
    End(
        "a quota",
        in_main("OSError: [Errno 122] Disk quota exceeded: '/home/u/.cache/huggingface/hub/models--acme--m/blobs/1'"),
        Cause.DISK_FULL,
        "quota",
        code=1,
    ),
]

CARDS = [
    End(
        "memory that can't be corrected",  # sglang 3204, 9151
        serving("RuntimeError: CUDA error: uncorrectable ECC error encountered"),
        GPU,
        "uncorrectable ECC",
        "nvidia-smi -q",
        was_ready=True,
    ),
    End(
        "an illegal access, which NCCL's watchdog meets first",  # sglang 4584
        [
            WORKED,
            "[rank14]:[E319 05:16:21.789822241 ProcessGroupNCCL.cpp:1595] [PG ID 2 PG GUID 3 Rank 14] Process group "
            "watchdog thread terminated with exception: CUDA error: an illegal memory access was encountered",
            "CUDA kernel errors might be asynchronously reported at some other API call.",
            "terminate called after throwing an instance of 'c10::DistBackendError'",
        ],
        GPU,
        "illegal memory access",
        signal=6,
        was_ready=True,
    ),
    End(
        "an illegal access in a kernel of Triton",  # sglang 1467
        starting("Exception: Capture cuda graph failed: Triton Error [CUDA]: an illegal memory access was encountered"),
        GPU,
        "illegal memory access",
    ),
    End(
        "a card that fell off the bus, by nvidia-smi",
        in_main(
            "RuntimeError: nvidia-smi error: Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost. "
            "Reboot the system to recover this GPU"
        ),
        GPU,
        "GPU is lost",
        code=1,
    ),
    End(
        "no fabric manager",  # sglang 27487
        [
            "torch/cuda/__init__.py:182: UserWarning: CUDA initialization: Unexpected error from cudaGetDeviceCount(). "
            "Error 802: system not yet initialized (Triggered internally at CUDAFunctions.cpp:119.)",
            *in_main("RuntimeError: No accelerator (CUDA, XPU, HPU, NPU, MUSA, MPS) or platform plugin is available."),
        ],
        GPU,
        "Error 802",
        "nvidia-fabricmanager",
        code=1,
    ),
    End(
        "no card at all",
        in_main("RuntimeError: No accelerator (CUDA, XPU, HPU, NPU, MUSA, MPS) or platform plugin is available."),
        GPU,
        "No accelerator",
        "nvidia-smi",
        code=1,
    ),
    End(
        "a graph that can't be captured",  # sglang 7918
        starting(
            "RuntimeError: CUDA error: operation not permitted when stream is capturing",
            "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might",
        ),
        CRASH,
        "stream is capturing",
        "disable-cuda-graph",
    ),
    End(
        "a kernel that wants too much of the card",  # sglang 10135
        serving("RuntimeError: BatchPrefill failed with error code too many resources requested for launch"),
        CRASH,
        "too many resources",
        "another attention-backend",
        was_ready=True,
    ),
    End(
        "a graph, for reasons of its own",  # sglang 9706
        starting(
            '  File "sglang/srt/distributed/custom_all_reduce.py", line 307, in register_graph_buffers',
            "RuntimeError: invalid argument",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            '  File "sglang/srt/model_executor/cuda_graph_runner.py", line 387, in __init__',
            "Exception: Capture cuda graph failed: invalid argument",
        ),
        CRASH,
        "Capture cuda graph failed",
        "lower mem-fraction-static",
    ),
    End(
        "a collective that never ended",  # sglang 1693, 3783, Megatron-LM 935
        [
            WORKED,
            "[rank4]:[E223 11:14:34.991762039 ProcessGroupNCCL.cpp:616] [Rank 4] Watchdog caught collective operation "
            "timeout: WorkNCCL(SeqNum=91885, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600037 milliseconds before "
            "timing out.",
            "[rank4]:[E223 11:14:34.991871518 ProcessGroupNCCL.cpp:636] [Rank 4] To avoid data inconsistency, we are "
            "taking the entire process down.",
            "terminate called after throwing an instance of 'c10::DistBackendError'",
            "  what():  [PG 1 Rank 4] Process group watchdog thread terminated with exception: [Rank 4] Watchdog c",
            "Fatal Python error: Aborted",
        ],
        LINKS,
        "Watchdog caught collective",
        "topo -m",
        signal=6,
        was_ready=True,
    ),
    End(
        "a complaint of NCCL's, and nothing else before a child is gone",
        [
            WORKED,
            "gpu-01:77:99 [1] misc/socket.cc:49 NCCL WARN socketProgress: Connection closed by remote peer: error",
            timed("Subprocess scheduler_1 (pid=5) crashed with exit code -6. Triggering SIGQUIT for cleanup..."),
        ],
        LINKS,
        "NCCL WARN",
        was_ready=True,
    ),
    End(
        "a rank that is gone, where nothing says why",  # sglang 3685, 7458
        serving(
            "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]",
            rank=" TP4",
        ),
        LINKS,
        "Connection closed by peer",
        was_ready=True,
    ),
    End(
        "another node that can't be reached",  # vllm 19670, verl 4373
        starting(
            "torch.distributed.DistNetworkError: The client socket has timed out after 600000ms while trying to "
            "connect to (10.0.0.9, 46229)."
        ),
        LINKS,
        "10.0.0.9",
    ),
    End(
        "meshes",  # sglang 3226
        starting(
            "RuntimeError: Gloo connectFullMesh failed with [../third_party/gloo/gloo/transport/tcp/pair.cc:144] no"
        ),
        LINKS,
        "connectFullMesh",
    ),
]

ENDS = [
    End(
        "the watchdog of versions up to 0.5.6",  # sglang 3752, 7553
        [
            WORKED,
            timed("Pyspy failed to dump PID 113688. Error: /bin/bash: line 1: py-spy: command not found", " DP4 TP4"),
            timed("Watchdog timeout (self.watchdog_timeout=300)", " TP4"),
            timed("Watchdog timeout (self.watchdog_timeout=300)", " TP6"),
            timed("Received sigquit from a child proces. It usually means the child failed."),
            "Killed",
        ],
        Cause.HANG,
        "Watchdog timeout",
        was_ready=True,
    ),
    End(
        "the watchdog of later versions",  # sglang 17941, 33393
        [
            timed("Scheduler debug info:", " PP1 TP0"),
            "scheduler.cur_batch.batch_size()=1",
            "scheduler.cur_batch.reqs=[Req(rid=CUDA out of memory, input_ids=[671], output_ids=[])]",
            timed("Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)", " PP1 TP0"),
            timed("SIGQUIT received. signum=None, frame=None. It usually means one child failed."),
        ],
        Cause.HANG,
        "Scheduler watchdog timeout",
        was_ready=True,
    ),
    End(
        "a warm-up that is never answered",
        [
            timed("Initialization failed. warmup error: Traceback (most recent call last):"),
            '  File "sglang/srt/entrypoints/http_server.py", line 1366, in _execute_server_warmup',
            "requests.exceptions.ReadTimeout: HTTPConnectionPool(host='127.0.0.1', port=30000): Read timed out. (read",
            timed(KILLS_ITSELF),
        ],
        Cause.HANG,
        "Read timed out",
    ),
    End(
        "vLLM's workers don't answer its engine",
        [
            "(EngineCore pid=269) ERROR 04-20 16:11:22 [core.py:868] EngineCore encountered a fatal error.",
            "(EngineCore pid=269) ERROR 04-20 16:11:22 [core.py:868] Traceback (most recent call last):",
            '(EngineCore pid=269) ERROR 04-20 16:11:22 [core.py:868]   File "vllm/v1/executor/multiproc.py", line 2',
            "(EngineCore pid=269) ERROR 04-20 16:11:22 [core.py:868] TimeoutError: RPC call to execute_model timed out",
        ],
        Cause.HANG,
        "RPC call to execute_model timed out",
        code=1,
        was_ready=True,
    ),
    End(
        "a segmentation fault",  # sglang 18421, 38849
        [
            WORKED,
            "!!!!!!! Segfault encountered !!!!!!!",
            '  File "<unknown>", line 0, in std::_Function_handler',
            timed("Subprocess scheduler_0 (pid=5) crashed with exit code -11. Triggering SIGQUIT for cleanup..."),
        ],
        CRASH,
        "Segfault",
        was_ready=True,
    ),
    End(
        "tokens that went astray",
        serving("ValueError: pool memory leak detected! available_size=1, evictable_size=2, max_total_num_tokens=4"),
        CRASH,
        "memory leak detected",
        was_ready=True,
    ),
    End(
        "SGLang before 0.4, which says nothing but its traceback",  # sglang 1751, 2102
        [
            timed("Capture cuda graph begin. This can take up to several minutes.", " TP0"),
            timed("Traceback (most recent call last):", " TP0"),
            '  File "sglang/srt/managers/scheduler.py", line 1196, in run_scheduler_process',
            "KeyError: 'x'",
            "Killed",
        ],
        CRASH,
        "KeyError: 'x'",
    ),
    End(
        "the words of a start, and then nothing but a kill",
        [timed("Load weight begin. avail mem=78.38 GB", " TP26"), "Killed"],
        Cause.KILLED,
        "signal 9",
        "-g oom",
    ),
]


@pytest.mark.parametrize("end", [*HOST, *CARDS, *ENDS], ids=str)
def test_the_host_the_cards_and_the_engine_itself(end: End) -> None:
    check(end)
