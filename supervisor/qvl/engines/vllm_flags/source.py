"""vLLM's flags from the syntax tree of its sources. Nothing is imported, so nothing of it has to work here.

Three styles of declaration (0.8.5 to 0.32.0 have been read):

    group.add_argument("--quantization", "-q", **model_kwargs["quantization"])     a field of a config class
    parser.add_argument("--headless", action="store_true")
    class FrontendArgs: allow_credentials: bool = False                            each field is a flag

vLLM's `get_kwargs` makes argparse's keywords of a field's type, and `_keywords_of_type` follows its rules (as of
0.32.0): a bool has a negation, a `Literal` lists choices, a list takes several values. A type that isn't found in the
files that are read is taken for one that may be anything.

The sources are long (20,000 lines in 0.32.0), so only what declarations need is parsed: the methods that declare, and
the fields of the classes that they name, up to the first method.
"""

import ast
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from qvl.engines.flags.declared import Names, calls_of, flag_of, keywords_of, last_name, spellings_of
from qvl.engines.flags.installed import EngineNotFound, Installed
from qvl.engines.flags.table import Flag, FlagTable
from qvl.engines.vllm_flags.retired import RETIRED
from qvl.engines.vllm_flags.types import CLASS, MARGIN, Types, block
from qvl.model.aliases import PLACEMENT_ALIASES

_DECLARES = re.compile(r"^( *)(?:async )?def (?:add_cli_args|_customize_cli_kwargs|make_arg_parser)\b", re.MULTILINE)
_PLACEMENT = ("tp-size", "pp-size", "dp-size")
"""What vLLM calls otherwise; a driver writes its names, so that a profile may have SGLang's."""


def sources(package: Path) -> list[Path]:
    """The files that declare flags, then those with the types that they refer to. Those that a version doesn't have are
    left out."""
    files = [*_declaring(package), package / "config.py"]
    return [*(file for file in files if file.is_file()), *sorted((package / "config").glob("*.py"))]


def _declaring(package: Path) -> tuple[Path, ...]:
    return (
        package / "engine" / "arg_utils.py",
        package / "entrypoints" / "openai" / "cli_args.py",
        package / "entrypoints" / "launchers" / "cli_args.py",  # since 0.30
    )


def table_of(version: str, flags: Iterable[Flag]) -> FlagTable:
    return FlagTable.of(version, flags, engine="vllm", retired=RETIRED, dotted=True)


def read_flags(installed: Installed) -> FlagTable:
    """Takes about 0.1 s. Raises EngineNotFound where the sources can't be read, or declare nothing in a known way."""
    try:
        texts = {file: file.read_text(encoding="utf-8") for file in sources(installed.package)}
        flags = list(_flags([text for file, text in texts.items() if file in _declaring(installed.package)], texts))
    except (OSError, ValueError, SyntaxError) as error:
        raise EngineNotFound(installed.python, f"has a vllm whose source cannot be read: {error}") from error
    if not any("model" in flag.spellings for flag in flags):
        reason = f"has vllm {installed.version}, which declares its flags in a way that is not known here"
        raise EngineNotFound(installed.python, reason)
    return table_of(installed.version, flags)


def _flags(declaring: Sequence[str], texts: Mapping[Path, str]) -> Iterator[Flag]:
    types = Types(texts.values())
    names = Names({}, {})
    for text in declaring:
        for owner in CLASS.findall(text):
            if owner.endswith("FrontendArgs"):
                changes = [change for each in _declarations(text) for change in _changes(each)]
                for name, annotation in types.fields(owner).items():
                    keywords = _keywords_of_type(annotation, types)
                    yield _flag([f"--{name.replace('_', '-')}"], _changed(keywords, name, changes), names)
        for declaration in _declarations(text):
            configs = _configs(declaration)
            changes = _changes(declaration)
            for call in calls_of(declaration):
                if spellings := spellings_of(call):
                    inherited = _inherited(call, configs, types, changes)
                    yield _flag(spellings, {**inherited, **keywords_of(call)}, names)


def _declarations(text: str) -> Iterator[ast.stmt]:
    """The functions in which flags are declared, or in which the declarations of a class's fields are changed."""
    for found in _DECLARES.finditer(text):
        end = re.compile(rf"^(?={found[1]}[^\s#)\]}}])", re.MULTILINE) if found[1] else MARGIN
        if (function := block(text, found.start(), (end, MARGIN))) is not None:
            yield function


