"""The flags of the sglang-router that is installed, read from its source: `sglang_router/router_args.py`."""

import ast
from pathlib import Path

from qvl.engines.flags import EngineNotFound, FlagTable
from qvl.engines.flags.declared import Names, calls_of, flag_of, keywords_of, string
from qvl.engines.router import PACKAGE, find_python, router_version, sites


def load_flags(configured: str, home: Path) -> FlagTable:
    """Takes some 10 ms. EngineNotFound where there is none, or its source says nothing in a known way; `configured` and
    `home` as `find_python` has them."""
    python = find_python(configured, home)
    if python is None:
        raise EngineNotFound(Path(configured or home / "bin" / "python"), "has no sglang-router")
    source = next(file for site in sites(python) if (file := site / PACKAGE / "router_args.py").is_file())
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise EngineNotFound(python, f"has an sglang-router whose source cannot be read: {error}") from error
    names = Names.of([tree])
    flags = [
        flag_of(spellings, keywords_of(call), names)
        for call in calls_of(tree)
        if (spellings := [name for argument in call.args if (name := _spelling(argument)).startswith("--")])
    ]
    if not flags:
        raise EngineNotFound(python, "has an sglang-router that declares its flags in a way that is not known here")
    return FlagTable.of(router_version(python) or "", flags, engine="sglang-router", plugins=False)


def _spelling(node: ast.expr) -> str:
    """`f"--{prefix}policy"` is --policy: the prefix is for a server that has the router built in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(string(part) or "" for part in node.values)
    return string(node) or ""
