"""Log lines with meaning while an engine starts: which step it is at, how far, and that it is ready.

Texts are SGLang's from 0.4.9 to 0.5.23, as its logs on CPU and GPU show them, and vLLM's from 0.8.5 to 0.32.0, as its
source and the logs of 0.32.0 on CPU show them. vLLM says of itself that it is ready by answering alone.
Steps may overlap and may be missing (`--startup-weight-load-mode overlap`, `--disable-cuda-graph`), so a line only ever
says what it says itself.
"""

import re
from typing import NamedTuple

import msgspec

STEPS = ("launch", "import", "weights", "kv-cache", "graphs", "warm-up")
"""The steps of a start in their usual order; `launch` is ours, from the fork until the engine tells its arguments."""


class Sighting(msgspec.Struct, frozen=True):
    """What one line says of a start."""

    step: str
    fraction: float | None = None
    """0-1 within the step, where the line tells."""
    ready: bool = False


_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR = re.compile(
    # A progress bar ends in no newline, so that the next record of any process may follow it in the line.
    r"^[\w ()=.,/:-]*\d{1,3}%(?: Completed)? ?\|[^\[]*\[[^\]]*\](?=\[\d)"
)
_OUTER = re.compile(
    # What a container's client or a cluster puts before each line, the further ones of a traceback too.
    r"^(?:(?:(?:INFO|WARNING|ERROR) )?\[?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)\]? "
    r"|[\w.-]+-\d+ +\| |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [\w.]+ - [A-Z]+ - )"
)
_LEVEL = r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)"
_PREFIX = re.compile(
    # SGLang, some versions with level and source
    rf"^(?:(?:\([^()]* pid=\d+[^()]*\) )?\[(?:\d{{4}}-)?(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:\.\d{{3}})?(?: [A-Z][\w.]*)*\] "
    rf"(?:{_LEVEL} [\w.]+:\d+: )?|\[(?:(?:DP|PP|TP|EP|ATTN_CP|MOE_DP)\d+ ?)+\] "
    # vLLM
    rf"|(?:\([^()]* pid=\d+[^()]*\) )*{_LEVEL} (?:\d\d-\d\d \d\d:\d\d:\d\d )?(?P<source>\[?[\w./-]+\.py:\d+\]) "
    rf"|(?:\([^()]* pid=\d+[^()]*\) )*{_LEVEL} \d\d-\d\d \d\d:\d\d:\d\d "
    # vLLM's and PyTorch's tracebacks of a child
    r"|(?P<child>\([^()]* pid=\d+[^()]*\) |\[rank\d+\]: ))"
)
_SHARDS = re.compile(r"shards: +(?P<percent>\d+)%")
_CAPTURING = re.compile(r"Captur\w+ (?:batches|CUDA graphs?)\b.*?(?P<percent>\d+)%")
_RULES: tuple[tuple[re.Pattern[str], str, float | None], ...] = (
    (re.compile(r"^(server_args=|non-default args: )"), "import", 0.0),
    (re.compile(r"^Initializing a V1 LLM engine "), "import", 0.5),
    (re.compile(r"^(Init (torch distributed|parallel) begin|world_size=\d+ rank=\d+ )"), "import", 0.9),
    (re.compile(r"^(Init (torch distributed|parallel) ends|Memory baseline|rank \d+ in world size )"), "import", 0.95),
    (re.compile(r"^(Load weight begin|Starting to load model )"), "weights", 0.0),
    (re.compile(r"^(Load weight end|Model loading took )"), "weights", 1.0),
    (re.compile(r"^(KV Cache is allocated|[A-Z]+ KV cache size: )"), "kv-cache", 0.5),
    (re.compile(r"^Memory pool end"), "kv-cache", 1.0),
    (re.compile(r"^Capture .*\bgraph begin\b", re.IGNORECASE), "graphs", 0.0),
    (re.compile(r"^(Capture .*\bgraph end\b|Graph capturing finished)", re.IGNORECASE), "graphs", 1.0),
    (re.compile(r"^(max_total_num_tokens=|init engine \()"), "warm-up", 0.0),
    (re.compile(r"^Starting vLLM (API )?server "), "warm-up", 0.3),
    (re.compile(r"^INFO: +(Application startup complete|Uvicorn running on)"), "warm-up", 0.5),
)
_READY = "The server is fired up and ready to roll!"

_NO_WORK = re.compile(
    r'^INFO: +\S+ - "(GET|POST|HEAD|PUT|DELETE|OPTIONS) '  # uvicorn's access lines
    r"|^Health check failed|^Endpoint '\S+' is deprecated"
    r"|^(Receive|Finish): obj=|^\[http_server\] Error|^Error in request: "
    r"|^ERROR: +Exception in ASGI|^WARNING: +Invalid HTTP request"
    r"|^(Traceback \(most recent|During handling of|The above exception)|^\s|^(\w+\.)*\w*(Error|Exception)(: |$)"
    r"|\w+Warning: |SIG(QUIT|TERM) received|^Sleeping \d+ seconds before crash|^Waiting [\d.]+ seconds for CUDA"
    r"|[Pp]yspy |^CUDA (user-triggered )?coredump|^(Thread|Process) \d+\b|^(Caused by|Stack backtrace):"
    r"|^Gracefully exiting"
    # What vLLM's server goes on telling, and its engine of its workers, where nothing moves.
    r"|Avg prompt throughput: 0\.0 tokens/s, Avg generation throughput: 0\.0 tokens/s"
    r"|^No available shared memory broadcast block"
)


class Line(NamedTuple):
    text: str
    """The message, without time, rank and colours."""
    stamped: bool
    """It has a time stamp of its own: the further lines of a message, such as a traceback's, have none."""
    source: str | None = None
    """The place in the code, where each line of a message is stamped and tells it."""


def parted(line: str) -> Line:
    plain = _OUTER.sub("", _BAR.sub("", _ANSI.sub("", line), count=1), count=1)
    prefix = _PREFIX.match(plain)
    if prefix is None:
        return Line(plain, stamped=False)
    return Line(plain[prefix.end() :], stamped=prefix["child"] is None, source=prefix["source"])


def without_prefix(line: str) -> str:
    """The message of a line, without time, rank and colours."""
    return parted(line).text


def starts_record(line: str) -> bool:
    """Whether a line has a time stamp of its own."""
    return parted(line).stamped


def read_line(line: str) -> Sighting | None:
    """What `line` says of a start; None for the many that say nothing."""
    message = without_prefix(line)
    if message.startswith(_READY):
        return Sighting("warm-up", 1.0, ready=True)
    if bar := _SHARDS.search(message):
        return Sighting("weights", int(bar["percent"]) / 100)
    if bar := _CAPTURING.search(message):
        return Sighting("graphs", int(bar["percent"]) / 100)
    for pattern, step, fraction in _RULES:
        if pattern.search(message):
            return Sighting(step, fraction)
    return None


def shows_work(line: str) -> bool:
    """Whether a line is a sign of life. What questions make (access lines, requests and their failures, complaints
    about health checks) is not: a hung server that is still asked would look alive. Nor are the words of one that
    dies: SGLang writes them for more than a minute."""
    message = without_prefix(line).rstrip()
    return bool(message) and not _NO_WORK.search(message)
