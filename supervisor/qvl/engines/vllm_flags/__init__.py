"""The flags of the installed vLLM: 0.8.5 to 0.32.0 have been read. See `qvl.engines.flags`.

source    its flags, from the syntax tree of its sources
retired   flags of the past, and what to write instead
"""

from pathlib import Path

from qvl.engines.flags import FlagTable, Installed
from qvl.engines.flags.cache import cached_flags
from qvl.engines.flags.installed import VLLM, find, locate
from qvl.engines.vllm_flags.source import read_flags, sources, table_of

__all__ = ["load_flags", "locate_vllm", "read_flags"]


def locate_vllm(python: Path) -> Installed | None:
    """Where it is installed; None where `load_flags` would say why it is not to be found."""
    return locate(VLLM, python)


def load_flags(python: Path, cache_dir: Path | None) -> FlagTable:
    """The flags of the vLLM that `python` would run; `cache_dir` is made where it is missing.

    Raises EngineNotFound. Takes about 2 ms with a cache and 0.1 s without; more where the interpreter has to be run.
    """
    installed = find(VLLM, python)
    return cached_flags(installed, cache_dir, sources(installed.package), read_flags, table_of)
