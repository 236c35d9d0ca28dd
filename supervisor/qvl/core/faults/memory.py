"""Memory of the cards. Its rows come first, since their words name errors of CUDA and flags too.

The advice has a direction. SGLang's share (`mem-fraction-static`) holds the weights and the KV cache; activations,
graphs and workspaces live in the rest. What doesn't fit into the share wants it raised, what doesn't fit beside it
wants it lowered (sglang issues 322, 4330), and weights that fit nowhere want another model or more cards.
"""

from qvl.core.faults.rule import ERROR, rule
from qvl.model.worker import Cause

MEMORY_HINT = "lower mem-fraction-static or context-length, or give it a GPU that is free"
_FREE_IT = "if `qvlctl top` shows something else on the GPU, free it"
_RAISE = r"(?:[Rr]ais|[Ii]ncreas|[Ll]arger|[Hh]igher|[Bb]igger)[a-z]*\b[^.\n]{0,40}--?mem[-_]fraction[-_]static"

_NO_ROOM = (
    r"(?:CUDA|HIP) out of memory",
    r"OutOfMemoryError",
    r"\b(?:CUDA|Cuda|CUDART|CUresult|HIP)(?: driver| runtime)? ?(?:error|failure)\b.*out of memory",
    r"Triton Error \[\w+\]: out of memory|cudaGetDeviceCount\(\).*Error 2: out of memory",
    r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|CUBLAS_STATUS_ALLOC_FAILED",
    # cuBLAS allocates its workspace when its handle is made.
    r"CUBLAS_STATUS_NOT_INITIALIZED when calling `?cublas(?:Lt)?Create",
    r"\bcu(?:da)?(?:Mem(?:Create|Alloc\w*)|Malloc\w*)\b.*(?:out of memory|[Ff]ailed)",
)

RULES = (
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"Raise --mem-fraction-static above (?P<fraction>\d*\.\d+)",
        hint="raise mem-fraction-static above {fraction}; " + _FREE_IT,
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        # 0.5.3 and later tell what it is.
        rf"{_RAISE}.* Current value: \S*mem_fraction_static=(?P<now>\d*\.?\d+)",
        hint="raise mem-fraction-static, which is {now}, or take a smaller model; " + _FREE_IT,
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        # Said where the weights leave too little of their share: a lower share would make it worse.
        rf"{ERROR}.*{_RAISE}",
        r"Loaded weights leave no GPU memory|^Not enough memory\. Please try to increase --mem-fraction-static",
        hint="raise mem-fraction-static, or take a smaller model; " + _FREE_IT,
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        # vLLM's share; 37 GiB of cache for one request of the model's full length are a usual case.
        rf"{ERROR}.*(?:No available memory for the cache blocks|[Tt]ry increasing `?gpu_memory_utilization)",
        hint="raise gpu-memory-utilization, or lower max-model-len",
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"memory capacity is unbalanced",
        r"Free memory on device .* is less than desired GPU memory utilization",
        r"Error in memory profiling\. Initial free memory",
        hint="something else holds the GPU: `qvlctl top` names it",
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        # The KV cache's own slots. "Decode out of memory happened" is another thing: requests wait, and that's all.
        rf"{ERROR}alloc_req_slots runs out of memory",
        r"(?:^|(?:Prefill|Decode) |Error: )[Oo]ut of memory\. Try to lower your batch size",
        hint="its KV cache is too small for the batch: lower max-running-requests, or raise mem-fraction-static",
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"(?:Buffer overflow when allocating|Failed to allocate) memory for \S+ with size .* in AlignedAllocator",
        hint="FlashInfer's workspace is too small: raise the variable SGLANG_FLASHINFER_WORKSPACE_SIZE (bytes) in the "
        "profile's env, or lower chunked-prefill-size",
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"OutOfResources: out of resource: ",
        hint="a kernel wants more memory on the chip than this GPU has: try another attention-backend or quantization; "
        "mem-fraction-static is no help",
        aside=False,  # torch tries such kernels and takes others
    ),
    rule(
        # The host's memory is pinned through CUDA, whose error is the same.
        Cause.OUT_OF_HOST_MEMORY,
        r"out of memory",
        r"cudaErrorMemoryAllocation",
        frames=r"memory_pool_host|pin_memory|cudaHost(?:Alloc|Register)",
        hint="give the host more memory, or lower hicache-ratio or hicache-size",
    ),
    rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"cudaHost(?:Alloc|Register)\b.*(?:out of memory|[Ff]ailed)",
        hint="give the host more memory, or lower hicache-ratio or hicache-size",
    ),
    rule(
        Cause.OUT_OF_GPU_MEMORY,
        *_NO_ROOM,
        # A draft comes after the KV cache: less of that leaves room for it.
        frames=r"^(?!.*(?:[Dd]raft|eagle|nextn|kv_cache|memory_pool)).*, in (?:load_model|create_weights)\b",
        hint="the weights alone don't fit: free the GPU (`qvlctl top`), take a smaller or quantized model, or spread "
        "it over more GPUs with tp-size",
    ),
    rule(Cause.OUT_OF_GPU_MEMORY, *_NO_ROOM, hint=MEMORY_HINT),
)
