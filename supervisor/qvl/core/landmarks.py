"""Log lines with meaning while an engine starts: which step it is at, how far, and that it is ready.

Texts are SGLang's from 0.4.9 to 0.5.23, as its logs on CPU and GPU show them. Steps may overlap and may be missing
(`--startup-weight-load-mode overlap`, `--disable-cuda-graph`), so a line only ever says what it says itself.
"""

import re

import msgspec

STEPS = ("launch", "import", "weights", "kv-cache", "graphs", "warm-up")
"""The steps of a start in their usual order; `launch` is ours, from the fork to the first line."""


class Sighting(msgspec.Struct, frozen=True):
    """What one line says of a start."""

    step: str
    fraction: float | None = None
    """0-1 within the step, where the line tells."""
    ready: bool = False


_PREFIX = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3})?(?: (?:DP|PP|ATTN_CP|MOE_DP|TP|EP)\d+)*\] ")
_SHARDS = re.compile(r"shards: +(?P<percent>\d+)%")
_CAPTURING = re.compile(r"Capturing batches .*?(?P<percent>\d+)%|^ *(?P<percent2>\d+)%\|.*Captur")
_RULES: tuple[tuple[re.Pattern[str], str, float | None], ...] = (
    (re.compile(r"^server_args="), "import", 0.5),
    (re.compile(r"^(Init torch distributed|Init parallel|Memory baseline taken)"), "import", 0.9),
    (re.compile(r"^Load weight begin"), "weights", 0.0),
    (re.compile(r"^Load weight end"), "weights", 1.0),
    (re.compile(r"^KV Cache is allocated"), "kv-cache", 0.5),
    (re.compile(r"^Memory pool end"), "kv-cache", 1.0),
    (re.compile(r"^Capture .*\bbegin\b", re.IGNORECASE), "graphs", 0.0),
    (re.compile(r"^Capture .*\bend\b", re.IGNORECASE), "graphs", 1.0),
    (re.compile(r"^max_total_num_tokens="), "warm-up", 0.0),
    (re.compile(r"Application startup complete|Uvicorn running on"), "warm-up", 0.5),
)
_ACCESS = re.compile(r'^INFO: +\S+ - "(GET|POST|HEAD) ')
_HEALTH = re.compile(r"^Health check failed")
_READY = "The server is fired up and ready to roll!"


def without_prefix(line: str) -> str:
    """The message of a line, without SGLang's time and rank."""
    return _PREFIX.sub("", line, count=1)


def read_line(line: str) -> Sighting | None:
    """What `line` says of a start; None for the many that say nothing."""
    message = without_prefix(line)
    if _READY in message:
        return Sighting("warm-up", 1.0, ready=True)
    if bar := _SHARDS.search(message):
        return Sighting("weights", int(bar["percent"]) / 100)
    if "Captur" in message and (bar := _CAPTURING.search(message)):
        return Sighting("graphs", int(bar["percent"] or bar["percent2"]) / 100)
    for pattern, step, fraction in _RULES:
        if pattern.search(message):
            return Sighting(step, fraction)
    return None


def shows_work(line: str) -> bool:
    """Whether a line is a sign of life. Access lines and complaints about health checks are not: our own questions make
    them, and a hung server that we keep asking would look alive."""
    message = without_prefix(line).strip()
    return bool(message) and not _ACCESS.search(message) and not _HEALTH.search(message)
