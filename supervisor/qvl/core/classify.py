"""Why a process tree ended: from its exit and the last of its log to a cause, the line that proves it, and a hint.

The exit alone says little: SGLang kills itself (-9) after any crash and, up to 0.5.18, after a clean stop too; vLLM's
engine death exits 0. So the log decides, then the exit. A log of an end is a cascade: a line of a library, a
traceback, the parent's complaint about its child, the clean-up. The root is the surest row (`Weight`) of what was said
from the first sign of death on, and of several such the earliest. Words that a request put into the log don't count.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from qvl.core.faults import RULES, Rule, Weight
from qvl.core.faults.ends import TERM
from qvl.core.faults.host import SHM_HINT
from qvl.core.faults.setup import ARGUMENTS_HINT, BEFORE_READY, ENVIRONMENT_HINT, RESOLVING
from qvl.core.remedy import remedy
from qvl.core.transcript import Message, transcript
from qvl.model.worker import Cause


class Finding(msgspec.Struct, frozen=True):
    cause: Cause
    evidence: str | None = None
    hint: str | None = None


_EVIDENCE_LENGTH = 300
_NEARBY = 40
"""Messages before the first sign of death that may belong to it, in an engine that had served."""
_LED_UP = 200
"""The same in a start, whose processes tell their steps one by one."""
_GOES_ON = 20
"""Batches that other ranks may still tell of after the first has failed."""
_OWN_HAND = "kill_process_tree called"
_WORK = re.compile(r"^(?:Prefill|Decode) batch")
_ANYTHING = re.compile(r".*")
_CRASHED = Rule(Cause.ENGINE_CRASH, _ANYTHING, weight=Weight.FIRST)
_REFUSED = Rule(Cause.BAD_ARGUMENTS, _ANYTHING, ARGUMENTS_HINT, Weight.FIRST, re.compile(RESOLVING))
_TERM = re.compile(TERM)
_TERMINATED = next(rule for rule in RULES if rule.cause is Cause.KILLED and TERM in rule.pattern.pattern)


class _Spoken(NamedTuple):
    at: int
    rule: Rule
    match: re.Match[str]


def classify(code: int | None, signal: int | None, lines: Sequence[str], *, was_ready: bool) -> Finding:
    """The cause of an end that was not asked for. `lines`: the last of this run's log, oldest first."""
    code, signal = _unwrapped(code, signal)
    said = transcript(lines, serving=was_ready)
    dying = _first_sign(said)
    if dying is None and signal in (9, 15) and not _by_own_hand(said, was_ready=was_ready):
        return _by_exit(code, signal, said)  # from one moment to the next: what it said before is no reason
    if dying is not None:
        start = dying
    elif was_ready:
        start = len(said)
    else:
        start = _last_traceback(said)
    found = _root(said, start, lines, serving=was_ready)
    return found if found is not None else _by_exit(code, signal, said)


def _first_sign(said: Sequence[Message]) -> int | None:
    """Where its death begins: not where something died that it did without. Asked to end, it works on for a while."""
    worked = 0
    first = None
    for at in range(len(said) - 1, -1, -1):
        worked += _WORK.match(said[at].text) is not None
        if said[at].dying and (worked <= _GOES_ON or _TERM.match(said[at].text)):
            first = at
    return first


def _unwrapped(code: int | None, signal: int | None) -> tuple[int | None, int | None]:
    """A shell or a container's client reports the signal that ended its child as 128 + number."""
    return (None, code - 128) if code is not None and 128 < code < 160 else (code, signal)


def _by_own_hand(said: Sequence[Message], *, was_ready: bool) -> bool:
    """Whether it killed itself: it says so, or a start's last words are an exception (versions that don't say it)."""
    last = [message for message in said if not message.text.startswith("Killed")][-3:]
    return any(_OWN_HAND in message.text for message in said) or (not was_ready and any(m.chain for m in last))


def _last_traceback(said: Sequence[Message]) -> int:
    """Where the last traceback is, with those that it says it came from; 40 messages from the end without one."""
    last = max((message.chain for message in said), default=0)
    return next((i for i, m in enumerate(said) if m.chain == last), 0) if last else max(0, len(said) - _NEARBY)


