"""What an engine says at its start that it has room for, read from its own log.

`qvl.core.capacity` estimates before a start; this is what came of it. Texts are SGLang's from 0.4.9 to 0.5.23 and
vLLM's from 0.8.5 to 0.32.0. SGLang's GB are of 2**30 bytes (it divides by `1 << 30`), as vLLM's GiB.
"""

import re
from collections.abc import Iterable

from qvl.core.landmarks import without_prefix
from qvl.model.detail import EngineCapacity

GIB = 1 << 30

_WORDS = re.compile(
    r"Load weight end|KV [Cc]ache|KVPool mem|max_total_num_tokens=|Model loading took|Maximum concurrency"
)
"""A line without one of these says nothing of it: most lines are passed over by this alone."""

_RANK = re.compile(
    r"\[[\d: .-]+((?: (?:DP|PP|TP|EP|ATTN_CP|MOE_DP)\d+)+)\] |\((?:Vllm)?(Worker\w*)(?: rank=\d+)? pid=\d+\)"
)
_WEIGHTS = re.compile(
    r"^Load weight end\b.*\bmem usage=(?P<gib>-?[\d.]+) GB"
    r"|^Model loading took (?P<vllm>[\d.]+) (?:GB|GiB)"
)
_CACHE = re.compile(
    r"^KV Cache is allocated\.(?: dtype: \S+,)? #tokens: (?P<tokens>\d+)"
    r"(?:, K size: (?P<k>[\d.]+) GB, V size: (?P<v>[\d.]+) GB|, KV size: (?P<kv>[\d.]+) GB)?"
)
_WINDOWED = re.compile(r"^\w*KVPool mem usage: (?P<gib>[\d.]+) GB")
_LIMITS = re.compile(r"^max_total_num_tokens=(?P<tokens>\d+), ")
_FIELD = re.compile(r"\b(max_running_requests|context_len|available_[a-z]+_mem)=([\d.]+)")
_VLLM_BYTES = re.compile(
    r"^Available KV cache memory: (?P<gib>[\d.]+) GiB|^Explicitly set \((?P<set>[\d.]+)/[\d.]+\) GiB for KV"
)
_VLLM_TOKENS = re.compile(r"^[A-Z]+ KV cache size: (?P<tokens>[\d,]+) tokens")
_VLLM_CONTEXT = re.compile(r"\bMaximum concurrency for (?P<context>[\d,]+) tokens per request")


class _Rank:
    """What one rank has said; figures in bytes."""

    def __init__(self) -> None:
        self.weights: int | None = None
        self.kv_bytes: int | None = None
        self.first_tokens: int | None = None
        """Of the first cache that it made: a draft model's comes after it."""
        self.tokens: int | None = None
        self.free: int | None = None


class Reader:
    """Takes in the lines of one start, in their order."""

    def __init__(self) -> None:
        self._ranks: dict[str, _Rank] = {}
        self._context: int | None = None
        self._running: int | None = None

    def feed(self, line: str) -> None:
        if not _WORDS.search(line):
            return
        message = without_prefix(line)
        who = _RANK.search(line)
        name = "" if who is None else who[1] or who[2]
        for take in (self._weights, self._cache, self._limits):
            if take(message, name):
                return

    def capacity(self) -> EngineCapacity | None:
        """What was said so far; None for nothing."""
        ranks = list(self._ranks.values())
        found = EngineCapacity(
            ranks=max(1, sum(rank.weights is not None or rank.kv_bytes is not None for rank in ranks)),
            weights=_most(rank.weights for rank in ranks),
            kv_tokens=_least(rank.first_tokens if rank.tokens is None else rank.tokens for rank in ranks),
            kv_bytes=_most(rank.kv_bytes for rank in ranks),
            context_length=self._context,
            max_running=self._running,
            free=_least(rank.free for rank in ranks),
        )
        return None if found == EngineCapacity(ranks=found.ranks) else found

    def _rank(self, name: str) -> _Rank:
        return self._ranks.setdefault(name, _Rank())

    def _weights(self, message: str, name: str) -> bool:
        found = _WEIGHTS.search(message)
        if found is None:
            return False
        rank = self._rank(name)
        # A second model is a draft, whose figure is below 0 where its load gave memory back.
        rank.weights = (rank.weights or 0) + max(0, _bytes(found["gib"] or found["vllm"]))
        return True

    def _cache(self, message: str, name: str) -> bool:
        if found := _CACHE.search(message):
            rank = self._rank(name)
            sizes = [_bytes(found[part]) for part in ("k", "v", "kv") if found[part] is not None]
            if sizes:
                rank.kv_bytes = (rank.kv_bytes or 0) + sum(sizes)
            if rank.first_tokens is None:
                rank.first_tokens = int(found["tokens"])
            return True
        if found := _WINDOWED.search(message):
            # Of a model with a sliding window: the sum of what the pools in it have told before.
            self._rank(name).kv_bytes = _bytes(found["gib"])
            return True
        if found := _VLLM_BYTES.search(message):
            self._rank(name).kv_bytes = _bytes(found["gib"] or found["set"])
            return True
        return False

    def _limits(self, message: str, name: str) -> bool:
        if found := _LIMITS.search(message):
            rank = self._rank(name)
            rank.tokens = int(found["tokens"])
            for key, value in _FIELD.findall(message):
                if key == "context_len":
                    self._context = int(value)
                elif key == "max_running_requests":
                    self._running = int(value)
                else:
                    rank.free = _bytes(value)
            return True
        if found := _VLLM_TOKENS.search(message):
            self._rank(name).tokens = _number(found["tokens"])
        if found := _VLLM_CONTEXT.search(message):
            self._context = _number(found["context"])
        return True


def read_capacity(lines: Iterable[str]) -> EngineCapacity | None:
    reader = Reader()
    for line in lines:
        reader.feed(line)
    return reader.capacity()


def _bytes(gib: str) -> int:
    return round(float(gib) * GIB)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _most(values: Iterable[int | None]) -> int | None:
    """Of sizes. One of "0.00 GB", as tiny models on processors have it, is one that two digits can't tell."""
    return max(filter(None, values), default=None)


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)
