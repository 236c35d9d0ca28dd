"""Asks the engine that is installed whether it has the flags that a profile gives it.

A callback of the loader, so that loading stays quick and testable without an engine.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from qvl.config.ours import ours
from qvl.engines import router_flags, sglang_flags, vllm_flags
from qvl.engines.flags import ArgFault, EngineNotFound, FlagTable, check_args
from qvl.engines.router import HOME
from qvl.engines.simulated import simulated_table
from qvl.model.spec import ArgValue, Engine, EngineKind

FlagCheck: TypeAlias = Callable[[Engine, Mapping[str, ArgValue]], Sequence[ArgFault]]
"""What is wrong with these arguments for this engine. A fault without a key is about the engine itself."""


def installed_check(cache: Path | None = None) -> FlagCheck:
    """`cache`: a directory that keeps the flag tables of the installed versions. Each interpreter is read once for the
    callback that is returned, so make a new one for each load."""
    tables: dict[str, FlagTable | ArgFault] = {}
    gateway = cache.parent / "gateway" if cache is not None else HOME

    def check(engine: Engine, args: Mapping[str, ArgValue]) -> Sequence[ArgFault]:
        if engine.kind is EngineKind.COMMAND:
            return ()
        if engine.name not in tables:
            tables[engine.name] = _table(engine, cache, gateway)
        table = tables[engine.name]
        return (table,) if isinstance(table, ArgFault) else check_args(table, args, ours(engine.kind))

    return check


def _table(engine: Engine, cache: Path | None, gateway: Path) -> FlagTable | ArgFault:
    if engine.kind is EngineKind.SIMULATED:
        return simulated_table()
    unchecked = "so the flags of its profiles were not checked"
    if engine.kind is EngineKind.ROUTER:
        try:
            return router_flags.load_flags(engine.python, gateway)
        except EngineNotFound as missing:
            return ArgFault(
                "", f"{missing}, so its flags were not checked", "`qvlctl doctor` tells how to get it", "warning"
            )
    vllm = engine.kind is EngineKind.VLLM
    try:
        load = vllm_flags.load_flags if vllm else sglang_flags.load_flags
        return load(Path(engine.python), cache)
    except EngineNotFound as missing:
        return ArgFault("", f"{missing}, {unchecked}", "its workers start once it is there", "warning")
    except (OSError, SyntaxError) as error:
        return ArgFault(
            "", f"{'vLLM' if vllm else 'SGLang'} of {engine.python} can't be read ({error}), {unchecked}", "", "warning"
        )
