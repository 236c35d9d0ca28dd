"""How SGLang ends when a start goes wrong: its last words and its exit, a row for each cause.

The sentences are those of sglang 0.5.17 and 0.5.18, torch and NCCL; tracebacks are cut to what a reader looks for.
"""

from typing import NamedTuple

_ROOT = "/usr/lib/python3/site-packages/sglang/srt"


class Failure(NamedTuple):
    step: str
    """The step of the start in which it happens; `arguments` is before the first one."""
    lines: tuple[str, ...]
    """What is logged; a line that begins with a space or `!` has no time stamp (the `!` is not written)."""
    code: int
    """The exit code; negative: killed by that signal."""
    child: int = 0
    """The signal that kills the scheduler before the engine itself ends."""


def _traceback(file: str, line: int, function: str, error: str) -> tuple[str, ...]:
    return ("!Traceback (most recent call last):", f'  File "{_ROOT}/{file}", line {line}, in {function}', f"!{error}")


def _exception(file: str, line: int, function: str, error: str) -> tuple[str, ...]:
    """An exception in the scheduler."""
    return (
        "Scheduler hit an exception: Traceback (most recent call last):",
        f'  File "{_ROOT}/managers/scheduler.py", line 4947, in run_scheduler_process',
        f'  File "{_ROOT}/{file}", line {line}, in {function}',
        f"!{error}",
        "!",
    )


def _scheduler(file: str, line: int, function: str, error: str) -> tuple[str, ...]:
    """An exception in the scheduler while the engine starts: the parent gets SIGQUIT and kills the whole tree."""
    return (
        *_exception(file, line, function, error),
        "Received sigquit from a child process. It usually means the child failed.",
        "kill_process_tree called: parent_pid={pid}, include_parent=True, pid={pid}",
    )


def _died(code: int) -> tuple[str, ...]:
    """The scheduler vanished without a word while the engine starts."""
    return _traceback(
        "entrypoints/engine.py",
        1412,
        "_wait_for_scheduler_ready",
        f"RuntimeError: Rank 0 scheduler died during initialization (exit code: {code}). "
        "If exit code is -9 (SIGKILL), a common cause is the OS OOM killer. Run `dmesg -T | grep -i oom` to check.",
    )


def adapter_failure(error: str) -> Failure:
    """An adapter of the command line that can't be loaded."""
    return Failure(
        "weights", _scheduler("lora/lora_manager.py", 611, "init_lora_adapters", f"RuntimeError: {error}"), -9
    )


FAILURES: dict[str, Failure] = {
    "bad-arguments": Failure("arguments", ("!sglang serve: error: unrecognized arguments: --no-such-flag 1",), 2),
    "model-missing": Failure(
        "arguments",
        _traceback(
            "utils/hf_transformers/config.py",
            86,
            "parse",
            "OSError: {model} is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'",
        ),
        1,
    ),
    "environment": Failure(
        "arguments",
        _traceback(
            "utils/common.py",
            1188,
            "assert_pkg_version",
            "Exception: sgl-kernel is installed with version 0.3.9, which is less than the minimum required version "
            "0.4.1. Please reinstall the latest version with `pip install sgl-kernel --force-reinstall`",
        ),
        1,
    ),
    "collective-fault": Failure(
        "import",
        _scheduler(
            "distributed/device_communicators/pynccl.py",
            104,
            "__init__",
            "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
        ),
        -9,
    ),
    "shm-full": Failure("import", ("!Fatal Python error: Bus error", "!", *_died(-7)), 1, child=7),
    "out-of-host-memory": Failure("weights", _died(-9), 1, child=9),
    "disk-full": Failure(
        "weights",
        _scheduler(
            "model_loader/weight_utils.py",
            412,
            "download_weights_from_hf",
            "OSError: [Errno 28] No space left on device",
        ),
        -9,
    ),
    "out-of-gpu-memory": Failure(
        "kv-cache",
        _scheduler(
            "mem_cache/memory_pool.py",
            2092,
            "_create_buffers_normal",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 856.00 MiB. GPU 0 has a total capacity of "
            "79.18 GiB of which 633.81 MiB is free. Process {pid} has 1.51 GiB memory in use.",
        ),
        -9,
    ),
    "gpu-fault": Failure(
        "graphs",
        _scheduler(
            "model_executor/runner/cuda_graph_runner.py",
            866,
            "capture_one_batch_size",
            "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        ),
        -9,
    ),
    "engine-crash": Failure(
        "warm-up",
        _scheduler(
            "managers/scheduler_components/batch_result_processor.py",
            217,
            "process_batch_result_decode",
            "AttributeError: 'NoneType' object has no attribute 'next_token_ids'",
        ),
        -9,
    ),
    "killed": Failure("weights", (), -9),
    "exited": Failure("weights", (), 0),
    "unknown": Failure("weights", (), 1),
}
"""By cause. `port-in-use`, `hang` and `start-stalled` are states, not last words: the server plays them itself."""

MISUSE: dict[str, tuple[str, ...]] = {
    "release-busy": _exception(
        "managers/scheduler_components/weight_updater.py",
        190,
        "release_memory_occupation",
        "AssertionError: release_memory_occupation should be called only when server is idle.",
    ),
    "release-twice": (
        "![torch_memory_saver.cpp] Cannot pause allocation that is not active. tag=kv_cache ptr=13329498112 "
        "file=csrc/core.cpp func=pause line=185",
        "Subprocess scheduler_0 (pid={child}) crashed with exit code 1. Triggering SIGQUIT for cleanup...",
    ),
    "resume-first": _exception(
        "managers/scheduler_components/weight_updater.py", 255, "resume_memory_occupation", "KeyError: 'kv_cache'"
    ),
    "resume-occupied": (
        "![torch_memory_saver.cpp] CUresult error: 2 (out of memory) file=csrc/core.cpp func=resume line=225",
        "Subprocess scheduler_0 (pid={child}) crashed with exit code 1. Triggering SIGQUIT for cleanup...",
    ),
    "used-while-parked": _exception(
        "mem_cache/allocation.py",
        75,
        "write_cache_indices",
        "ValueError: Pointer argument (at 0) cannot be accessed from Triton (cpu tensor?)",
    ),
}
"""What a running engine says when its memory is released or resumed at the wrong time; each ends it."""


def written(lines: tuple[str, ...], **values: object) -> list[tuple[bool, str]]:
    """The lines with their values in them, each with whether it gets a time stamp."""
    filled = [(line, line.format(**values) if "{" in line else line) for line in lines]
    return [(not line.startswith(("!", " ")), text.removeprefix("!")) for line, text in filled]