def _root(said: Sequence[Message], start: int, lines: Sequence[str], *, serving: bool) -> Finding | None:
    """What ended it, of all that was said from `start` on and of what led up to that."""
    if start < len(said) and (term := _TERM.match(said[start].text)):
        return _finding(said, _Spoken(start, _TERMINATED, term), lines)
    spoken = [found for found in _spoken(said) if not (serving and found.rule.cause in BEFORE_READY)]
    after = [found for found in spoken if found.at >= start]
    before = [found for found in spoken if found.at < start and _leads_to(said, found, start, serving=serving)]
    lacks = [found for found in after if found.rule.weight is Weight.LACK and not said[found.at].handled]
    near = [found for found in before if found.at >= start - _NEARBY]
    firsts = [*_of(Weight.FIRST, near), *_of(Weight.FIRST, after), *_crashes(said, start, after, serving=serving)]
    first = min((found.at for found in firsts if found.rule is _CRASHED), default=len(said))
    candidates = (
        # Cards complain when another rank that they wrote to is gone.
        *(found for found in _of(Weight.ROOT, after) if found.rule.cause is not Cause.GPU_FAULT or found.at < first),
        *lacks,
        *_of(Weight.ROOT, before),
        *sorted(firsts, key=lambda found: found.at),
        *_of(Weight.WARNING, (*near, *after)),
        *_of(Weight.CRASH, after),
        *_of(Weight.SIGNAL, after),
    )
    return _finding(said, candidates[0], lines) if candidates else None


def _spoken(said: Sequence[Message]) -> Iterator[_Spoken]:
    """What the messages say, by the first row that fits each."""
    for at, message in enumerate(said):
        if not message.counts:
            continue
        for rule in RULES:
            match = rule.pattern.search(message.text)
            if match and (rule.frames is None or rule.frames.search(message.frames)):
                yield _Spoken(at, rule, match)
                break


def _of(weight: Weight, spoken: Sequence[_Spoken]) -> list[_Spoken]:
    return [found for found in spoken if found.rule.weight is weight]


def _leads_to(said: Sequence[Message], found: _Spoken, start: int, *, serving: bool) -> bool:
    """Whether words from before the first sign of death may be its reason."""
    if not found.rule.aside:
        return False
    if found.rule.cause in (Cause.PORT_IN_USE, Cause.BAD_ARGUMENTS):
        return not serving  # a server without its port goes on for minutes
    if said[found.at].passing:
        return False
    if not serving:
        return found.at >= start - _LED_UP
    went_on = said[found.at].bare and any(_WORK.match(message.text) for message in said[found.at : start])
    return found.at >= start - _NEARBY and not went_on


def _crashes(said: Sequence[Message], start: int, after: Sequence[_Spoken], *, serving: bool) -> Iterator[_Spoken]:
    """Tracebacks of the end that no row knows anything about: each is a crash of its own."""
    known = {said[f.at].chain for f in after if f.rule.weight is not Weight.LACK or not said[f.at].handled}
    last: dict[int, int] = {m.chain: i for i, m in enumerate(said) if i >= start and m.counts and m.chain not in known}
    for chain, at in last.items():
        if chain and (match := _ANYTHING.match(said[at].text)):
            refused = not serving and _REFUSED.frames is not None and _REFUSED.frames.search(said[at].frames)
            yield _Spoken(at, _REFUSED if refused else _CRASHED, match)


def _finding(said: Sequence[Message], found: _Spoken, lines: Sequence[str]) -> Finding:
    exception = None
    if found.rule.weight is Weight.CRASH:
        exception = next((m.text for m in said[found.at + 1 :] if m.counts and m.is_exception), None)
    hint = remedy(found.rule, found.match, [message.text for message in said], found.at, lines)
    return Finding(found.rule.cause, _shown(exception or found.match.string), hint)


def _by_exit(code: int | None, signal: int | None, said: Sequence[Message]) -> Finding:
    last = next((_shown(message.text) for message in reversed(said) if _OWN_HAND not in message.text), None)
    exception = next((_shown(m.text) for m in reversed(said) if m.counts and m.is_exception), None)
    if signal == 9:
        hint = "look for the OOM killer in the kernel's log (`journalctl -k -g oom`)"
        return Finding(Cause.KILLED, "killed by signal 9", hint)
    if signal == 7:
        return Finding(Cause.SHM_FULL, "killed by signal 7 (bus error)", SHM_HINT)
    if signal in (4, 6, 8, 11):
        return Finding(Cause.ENGINE_CRASH, last or f"killed by signal {signal}")
    if signal is not None:
        return Finding(Cause.KILLED, f"killed by signal {signal}", "something other than qvl sent this signal")
    if code is None:
        return Finding(Cause.UNKNOWN, "nobody saw it end" + (f": {last}" if last else ""))
    if code == 2 and last is not None and "error:" in last:
        return Finding(Cause.BAD_ARGUMENTS, last, ARGUMENTS_HINT)
    if code == 0:
        return Finding(Cause.EXITED, "exited with 0 though nobody asked it to")
    if code in (126, 127):
        # What a shell or env says of a command that it can't run.
        return Finding(Cause.ENVIRONMENT, last or f"exited with {code}", ENVIRONMENT_HINT)
    if exception is not None:
        return Finding(Cause.ENGINE_CRASH, exception)
    return Finding(Cause.UNKNOWN, f"exited with {code}" + (f": {last}" if last else ""))


def _shown(text: str) -> str:
    return text.strip()[:_EVIDENCE_LENGTH]
