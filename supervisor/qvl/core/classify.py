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

from qvl.core.faults import ARGUMENTS_HINT, ASIDES, BEFORE_READY, RULES, Rule, Weight
from qvl.core.landmarks import starts_record, without_prefix
from qvl.model.worker import Cause


class Finding(msgspec.Struct, frozen=True):
    cause: Cause
    evidence: str | None = None
    hint: str | None = None


_EVIDENCE_LENGTH = 300
_LONGEST = 2000
"""Characters of a line that are looked at: some lines hold a whole request or all arguments."""
_NEARBY = 40
"""Messages before the first sign of death that may belong to it, in an engine that had served."""

_NOISE = re.compile(
    r"Ignore import error|\w+Warning: |Warning: WARNING|is not installed|is unavailable|disabled: |nanobind: leaked"
    r"|leaked (function|instance|type|semaphore|shared_memory)|^server_args=|^Pyspy |coredump|^usage: "
)
_REQUEST = re.compile(
    # What SGLang and uvicorn say of one request: its text, its failure, its echo.
    r'^(Receive: obj=|Finish: obj=|\[http_server\] Error|ERROR: +Exception in ASGI application|INFO: +\S+ - ")'
    r'|^\{.*"event": ?"request\.'
)
_TRACEBACK = re.compile(
    r"^(Traceback \(most recent|During handling of the above|The above exception was|\s|$|\+-?[+ ])"
)
_EXCEPTION = re.compile(r"^(\w+\.)*\w*(Error|Exception|Interrupt|Timeout|Exit)(: |:?$)")
_DYING = re.compile(
    r" hit an exception|Subprocess .* crashed with|died during initialization|Received sigquit"
    r"|SIG(QUIT|TERM) received|[Ww]atchdog timeout(?!.*soft=True)|Initialization failed\. warmup"
    r"|^Fatal Python error|^terminate called after|EngineCore (failed|encountered)|WorkerProc failed to start"
    r"|memory leak detected!"
)
_OWN_HAND = "kill_process_tree called"
_RESOLVING = re.compile(r", in (prepare_server_args|from_cli_args|check_server_args|create_engine_config)$")


class _Message(msgspec.Struct, frozen=True):
    text: str
    head: bool
    """It has a time stamp: not a further line of a traceback."""


class _Spoken(NamedTuple):
    at: int
    rule: Rule
    match: re.Match[str]


def classify(code: int | None, signal: int | None, lines: Sequence[str], *, was_ready: bool) -> Finding:
    """The cause of an end that was not asked for. `lines`: the last of this run's log, oldest first."""
    code, signal = _unwrapped(code, signal)
    messages = list(_messages(lines))
    dying = next((i for i, message in enumerate(messages) if _DYING.search(message.text)), None)
    if dying is None and signal in (9, 15) and not any(_OWN_HAND in message.text for message in messages):
        return _by_exit(code, signal, messages)  # from one moment to the next: what it said before is no reason
    if dying is not None:
        start = dying
    elif was_ready:
        start = max(0, len(messages) - _NEARBY)
    else:
        start = _last_traceback(messages)
    rules = [rule for rule in RULES if not (was_ready and rule.cause in BEFORE_READY)]
    spoken = list(_spoken(rules, messages))
    nearest = 0 if not was_ready else start if dying is None else start - _NEARBY
    after = [found for found in spoken if found.at >= start]
    before = [found for found in spoken if nearest <= found.at < start and _is_aside(found.rule)]
    for weight in Weight:
        found = next((found for found in (*after, *before) if found.rule.weight is weight), None)
        if found is not None and weight < Weight.CRASH:
            return Finding(found.rule.cause, _shown(found.match.string), _filled(found.rule.hint, found.match))
        if not was_ready and weight is Weight.CRASH and (refused := _refused(messages)) is not None:
            return refused
        if found is not None:
            exception = _exception_of(messages, found.at) if weight is Weight.CRASH else None
            return Finding(found.rule.cause, _shown(exception or found.match.string), found.rule.hint)
    return _by_exit(code, signal, messages)


