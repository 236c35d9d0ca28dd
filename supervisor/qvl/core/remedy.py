"""What to do about a cause: the row's hint, made better by what the engine suggests and by what its log names."""

import re
from collections.abc import Sequence

from qvl.core.faults.memory import MEMORY_HINT
from qvl.core.faults.rule import Rule
from qvl.model.worker import Cause

_NEAR = 12
"""Messages around the one that decides in which the engine may say more of it."""
_SMALLER = re.compile(
    r"--(?P<flag>mem-fraction-static|cuda-graph-max-bs[\w-]*) to a smaller value \(e\.g\.,? (?P<value>[^)]+)\)"
)
_EXACT = re.compile(r"--(?P<flag>mem-fraction-static)(?: |=| to )(?P<value>0?\.\d+)\b")
_VERB = re.compile(
    r"(?P<down>[Rr]educ|[Ll]ower|[Dd]ecreas|[Ss]maller)[a-z]*\b(?P<rest>[^.;]*)"
    r"|(?P<up>[Rr]ais|[Ii]ncreas|[Ll]arger)[a-z]*\b(?P<more>[^.;]*)"
)
_FLAG = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)+)")
_CARD = re.compile(r"total capacity of (?P<size>[\d.]+) (?P<unit>[MG]iB)")
_OTHERS = re.compile(r"Process \d+ has (?P<size>[\d.]+) (?P<unit>[MG]iB) memory in use")
_MIB = {"MiB": 1.0, "GiB": 1024.0}

_NAME = re.compile(r"'[^']*/[^']*'|`[^`]*/[^`]*`|(?<![\w/.:])[\w.-]+/[\w.-]+|(?<![\w:/])/[\w./-]+")
_URL = re.compile(r"https?://[^\s'\"/]+(?:/docs/\S*)?/?(?P<path>[^\s'\"]*)")
_REPO = re.compile(r"^(?:api/models/)?(?P<id>[\w.-]+/[\w.-]+?)(?:/(?:resolve|tree|raw|revision)\b.*|\.?$)")
_MODEL_PATH = re.compile(r"\bmodel_path'?[=:] ?'(?P<id>[^']+)'")


def remedy(rule: Rule, match: re.Match[str], said: Sequence[str], at: int, lines: Sequence[str]) -> str | None:
    """A hint in one sentence. `said`: all messages, of which that at `at` decides; `lines`: the whole log."""
    hint = None if rule.hint is None else rule.hint.format(**match.groupdict())
    if rule.cause is Cause.OUT_OF_GPU_MEMORY and hint == MEMORY_HINT:
        return _suggested(said, at) or _occupied(said[at]) or hint
    if rule.cause is Cause.MODEL_MISSING and hint is not None and (name := _model(said, at, lines)):
        return f"{name}: {hint}"
    return hint


def _suggested(said: Sequence[str], at: int) -> str | None:
    """The advice that the engine gives, with its direction and its figures: behind the exception, or logged before it
    is raised."""
    around = "\n".join(said[max(0, at - _NEAR) : at + _NEAR])
    if smaller := {found["flag"]: found["value"] for found in _SMALLER.finditer(around)}:
        return "lower " + " or ".join(f"{flag} (SGLang suggests {value})" for flag, value in smaller.items())
    text = "\n".join(said[at : at + _NEAR])
    for found in _VERB.finditer(text):
        rest = found["rest"] if found["down"] else found["more"]
        flags = dict.fromkeys(_FLAG.findall(rest))
        if flags:
            exact = _EXACT.search(text)
            value = f" (SGLang suggests {exact['value']})" if exact else ""
            return ("lower " if found["down"] else "raise ") + " or ".join(flags) + value
    exact = _EXACT.search(text)
    return f"set mem-fraction-static = {exact['value']}, as SGLang suggests" if exact else None


def _occupied(text: str) -> str | None:
    """torch tells what other processes hold of the card; where it is in a namespace of its own and can't tell itself
    from others, it doesn't say "this process"."""
    card = _CARD.search(text)
    if card is None or "this process has" not in text:
        return None
    others = sum(float(found["size"]) * _MIB[found["unit"]] for found in _OTHERS.finditer(text))
    if others < 0.1 * float(card["size"]) * _MIB[card["unit"]]:
        return None
    held = f"other processes hold {others / 1024:.1f} GiB of the GPU"
    return f"{held}: `qvlctl top` names them; or lower mem-fraction-static"


def _model(said: Sequence[str], at: int, lines: Sequence[str]) -> str | None:
    """The path or the name on the hub that is missing, where the evidence doesn't have it: from an address in the lines
    around it, else from the arguments that SGLang logged."""
    if _NAME.search(_URL.sub("", said[at])):
        return None
    for text in (*said[at : at + _NEAR], *reversed(said[max(0, at - _NEAR) : at])):
        for url in _URL.finditer(text):
            if repo := _REPO.match(url["path"]):
                return repo["id"]
    logged = (_MODEL_PATH.search(line) for line in lines if "server_args=" in line)
    return next((found["id"] for found in logged if found), None)
