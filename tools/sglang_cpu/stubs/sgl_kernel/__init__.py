"""Stands in for `sglang-kernel`, whose wheels hold CUDA code only, so that SGLang can be imported without a GPU.

SGLang imports names from here while its modules load, and calls none of them when it serves on a CPU by torch's own
operators. So any name can be imported, and a call says which operator was wanted. It computes nothing, and must never
be put beside the real package.
"""

from collections.abc import Callable
from typing import NoReturn

import torch

__version__ = "0+qvl.cpu"


def _absent(name: str) -> Callable[..., NoReturn]:
    def operator(*_args: object, **_kwargs: object) -> NoReturn:
        raise NotImplementedError(f"{name} is an operator of sglang-kernel, which is not installed")

    operator.__name__ = name
    return operator


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):  # the import system probes for __path__ and others, and must not be given an operator
        raise AttributeError(name)
    return _absent(name)


class _Operators:
    """What `torch.ops.sgl_kernel` is.

    SGLang binds the `*_cpu` operators when its modules load. Whether it takes its AMX path it tells by whether
    `convert_weight_packed` is there: it must not be.
    """

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.endswith("_cpu"):
            return _absent(name)
        raise AttributeError(name)


torch.ops.sgl_kernel = _Operators()