def _configs(function: ast.AST) -> dict[str, tuple[str, str]]:
    """Variable -> (config class, field): of `x = get_kwargs(C)` without a field, and with one of `y = x["f"]`."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Subscript(value, ast.Constant(value=str(name)))):
                if owner := _config(value, found):
                    found[variable] = (owner, name)
            case ast.Assign(targets=[ast.Name(id=variable)], value=value):
                if owner := _config(value, found):
                    found[variable] = (owner, "")
    return found


def _config(node: ast.expr, known: Mapping[str, tuple[str, str]]) -> str:
    match node:
        case ast.Call(func=func, args=[ast.Name(id=config)]) if last_name(func) == "get_kwargs":
            return config
        case ast.Name(id=variable):
            return known.get(variable, ("", ""))[0]
    return ""


Change = tuple[str, str, ast.expr | None]


def _changes(function: ast.AST) -> list[Change]:
    """(field, keyword, value) of `kwargs["f"]["k"] = value`; None of `del kwargs["f"]["k"]`."""
    found: list[Change] = []
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
        for target in targets:
            match target:
                case ast.Subscript(
                    value=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str(name))),
                    slice=ast.Constant(value=str(keyword)),
                ):
                    found.append((name, keyword, node.value if isinstance(node, ast.Assign) else None))
    return found


def _changed(keywords: Mapping[str, ast.expr], name: str, changes: Iterable[Change]) -> dict[str, ast.expr]:
    changed = dict(keywords)
    for field, keyword, value in changes:
        if field == name and value is not None:
            changed[keyword] = value
        elif field == name:
            changed.pop(keyword, None)
    return changed


def _inherited(
    call: ast.Call, configs: Mapping[str, tuple[str, str]], types: Types, changes: Iterable[Change]
) -> dict[str, ast.expr]:
    """The keywords that `**` hands over; of what isn't known, that any shape of value may be right."""
    keywords: dict[str, ast.expr] = {}
    for node in (keyword.value for keyword in call.keywords if keyword.arg is None):
        match node:
            case ast.Dict(keys=[None, *_], values=[first, *_]):  # {**kwargs["f"], "default": None}
                node = first
        match node:
            case ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant(value=str(name))):
                owner = configs.get(variable, ("", ""))[0]
            case ast.Name(id=variable):
                owner, name = configs.get(variable, ("", ""))
            case _:
                owner, name = "", ""
        annotation = types.field(owner, name)
        found = _keywords_of_type(annotation, types) if annotation is not None else _ANYTHING
        keywords |= _changed(found, name, changes)
    return keywords


_ANYTHING: Mapping[str, ast.expr] = {"nargs": ast.Constant("*")}


def _keywords_of_type(annotation: ast.expr, types: Types) -> dict[str, ast.expr]:
    """What vLLM's `get_kwargs` makes of the type of a field."""
    members = list(types.members(annotation))
    by_name = {_type_name(member): member for member in members}
    known = {"int", "float", "str", "dict", "Dict", "Any"}
    if any(types.is_class(name) for name in by_name):
        return {}
    if by_name.keys() == {"bool", "str"}:
        return {"nargs": ast.Constant("?")}
    if "bool" in by_name:
        return {"action": ast.Attribute(ast.Name("argparse"), "BooleanOptionalAction")}
    if "Literal" in by_name:
        return {} if "str" in by_name else _choices(by_name["Literal"], types)
    for collection in ("tuple", "Tuple", "list", "List", "set", "Set"):
        match by_name.get(collection):
            case ast.Subscript(slice=ast.Tuple(elts=[element, *_])) | ast.Subscript(slice=element):
                inner = list(types.members(element))
                listed = len(inner) == 1 and _type_name(inner[0]) == "Literal"
                return {"nargs": ast.Constant("+"), **(_choices(inner[0], types) if listed else {})}
    return {} if by_name and by_name.keys() & known else dict(_ANYTHING)


def _choices(literal: ast.expr, types: Types) -> dict[str, ast.expr]:
    return {"choices": ast.List(elts=[ast.Constant(value) for value in types.literals(literal)])}


def _type_name(member: ast.expr) -> str:
    return last_name(member.value if isinstance(member, ast.Subscript) else member)


def _flag(spellings: Sequence[str], keywords: Mapping[str, ast.expr], names: Names) -> Flag:
    made = flag_of([spelling.replace("_", "-") for spelling in spellings], keywords, names)
    if made.name not in _PLACEMENT:
        return made
    others = (alias for alias, name in PLACEMENT_ALIASES.items() if name == made.name and alias not in made.spellings)
    return dataclasses.replace(made, spellings=(*made.spellings, *others))
