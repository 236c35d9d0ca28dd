"""Each of the words by which libraries say why they can't go on is known, by itself."""

import pytest
from qvl.core.faults import RULES
from qvl.core.faults.rule import Weight
from qvl.model.worker import Cause

from tests.core.spoken import End, found, starting, timed

SPOKEN = {
    Cause.OUT_OF_GPU_MEMORY: """
        RuntimeError: CUDA out of memory. Tried to allocate 2 GiB
        torch.cuda.OutOfMemoryError: Allocation on device 0 would exceed allowed memory
        RuntimeError: CUDART error: out of memory
        RuntimeError: Triton Error [HIP]: out of memory
        RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 2: out of memory
        RuntimeError: cudaErrorMemoryAllocation
        RuntimeError: CUDA_ERROR_OUT_OF_MEMORY
        RuntimeError: hipErrorOutOfMemory
        RuntimeError: CUBLAS_STATUS_ALLOC_FAILED when calling cublasLtCreate
        RuntimeError: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasLtCreate(handle)`
        RuntimeError: cudaMalloc failed: out of memory
        RuntimeError: cuMemCreate failed
        ValueError: Loaded weights leave no GPU memory for the KV cache
        Not enough memory. Please try to increase --mem-fraction-static.
        AssertionError: Error in memory profiling. Initial free memory 60 GiB, current free memory 61 GiB
        ValueError: 16.00 GiB KV cache is needed. Try increasing `gpu_memory_utilization` or decreasing `max_model_len`
    """,
    Cause.ENVIRONMENT: """
        OSError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by core.so)
        Exception: Could not load any common_ops library!
        RuntimeError: operator torchvision::nms does not exist
        AttributeError: module 'flashinfer.jit' has no attribute 'gen_x'
        RuntimeError: flashinfer-cubin version (0.6.1) does not match flashinfer version (0.6.2)
        Exception: You need to reinstall sglang
        RuntimeError: Triton Error [CUDA]: device kernel image is invalid
        RuntimeError: SGLang only supports sm75 and above.
        RuntimeError: FlashInfer requires GPUs with sm75 or higher
        RuntimeError: No supported CUDA architectures found for major versions [9, 10].
        ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'
        Fatal Python error: Illegal instruction
        importlib.metadata.PackageNotFoundError: No package metadata was found for sgl-kernel
        AssertionError: Torch not compiled with CUDA enabled
        RuntimeError: nvidia-smi not found. Ensure NVIDIA drivers are installed and accessible.
        OSError: libcudart.so.12: cannot open shared object file: No such file or directory
        OSError: [Errno 30] Read-only file system: '/opt/x'
        nvidia-container-cli: initialization error: load library failed
        docker: Error response from daemon: OCI runtime create failed: runc create failed
        RuntimeError: Failed to find C compiler. Please specify via CC environment variable.
        RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist
        /bin/sh: 1: /usr/local/cuda/bin/nvcc: not found
        RuntimeError: Ninja is required to load C++ extensions
        RuntimeError: Ninja build failed.
        RuntimeError: Error building extension 'x'
        ninja: build stopped: subcommand failed.
        OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.
        /x/y.cu:1:10: fatal error: curand_kernel.h: No such file or directory
        RuntimeError: The NVIDIA driver on your system is too old (found version 12020).
        RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version
        RuntimeError: Found no NVIDIA driver on your system.
        RuntimeError: Error 804: forward compatibility was attempted on non supported HW
        pynvml.NVMLError_LibRmVersionMismatch: Driver/library version mismatch
        RuntimeError: nvidia-smi error: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.
    """,
    Cause.MODEL_MISSING: """
        huggingface_hub.errors.GatedRepoError: Cannot access it.
        OSError: 403 Client Error. Forbidden
        huggingface_hub.errors.OfflineModeIsEnabled: Cannot access file
        ConnectionError: Cannot reach https://huggingface.co/a/b: offline mode is enabled.
        OSError: outgoing traffic has been disabled
        requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded
        OSError: There was a specific connection error when trying to load a/b:
        RuntimeError: Error while deserializing header: invalid JSON in header
        safetensors_rust.SafetensorError: incomplete
        OSError: Could not locate config.json inside a/b.
        huggingface_hub.errors.RepositoryNotFoundError: not found
        huggingface_hub.errors.RevisionNotFoundError: not found
        huggingface_hub.errors.EntryNotFoundError: not found
        huggingface_hub.errors.HFValidationError: no
        OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/a/b'.
        requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://hf-mirror.com/a/b
        OSError: a/b is not a local folder or a valid repository name on 'https://hf.co'.
        OSError: Incorrect path_or_model_id: '/a/b'.
        OSError: v9 is not a valid git identifier (branch name, tag name or commit id)
        ValueError: Can't find a checkpoint index (pytorch_model.bin.index.json) in /a.
        ValueError: Cannot find the config file for awq
        OSError: Can't load tokenizer for 'a/b'.
        FileNotFoundError: [Errno 2] No such file or directory: '/a/model-00001-of-00002.safetensors'
        modelscope.hub.errors.NotExistError: a/b
        ValueError: The request model: a/b does not exist!
    """,
    Cause.BAD_ARGUMENTS: """
        ValueError: Loading a/b requires you to execute the configuration file in that repo on your local machine.
        ERROR:    [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied
        ERROR:    [Errno -2] Name or service not known
        OSError: [Errno 99] Cannot assign requested address
        OSError: while attempting to bind on address ('10.9.9.9', 80): cannot assign requested address
        RuntimeError: FlashAttention only supports Ampere GPUs or newer.
        ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.
        sglang serve: error: argument --x: expected one argument
        ValueError: Unsupported config option 'x'
        ValueError: Config file not found: x.yaml
        ValueError: Unknown quantization method: fp7
        pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
        AssertionError: FlashAttention v3 Backend requires SM>=80. Please use `--attention-backend flashinfer`.
    """,
    Cause.PORT_IN_USE: """
        OSError: code: -98, name: EADDRINUSE
        OSError: [Errno 98] error while attempting to bind
        ValueError: Port is already in use. dist_init_port=30010
        ValueError: Port 30000 is not available
    """,
    Cause.SHM_FULL: """
        RuntimeError: DataLoader worker (pid 9) is killed by signal SIGBUS
        failed to extend /dev/shm/nccl-WU88OE to 9637892 bytes, error: No space left on device (28)
        RuntimeError: No space left on device: sgl_shm_mm_77
        RuntimeError: It is possible that dataloader's workers are out of shared memory.
        OSError: [Errno 28] No space left on device: '/psm_21467a46'
    """,
    Cause.DISK_FULL: """
        OSError: [Errno 28] write
        OSError: Disk quota exceeded
        sqlite3.OperationalError: database or disk is full
        RuntimeError: Not enough free disk space to download the file.
    """,
    Cause.OUT_OF_HOST_MEMORY: """
        RuntimeError: unable to mmap 99 bytes from file </a.safetensors>: Cannot allocate memory (12)
        RuntimeError: [enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory: you tried to allocate
        MemoryError
        numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3.2 GiB for an array
        memory allocation of 99 bytes failed
        OSError: [Errno 12] fork
        kernel: oom-kill:constraint=CONSTRAINT_MEMCG
        Memory cgroup out of memory: Killed process 77 (sglang::schedul)
        RuntimeError: cudaHostRegister failed
    """,
    Cause.GPU_FAULT: """
        RuntimeError: No CUDA GPUs are available
        RuntimeError: invalid device ordinal
        RuntimeError: CUDA-capable device(s) is/are busy or unavailable
        ValueError: No GPU memory values found.
        RuntimeError: CUDA error: unknown error
        RuntimeError: Triton Error [CUDA]: unknown error
        RuntimeError: Cuda failure 719
        RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment
        RuntimeError: Failed: Cuda error /x/custom_all_reduce.cuh:455 'unknown error'
        RuntimeError: CUDA_ERROR_LAUNCH_FAILED
        RuntimeError: cudaErrorECCUncorrectable
        RuntimeError: an illegal memory access was encountered
        RuntimeError: device-side assert triggered
        RuntimeError: misaligned address
        NVRM: Xid (PCI:0000:3b:00): 74, pid=77, NVLink: fatal error
        RuntimeError: uncorrectable NVLink error detected during the execution
        RuntimeError: GPU is lost. Reboot the system to recover this GPU
        pynvml.NVMLError_GpuIsLost: lost
        RuntimeError: GPU has fallen off the bus
        RuntimeError: unspecified launch failure
        RuntimeError: Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error
        Memory access fault by GPU node-1 on address 0x7f.
        RuntimeError: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx
        RuntimeError: CUDNN_STATUS_EXECUTION_FAILED
    """,
    Cause.COLLECTIVE_FAULT: """
        ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.
        RuntimeError: NCCL communicator was aborted on rank 1.
        [Rank 1] Watchdog caught collective operation timeout
        [rank0]:[E1016 03:31:38.9 ProcessGroupNCCL.cpp:1537] ProcessGroupNCCL's watchdog got stuck for 600 seconds
        [E ProcessGroupNCCL.cpp:916] [Rank 7] NCCL watchdog thread terminated with exception
        [PG 3 Rank 5] Process group watchdog thread terminated with exception: unknown
        [PG 0 Rank 1] Heartbeat monitor timed out! Process will be terminated after dumping debug info.
        torch.distributed.DistStoreError: Socket Timeout
        c10::DistStoreError: wait timeout after 600000ms, keys: /default_pg/0
        RuntimeError: Gloo connectFullMesh failed
        TimeoutError: The client socket has timed out after 1800s while trying to connect to (10.0.0.9, 48391).
        RuntimeError: Failed to recv, got 0 bytes. Connection was likely closed.
        RuntimeError: DeepEP error: timeout (dispatch CPU)
        nvshmem_init failed
    """,
    Cause.ENGINE_CRASH: """
        RuntimeError: CUDA error: operation failed due to a previous error during capture
        RuntimeError: CUDA error: invalid configuration argument
        RuntimeError: BatchPrefill failed with error code too many resources requested for launch
    """,
    Cause.HANG: """
        RuntimeError: Engine iteration timed out. This should never happen!
    """,
}
WORDS = [(cause, line.strip()) for cause, lines in SPOKEN.items() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("cause", "words"), WORDS, ids=lambda value: str(value)[:60])
def test_the_words_of_a_fault_lead_to_its_cause(cause: Cause, words: str) -> None:
    finding = found(End("", starting(words), cause, ""))
    assert finding.cause is cause, finding
    assert (finding.evidence or "").startswith(words[:100])


