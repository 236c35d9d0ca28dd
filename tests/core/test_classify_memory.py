"""GPU memory: its many words, the advice that the engine gives itself, and its direction."""

import pytest
from qvl.model.worker import Cause

from tests.core.spoken import End, check, found, in_main, serving, starting, timed

GPU = Cause.OUT_OF_GPU_MEMORY
HOST = Cause.OUT_OF_HOST_MEMORY

TORCH = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 7 has a total capacity of 95.00 GiB "
    "of which 391.88 MiB is free."
)
SOLUTIONS = (
    "Possible solutions:",
    "1. set --mem-fraction-static to a smaller value (e.g., 0.8 or 0.7)",
    "2. set --cuda-graph-max-bs to a smaller value (e.g., 16)",
    "3. disable torch compile by not using --enable-torch-compile",
    "4. disable CUDA graph by --disable-cuda-graph. (Not recommended. Huge performance loss)",
    "Open an issue on GitHub https://github.com/sgl-project/sglang/issues/new/choose",
)
CAPTURE = (
    '  File "sglang/srt/model_executor/cuda_graph_runner.py", line 269, in __init__',
    "    self.capture()",
    TORCH,
    "During handling of the above exception, another exception occurred:",
    "Traceback (most recent call last):",
    '  File "sglang/srt/model_executor/model_runner.py", line 934, in init_cuda_graphs',
    TORCH.replace("torch.OutOfMemoryError", "Exception: Capture cuda graph failed"),
)
LOADING = (
    '  File "sglang/srt/model_executor/model_runner.py", line 400, in load_model',
    '  File "sglang/srt/layers/linear.py", line 214, in create_weights',
    "    weight = Parameter(",
)
ENDS = [
    # ---- it doesn't fit into its share: more of it
    End(
        "the least fraction that would do",  # sglang 0.5.23
        starting(
            "ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.88. Raise "
            "--mem-fraction-static above 0.912 (minimum viable = 1 - available/pre = 0.9113). If using speculative "
            "decoding, draft weights are now counted."
        ),
        GPU,
        "Loaded weights",
        "raise mem-fraction-static above 0.912;",
    ),
    End(
        "no room for a cache",  # sglang 322, 4330, 4895: 0.1 to 0.4
        starting("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."),
        GPU,
        "Not enough memory",
        "raise mem-fraction-static, or",
    ),
    End(
        "no room for a cache, with the share",  # sglang 0.5.3
        starting(
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: "
            "self.server_args.mem_fraction_static=0.5"
        ),
        GPU,
        "Not enough memory",
        "raise mem-fraction-static, which is 0.5,",
    ),
    End(
        "no room for the state of a hybrid model",  # sglang 0.5.23
        starting(
            "RuntimeError: Not enough GPU memory for hybrid (mamba/linear-attention) state cache. Computed "
            "max_mamba_cache_size=0 (total_rest_memory=0.40 GB). Try: (1) reduce --max-running-requests, (2) increase "
            "--mem-fraction-static, (3) reduce --speculative-num-draft-tokens, or (4) use GPUs with more memory."
        ),
        GPU,
        "Not enough GPU memory for hybrid",
        "raise mem-fraction-static",
    ),
    End(
        "vLLM's share",
        [
            "(EngineCore_DP0 pid=77) ERROR 10-11 22:28:17 [core.py:868] EngineCore failed to start.",
            "(EngineCore_DP0 pid=77) ERROR 10-11 22:28:17 [core.py:868] Traceback (most recent call last):",
            '(EngineCore_DP0 pid=77) ERROR 10-11 22:28:17 [core.py:868]   File "vllm/v1/engine/core.py", line 8, in f',
            "(EngineCore_DP0 pid=77) ERROR 10-11 22:28:17 [core.py:868] ValueError: No available memory for the cache "
            "blocks. Try increasing `gpu_memory_utilization` when initializing the engine.",
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ],
        GPU,
        "No available memory for the cache blocks",
        "raise gpu-memory-utilization",
        code=1,
    ),
    # ---- it doesn't fit beside its share: less of it
    End(
        "memory ends while graphs are captured",  # sglang 4489, 5285
        starting(*CAPTURE, *SOLUTIONS, rank=" TP7"),
        GPU,
        "CUDA out of memory",
        "lower mem-fraction-static (SGLang suggests 0.8 or 0.7) or cuda-graph-max-bs (SGLang suggests 16)",
    ),
    End(
        "the same in later versions, whose flag has another name",  # sglang 0.5.23
        starting(
            TORCH.replace("torch.OutOfMemoryError", "Exception: Capture cuda graph failed"),
            *(line.replace("graph-max-bs ", "graph-max-bs-decode ") for line in SOLUTIONS),
        ),
        GPU,
        "Capture cuda graph failed",
        "cuda-graph-max-bs-decode (SGLang suggests 16)",
    ),
    End(
        "advice that is logged before the exception",  # sglang 0.5.23
        [
            timed("Automatically reduce --mem-fraction-static to 0.760 because this is a multimodal model.", " TP0"),
            timed(f"OutOfMemoryError: {TORCH.partition(': ')[2]}", " TP0"),
            "Fail when using backend: breakable for prefill runner.",
            "Possible suggestions:",
            "1. disable the prefill CUDA graph by --cuda-graph-backend-prefill=disabled",
            "2. if it is an OOM problem, set --mem-fraction-static to a smaller value (e.g., 0.8 or 0.7) or set "
            "--cuda-graph-max-bs-prefill to a smaller value (e.g., 2048)",
            *starting(TORCH, rank=" TP0"),
        ],
        GPU,
        "CUDA out of memory",
        "lower mem-fraction-static (SGLang suggests 0.8 or 0.7) or cuda-graph-max-bs-prefill (SGLang suggests 2048)",
    ),
    End(
        "advice in another form",
        starting(TORCH, "Please consider reducing --cuda-graph-max-bs or --mem-fraction-static."),
        GPU,
        "CUDA out of memory",
        "lower cuda-graph-max-bs or mem-fraction-static",
    ),
    End(
        "advice with a figure",
        starting(TORCH, "Please try to start the server with --mem-fraction-static=0.8"),
        GPU,
        "CUDA out of memory",
        "set mem-fraction-static = 0.8,",
    ),
    End(
        "a long prompt",  # sglang 4730
        serving('  File "sglang/srt/layers/logits_processor.py", line 230, in forward', TORCH),
        GPU,
        "CUDA out of memory",
        "lower mem-fraction-static",
        was_ready=True,
    ),
    End(
        "the draft's weights, which come after the cache",
        starting('  File "sglang/srt/speculative/eagle_worker.py", line 124, in __init__', *LOADING, TORCH),
        GPU,
        "CUDA out of memory",
        "lower mem-fraction-static",
    ),
    End("the weights alone", starting(*LOADING, TORCH), GPU, "CUDA out of memory", "the weights alone don't fit"),
    # ---- others on the card
    End(
        "another process on the card",
        starting(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
            "79.18 GiB of which 1.31 GiB is free. Process 4111 has 40.50 GiB memory in use. Including non-PyTorch "
            "memory, this process has 37.04 GiB memory in use."
        ),
        GPU,
        "CUDA out of memory",
        "other processes hold 40.5 GiB of the GPU",
    ),
    End(
        "one of several cards is occupied",  # sglang 4233
        starting("ValueError: The memory capacity is unbalanced. Some GPUs may be occupied by other processes."),
        GPU,
        "unbalanced",
        "`qvlctl top` names it",
    ),
    # ---- libraries
    End("the driver", starting("RuntimeError: CUDA driver error: out of memory"), GPU, "driver error"),
    End("Triton", serving("RuntimeError: Triton Error [CUDA]: out of memory"), GPU, "Triton Error", was_ready=True),
    End(
        "cuBLAS, for its workspace",  # sglang 4584 and others: torch's text
        serving("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        GPU,
        "CUBLAS_STATUS_ALLOC_FAILED",
        was_ready=True,
    ),
    End(
        "cuBLAS, for its handle",
        serving("RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        GPU,
        "CUBLAS_STATUS_NOT_INITIALIZED",
        was_ready=True,
    ),
    End(
        "NCCL's buffers",
        starting(
            "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:268, "
            "unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.21.5",
            "ncclUnhandledCudaError: Call to CUDA function failed.",
            "Last error:",
            "Cuda failure 2 'out of memory'",
        ),
        GPU,
        "Cuda failure 2 'out of memory'",
    ),
    End("HIP", serving("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2 GiB."), GPU, "HIP out"),
    End(
        "FlashInfer's workspace",  # sglang 2102, 30244; vllm 40381
        serving(
            "RuntimeError: Error in function 'aligned_alloc' at /workspace/include/flashinfer/allocator.h:49: Buffer "
            "overflow when allocating memory for batch_prefill_tmp_v with size 536346624 and alignment 16, but only "
            "413138944 bytes available in AlignedAllocator. Increase the workspace buffer size."
        ),
        GPU,
        "batch_prefill_tmp_v",
        "SGLANG_FLASHINFER_WORKSPACE_SIZE",
        was_ready=True,
    ),
    End(
        "a kernel that is too big for the chip",  # sglang 5995, 8513, 29149
        serving(
            "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 147456, Hardware limit: "
            "101376. Reducing block sizes or `num_stages` may help."
        ),
        GPU,
        "OutOfResources",
        "another attention-backend",
        was_ready=True,
    ),
    # ---- the cache's own slots
    End(
        "no slot for a token",  # sglang 4602, 14942
        serving("RuntimeError: Decode out of memory. Try to lower your batch size.", "Try to allocate 148 tokens."),
        GPU,
        "Decode out of memory",
        "lower max-running-requests",
        was_ready=True,
    ),
    End(
        "no slot for a request",  # sglang 10408
        serving(
            "RuntimeError: alloc_req_slots runs out of memory. Please set a smaller number for "
            "`--max-running-requests`. self.req_to_token_pool.available_size()=1, num_reqs=2,"
        ),
        GPU,
        "alloc_req_slots",
        "lower max-running-requests",
        was_ready=True,
    ),
    # ---- the host's memory, in the words of CUDA or near them
    End(
        "pinned memory for the cache's second level",
        starting(
            '  File "sglang/srt/mem_cache/memory_pool_host.py", line 91, in init_kv_buffer',
            "RuntimeError: CUDA error: out of memory",
        ),
        HOST,
        "out of memory",
        "hicache",
    ),
    End(
        "no room for the cache's second level",  # sglang 0.4.9
        starting(
            "ValueError: Not enough host memory available. Requesting 154.21 GB but only have 61.13 GB free. Please "
            "reduce the size of the hierarchical cache."
        ),
        HOST,
        "Not enough host memory",
        "hicache",
    ),
    End(
        "the process can't even start",  # sglang 5762
        [
            "Process Process-6:",
            "Traceback (most recent call last):",
            '  File "sglang/srt/managers/scheduler.py", line 1984, in run_scheduler_process',
            "    faulthandler.enable()",
            "OSError: [Errno 12] Cannot allocate memory",
        ],
        HOST,
        "Errno 12",
    ),
    End(
        "the compiler was killed",
        starting(
            "RuntimeError: Ninja build failed. Ninja output:", "nvcc error : 'cicc' died due to signal 9 (Kill si"
        ),
        HOST,
        "died due to signal 9",
    ),
    End("C++", ["terminate called after throwing an instance of 'std::bad_alloc'"], HOST, "bad_alloc", signal=6),
    End(
        "the kernel, in versions up to 0.5.8",  # sglang 2294, 15235
        [
            timed("Rank 0 scheduler is dead. Please check if there are relevant logs."),
            timed("Exit code: -9"),
            *in_main('  File "sglang/srt/entrypoints/engine.py", line 801, in _launch_subprocesses', "EOFError"),
        ],
        HOST,
        "Exit code: -9",
        "oom",
        code=1,
    ),
]


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_memory_that_ends(end: End) -> None:
    check(end)


@pytest.mark.parametrize(
    "words",
    [
        # What SGLang does about a full cache, and what it does lest memory ends.
        "Decode out of memory happened. #retracted_reqs: 1, #new_token_ratio: 0.1474 -> 0.1845",
        "KV cache pool is full. Retract requests. #retracted_reqs: 1",
        "Available memory 3GB is less than required memory 9GB for warmup, reducing max_m to avoid out of memory",
        "Out of memory even after retracting all other requests in the decode batch. Aborting the last request.",
    ],
)
@pytest.mark.parametrize("was_ready", [True, False])
def test_pressure_is_no_end(words: str, was_ready: bool) -> None:
    log = serving("AttributeError: 'NoneType' object has no attribute 'next_token_ids'", before=(timed(words, " TP0"),))
    end = End("", log, Cause.ENGINE_CRASH, "AttributeError", was_ready=was_ready)
    check(end)


def test_what_this_process_holds_is_not_held_by_others() -> None:
    """The 1.5 GiB of the engine's own parent are no neighbour; without "this process" nobody knows who is who."""
    own = (
        "torch.OutOfMemoryError: CUDA out of memory. GPU 0 has a total capacity of 79.18 GiB of which 633.81 MiB is "
        "free. Process 5661 has 1.51 GiB memory in use. {}"
    )
    for rest in (
        "Including non-PyTorch memory, this process has 77.04 GiB memory in use.",
        "Process 9 has 77.04 GiB memory in use.",
    ):
        finding = found(End("", starting(own.format(rest)), GPU, ""))
        assert (finding.hint or "").startswith("lower mem-fraction-static")
