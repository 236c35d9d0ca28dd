"""The flags of the installed SGLang: 0.4.9 to 0.5.23 have been read. See `qvl.engines.flags`.

source    its flags, from the syntax tree of its sources
retired   flags of the past, and what to write instead
"""

from pathlib import Path

from qvl.engines.flags import FlagTable, Installed
from qvl.engines.flags.cache import cached_flags
from qvl.engines.flags.installed import SGLANG, find, locate
from qvl.engines.sglang_flags.source import read_flags, sources, table_of

__all__ = ["load_flags", "locate_sglang", "read_flags"]


def locate_sglang(python: Path) -> Installed | None:
    """Where it is installed; None where `load_flags` would say why it is not to be found."""
    return locate(SGLANG, python)


def load_flags(python: Path, cache_dir: Path | None) -> FlagTable:
    """The flags of the SGLang that `python` would run; `cache_dir` is made where it is missing.

    Raises EngineNotFound. Takes about 2 ms with a cache and 0.1 s without; more where the interpreter has to be run.
    """
    installed = find(SGLANG, python)
    return cached_flags(installed, cache_dir, sources(installed.package), read_flags, table_of)
