"""What SGLang made of its arguments, from the answer of `GET /server_info`, without what is nobody's business.

The answer holds every argument after resolution with the API keys among them, the whole command line, and per scheduler
everything once more (read in 0.5.6 to 0.5.18: `http_server.server_info`, `Scheduler.get_internal_state`). So nothing is
passed on because it doesn't look like a secret: a name has to be that of a flag of the installed version, or of a
figure named here; then its name must not be that of a secret, and its value must not contain one.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from qvl.engines.flags import Flag, FlagTable, canonical
from qvl.model.aliases import PLACEMENT_ALIASES
from qvl.model.api import ResolvedValue
from qvl.shim.redact import MARK, redact_named, spellings

FIGURES = {
    "max_total_num_tokens": "max-total-num-tokens",
    "max_req_input_len": "max-req-input-len",
    "effective_max_running_requests_per_dp": "max-running-requests",
}
"""What no flag is called like; the last one is what an unset `max_running_requests` came to."""

COMMON = (
    "attention-backend",
    "prefill-attention-backend",
    "decode-attention-backend",
    "mm-attention-backend",
    "sampling-backend",
    "dtype",
    "quantization",
    "kv-cache-dtype",
    "context-length",
    "mem-fraction-static",
    "max-total-num-tokens",
    "max-running-requests",
    "chunked-prefill-size",
    "max-prefill-tokens",
    "schedule-policy",
    "page-size",
    "tp-size",
    "cuda-graph-max-bs",
    "cuda-graph-max-bs-decode",
    "cuda-graph-bs",
    "cuda-graph-bs-decode",
    "disable-cuda-graph",
    "speculative-algorithm",
    "speculative-num-steps",
    "speculative-eagle-topk",
    "speculative-num-draft-tokens",
    "mm-feature-transport",
)
"""What decides about speed, memory and answers; in the order in which it is shown."""

_USER_AND_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")

IsSecretName = Callable[[str], object]
"""Of a name in capitals with underscores."""


class Secret(Exception):
    """A value that is not to be shown."""


def resolved(
    document: Mapping[str, object],
    table: FlagTable | None,
    given: Mapping[str, object],
    secrets: Collection[str],
    is_secret_name: IsSecretName,
) -> tuple[tuple[ResolvedValue, ...], tuple[str, ...]]:
    """Values, those of `COMMON` first, and the names of flags that are hidden. `given`: the arguments of the process by
    their canonical names. Without a `table` only `COMMON`, figures and what was given is known."""
    flags = _flags(table, given)
    needles = spellings(secrets)
    wanted = {canonical(table, key): value for key, value in given.items()}
    found: dict[str, ResolvedValue] = {}
    hidden: list[str] = []
    for field, value in _fields(document):
        flag = flags.get(FIGURES.get(field, field).replace("-", "_"))
        key = FIGURES.get(field) or (flag.name if flag is not None else None)
        if key is None or (field in FIGURES and key in found and found[key].value is not None):
            continue
        try:
            if is_secret_name(field) and _has_text(value):
                raise Secret
            shown = _freed(value, needles, is_secret_name)
        except Secret:
            hidden.append(key)
            found.pop(key, None)
            continue
        found[key] = ResolvedValue(
            key=key,
            value=shown,
            names=_other_names(flag, key),
            given=wanted.get(key),
            differs=key in wanted and not same(wanted[key], shown),
            common=key in COMMON,
        )
    order = {key: index for index, key in enumerate(COMMON)}
    values = sorted(found.values(), key=lambda v: (order.get(v.key, len(order)), v.key))
    return tuple(v for v in values if v.key not in hidden), tuple(sorted(set(hidden)))


def same(given: object, now: object) -> bool:
    """Whether a value of the file is what the engine has: it may have become text, or JSON in a text."""
    if isinstance(given, Mapping) and isinstance(now, str):
        try:
            return bool(json.loads(now) == given)
        except ValueError:
            return False
    if isinstance(given, list) and isinstance(now, list):
        return len(given) == len(now) and all(map(same, given, now))
    if isinstance(given, bool) or isinstance(now, bool):
        return given is now
    if isinstance(given, int | float) and isinstance(now, int | float):
        return given == now
    if isinstance(given, str | int | float) and isinstance(now, str | int | float):
        return str(given) == str(now)
    return given == now


def _other_names(flag: Flag | None, key: str) -> tuple[str, ...]:
    short = [alias for alias, name in PLACEMENT_ALIASES.items() if name == key]
    spellings = flag.spellings if flag is not None else ()
    return tuple(name for name in dict.fromkeys((*spellings, *short)) if name != key)


def _flags(table: FlagTable | None, given: Mapping[str, object]) -> dict[str, Flag]:
    """By the name of the field that a flag is stored as."""
    flags = table.flags if table is not None else {key: Flag(key, (key,)) for key in (*COMMON, *given)}
    return {spelling.replace("-", "_"): flag for spelling, flag in flags.items()}


def _fields(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The top level, what the first scheduler changed of it since, and then its figures."""
    states = document.get("internal_states")
    state = states[0] if isinstance(states, list) and states and isinstance(states[0], dict) else {}
    merged = {**document, **{key: value for key, value in state.items() if value is not None}}
    yield from sorted(merged.items(), key=lambda item: item[0] in FIGURES)


def _has_text(value: object) -> bool:
    """Numbers are no secrets: `tbo_token_distribution_threshold` has but the name of one."""
    return isinstance(value, str | dict) or (isinstance(value, list) and any(map(_has_text, value)))


def _freed(value: object, needles: Collection[bytes], is_secret_name: IsSecretName) -> Any:
    """The value as it may be shown. Secret where it must not be."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape")
        if any(needle in raw for needle in needles) or _USER_AND_PASSWORD.search(value) or MARK in redact_named(raw):
            raise Secret
        if value.lstrip()[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except ValueError:
                return value
            _freed(inner, needles, is_secret_name)
        return value
    if isinstance(value, dict):
        if any(is_secret_name(str(key)) for key in value):
            raise Secret
        return {str(key): _freed(item, needles, is_secret_name) for key, item in value.items()}
    if isinstance(value, list):
        return [_freed(item, needles, is_secret_name) for item in value]
    return value
