"""What bytes a line must hold if a regular expression is to match it: those are found at the speed of memory.

It understands little of a pattern and says None where it doesn't. It refuses to guess: a needle that a matching line
may lack would lose lines.
"""

import re

_CLASSES = "dDwWsSbBAZ"
_COUNT = re.compile(r"\{\d*,?\d*\}")


def needles(pattern: str, *, ignore_case: bool) -> tuple[bytes, ...] | None:
    """Every line that matches holds one of these (in lower case, for `ignore_case`); None where nothing is sure."""
    found = []
    for runs in _alternatives(pattern) or [[]]:
        if ignore_case:
            # bytes.lower() knows ASCII alone.
            runs = [part.lower() for run in runs for part in _ascii(run)]
        longest = max(runs, key=len, default="")
        if not longest:
            return None
        found.append(longest.encode(errors="surrogateescape"))
    return tuple(dict.fromkeys(found))


def _ascii(run: str) -> list[str]:
    return "".join(char if char.isascii() else "\n" for char in run).split("\n")


def _alternatives(pattern: str) -> list[list[str]] | None:
    """For each alternative of the outermost level the texts that it surely has; None for what is not understood."""
    branches: list[list[str]] = [[]]
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
