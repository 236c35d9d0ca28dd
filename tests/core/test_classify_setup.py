"""A wrong install: of the engine, of what it needs, of the driver."""

import pytest
from qvl.core.faults.setup import BEFORE_READY
from qvl.model.worker import Cause

from tests.core.spoken import End, check, found, in_main, serving, starting

ENV = Cause.ENVIRONMENT
RESOLVING = (
    '  File "sglang/srt/server_args.py", line 4495, in prepare_server_args',
    '  File "sglang/srt/server_args.py", line 4033, in from_cli_args',
)
UNCARRIED = (
    "torch/cuda/__init__.py:182: UserWarning: CUDA initialization: {} (Triggered internally at "
    "/pytorch/c10/cuda/CUDAFunctions.cpp:119.)"
)

ENDS = [
    End(
        "a library of CUDA that is not there",  # sglang 5094, 10951, 16052
        in_main(*RESOLVING, "ImportError: libnvrtc.so.12: cannot open shared object file: No such file or directory"),
        ENV,
        "libnvrtc.so.12",
        code=1,
    ),
    End(
        "kernels of another architecture",  # sglang 29646
        in_main(
            "ImportError:",
            "[sgl_kernel] CRITICAL: Could not load any common_ops library!",
            "Attempted locations:",
            "1. Architecture-specific pattern: /opt/venv/sgl_kernel/sm100/common_ops.* - found files: []",
        ),
        ENV,
        "",
        code=1,
    ),
    End(
        "another torch",  # sglang 7033
        in_main("ImportError: /opt/venv/sgl_kernel/common_ops.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEab"),
        ENV,
        "undefined symbol",
        "reinstall it into a new environment",
        code=1,
    ),
    End(
        "parts of different versions, as SGLang finds them",  # flashinfer 788
        in_main(
            "Exception: flashinfer_python is installed with version 0.2.3, which is less than the minimum required "
            "version 0.3.1. Please uninstall the old version and reinstall the latest version by following the "
            "instructions at https://docs.flashinfer.ai/installation.html."
        ),
        ENV,
        "less than the minimum required version",
        code=1,
    ),
    End(
        "a part that is not installed at all",
        in_main(
            "importlib.metadata.PackageNotFoundError: No package metadata was found for flashinfer_python",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            '  File "sglang/srt/utils.py", line 821, in assert_pkg_version',
            "Exception: flashinfer_python with minimum required version 0.2.6 is not installed. Please uninstall",
        ),
        ENV,
        "is not installed",
        code=1,
    ),
    End(
        "an operator that the kernels lack",
        starting("AttributeError: '_OpNamespace' 'sgl_kernel' object has no attribute 'fp8_blockwise_scaled_mm'"),
        ENV,
        "_OpNamespace",
    ),
    End(
        "a card that the wheel has no kernels for",  # MEDS_EIC_AR 163
        starting(
            "RuntimeError: RMSNorm failed with error code no kernel image is available for execution on the device"
        ),
        ENV,
        "no kernel image",
        "no code for this",
    ),
    End(
        "a compiler that doesn't know the card",
        starting(
            "RuntimeError: Ninja build failed. Ninja output:", "nvcc fatal   : Unsupported gpu architecture 'comp"
        ),
        ENV,
        "Unsupported gpu architecture",
    ),
    End(
        "no nvcc",  # flashinfer 1781, 1919; sglang 10891
        starting("FileNotFoundError: [Errno 2] No such file or directory: 'nvcc'"),
        ENV,
        "'nvcc'",
        "compiles kernels on this host",
    ),
    End(
        "a header that the compiler doesn't find",  # sglang 5389, flashinfer 4410
        starting(
            "subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.",
            "The above exception was the direct cause of the following exception:",
            "Traceback (most recent call last):",
            '  File "torch/utils/cpp_extension.py", line 2120, in _run_ninja_build',
            "RuntimeError: Error building extension 'batch_decode': [1/4] nvcc --generate-dependencies-with-compile",
            "flashinfer/include/vec_dtypes.cuh:22:10: fatal error: cuda_fp8.h: No such file or directory",
            "ninja: build stopped: subcommand failed.",
        ),
        ENV,
        "ninja",
        "compiles kernels on this host",
    ),
    End(
        "a driver that is too old, told by a warning",  # sglang 11395
        [
            UNCARRIED.format("The NVIDIA driver on your system is too old (found version 12040)."),
            *in_main(*RESOLVING, "RuntimeError: No accelerator (CUDA, XPU, HPU, NPU, MUSA, MPS) is available."),
        ],
        ENV,
        "too old",
        "driver",
        code=1,
    ),
    End(
        "a driver that was updated under a running machine",  # llm-d 706
        in_main(
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
            "NumCudaDevices() that might have already set an error? Error 803: system has unsupported display driver / "
            "cuda driver combination"
        ),
        ENV,
        "Error 803",
        "driver",
        code=1,
    ),
    End(
        "PTX of a newer toolkit",
        starting("RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain."),
        ENV,
        "PTX",
        "driver",
    ),
    End(
        "transformers too old for the model",  # sglang 18819, 30002
        in_main(
            '  File "transformers/models/auto/configuration_auto.py", line 1034, in from_pretrained',
            "KeyError: 'ministral3'",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            '  File "transformers/models/auto/configuration_auto.py", line 1036, in from_pretrained',
            "ValueError: The checkpoint you are trying to load has model type `ministral3` but Transformers does not "
            "recognize this architecture. This could be because of an issue with the checkpoint, or because your "
            "version of Transformers is out of date.",
        ),
        ENV,
        "ministral3",
        "transformers doesn't know",
        code=1,
    ),
    End(
        "the same in the words of older ones",  # sglang 6732
        in_main(
            '  File "transformers/models/auto/configuration_auto.py", line 710, in __getitem__',
            "    raise KeyError(key)",
            "KeyError: 'llava_qwen'",
        ),
        ENV,
        "llava_qwen",
        code=1,
    ),
    End(
        "a module that is not there",
        in_main(
            "RuntimeError: Failed to import transformers.models.qwen3_vl.modeling_qwen3_vl because of the following "
            "error (look up to see its traceback):",
            "No module named 'torchvision'",
        ),
        ENV,
        "Failed to import transformers",
        code=1,
    ),
    End(
        "a container without GPUs",
        ['docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].'],
        ENV,
        "could not select device driver",
        code=125,
    ),
    End(
        "a cache that it may not write",
        in_main("PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface/hub'"),
        ENV,
        "Permission denied",
        code=1,
    ),
]


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_a_wrong_install(end: End) -> None:
    check(end)


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_an_engine_that_served_had_all_of_it(end: End) -> None:
    """Whatever ends it later, it is started again: that a request met a gap is no reason to stay down."""
    words = next((line for line in reversed(end.log) if not line.startswith("[")), end.log[-1])
    assert found(End("", serving(words), end.cause, "", was_ready=True)).cause not in BEFORE_READY


def test_what_was_tried_and_done_without_is_no_reason() -> None:
    """An import that failed, and while that was handled something else did."""
    log = starting(
        "ModuleNotFoundError: No module named 'flash_attn_3'",
        "During handling of the above exception, another exception occurred:",
        "Traceback (most recent call last):",
        '  File "sglang/srt/layers/attention/vision.py", line 12, in __init__',
        "AttributeError: 'NoneType' object has no attribute 'shape'",
    )
    check(End("", log, Cause.ENGINE_CRASH, "AttributeError: 'NoneType'"))


def test_a_lost_fallback_gives_way_to_what_ended_it() -> None:
    log = starting(
        "ImportError: cannot import name 'x' from 'flashinfer'",
        "During handling of the above exception, another exception occurred:",
        "Traceback (most recent call last):",
        '  File "sglang/srt/layers/moe.py", line 12, in forward',
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    )
    check(End("", log, Cause.OUT_OF_GPU_MEMORY, "CUDA out of memory"))
