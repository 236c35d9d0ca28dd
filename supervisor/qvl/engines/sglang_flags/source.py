"""SGLang's flags from the syntax tree of its sources. Nothing is imported, so nothing of it has to work here.

Two styles of declaration, side by side in most versions:

    parser.add_argument("--tp-size", "--tensor-parallel-size", type=int)             all of 0.5.3
    tp_size: A[int, Arg(help="...", cli_name="--tp-size", aliases=[...])] = 1        nearly all of 0.5.18 and later

SGLang's `arg_groups/arg_utils.py` turns the second into the first, and `_from_field` follows its rules (as of 0.5.23).
What only running code could tell stays open: choices that have to be computed are None, and so is `takes_value` of an
action that isn't known. Arguments are refused for what the source says for certain.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qvl.engines.sglang_flags.installed import Installed, SglangNotFound
from qvl.engines.sglang_flags.table import PLACEMENT_ALIASES, Flag, FlagTable

Keywords = Mapping[str, ast.expr]


def sources(package: Path) -> list[Path]:
    """The files that declare flags, or what declarations refer to. Those that a version doesn't have are left out."""
    groups = package / "srt" / "arg_groups"
    files = [package / "srt" / "server_args.py", groups / "choices.py", groups / "argparse_actions.py"]
    return [*(file for file in files if file.is_file()), *sorted(groups.glob("fields/*.py"))]


def read_flags(installed: Installed) -> FlagTable:
    """Takes about 0.1 s. Raises SglangNotFound where the sources can't be read, or declare nothing in a known way."""
    try:
        texts = [file.read_text(encoding="utf-8") for file in sources(installed.package)]
        trees = [ast.parse(text) for text in texts]
    except (OSError, ValueError, SyntaxError) as error:
        raise SglangNotFound(installed.python, f"has an sglang whose source cannot be read: {error}") from error
    names = _Names.of(trees)
    flags = [flag for tree, text in zip(trees, texts, strict=True) for flag in _declared(tree, text, names)]
    if not flags:
        reason = f"has sglang {installed.version}, which declares its flags in a way that is not known here"
        raise SglangNotFound(installed.python, reason)
    return FlagTable.of(installed.version, flags)


@dataclass(frozen=True, slots=True)
class _Action:
    """What the class of a custom `action=` says about the flags that have it."""

    nargs: ast.expr | None
    raises: bool


@dataclass(frozen=True, slots=True)
class _Names:
    """What a declaration can refer to by name."""

    constants: Mapping[str, ast.expr]
    actions: Mapping[str, _Action]

    @classmethod
    def of(cls, trees: Sequence[ast.Module]) -> "_Names":
        constants: dict[str, ast.expr] = {}
        actions: dict[str, _Action] = {}
        for statement in (statement for tree in trees for statement in tree.body):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    constants[name] = value
                case ast.ClassDef(name=name, bases=[base]) if _last_name(base) == "Action":
                    actions[name] = _action(statement)
        return cls(constants, actions)

    def values(self, node: ast.expr | None, depth: int = 8) -> tuple[str, ...] | None:
        """The elements of a list that is written out, or put together of such by name and `+`; None for any other."""
        if depth == 0:  # a constant that is defined by itself
            return None
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                parts = [self._element(element, depth) for element in elements]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = [self.values(left, depth - 1), self.values(right, depth - 1)]
            case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "frozenset" | "sorted"), args=[argument]):
                return self.values(argument, depth - 1)
            case ast.Name(id=name):
                return self.values(self.constants.get(name), depth - 1)
            case _:
                return None
        known = [part for part in parts if part is not None]
        return tuple(value for part in known for value in part) if len(known) == len(parts) else None

    def _element(self, node: ast.expr, depth: int) -> tuple[str, ...] | None:
        match node:
            case ast.Starred(value=value):
                return self.values(value, depth - 1)
            case ast.Constant(value=None):
                return ()  # the default, which nobody can type
            case ast.Constant(value=value):
                return (str(value),)
        return None


def _action(definition: ast.ClassDef) -> _Action:
    methods = {method.name: method for method in definition.body if isinstance(method, ast.FunctionDef)}
    nargs: ast.expr | None = None
    if (init := methods.get("__init__")) is not None and init.args.defaults:
        with_default = init.args.args[-len(init.args.defaults) :]
        defaults = {argument.arg: value for argument, value in zip(with_default, init.args.defaults, strict=True)}
        nargs = defaults.get("nargs")
    call = methods.get("__call__")
    return _Action(nargs, call is not None and any(isinstance(statement, ast.Raise) for statement in call.body))