LAST = [
    "Subprocess scheduler_0 (pid=5) crashed with exit code 1. Triggering SIGQUIT for cleanup...",
    "Rank 0 scheduler is dead. Please check if there are relevant logs.",
    "RuntimeError: Initialization failed. Please see the error messages above.",
    "ValueError: token_to_kv_pool_allocator memory leak detected!",
    "Received sigquit from a child proces. It usually means the child failed.",
    "EOFError",
    "Fatal Python error: Aborted",
    "Segmentation fault (core dumped)",
    "terminate called after throwing an instance of 'std::runtime_error'",
    "double free or corruption (!prev)",
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    "RuntimeError: Engine core initialization failed. See root cause above.",
    "WorkerProc failed to start.",
    "Engine core proc EngineCore_0 died unexpectedly, shutting down client.",
    "Exception: WorkerProc initialization failed due to an exception in a background process.",
    "Scheduler hit an exception: AttributeError: no",
]


@pytest.mark.parametrize("words", LAST)
def test_last_words_that_tell_no_reason_are_those_of_a_crash(words: str) -> None:
    finding = found(End("", ["loading", words], Cause.ENGINE_CRASH, "", code=0))
    assert (finding.cause, finding.evidence) == (Cause.ENGINE_CRASH, words)


DEATHS = [
    *("Exception in run_tp_server:", "Process Process-1:6:", "!!!!!!! Segfault encountered !!!!!!!"),
    "Received sigquit from a child process. It usually means the child failed.",
    "Received SIGQUIT from scheduler process. Scheduler failed, shutting down gRPC server.",
    "Initialization failed. warmup error: ",
    "memory leak detected! available_size=1",
    "Engine core proc EngineCore_0 died unexpectedly, shutting down client.",
    "Worker proc VllmWorker-1 died, shutting down executor.",
    "EngineCore_0 died unexpectedly",
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    "terminate called after throwing an instance of 'std::runtime_error'",
    "[PG 3 Rank 5] Process group watchdog thread terminated with exception: unknown",
    "[Rank 4] To avoid data inconsistency, we are taking the entire process down.",
]


