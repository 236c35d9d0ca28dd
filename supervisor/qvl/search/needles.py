"""What bytes a line must hold if a regular expression is to match it: those are found at the speed of memory.

It understands little of a pattern and says None where it doesn't. It refuses to guess: a needle that a matching line
may lack would lose lines.
"""

import re
from typing import NamedTuple

_CLASSES = "dDwWsSbBAZ"
_COUNT = re.compile(r"\{\d*,?\d*\}")


def needles(pattern: str, *, ignore_case: bool) -> tuple[bytes, ...] | None:
    """Every line that matches holds one of these (in lower case, for `ignore_case`); None where nothing is sure."""
    found = _sure(pattern, ignore_case)
    return None if found is None else tuple(dict.fromkeys(word.encode(errors="surrogateescape") for word in found))


def _sure(pattern: str, ignore_case: bool) -> tuple[str, ...] | None:
    found: list[str] = []
    for branch in _alternatives(pattern) or [[]]:
        choices: list[tuple[str, ...]] = []
        for part in branch:
            if isinstance(part, Group):
                inner = _sure(part.pattern, ignore_case)
                if inner is not None:
                    choices.append(inner)
            elif ignore_case:
                # bytes.lower() knows ASCII alone.
                choices += ((piece.lower(),) for piece in _ascii(part) if piece)
            else:
                choices.append((part,))
        if not choices:
            return None
        found += max(choices, key=lambda words: min(map(len, words)))
    return tuple(found)


def _ascii(run: str) -> list[str]:
    return "".join(char if char.isascii() else "\n" for char in run).split("\n")


class Group(NamedTuple):
    """What stands in parentheses, once or more."""

    pattern: str


def _alternatives(pattern: str) -> list[list[str | Group]] | None:
    """For each alternative of the outermost level what it surely has; None for what is not understood."""
    branches: list[list[str | Group]] = [[]]
    run: list[str] = []

    def close() -> None:
        if run:
            branches[-1].append("".join(run))
            run.clear()

    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        literal = ""
        if char == "\\":
            if at >= len(pattern):
                return None
            escaped = pattern[at]
            at += 1
            if escaped in _CLASSES:
                pass
            elif escaped.isalnum():
                return None  # a number, a name, a back reference
            else:
                literal = escaped
        elif char == "(":
            end = _group_end(pattern, at)
            if end is None:
                return None
            close()
            if pattern[end : end + 1] not in ("?", "*", "{"):
                branches[-1].append(Group(pattern[at : end - 1].removeprefix("?:")))
            at = end
        elif char == "[":
            end = _class_end(pattern, at)
            if end is None:
                return None
            at = end
        elif char == "|":
            close()
            branches.append([])
            continue
        elif char in ".^$":
            pass
        elif char in "?*+":
            close()  # what is repeated was dealt with there
            continue
        elif count := _COUNT.match(pattern, at - 1):
            close()
            at = count.end()
            continue
        else:
            literal = char
        following = pattern[at : at + 1]
        if not literal or (following and following in "?*{"):
            close()
        else:
            run.append(literal)
            if following == "+":
                close()
    close()
    return branches


def _group_end(pattern: str, at: int) -> int | None:
    """The place after the group that was opened before `at`; None for flags, conditions and the like."""
    if pattern.startswith("?", at) and not pattern.startswith("?:", at):
        return None
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\":
            at += 1
        elif char == "[":
            end = _class_end(pattern, at)
            if end is None:
                return None
            at = end
        elif char == "(":
            end = _group_end(pattern, at)
            if end is None:
                return None
            at = end
        elif char == ")":
            return at
    return None


def _class_end(pattern: str, at: int) -> int | None:
    """The place after the character class that was opened before `at`."""
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):
        at += 1
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\":
            at += 1
        elif char == "]":
            return at
    return None