def _declared(tree: ast.Module, text: str, names: _Names) -> Iterator[Flag]:
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
                    for node in ast.walk(member):
                        if isinstance(node, ast.Call) and _last_name(node.func) == "add_argument":
                            flag = _from_call(node, names)
                            if flag is not None:
                                yield flag


def _from_call(call: ast.Call, names: _Names) -> Flag | None:
    spellings = [text for text in map(_string, call.args) if text is not None and text.startswith("--")]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    return _flag(spellings, keywords, names) if spellings else None


def _from_field(name: str, annotation: ast.Subscript, names: _Names) -> Flag | None:
    match annotation:
        case ast.Subscript(value=ast.Name(id="A" | "Annotated"), slice=ast.Tuple(elts=[kind, *metadata])):
            pass
        case _:
            return None
    keywords: dict[str, ast.expr] = {}
    for extra in metadata:
        if not isinstance(extra, ast.Call):  # a help text in place of an Arg
            break
        if _last_name(extra.func) == "Arg":
            keywords = {keyword.arg: keyword.value for keyword in extra.keywords if keyword.arg is not None}
            break
    else:
        return None  # a field with other metadata alone is no flag
    if _constant(keywords.get("no_cli")) is True:
        return None
    first = _string(keywords.get("cli_name")) or f"--{name.replace('_', '-')}"
    spellings = [first, *(names.values(keywords.get("aliases")) or ())]

    kind = _without_none(kind)
    if isinstance(action_kwargs := keywords.get("action_kwargs"), ast.Dict):
        pairs = zip(action_kwargs.keys, action_kwargs.values, strict=True)
        keywords |= {key: value for key, value in ((_string(key), value) for key, value in pairs) if key is not None}
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
    return _flag(spellings, keywords, names)


def _without_none(kind: ast.expr) -> ast.expr:
    """X of `Optional[X]`, `Union[X, None]` and `X | None`; any other annotation as it is."""
    match kind:
        case ast.Constant(value=str(text)):
            return _without_none(ast.parse(text, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return inner
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=[inner, ast.Constant(value=None)])):
            return inner
        case ast.BinOp(left=inner, op=ast.BitOr(), right=ast.Constant(value=None)):
            return inner
    return kind


def _flag(spellings: Sequence[str], keywords: Keywords, names: _Names) -> Flag:
    bare = tuple(spelling.removeprefix("--") for spelling in spellings)
    action = keywords.get("action")
    takes_value, repeated = _shape(action, keywords, names)
    refused = _string(keywords.get("error_message")) or ""
    if action is not None and not refused and (custom := names.actions.get(_last_name(action))) is not None:
        refused = (_string(keywords.get("help")) or "it is no longer supported") if custom.raises else ""
    return Flag(
        name=PLACEMENT_ALIASES.get(bare[0], bare[0]),
        spellings=bare,
        choices=names.values(keywords.get("choices")),
        takes_value=takes_value,
        repeated=repeated,
        boolean_optional=action is not None and _last_name(action) == "BooleanOptionalAction",
        replaced_by=_string(keywords.get("new_flag")) or "",
        refused=refused,
    )


def _shape(action: ast.expr | None, keywords: Keywords, names: _Names) -> tuple[bool | None, bool]:
    """(takes a value, a list of them), by argparse's rules for `action` and `nargs`."""
    nargs = keywords.get("nargs")
    match action:
        case None | ast.Constant(value="store"):
            pass
        case ast.Constant(value="append" | "extend"):
            return True, True
        case ast.Constant() | ast.Attribute(attr="BooleanOptionalAction") | ast.Name(id="BooleanOptionalAction"):
            return False, False
        case _ if nargs is None:
            custom = names.actions.get(_last_name(action))
            if custom is None:
                return None, False
            nargs = custom.nargs
    match nargs:
        case None | ast.Constant(value=None):
            return True, False
        case ast.Constant(value=0):
            return False, False
        case ast.Constant(value="?"):
            return None, False
        case ast.Constant(value="*"):
            return None, True
        case ast.Constant():  # "+" or a number of values
            return True, True
    return None, False


def _constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _string(node: ast.expr | None) -> str | None:
    value = _constant(node)
    return value if isinstance(value, str) else None


def _last_name(node: ast.expr) -> str:
    """`b` of `a.b`, and of `b`; empty for what is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
