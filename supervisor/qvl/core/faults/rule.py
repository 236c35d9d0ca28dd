"""The form of a row: which words speak for which cause, and how surely."""

import re
from enum import IntEnum

import msgspec

from qvl.model.worker import Cause


class Weight(IntEnum):
    """How sure a row is that it names the root and not what followed from it."""

    ROOT = 0
    LACK = 1
    """Something is not installed or not to be had: a reason where it ended the process, none where the next exception
    came while it was handled, since a program tries one thing and takes another."""
    FIRST = 2
    """A reason, or what one process says because another has failed: the one that was said first is the root."""
    WARNING = 3
    """A library complains, and nothing that fails says more."""
    CRASH = 4
    """Something failed; its traceback says more."""
    SIGNAL = 5
    """Only worth anything where nothing else was said."""


class Rule(msgspec.Struct, frozen=True):
    """A line in which `pattern` is found speaks for `cause`. Of several rows that fit a line, the first counts. Named
    groups of the pattern fill the hint."""

    cause: Cause
    pattern: re.Pattern[str]
    hint: str | None = None
    weight: Weight = Weight.ROOT
    frames: re.Pattern[str] | None = None
    """Must be found in the traceback that ends in the line: its files, functions and code."""
    aside: bool = False
    """Said some lines before the end that follows from it, and not by the exception that ends the engine."""


def rule(
    cause: Cause,
    *patterns: str,
    hint: str | None = None,
    weight: Weight = Weight.ROOT,
    frames: str = "",
    aside: bool | None = None,
) -> Rule:
    within = re.compile(frames, re.DOTALL) if frames else None
    return Rule(
        cause, re.compile("|".join(patterns)), hint, weight, within, cause in ASIDES if aside is None else aside
    )


ERROR = r"^(?:\w+\.)*(?:\w*Error|Exception): "
"""How a line begins in which a traceback ends: the words behind it are the engine's own, not those of a note."""

ASIDES = frozenset(
    {
        Cause.PORT_IN_USE,
        Cause.SHM_FULL,
        Cause.DISK_FULL,
        Cause.OUT_OF_GPU_MEMORY,
        Cause.OUT_OF_HOST_MEMORY,
        Cause.GPU_FAULT,
        Cause.COLLECTIVE_FAULT,
        Cause.HANG,
    }
)
"""Causes that a library may name some lines before the exception that ends the engine. The others are exceptions of
Python, and one that the engine survived is none of its end."""
