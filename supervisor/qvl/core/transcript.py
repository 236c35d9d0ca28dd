"""The end of an engine's log as what was said: messages, and the exceptions that its tracebacks end with.

Out of it go what a request put there (its text, its failure, the echo of it), and noise. An engine that serves says a
lot about single requests, in words that nobody can foresee: prompts, names of files, exceptions of any kind. So of an
engine that had been ready nothing stamped counts as a reason but what is known for a process's end; a traceback counts
if it follows such words, or stands by itself, as that of a child process does.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from qvl.core.faults.ends import DYING
from qvl.core.landmarks import Line, parted

_LONGEST = 2000
"""Characters of a line that are looked at: some lines hold a whole request or all arguments."""

_NOISE = re.compile(
    r"Ignore import error|\w+Warning: (?!CUDA initialization)|Warning: WARNING|is not installed|is unavailable"
    r"|disabled: |nanobind: leaked|leaked (?:function|instance|type|semaphore|shared_memory)|^server_args=|^Pyspy "
    r"|^non-default args: |^Initializing a V1 LLM engine "
    r"|coredump|^usage: |[Tt]o silence this warning|\[W\d* [^\]]*\bsocket\.cpp|^Extension modules: "
    r"|cur_batch\.reqs=|reqs=\[Req\("
)
_REQUEST = re.compile(
    # What SGLang, vLLM and uvicorn say of one request, in several lines or without a stamp: its text, its failure.
    r'^(?:Receive: obj=|Finish: obj=|\[http_server\] Error|ERROR: +Exception in ASGI application|INFO: +\S+ - ")'
    r'|^\{.*"event": ?"request\.|^(?:Task exception was never retrieved|future: <|Exception ignored in)'
    r"|^Exception in callback"
)
_TRACEBACK = "Traceback (most recent call last)"
_LINK = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")
_EXCEPTION = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:: |:?$)")
_VALIDATION = re.compile(r"\s+(?:Value|Assertion) error, ")
"""What an exception of pydantic's is about stands in the line below it."""
_NAMED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Timeout|Exit)(?:: |:?$)")
"""An exception by its name alone: what may stand without its traceback."""
_ANNOUNCES = re.compile(r"error|exception|fail", re.IGNORECASE)
_ROUTINE = re.compile(r"^(?:(?:Prefill|Decode) batch|INFO: )")
"""Stamped lines that announce no traceback."""
_OWN = re.compile(
    # Unstamped lines that are no part of the message before them.
    r"^(?:\[rank\d+\]:|\S+:\d+:\d+ \[\d+\] NCCL |NCCL |terminate called|Fatal Python|Process \S+:$|INFO: |ERROR: "
    r"|\[torch_|Killed|Exception in thread|Bus error|Segmentation fault|!+ Segf|\[E[\d ])"
)
_IS_DYING = re.compile(DYING)


class Message(msgspec.Struct, frozen=True):
    text: str
    counts: bool = True
    """May be a reason."""
    dying: bool = False
    """A process says that it ends, or another one that it did."""
    frames: str = ""
    """Of the traceback that ends in this exception."""
    chain: int = 0
    """The same for the exceptions of one traceback; 0 for what is none."""
    handled: bool = False
    """Another exception came while this one was handled."""
    bare: bool = False
    """Its traceback has no words before it that say whose it is."""
    passing: bool = False
    """SGLang's own record of something that it went on after, as far as the record tells."""

    @property
    def is_exception(self) -> bool:
        return self.chain > 0 or _NAMED.match(self.text) is not None


def transcript(lines: Iterable[str], *, serving: bool) -> list[Message]:
    """What was said, oldest first. `serving`: the engine had been ready."""
    reader = _Reader(serving)
    for line in _without_requests(lines):
        reader.read(line)
    return reader.said


