"""The words by which engines and the libraries below them say why they can't go on, a row for each.

Texts: SGLang 0.4.9 to 0.5.23, vLLM, PyTorch, NCCL, Hugging Face's hub client, and the threads that are named at a row.
Nothing is decided here: `qvl.core.classify` says which of several rows that match a log is the root.
"""

import re
from enum import IntEnum

import msgspec

from qvl.model.worker import Cause


class Weight(IntEnum):
    """How sure a row is that it names the root and not what followed from it."""

    ROOT = 0
    PEER = 1
    """Often said by one rank because another has failed."""
    DEATH = 2
    """A process is gone, and how, but not why."""
    CRASH = 3
    """Something failed; its traceback says more."""
    SIGNAL = 4
    """Only worth anything where nothing else was said."""


class Rule(msgspec.Struct, frozen=True):
    """A line in which `pattern` is found speaks for `cause`. Of several rows that fit a line, the first counts. Named
    groups of the pattern fill the hint."""

    cause: Cause
    pattern: re.Pattern[str]
    hint: str | None = None
    weight: Weight = Weight.ROOT


def _rule(cause: Cause, *patterns: str, hint: str | None = None, weight: Weight = Weight.ROOT) -> Rule:
    return Rule(cause, re.compile("|".join(patterns)), hint, weight)


ARGUMENTS_HINT = "mend the profile's args: `qvlctl check` names flags that the installed engine does not have"
_MEMORY_HINT = "lower mem-fraction-static or context-length, or give it a GPU that is free"
_HUB_HINT = "check the profile's model: its path, or its name on the hub and HF_HOME"
_SHM_HINT = "make room in /dev/shm (`df /dev/shm`), or give it more"
_HOST_HINT = "give the host more memory, or the worker less; `journalctl -k -g oom` shows whom the kernel killed"
_ENVIRONMENT_HINT = "mend the engine's environment (`qvlctl doctor`), then `qvlctl start`"
_GPU_HINT = "look at `nvidia-smi -q` and at the kernel's log for this GPU (`journalctl -k -g NVRM`)"

