"""Why a process tree ended: from its exit and the last of its log to a cause, the line that proves it, and a hint.

The exit alone says little: SGLang kills itself (-9) after any crash and, up to 0.5.18, after a clean stop too; vLLM's
engine death exits 0. The log decides, then the exit. Texts: SGLang 0.4.9 to 0.5.23 and the libraries below it.
"""

import re
from collections.abc import Sequence

import msgspec

from qvl.core.landmarks import without_prefix
from qvl.model.worker import Cause


class Rule(msgspec.Struct, frozen=True):
    """A line that matches `pattern` speaks for `cause`. The first rule of the table that matches any line wins."""

    cause: Cause
    pattern: str
    hint: str | None = None


class Finding(msgspec.Struct, frozen=True):
    cause: Cause
    evidence: str | None = None
    hint: str | None = None


RULES: tuple[Rule, ...] = (
    Rule(
        Cause.BAD_ARGUMENTS,
        r"error: (unrecognized arguments|ambiguous option|argument |the following arguments are required)"
        r"|Unsupported config option|^ValueError: .*(architectures? .* not supported)"
        r"|Model architectures .* (not supported|failed)",
        "mend the profile's args: `qvlctl check` names flags that the installed engine does not have",
    ),
    Rule(
        Cause.ENVIRONMENT,
        r"You need to reinstall|Please reinstall the latest version with|^(ModuleNotFoundError|ImportError): "
        r"|No module named |CUDA driver version is insufficient|libcuda\.so.*cannot open",
        "mend the engine's environment, then `qvlctl start`",
    ),
    Rule(
        Cause.PORT_IN_USE,
        r"[Aa]ddress already in use|Errno 98|port \d+ is (already in use|not available)"
        r"|is not available in \d+ seconds",
        "free the port, or give the pool another",
    ),
    Rule(
        Cause.SHM_FULL,
        r"[Bb]us error|SIGBUS|exit code: -7\b|No space left on device.*(/dev/shm|shm)|/dev/shm.*No space left",
        "make room in /dev/shm (`df /dev/shm`), or give it more",
    ),
    Rule(Cause.DISK_FULL, r"No space left on device|Errno 28|Disk quota exceeded", "make room on the disk"),
    Rule(
        Cause.OUT_OF_GPU_MEMORY,
        r"CUDA out of memory|OutOfMemoryError|out of memory\. Tried to allocate"
        r"|Not enough memory\. Please try to increase --mem-fraction-static"
        r"|Loaded weights leave no GPU memory for the KV cache|memory capacity is unbalanced"
        r"|Capture cuda graph failed: .*memory|cudaErrorMemoryAllocation",
        "lower mem-fraction-static or the context, or free the GPU",
    ),
    Rule(
        Cause.OUT_OF_HOST_MEMORY,
        r"exit code: -9\)|Cannot allocate memory|^MemoryError|Errno 12\b|oom-kill|Out of memory: Killed process",
        "give the host more memory, or the worker less",
    ),
    Rule(
        Cause.COLLECTIVE_FAULT,
        r"NCCL error|ncclUnhandled|ncclSystemError|ncclInternalError|ncclRemoteError|NCCL WARN.*(fail|error)"
        r"|ProcessGroupNCCL.*(timeout|exception)",
        "look at the link between the GPUs (`nvidia-smi topo -m`) and /dev/shm",
    ),
    Rule(
        Cause.GPU_FAULT,
        r"CUDA error: |illegal memory access|device-side assert|\bXid\b|uncorrectable ECC|GPU is lost"
        r"|CUDA_ERROR_(ECC|HARDWARE|LAUNCH|ILLEGAL)|No CUDA GPUs are available|unspecified launch failure",
        "look at `nvidia-smi -q` and the kernel's log for this GPU",
    ),
    Rule(
        Cause.MODEL_MISSING,
        r"RepositoryNotFound|GatedRepo|LocalEntryNotFound|OSError: .*(does not appear to have|is not a local folder"
        r"|not a valid model identifier|Can't load)|Unrecognized model in|^HFValidationError|Repo id must be"
        r"|FileNotFoundError: .*(config\.json|safetensors|model|[Nn]o such file)|Cannot find any model weights",
        "check the profile's model: its path, or its name on the hub and HF_HOME",
    ),
    Rule(Cause.HANG, r"[Ww]atchdog timeout"),
    Rule(
        Cause.ENGINE_CRASH,
        r"(Scheduler|DetokenizerManager|TokenizerManager) hit an exception|Subprocess .* crashed with exit code"
        r"|scheduler died during initialization|Received sigquit from a child|SIGQUIT received"
        r"|memory leak detected!|Initialization failed\. warmup error|^Fatal Python error|Segmentation fault",
    ),
)

_COMPILED = tuple((rule, re.compile(rule.pattern)) for rule in RULES)
_NOISE = re.compile(r"Ignore import error|UserWarning|DeprecationWarning|FutureWarning|nanobind: leaked")
_EVIDENCE_LENGTH = 300


def classify(code: int | None, signal: int | None, lines: Sequence[str], *, was_ready: bool) -> Finding:
    """The cause of an end that was not asked for. `lines`: the last of this run's log, oldest first."""
    messages = [message for line in lines if (message := without_prefix(line).strip()) and not _NOISE.search(message)]
    for rule, pattern in _COMPILED:
        if was_ready and rule.cause in (Cause.BAD_ARGUMENTS, Cause.ENVIRONMENT, Cause.MODEL_MISSING):
            continue  # it had everything it needed: such words come from a request
        for message in reversed(messages):
            if pattern.search(message):
                return Finding(rule.cause, message[:_EVIDENCE_LENGTH], rule.hint)
    return _by_exit(code, signal, messages)


def _by_exit(code: int | None, signal: int | None, messages: Sequence[str]) -> Finding:
    last = messages[-1][:_EVIDENCE_LENGTH] if messages else None
    if signal == 9:
        return Finding(Cause.KILLED, "killed by signal 9", "look for the OOM killer in the kernel's log")
    if signal in (4, 6, 7, 8, 11):
        return Finding(Cause.ENGINE_CRASH, last or f"killed by signal {signal}")
    if signal is not None:
        return Finding(Cause.KILLED, f"killed by signal {signal}")
    if code == 2 and last is not None and "error:" in last:
        return Finding(Cause.BAD_ARGUMENTS, last, RULES[0].hint)
    if code == 0:
        return Finding(Cause.EXITED, "exited with 0 though nobody asked it to")
    traceback = next((m for m in reversed(messages) if re.match(r"^[\w.]*(Error|Exception)\b", m)), None)
    if traceback is not None:
        return Finding(Cause.ENGINE_CRASH, traceback[:_EVIDENCE_LENGTH])
    return Finding(Cause.UNKNOWN, f"exited with {code}" + (f": {last}" if last else ""))
