"""What to do about an end that the log explains, said with what only the installation and the profile know.

The log names the flag that SGLang's parser refused, as argparse words it (Python 3.10 to 3.14); the flags of the very
version that is installed tell which one was meant. Where SGLang names the replacement itself, that is the advice.
"""

import difflib
import os
import re
from collections.abc import Iterator

from qvl.engines.flags import ArgFault, FlagTable, check_args
from qvl.model.spec import EngineKind, Launch
from qvl.model.worker import Cause

_UNKNOWN = re.compile(r"error: unrecognized arguments: (?P<words>.+)")
_AMBIGUOUS = re.compile(r"error: ambiguous option: (?P<flag>\S+) could match (?P<candidates>.+)")
_ARGUMENT = re.compile(r"error: argument (?P<names>-\S+): (?P<complaint>.+)")
_REFUSED = re.compile(r"error: (?P<words>.*--[a-z][a-z0-9-]+.*)")
_CHOICE = re.compile(r"invalid choice: (?P<value>'[^']*'|\S+).*?\(choose from (?P<choices>[^)]*)")
_TYPE = re.compile(r"invalid (?P<type>\S+) value: (?P<value>.+)")
_HUB = re.compile(
    r"couldn't connect|LocalEntryNotFound|outgoing traffic|[Oo]ffline|(?P<gated>[Gg]ated ?[Rr]epo|40[13] C)"
)
_ARCHITECTURE = re.compile(r"Model architectures? .*not supported|does not recognize this architecture")


def advice_of(table: FlagTable | None, launch: Launch, cause: Cause, evidence: str) -> str | None:
    """A hint for `cause`; None where the log's own is as good. `table`: the flags of the installed version, None where
    it can't be read. Looks at the disk for a model that is a path."""
    if cause is Cause.BAD_ARGUMENTS:
        return _of_arguments(table, launch, evidence)
    if cause is Cause.MODEL_MISSING:
        return _of_model(launch, evidence)
    return None


_OF_VLLM = {
    "mem-fraction-static": "gpu-memory-utilization",
    "context-length": "max-model-len",
    "max-running-requests": "max-num-seqs",
    "chunked-prefill-size": "max-num-batched-tokens",
    "cuda-graph-max-bs": "max-cudagraph-capture-size",
    "disable-cuda-graph": "enforce-eager",
    "tp-size": "tensor-parallel-size",
}
_FLAG_OF_SGLANG = re.compile("|".join(rf"\b{name}\b" for name in _OF_VLLM))


def worded(hint: str | None, kind: EngineKind) -> str | None:
    """A hint of `core.classify`, which names flags as SGLang does, with the names of the engine that ended."""
    if hint is None or kind is not EngineKind.VLLM:
        return hint
    return _FLAG_OF_SGLANG.sub(lambda found: _OF_VLLM[found[0]], hint)


def _of_arguments(table: FlagTable | None, launch: Launch, evidence: str) -> str | None:
    if found := _UNKNOWN.search(evidence):
        hints = [hint for flag in _flags(found["words"]) if (hint := _unknown(table, launch, flag))]
        return "; ".join(hints) or None
    if found := _AMBIGUOUS.search(evidence):
        fault = _fault(table, _name(found["flag"]))
        candidates = " or ".join(word.lstrip("-") for word in found["candidates"].split(", "))
        return _told(fault, launch) if fault else f"write the whole flag: {candidates}{_where(launch, found['flag'])}"
    if found := _ARGUMENT.search(evidence):
        return _of_value(table, launch, found["names"], found["complaint"])
    if found := _REFUSED.search(evidence):
        return found["words"]
    if table is not None and _ARCHITECTURE.search(evidence):
        unknown = f"{table.engine} {table.version} doesn't know this kind of model"
        return f"{unknown}: install a newer one, or serve another model"
    return None


def _flags(words: str) -> Iterator[str]:
    return (word for word in words.split() if word.startswith("--") and len(word) > 2)


def _name(flag: str) -> str:
    return flag.lstrip("-").partition("=")[0]


def _unknown(table: FlagTable | None, launch: Launch, flag: str) -> str | None:
    fault = _fault(table, _name(flag))
    if fault is None:
        return None
    if "raw_args" in fault.hint:  # what it says of plugins' flags: the engine that ended has none such
        return f"{fault.message}: take it out{_where(launch, flag)}"
    return _told(fault, launch)


def _fault(table: FlagTable | None, name: str) -> ArgFault | None:
    """What the check of a configuration says of this flag; None where it knows it."""
    if table is None or table.find(name) is not None:
        return None
    return next(iter(check_args(table, {name: ""}, ())), None)


def _told(fault: ArgFault, launch: Launch) -> str:
    return f"{fault.message}: {fault.hint}{_where(launch, '--' + fault.key)}"


def _where(launch: Launch, flag: str) -> str:
    """Where the profile has it, as far as it is not plain."""
    raw = any(word.partition("=")[0] == flag.partition("=")[0] for word in launch.raw_args)
    return " (it stands in the profile's raw_args)" if raw else ""


def _of_value(table: FlagTable | None, launch: Launch, names: str, complaint: str) -> str:
    """`names`: all spellings of one flag, as `--tensor-parallel-size/--tp-size`."""
    spellings = [_name(name) for name in names.split("/")]
    name = next((spelling for spelling in spellings if spelling in launch.args), spellings[0])
    where = _where(launch, next((f"--{s}" for s in spellings if f"--{s}" in launch.raw_args), f"--{name}"))
    if found := _CHOICE.search(complaint):
        value = found["value"].strip("'")
        flag = table.find(name) if table is not None else None
        listed = [word.strip(" '") for word in found["choices"].split(",")]
        choices = flag.choices if flag is not None and flag.choices else tuple(word for word in listed if word)
        near = difflib.get_close_matches(value, choices, n=1)
        known = ", ".join(choices)
        return f'"{value}" is no choice of {name}: ' + (f'did you mean "{near[0]}"?' if near else known) + where
    if found := _TYPE.search(complaint):
        return f"{name} takes {_kind(found['type'])}, not {found['value']}{where}"
    return f"{name}: {complaint}{where}"


def _kind(type_name: str) -> str:
    """The name of the function by which argparse reads a value, as a reader would put it."""
    known = {"int": "a whole number", "float": "a number", "loads": "JSON", "str": "a word"}
    return known.get(type_name, f"a value of another form ({type_name})")


def _of_model(launch: Launch, evidence: str) -> str | None:
    """What the disk says of a path that the profile names. Of a name on a hub the log says more than we know, but for
    the key that it came from, and for the name where the hub's client doesn't tell it."""
    words = {key: value for key, value in launch.args.items() if isinstance(value, str) and "/" in value}
    key = next((key for key, value in words.items() if value in evidence and value not in launch.model), "model")
    value = words.get(key, launch.model)
    if not value.startswith("/"):
        if key != "model":
            return f"check the profile's {key}: {value}"
        if value in evidence or not (said := _HUB.search(evidence)):
            return None
        if said["gated"]:
            return f"the hub wants a token that may read {value}: put HF_TOKEN into the engine's env_file"
        return f"{value} is not in HF_HOME and the hub is out of reach: download it first, or name a local directory"
    if not os.path.exists(value):
        return f"{key} {value} does not exist: mount or download it, or mend the profile"
    return f"{key} {value} is there, but is no complete model: look for config.json, tokenizer and weights in it"