RULES: tuple[Rule, ...] = (
    # ---- GPU memory: before the rows for CUDA and for arguments, since its texts name errors of CUDA and flags
    _rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"Loaded weights leave no GPU memory.*Raise --mem-fraction-static above (?P<fraction>\d*\.\d+)",
        hint="raise mem-fraction-static above {fraction}; if `qvlctl top` shows something else on the GPU, free it",
    ),
    _rule(
        Cause.OUT_OF_GPU_MEMORY,
        # Said where the weights alone exceed their share: a lower share would make it worse.
        r"Loaded weights leave no GPU memory",
        r"Not enough memory\. Please try to increase --mem-fraction-static",
        hint="raise mem-fraction-static, or take a smaller model; if `qvlctl top` shows something else on the GPU, "
        "free it",
    ),
    _rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"memory capacity is unbalanced",
        r"Free memory on device .* is less than desired GPU memory utilization",
        hint="something else holds the GPU: `qvlctl top` names it",
    ),
    _rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"CUDA out of memory",
        r"OutOfMemoryError",
        r"(CUDA|Cuda|CUresult) ?(error|failure)\b.*out of memory",
        r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED",
        r"No available memory for the cache blocks",
        hint=_MEMORY_HINT,
    ),
    # ---- what a retry can't mend
    _rule(
        Cause.ENVIRONMENT,
        r"You need to reinstall|Please reinstall the latest version with|Could not load any common_ops library",
        r"^(ModuleNotFoundError|ImportError)\b",
        r"^\S*python[\d.]*: (No module named|can't open file|Error while finding module)",
        # A wheel beside another torch, glibc or CUDA than it was built for: sglang issues 5100, 8131, 18203.
        r"undefined symbol: |version `(GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found",
        r"lib\S+\.so\S*: cannot open shared object file|no kernel image is available",
        r"driver version is insufficient|NVIDIA driver on your system is too old|Found no NVIDIA driver",
        r"Torch not compiled with CUDA enabled",
        r"Failed to find C compiler|Could not find nvcc|No such file or directory: '(nvcc|ninja|gcc|cc|g\+\+)'",
        hint=_ENVIRONMENT_HINT,
    ),
    _rule(
        Cause.MODEL_MISSING,
        r"GatedRepo|gated repo\b|40[13] Client Error",
        hint="the hub wants a token that may read this model: put HF_TOKEN into the engine's env_file",
    ),
    _rule(
        Cause.MODEL_MISSING,
        r"couldn't connect to 'https?://|LocalEntryNotFound|OfflineModeIsEnabled",
        r"outgoing traffic has been disabled",
        hint="the model is not in HF_HOME and the hub is out of reach: download it first, or name a local directory",
    ),
    _rule(
        Cause.MODEL_MISSING,
        r"RepositoryNotFound|RevisionNotFound|EntryNotFoundError|HFValidationError|Repo id must be",
        r"is not a local folder and is not a valid model identifier|Incorrect path_or_model_id",
        r"Unrecognized model in |does not appear to have a file named|Cannot find any (of the )?model weights",
        r"Can't load (the |tokenizer|feature extractor|image processor|config)",
        r"FileNotFoundError: .*(config\.json|\.safetensors|tokenizer|model)",
        r"safetensors_rust\.SafetensorError",
        hint=_HUB_HINT,
    ),
    _rule(
        Cause.BAD_ARGUMENTS,
        r"error: (unrecognized arguments|ambiguous option|argument |the following arguments are required)",
        r"Unsupported config option",
        r"Model architectures? .*(not supported|failed to be inspected)",
        r"User-specified context_length .* is greater than",
        r"pydantic_core\._pydantic_core\.ValidationError",
        # An exception that names a flag is about that flag.
        r"^(\w+\.)*(ValueError|AssertionError|NotImplementedError|TypeError): .*--[a-z][a-z0-9]+(-[a-z0-9]+)+",
        hint=ARGUMENTS_HINT,
    ),
    # ---- the host
    _rule(
        Cause.PORT_IN_USE,
        r"[Aa]ddress already in use|EADDRINUSE|Errno 98\b",
        r"[Pp]ort \d+ (is (already in use|not available)|in use)|is not available in \d+ seconds",
        hint="free the port, or give the pool another",
    ),
    _rule(
        Cause.SHM_FULL,
        r"\b[Bb]us error\b|SIGBUS|exit code:? -7\b",
        r"/dev/shm.*No space left|No space left on device.*shm|[Oo]ut of shared memory",
        # shm_open's names have no directory: a multiprocessing.SharedMemory that found no room.
        r"No space left on device: '/[^/']+'",
        hint=_SHM_HINT,
    ),
    _rule(Cause.DISK_FULL, r"No space left on device|Errno 28\b|Disk quota exceeded", hint="make room on the disk"),
    _rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"[Cc]an('t|not) allocate memory|^MemoryError\b|Errno 12\b|oom-kill|Out of memory: Killed process",
        hint=_HOST_HINT,
    ),
    _rule(Cause.HANG, r"[Ww]atchdog timeout(?!.*soft=True)"),
    # ---- GPUs and the links between them
    _rule(
        Cause.GPU_FAULT,
        r"No CUDA GPUs are available|No accelerator \(.*\) is available|invalid device ordinal",
        hint="the card is not there for this process: look at `nvidia-smi`",
    ),
    _rule(
        Cause.GPU_FAULT,
        # 802: the fabric manager of an NVSwitch host is not running (yet).
        r"system not yet initialized",
        hint="start nvidia-fabricmanager on this host",
    ),
    _rule(
        Cause.GPU_FAULT,
        r"CUDA error: |Cuda failure|CUDA unknown error|CUDA_ERROR_|illegal memory access|device-side assert",
        r"\bXid\b|uncorrectable ECC|GPU is lost|fallen off the bus|unspecified launch failure",
        r"CUBLAS_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)|CUDNN_STATUS_EXECUTION_FAILED",
        hint=_GPU_HINT,
    ),
    _rule(
        Cause.COLLECTIVE_FAULT,
        r"NCCL error|nccl(Unhandled|System|Internal|Remote|InvalidUsage)\w*Error|NCCL WARN .*([Ff]ail|[Ee]rror)",
        r"[Ww]atchdog caught collective operation timeout|ProcessGroupNCCL.*(timeout|exception)",
        r"torch\.distributed\.Dist(Backend|Network|Store)Error|c10::DistBackendError",
        hint="look at the links between the GPUs (`nvidia-smi topo -m`) and at /dev/shm",
        weight=Weight.PEER,
    ),
    # ---- a child is gone
    _rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"scheduler died during initialization \(exit code: -9\)",
        hint=_HOST_HINT,
        weight=Weight.DEATH,
    ),
    _rule(
        Cause.KILLED,
        r"Subprocess \S+ .*crashed with exit code -9\b",
        hint="something killed a process of its tree: `journalctl -k -g oom` tells whether the kernel did",
        weight=Weight.DEATH,
    ),
    _rule(
        Cause.KILLED,
        r"exit code:? -15\b",
        r"^SIGTERM received",
        hint="something other than qvl sent SIGTERM: look for a script or a service that ends SGLang by its name",
        weight=Weight.DEATH,
    ),
    # ---- something failed
    _rule(Cause.ENGINE_CRASH, r"^\[torch_memory_saver\.cpp\] Cannot ", weight=Weight.DEATH),
    _rule(
        Cause.ENGINE_CRASH,
        r"(Scheduler|DetokenizerManager|TokenizerManager|DataParallelController) hit an exception",
        r"Subprocess .* crashed with exit code|scheduler died during initialization",
        r"memory leak detected!|Initialization failed\. warmup error|Received sigquit from a child",
        r"^Fatal Python error|[Ss]egmentation fault|^terminate called after throwing",
        r"EngineCore (failed to start|encountered a fatal error|hit an exception)|EngineDeadError",
        r"Engine core initialization failed|WorkerProc failed to start",
        weight=Weight.CRASH,
    ),
    _rule(
        Cause.KILLED,
        # A child that fails says so before it sends SIGQUIT; alone it came from outside.
        r"SIGQUIT received",
        hint="something other than qvl sent SIGQUIT to the engine",
        weight=Weight.SIGNAL,
    ),
)

BEFORE_READY = frozenset({Cause.BAD_ARGUMENTS, Cause.ENVIRONMENT, Cause.MODEL_MISSING, Cause.PORT_IN_USE})
"""What an engine that got ready had: words of these come from a request then."""

ASIDES = frozenset(
    {
        Cause.PORT_IN_USE,
        Cause.SHM_FULL,
        Cause.DISK_FULL,
        Cause.OUT_OF_GPU_MEMORY,
        Cause.OUT_OF_HOST_MEMORY,
        Cause.GPU_FAULT,
        Cause.COLLECTIVE_FAULT,
        Cause.HANG,
    }
)
"""Causes that a library may name some lines before the exception that ends the engine. The others are exceptions of
Python, and one that the engine survived is none of its end."""
