"""SGLang's flags from the syntax tree of its sources. Nothing is imported, so nothing of it has to work here.

Two styles of declaration, side by side in most versions:

    parser.add_argument("--tp-size", "--tensor-parallel-size", type=int)             all of 0.5.3
    tp_size: A[int, Arg(help="...", cli_name="--tp-size", aliases=[...])] = 1        nearly all of 0.5.18 and later

SGLang's `arg_groups/arg_utils.py` turns the second into the first, and `_from_field` follows its rules (as of 0.5.23).
What only running code could tell stays open: choices that have to be computed are None, and so is `takes_value` of an
action that isn't known. Arguments are refused for what the source says for certain.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from qvl.engines.flags.declared import (
    Names,
    calls_of,
    constant,
    flag_of,
    keywords_of,
    last_name,
    spellings_of,
    string,
    without_none,
)
from qvl.engines.flags.installed import EngineNotFound, Installed
from qvl.engines.flags.table import Flag, FlagTable
from qvl.engines.sglang_flags.retired import RETIRED


def sources(package: Path) -> list[Path]:
    """The files that declare flags, or what declarations refer to. Those that a version doesn't have are left out."""
    groups = package / "srt" / "arg_groups"
    files = [package / "srt" / "server_args.py", groups / "choices.py", groups / "argparse_actions.py"]
    return [*(file for file in files if file.is_file()), *sorted(groups.glob("fields/*.py"))]


def table_of(version: str, flags: Iterable[Flag]) -> FlagTable:
    return FlagTable.of(version, flags, retired=RETIRED)


def read_flags(installed: Installed) -> FlagTable:
    """Takes about 0.1 s. Raises EngineNotFound where the sources can't be read, or declare nothing in a known way."""
    try:
        texts = [file.read_text(encoding="utf-8") for file in sources(installed.package)]
        trees = [ast.parse(text) for text in texts]
    except (OSError, ValueError, SyntaxError) as error:
        raise EngineNotFound(installed.python, f"has an sglang whose source cannot be read: {error}") from error
    names = Names.of(trees)
    flags = [flag for tree, text in zip(trees, texts, strict=True) for flag in _declared(tree, text, names)]
    if not flags:
        reason = f"has sglang {installed.version}, which declares its flags in a way that is not known here"
        raise EngineNotFound(installed.python, reason)
    return table_of(installed.version, flags)


def _declared(tree: ast.Module, text: str, names: Names) -> Iterator[Flag]:
    # To walk every function takes as long as to parse the file; these lines tell which ones are worth it.
    calls = [number for number, line in enumerate(text.splitlines(), start=1) if "add_argument(" in line]
    for definition in tree.body:
        for member in definition.body if isinstance(definition, ast.ClassDef) else [definition]:
            match member:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Subscript() as annotation):
                    flag = _from_field(name, annotation, names)
                    if flag is not None:
                        yield flag
                case ast.FunctionDef(lineno=first, end_lineno=last) if any(first <= at <= (last or 0) for at in calls):
                    for call in calls_of(member):
                        if spellings := spellings_of(call):
                            yield flag_of(spellings, keywords_of(call), names)


def _from_field(name: str, annotation: ast.Subscript, names: Names) -> Flag | None:
    match annotation:
        case ast.Subscript(value=ast.Name(id="A" | "Annotated"), slice=ast.Tuple(elts=[kind, *metadata])):
            pass
        case _:
            return None
    keywords: dict[str, ast.expr] = {}
    for extra in metadata:
        if not isinstance(extra, ast.Call):  # a help text in place of an Arg
            break
        if last_name(extra.func) == "Arg":
            keywords = {keyword.arg: keyword.value for keyword in extra.keywords if keyword.arg is not None}
            break
    else:
        return None  # a field with other metadata alone is no flag
    if constant(keywords.get("no_cli")) is True:
        return None
    first = string(keywords.get("cli_name")) or f"--{name.replace('_', '-')}"
    spellings = [first, *(names.values(keywords.get("aliases")) or ())]

    kind = without_none(kind)
    if isinstance(action_kwargs := keywords.get("action_kwargs"), ast.Dict):
        pairs = zip(action_kwargs.keys, action_kwargs.values, strict=True)
        keywords |= {key: value for key, value in ((string(key), value) for key, value in pairs) if key is not None}
    if "action" not in keywords:
        match kind:
            case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
                keywords.setdefault("choices", ast.List(elts=values))
            case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
                keywords.setdefault("choices", ast.List(elts=[value]))
            case ast.Subscript(value=ast.Name(id="List" | "list")) if "type_parser" not in keywords:
                keywords.setdefault("nargs", ast.Constant("+"))
            case ast.Name(id="bool"):
                keywords["action"] = ast.Constant("store_true")
    return flag_of(spellings, keywords, names)