@pytest.mark.parametrize("words", DEATHS)
@pytest.mark.parametrize("was_ready", [True, False])
def test_what_is_killed_by_its_own_hand_has_said_so(words: str, was_ready: bool) -> None:
    """Without such words a SIGKILL comes from outside, and what was said before, as here of memory, is no reason."""
    memory = "RuntimeError: CUDA out of memory."
    assert (
        found(End("", [memory, "loading", words], Cause.OUT_OF_GPU_MEMORY, "", was_ready=was_ready)).evidence == memory
    )
    assert found(End("", [memory, "loading"], Cause.KILLED, "", was_ready=was_ready)).cause is Cause.KILLED


NOISE = [
    "Ignore import error when loading sglang.srt.models.x: No module named 'x'",
    "x.py:7: UserWarning: CUDA out of memory",
    "[rank0]:[W420 ProcessGroupNCCL.cpp:1553] Warning: WARNING: destroy_process_group() was not called",
    *("torchcodec is not installed; audio inputs will fail", "x is unavailable: no", "API disabled: failed (x)"),
    *("nanobind: leaked 518 functions!", "There appear to be 1 leaked shared_memory objects to clean up"),
    *("Pyspy dump for PID 7:", "CUDA coredump pipe not found for PID 7", "usage: x [-h]", "server_args=ServerArgs()"),
    "Setup Custom allreduce failed with CUDART error. To silence this warning, specify --disable-custom-all-reduce",
    "[W socket.cpp:436] [c10d] The server socket has failed to bind to [::]:12211 (errno: 98)",
    "Extension modules: numpy.core._multiarray_umath, torch._C, PIL._imaging (total: 52)",
    *("scheduler.cur_batch.reqs=[x]", "reqs=[Req(rid=CUDA error: x)]"),
]


