"""Reads the command line with SGLang's manners: argparse, exit code 2, the same sentences on stderr.

Refuses to know what a flag does. Only the flags that the given words could mean are declared to argparse, since all
of them take longer than the rest of the start; the complete usage is built when there is an error to show.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from qvl.simulator.flags import FLAGS, SGLANG_FLAGS, SIMULATED_FLAGS, Flag

PROGRAM = "sglang serve"
_SIZES = {"k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


class Settings(NamedTuple):
    """What one engine was asked to be."""

    server_args: dict[str, object]
    """Every SGLang field by name, as `/server_info` and the `server_args=` line show them."""
    fail: str | None
    load_seconds: float
    exit_after: float | None
    exit_code: int
    hang_after: float | None
    stall_at: str | None
    log_rate: float
    ignore_sigterm: bool
    children: int
    token_seconds: float
    prefill_seconds: float

    @property
    def pace(self) -> float:
        """How much faster than on an H100, where a start takes 30 s, everything that takes long goes; at most 1."""
        return min(1.0, self.load_seconds / 30)

    def text(self, field: str) -> str:
        value = self.server_args[field]
        return "" if value is None else str(value)

    def number(self, field: str, otherwise: float = 0) -> float:
        value = self.server_args[field]
        return value if isinstance(value, int | float) else otherwise

    def on(self, field: str) -> bool:
        return bool(self.server_args[field])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _declare(FLAGS).print_usage(sys.stderr)
        self.exit(2, f"{PROGRAM}: error: {message}\n")


def parse(argv: Sequence[str]) -> Settings:
    """Exits with 2 after a usage error; raises ValueError for a config file that SGLang would not read."""
    words = _with_config(list(argv))
    heads = [word.partition("=")[0] for word in words if word.startswith("--")]
    if "-h" in words or "--help" in words:
        known: Sequence[Flag] = FLAGS
    else:
        known = [flag for flag in FLAGS if flag.name == "model-path" or _could_mean(flag, heads)]
    found = vars(_declare(known).parse_args(words))
    values = {flag.field: found.get(flag.field, flag.default) for flag in SGLANG_FLAGS}
    for field, value in _DERIVED.items():
        if values[field] is None:
            values[field] = values[value] if isinstance(value, str) and value in values else value
    simulated = {flag.field: found.get(flag.field, flag.default) for flag in SIMULATED_FLAGS}
    values.pop("config")
    return Settings(
        server_args=values,
        **{name.removeprefix("sim_"): value for name, value in simulated.items()},
    )


# What SGLang resolves by itself on a card with 80 GB; a name of another field copies that one.
_DERIVED: dict[str, object] = {
    "tokenizer_path": "model_path",
    "served_model_name": "model_path",
    "mem_fraction_static": 0.85,
    "chunked_prefill_size": 8192,
    "attention_backend": "fa3",
    "sampling_backend": "flashinfer",
    "grammar_backend": "xgrammar",
    "device": "cuda",
    "random_seed": 807221682,
}


def _could_mean(flag: Flag, heads: Sequence[str]) -> bool:
    spellings = [f"--{name}" for name in (flag.name, *flag.aliases)]
    if flag.type == "bool-optional":
        spellings.append(f"--no-{flag.name}")
    return any(spelling.startswith(head) for head in heads for spelling in spellings)


def _declare(flags: Sequence[Flag]) -> _Parser:
    parser = _Parser(prog=PROGRAM)
    for flag in flags:
        names = [f"--{name}" for name in (flag.name, *flag.aliases)]
        if flag.type == "bool":
            parser.add_argument(*names, dest=flag.field, action="store_true", default=argparse.SUPPRESS)
        elif flag.type == "bool-optional":
            optional = argparse.BooleanOptionalAction
            parser.add_argument(*names, dest=flag.field, action=optional, default=argparse.SUPPRESS)
        else:
            parser.add_argument(
                *names,
                dest=flag.field,
                type=_TYPES[flag.type],
                nargs=flag.nargs or None,
                choices=[_TYPES[flag.type](word) for word in flag.choices] or None,
                required=flag.name == "model-path",
                default=argparse.SUPPRESS,
            )
    return parser


def _size(text: str) -> int:
    digits = text.rstrip("kKmMgGiI")
    return int(digits) * _SIZES[text[len(digits) :].lower()] if digits != text else int(text)


_size.__name__ = "human_readable_int"  # argparse names it in "invalid … value"
_TYPES: dict[str, Callable[[str], object]] = {"str": str, "int": int, "float": float, "size": _size, "json": json.loads}


def _with_config(words: list[str]) -> list[str]:
    """Put the items of `--config FILE.yaml` before the rest, so that the command line wins.

    As in SGLang, `--config=FILE` is not recognised, and keys are flags without their dashes.
    """
    if "--config" not in words or words.index("--config") + 1 == len(words):
        return words
    at = words.index("--config")
    path = words[at + 1]
    if not path.endswith((".yaml", ".yml")):
        raise ValueError(f"Config file must be YAML format, got: {path}")
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return _yaml_words(lines) + words[:at] + words[at + 2 :]


def _yaml_words(lines: Sequence[str]) -> list[str]:
    words: list[str] = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith(("#", "---")):
            continue
        if text.startswith("- "):
            words.append(_scalar(text[2:]))
            continue
        key, colon, value = text.partition(":")
        if not colon:
            raise ValueError("Config file must contain a dictionary at root level")
        value = value.strip()
        if value.lower() == "false":
            continue
        words.append(f"--{key.strip()}")
        if value.startswith("[") and value.endswith("]"):
            words += [_scalar(item) for item in value[1:-1].split(",") if item.strip()]
        elif value and value.lower() != "true":
            words.append(_scalar(value))
    return words


def _scalar(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        return str(json.loads(text))
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text.partition(" #")[0].rstrip()
