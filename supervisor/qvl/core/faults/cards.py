"""GPUs and the links between them."""

from qvl.core.faults.rule import ERROR, Weight, rule
from qvl.model.worker import Cause

_GPU_HINT = "look at `nvidia-smi -q` and at the kernel's log for this GPU (`journalctl -k -g NVRM`)"
_LINKS_HINT = "look at the links between the GPUs (`nvidia-smi topo -m`) and at /dev/shm"

RULES = (
    rule(
        Cause.GPU_FAULT,
        # 802: the fabric manager of an NVSwitch host is not running (yet).
        r"system not yet initialized",
        hint="start nvidia-fabricmanager on this host",
    ),
    rule(
        Cause.GPU_FAULT,
        r"No CUDA GPUs are available|invalid device ordinal",
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        hint="the card is not there for this process: look at `nvidia-smi`",
        weight=Weight.FIRST,
    ),
    rule(
        Cause.GPU_FAULT,
        r"No accelerator \(.*\).* is available|No GPU memory values found",
        hint="the card is not there for this process: look at `nvidia-smi`",
        weight=Weight.FIRST,
    ),
    rule(
        # Errors of CUDA that a program makes by what it asks for; the card is well.
        Cause.ENGINE_CRASH,
        r"operation not permitted when stream is capturing|failed due to a previous error during capture",
        rf"{ERROR}(?:CUDA error|Triton Error \[CUDA\]): "
        r"(?:invalid (?:argument|configuration argument|resource handle|value)|named symbol not found)",
        r"too many resources requested for launch",
        hint="if it comes again: another attention-backend, or disable-cuda-graph = true",
    ),
    rule(
        Cause.GPU_FAULT,
        r"\bCUDA (?:driver |runtime )?error: |Triton Error \[CUDA\]: |Cuda failure",
        r"CUDA unknown error|Failed: Cuda error",
        r"CUDA_ERROR_[A-Z]|cudaError(?:ECC|Launch|Illegal|Hardware|Misaligned|Nvlink|Unknown|Assert)\w*",
        r"illegal memory access|device-side assert|misaligned address",
        r"\bXid\b|uncorrectable (?:ECC|NVLink)|GPU is lost|GpuIsLost|fallen off the bus|unspecified launch failure",
        r"Unable to determine the device handle for [Gg][Pp][Uu]|Memory access fault by GPU node",
        r"CUBLAS_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)|CUDNN_STATUS_EXECUTION_FAILED",
        hint=_GPU_HINT,
    ),
    rule(
        Cause.COLLECTIVE_FAULT,
        r"NCCL error|nccl(?:Unhandled|System|Internal|Remote|InvalidUsage)\w*Error",
        r"NCCL communicator (?:was aborted|encountered error)",
        r"[Ww]atchdog caught collective operation timeout|\[E[^\]]*ProcessGroupNCCL.*(?:timeout|exception|got stuck)",
        r"(?:Process group|NCCL) watchdog thread terminated with exception|Heartbeat monitor timed out",
        r"torch\.distributed\.Dist(?:Backend|Network|Store)?Error|c10::Dist(?:Backend|Network|Store)Error",
        # Gloo carries what the ranks tell each other beside NCCL: sglang issues 3226, 3685, 7458.
        r"\bgloo/\S+\] |Gloo connectFullMesh failed",
        r"client socket has (?:timed out|failed to connect)|Failed to recv, got 0 bytes",
        r"DeepEP error: |nvshmem.*(?:fail|error)",
        hint=_LINKS_HINT,
        weight=Weight.FIRST,
    ),
    rule(
        Cause.COLLECTIVE_FAULT,
        r"NCCL WARN .*(?:[Ff]ail|[Ee]rror|[Tt]imed out)",
        hint=_LINKS_HINT,
        weight=Weight.WARNING,
    ),
)
