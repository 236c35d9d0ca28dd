"""Which flags the *installed* SGLang has, known in milliseconds and without importing it.

SGLang's flags change with each release: 254 spellings in 0.5.3, 547 in 0.5.23, dozens renamed or removed on the way.
A profile with a flag that the installed version lacks would end as exit 2 of a worker that had to be stopped for it. So
an edit is checked before anything is touched, against the declarations in the source of the very package that would
run. SGLang's own `--help` is no help there: it imports torch and takes seconds.

    installed   where an interpreter's SGLang is, from the file system
    source      its flags, from the syntax tree of its sources
    load        both of them, cached in a file
    table       the result, and the names that mean one flag
    check       the arguments of a profile against it, with `retired` for flags of the past

Nothing here builds a command line, and nothing executes a line of SGLang.
"""

from qvl.engines.sglang_flags.check import ArgFault, check_args
from qvl.engines.sglang_flags.installed import Installed, SglangNotFound, locate
from qvl.engines.sglang_flags.load import load_flags
from qvl.engines.sglang_flags.source import read_flags
from qvl.engines.sglang_flags.table import PLACEMENT_ALIASES, Flag, FlagTable, canonical

__all__ = [
    "PLACEMENT_ALIASES",
    "ArgFault",
    "Flag",
    "FlagTable",
    "Installed",
    "SglangNotFound",
    "canonical",
    "check_args",
    "load_flags",
    "locate",
    "read_flags",
]