def _unwrapped(code: int | None, signal: int | None) -> tuple[int | None, int | None]:
    """A shell or a container's client reports the signal that ended its child as 128 + number."""
    return (None, code - 128) if code is not None and 128 < code < 160 else (code, signal)


def _messages(lines: Sequence[str]) -> Iterator[_Message]:
    of_request = False
    for line in lines:
        text = without_prefix(line[:_LONGEST]).rstrip()
        head = starts_record(line)
        if of_request and not head and (_TRACEBACK.search(text) or _EXCEPTION.search(text)):
            continue
        of_request = _REQUEST.search(text) is not None
        if not of_request and text and not _NOISE.search(text):
            yield _Message(text, head)


def _last_traceback(messages: Sequence[_Message]) -> int:
    """Where the last traceback begins, with those that it says it came from; 40 messages from the end without one."""
    start = max(0, len(messages) - _NEARBY)
    for i in range(len(messages) - 1, -1, -1):
        if messages[i].text.startswith("Traceback (most recent call last)"):
            start = i
            if i == 0 or not messages[i - 1].text.startswith(("During handling of", "The above exception was")):
                break
    return start


def _spoken(rules: Sequence[Rule], messages: Sequence[_Message]) -> Iterator[_Spoken]:
    """What the messages say, by the first row that fits each. Code that a traceback quotes says nothing."""
    for at, message in enumerate(messages):
        if message.text[0].isspace() and "what():" not in message.text:
            continue
        for rule in rules:
            if match := rule.pattern.search(message.text):
                yield _Spoken(at, rule, match)
                break


def _is_aside(rule: Rule) -> bool:
    return rule.cause in ASIDES or rule.weight is Weight.DEATH


def _exception_of(messages: Sequence[_Message], at: int) -> str | None:
    """The exception that the traceback after the message at `at` ends with, else the next one that is logged."""
    found: str | None = None
    for message in messages[at + 1 :]:
        if message.head and found is not None:
            break
        if _EXCEPTION.search(message.text):
            found = message.text
    return found


def _refused(messages: Sequence[_Message]) -> Finding | None:
    """An exception out of the code that resolves the arguments is about them, whatever it says."""
    at = next((i for i, message in enumerate(messages) if _RESOLVING.search(message.text)), None)
    if at is None:
        return None
    exception = _exception_of(messages, at)
    return None if exception is None else Finding(Cause.BAD_ARGUMENTS, _shown(exception), ARGUMENTS_HINT)


def _by_exit(code: int | None, signal: int | None, messages: Sequence[_Message]) -> Finding:
    last = next((_shown(message.text) for message in reversed(messages) if _OWN_HAND not in message.text), None)
    exception = next((_shown(m.text) for m in reversed(messages) if _EXCEPTION.search(m.text)), None)
    if signal == 9:
        hint = "look for the OOM killer in the kernel's log (`journalctl -k -g oom`)"
        return Finding(Cause.KILLED, "killed by signal 9", hint)
    if signal == 7:
        return Finding(Cause.SHM_FULL, "killed by signal 7 (bus error)", _hint_of(Cause.SHM_FULL))
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
        return Finding(Cause.ENVIRONMENT, last or f"exited with {code}", _hint_of(Cause.ENVIRONMENT))
    if exception is not None:
        return Finding(Cause.ENGINE_CRASH, exception)
    return Finding(Cause.UNKNOWN, f"exited with {code}" + (f": {last}" if last else ""))


def _hint_of(cause: Cause) -> str | None:
    return next(rule.hint for rule in RULES if rule.cause is cause)


def _filled(hint: str | None, match: re.Match[str]) -> str | None:
    return hint if hint is None else hint.format(**match.groupdict())


def _shown(text: str) -> str:
    return text.strip()[:_EVIDENCE_LENGTH]
