"""Flags as data, and which names mean the same flag.

Names are as profiles write them: hyphenated, without the leading dashes.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qvl.model.aliases import PLACEMENT_ALIASES

_TITLES = {"sglang": "SGLang", "vllm": "vLLM"}


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    """The one name that stands for it: the first that the source gives, or that of `PLACEMENT_ALIASES`."""
    spellings: tuple[str, ...]
    """Every declared name, in the order of the source."""
    choices: tuple[str, ...] | None = None
    """Values that the source lists. None: any, or a list that only running code could tell."""
    takes_value: bool | None = True
    """None: it may stand bare or take a value, or the source doesn't tell."""
    repeated: bool = False
    """Takes a list of values."""
    boolean_optional: bool = False
    """Has a negation, `--no-NAME`; so false is something to say, and not the same as leaving it out."""
    replaced_by: str = ""
    """What the source says to use instead of this deprecated flag, as it puts it (`--attn-dp-size <dp-size>`)."""
    refused: str = ""
    """What the engine says when it ends because of this flag, which it only declares to say so."""


@dataclass(frozen=True, slots=True)
class Retired:
    """A flag that older versions had."""

    last: str
    """The last version that declared it."""
    instead: str
    """What to write, as the end of the sentence "use ..."; empty where there is nothing to put in its place."""


@dataclass(frozen=True, slots=True)
class FlagTable:
    version: str
    flags: Mapping[str, Flag]
    """By every spelling."""
    engine: str = "sglang"
    """What messages call it: the name of its package."""
    retired: Mapping[str, Retired] = field(default_factory=dict)
    """Flags of other versions, for the hint of a refusal."""
    dotted: bool = False
    """`NAME.KEY` sets one key of the JSON that the flag NAME takes."""
    plugins: bool = True
    """Whether plugins add flags, which then go into raw_args."""

    @classmethod
    def of(
        cls,
        version: str,
        flags: Iterable[Flag],
        *,
        engine: str = "sglang",
        retired: Mapping[str, Retired] | None = None,
        dotted: bool = False,
        plugins: bool = True,
    ) -> "FlagTable":
        by_spelling = {spelling: flag for flag in flags for spelling in flag.spellings}
        return cls(version, by_spelling, engine, retired or {}, dotted, plugins)

    @property
    def title(self) -> str:
        """How people write its name."""
        return _TITLES.get(self.engine, self.engine)

    def find(self, spelling: str) -> Flag | None:
        return self.flags.get(spelling)

    def nearest(self, spelling: str, likeness: float = 0.6) -> str | None:
        """The spelling that was perhaps meant; None where none is as like as that (0-1)."""
        return next(iter(difflib.get_close_matches(spelling, self.flags, n=1, cutoff=likeness)), None)

    def prefix_matches(self, spelling: str) -> list[str]:
        """What argparse would take `spelling` for an abbreviation of, in order of the alphabet."""
        return sorted(declared for declared in self.flags if declared.startswith(spelling) and declared != spelling)


def canonical(table: FlagTable | None, name: str) -> str:
    """The one name for the flag that `name` spells. An unknown name is its own; so is an alias where `table` is None.

    Flags that matter for placement have the same name with and without a table.
    """
    if name in PLACEMENT_ALIASES:
        return PLACEMENT_ALIASES[name]
    flag = table.find(name) if table is not None else None
    return flag.name if flag is not None else name
