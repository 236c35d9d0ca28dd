"""The flags that decide how many cards a worker takes, by every name that people write."""

from collections.abc import Mapping
from typing import Final

PLACEMENT_ALIASES: Final[Mapping[str, str]] = {
    alias: flag
    for flag, aliases in {
        "tp-size": ("tp", "tensor-parallel-size"),
        "dp-size": ("dp", "data-parallel-size"),
        "pp-size": ("pp", "pipeline-parallel-size"),
        "ep-size": ("ep", "expert-parallel-size"),
    }.items()
    for alias in (flag, *aliases)
}
"""Every spelling, with the one name that stands for it.

Kept apart from what an installation declares, because GPUs are placed where no engine is installed too. The short forms
are abbreviations to SGLang (`ep` alone is declared) and unknown to vLLM; people write them all the same, so they are
names here, and a driver writes what its engine knows.
"""
