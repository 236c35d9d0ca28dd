"""What a declaration of a flag says, from a syntax tree: by argparse's own rules, and by nothing that has to run.

What only running code could tell stays open: choices that have to be computed are None, and so is `takes_value` of an
action that isn't known.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qvl.engines.flags.table import Flag
from qvl.model.aliases import PLACEMENT_ALIASES

Keywords = Mapping[str, ast.expr]


@dataclass(frozen=True, slots=True)
class Action:
    """What the class of a custom `action=` says about the flags that have it."""

    nargs: ast.expr | None
    raises: bool


@dataclass(frozen=True, slots=True)
class Names:
    """What a declaration can refer to by name."""

    constants: Mapping[str, ast.expr]
    actions: Mapping[str, Action]

    @classmethod
    def of(cls, trees: Sequence[ast.Module]) -> "Names":
        constants: dict[str, ast.expr] = {}
        actions: dict[str, Action] = {}
        for statement in (statement for tree in trees for statement in tree.body):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    constants[name] = value
                case ast.ClassDef(name=name, bases=[base]) if last_name(base) == "Action":
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


def _action(definition: ast.ClassDef) -> Action:
    methods = {method.name: method for method in definition.body if isinstance(method, ast.FunctionDef)}
    nargs: ast.expr | None = None
    if (init := methods.get("__init__")) is not None and init.args.defaults:
        with_default = init.args.args[-len(init.args.defaults) :]
        defaults = {argument.arg: value for argument, value in zip(with_default, init.args.defaults, strict=True)}
        nargs = defaults.get("nargs")
    call = methods.get("__call__")
    return Action(nargs, call is not None and any(isinstance(statement, ast.Raise) for statement in call.body))


def calls_of(function: ast.AST) -> Iterator[ast.Call]:
    """The calls of `add_argument` in it, in the order of the source."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and last_name(node.func) == "add_argument":
            yield node


def spellings_of(call: ast.Call) -> list[str]:
    """The long names of a flag; none of a positional argument, or where they are computed."""
    return [text for text in map(string, call.args) if text is not None and text.startswith("--")]


def keywords_of(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def without_none(kind: ast.expr) -> ast.expr:
    """X of `Optional[X]`, `Union[X, None]` and `X | None`; any other annotation as it is."""
    match kind:
        case ast.Constant(value=str(text)):
            return without_none(ast.parse(text, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return inner
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=[inner, ast.Constant(value=None)])):
            return inner
        case ast.BinOp(left=inner, op=ast.BitOr(), right=ast.Constant(value=None)):
            return inner
    return kind


def flag_of(spellings: Sequence[str], keywords: Keywords, names: Names) -> Flag:
    bare = tuple(spelling.removeprefix("--") for spelling in spellings)
    action = keywords.get("action")
    takes_value, repeated = _shape(action, keywords, names)
    refused = string(keywords.get("error_message")) or ""
    if action is not None and not refused and (custom := names.actions.get(last_name(action))) is not None:
        refused = (string(keywords.get("help")) or "it is no longer supported") if custom.raises else ""
    return Flag(
        name=PLACEMENT_ALIASES.get(bare[0], bare[0]),
        spellings=bare,
        choices=names.values(keywords.get("choices")),
        takes_value=takes_value,
        repeated=repeated,
        boolean_optional=action is not None and last_name(action) == "BooleanOptionalAction",
        replaced_by=string(keywords.get("new_flag")) or "",
        refused=refused,
    )


def _shape(action: ast.expr | None, keywords: Keywords, names: Names) -> tuple[bool | None, bool]:
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
            custom = names.actions.get(last_name(action))
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


def constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def string(node: ast.expr | None) -> str | None:
    value = constant(node)
    return value if isinstance(value, str) else None


def last_name(node: ast.expr) -> str:
    """`b` of `a.b`, and of `b`; empty for what is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