def _without_requests(lines: Iterable[str]) -> Iterator[Line]:
    """The lines that are of no single request's record: its first line, its traceback, further lines of its text."""
    request: Line | None = None
    told = stamps = linked = False
    for line in map(parted, lines):
        text = line.text[:_LONGEST].rstrip()
        if not text.strip():
            continue
        stamps = stamps or line.stamped
        if request is not None:
            if line.stamped:
                more = line.source is not None and line.source == request.source
            elif _TRACEBACK in text:
                more = not told or linked  # else it is another one
            elif _OWN.match(text):
                more = False
            else:
                more = stamps or text[0].isspace() or bool(_LINK.match(text) or _NAMED.match(text))
            if more:
                told = told or _NAMED.match(text) is not None
                linked = _LINK.match(text) is not None or (linked and text[0].isspace())
                continue
        request = line if _REQUEST.search(text) else None
        told = linked = False
        if request is None:
            yield line._replace(text=text)


class _Reader:
    """Puts tracebacks together."""

    def __init__(self, serving: bool) -> None:
        self.said: list[Message] = []
        self._serving = serving
        self._before = Line("", stamped=False)
        self._open: list[str] | None = None
        """The frames of a traceback whose exception is still to come."""
        self._chain = 0
        self._linked = False
        """The next traceback belongs to the one before."""
        self._fatal: bool | None = None
        """Whether the words before the traceback say that a process ends; None where there are none."""
        self._source: str | None = None
        self._survived = False
        """Unstamped lines go with an exception that the engine survived."""

    def read(self, line: Line) -> None:
        before, self._before = self._before, line
        text = line.text
        if line.stamped or _OWN.match(text):
            self._survived = False
        if _TRACEBACK in text:
            self._begin(text.partition(_TRACEBACK)[0].strip(), line, before)
        elif _LINK.match(text):
            self._linked = True
            if text.startswith("During") and self.said and self.said[-1].chain:
                self.said[-1] = msgspec.structs.replace(self.said[-1], handled=True)
        elif self._open is not None:
            self._inside(self._open, line)
        elif not text[0].isspace() or "what():" in text:
            self._say(line)
        elif _VALIDATION.match(text) and self.said and "validation error" in self.said[-1].text:
            self.said[-1] = msgspec.structs.replace(self.said[-1], text=f"{self.said[-1].text}: {text.strip()}")

    def _begin(self, head: str, line: Line, before: Line) -> None:
        self._open, self._source = [], line.source
        if self._linked:
            self._linked = False
            return
        self._chain += 1
        header = head or _header(line, before, serving=self._serving)
        # SGLang before 0.4 logged the traceback of a process's end, and nothing before it.
        alone = not header and line.stamped
        self._fatal = alone or (_IS_DYING.search(header) is not None if header else None)
        if head or alone:
            dying = bool(self._fatal)
            self.said.append(Message(line.text, dying or not self._serving, dying, passing=not dying))

    def _inside(self, frames: list[str], line: Line) -> None:
        text = line.text
        ended = line.stamped and (line.source is None or line.source != self._source)
        if text[0].isspace():
            frames.append(text)
        elif _EXCEPTION.match(text) and not ended:
            self._open = None
            self._survived = self._fatal is False
            self.said.append(
                Message(
                    text,
                    counts=not (self._serving and self._survived),
                    frames="\n".join(frames),
                    chain=self._chain,
                    bare=self._fatal is None,
                    passing=self._survived,
                )
            )
        elif ended:
            self._open = None
            self._say(line)
        else:
            self._say(line)

    def _say(self, line: Line) -> None:
        self._linked = False
        if _NOISE.search(line.text):
            return
        dying = _IS_DYING.search(line.text) is not None
        counts = dying or not (self._serving and (line.stamped or self._survived))
        passing = not dying and ((line.stamped and line.source is None) or self._survived)
        self.said.append(Message(line.text, counts, dying, passing=passing))


def _header(line: Line, before: Line, *, serving: bool) -> str:
    """The words before a traceback, if they are about it. A start's last traceback often has none, and stands after
    whatever was the last step."""
    if line.source is not None:
        return before.text if before.source == line.source else ""
    announced = not _ROUTINE.match(before.text) if serving else _ANNOUNCES.search(before.text)
    if not line.stamped and before.stamped and before.source is None and announced:
        return before.text
    return before.text if before.text.startswith("Process ") else ""
