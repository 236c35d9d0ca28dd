"""Stands in for triton (1 GB, of no use without a GPU), so that SGLang's modules with kernels in them can be imported.

SGLang 0.5.18 has such a mock itself, for macOS, and installs it there alone. This puts the same pieces in place on
Linux: a module whose every attribute is a further mock, a finder that answers `import triton.anything`, and the few
names that have to be real because code computes with them, or tests instances against them, while it is imported.
"""

import sys

from sglang._platform_stubs import _cdiv, _Config, _make_mock, _next_power_of_2, _TritonFinder


class _Constexpr:
    def __init__(self, value: object = None) -> None:
        self.value = value


class _JITFunction:
    pass


# The mock takes this module's own place: what has imported `triton` gets the entry of sys.modules, not this namespace.
del sys.modules["triton"]
sys.meta_path.insert(0, _TritonFinder())
triton = _make_mock("triton")
triton.__version__ = "3.0.0"
triton.cdiv = _cdiv
triton.next_power_of_2 = _next_power_of_2
triton.Config = _Config
triton.language = _make_mock("triton.language")
triton.language.constexpr = _Constexpr
triton.runtime = _make_mock("triton.runtime")
triton.runtime.jit = _make_mock("triton.runtime.jit")
triton.runtime.jit.JITFunction = _JITFunction