@pytest.mark.parametrize("words", NOISE)
def test_noise_is_not_said(words: str) -> None:
    assert found(End("", ["bye", words], Cause.UNKNOWN, "", code=4)).evidence == "exited with 4: bye"


OWN = [
    *("[rank3]:[E1016 03:31:38.9 x.cpp:607] no", "gpu-01:77:99 [0] NCCL INFO no", "NCCL version 2.27.3"),
    *("terminate called without an active exception", "Fatal Python error: Aborted", "Process Process-7:", "INFO: no"),
    *("ERROR: no", "[torch_memory_saver.cpp] no", "Killed", "Exception in thread Thread-3:", "Bus error (core dumped)"),
    *("Segmentation fault (core dumped)", "!!!!!!! Segfault encountered !!!!!!!", "[E 03:31:38.9 x.cpp:607] no"),
]


@pytest.mark.parametrize("words", OWN)
def test_lines_of_others_are_no_more_of_a_request(words: str) -> None:
    request = [timed("Receive: obj=GenerateReqInput(text='"), "more of it"]
    evidence = found(End("", [*request, words], Cause.UNKNOWN, "", code=4)).evidence or ""
    assert evidence.removeprefix("exited with 4: ") == words
    assert "more" not in (found(End("", ["bye", *request], Cause.UNKNOWN, "", code=4)).evidence or "")


def test_every_hint_can_be_filled() -> None:
    for rule in RULES:
        if rule.hint is not None:
            assert rule.hint.format(**dict.fromkeys(rule.pattern.groupindex, "1"))


def test_no_row_speaks_for_what_is_no_end() -> None:
    """`requested`, `start-stalled`, `exited` and `unknown` have no words; rows that only mark a death come last."""
    assert {rule.cause for rule in RULES} == set(Cause) - {
        Cause.REQUESTED,
        Cause.START_STALLED,
        Cause.EXITED,
        Cause.UNKNOWN,
    }
    late = [rule.weight >= Weight.CRASH for rule in RULES]
    assert late == sorted(late)
