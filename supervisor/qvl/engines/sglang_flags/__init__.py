"""The flags of the installed SGLang: 0.4.9 to 0.5.23 have been read. See `qvl.engines.flags`.

source    its flags, from the syntax tree of its sources
retired   flags of the past, and what to write instead
"""

from pathlib import Path

from qvl.engines.flags import FlagTable, Installed
from qvl.engines.flags.cache import cached_flags
from qvl.engines.flags.installed import SGLANG, find, locate
from qvl.engines.sglang_flags.source import read_flags, sources, table_of

__all__ = ["find_sglang", "load_flags", "locate_sglang", "read_flags"]


def find_sglang(python: Path) -> Installed:
    """Raises EngineNotFound. May block for seconds, where the interpreter has to be run."""
    return find(SGLANG, python)


def locate_sglang(python: Path) -> Installed | None:
    """`find_sglang`, for whom the reason doesn't matter."""
    return locate(SGLANG, python)


def load_flags(python: Path, cache_dir: Path | None) -> FlagTable:
    """The flags of the SGLang that `python` would run; `cache_dir` is made where it is missing.

    Raises EngineNotFound. Takes about 2 ms with a cache and 0.1 s without; more where the interpreter has to be run.
    """
    installed = find_sglang(python)
    return cached_flags(installed, cache_dir, sources(installed.package), read_flags, table_of)
