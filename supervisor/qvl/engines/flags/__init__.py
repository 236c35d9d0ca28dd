"""Which flags the *installed* engine has, known in milliseconds and without importing it.

The flags of engines change with each release: SGLang had 254 spellings in 0.5.3 and has 547 in 0.5.23, with dozens
renamed or removed on the way. A profile with a flag that the installed version lacks would end as exit 2 of a worker
that had to be stopped for it. So an edit is checked before anything is touched, against the declarations in the source
of the very package that would run. The engines' own `--help` is no help there: it imports torch and takes seconds.

    installed   where an interpreter's engine is, from the file system
    declared    what one declaration of a flag says, from its syntax tree
    cache       the flags that were read, in a file
    table       the result, and the names that mean one flag
    check       the arguments of a profile against it

`qvl.engines.sglang_flags` and `qvl.engines.vllm_flags` know where each engine declares its flags, and how. Nothing here
builds a command line, and nothing executes a line of an engine.
"""

from qvl.engines.flags.check import ArgFault, check_args
from qvl.engines.flags.installed import EngineNotFound, Installed
from qvl.engines.flags.table import Flag, FlagTable, Retired, canonical

__all__ = [
    "ArgFault",
    "EngineNotFound",
    "Flag",
    "FlagTable",
    "Installed",
    "Retired",
    "canonical",
    "check_args",
]
