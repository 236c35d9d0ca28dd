"""The types of vLLM's config classes, from their text: parsed when a flag asks for one, since most never are."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from qvl.engines.flags.declared import last_name

CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
_ALIAS = re.compile(
    r"^(\w+)(?:: *TypeAlias)? *= *(?=(?:str|int|float)$|Literal\[|Union\[|Optional\[|dict\[|list\[)", re.MULTILINE
)
MARGIN = re.compile(r"^(?=[^\s#)\]}])", re.MULTILINE)
"""Where a block may end: a line at the margin. It may be a text's too, so what doesn't parse goes on."""
_METHOD = re.compile(r"^    (?:@|(?:async )?def )", re.MULTILINE)


class Types:
    """What a declaration can refer to by name, parsed when it is asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._classes: dict[str, tuple[str, int]] = {}
        self._aliases: dict[str, tuple[str, int]] = {}
        for text in texts:
            self._classes |= {found[1]: (text, found.start()) for found in CLASS.finditer(text)}
            self._aliases |= {found[1]: (text, found.start()) for found in _ALIAS.finditer(text)}
        self._fields: dict[tuple[str, bool], dict[str, ast.expr]] = {}
        self._resolved: dict[str, ast.expr] = {}

    def is_class(self, name: str) -> bool:
        return name in self._classes

    def fields(self, owner: str, *, whole: bool = False) -> Mapping[str, ast.expr]:
        """The annotations of a class's own fields and of those that it inherits; none of a class that isn't known.
        `whole`: those between its methods too, which takes longer."""
        if (owner, whole) not in self._fields:
            found = self._fields[owner, whole] = {}
            ends = (MARGIN,) if whole else (_METHOD, MARGIN)
            match block(*self._classes[owner], ends) if owner in self._classes else None:
                case ast.ClassDef(bases=bases, body=body):
                    for base in bases:
                        found |= self.fields(last_name(base), whole=whole)
                    for member in body:
                        match member:
                            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                                found[name] = annotation
        return self._fields[owner, whole]

    def field(self, owner: str, name: str) -> ast.expr | None:
        return self.fields(owner).get(name) or self.fields(owner, whole=True).get(name)

    def members(self, annotation: ast.expr, depth: int = 8) -> Iterator[ast.expr]:
        """The types of a union, by whatever names; the annotation itself where it is none."""
        match annotation:
            case ast.Constant(value=str(text)) if depth:
                yield from self.members(ast.parse(text, mode="eval").body, depth - 1)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                yield from self.members(left, depth)
                yield from self.members(right, depth)
            case ast.Subscript(value=owner, slice=inner) if last_name(owner) in ("Optional", "SkipValidation"):
                yield from self.members(inner, depth)
            case ast.Subscript(value=owner, slice=ast.Tuple(elts=parts)) if last_name(owner) == "Union":
                for part in parts:
                    yield from self.members(part, depth)
            case ast.Subscript(value=owner, slice=ast.Tuple(elts=[first, *_])) if last_name(owner) == "Annotated":
                yield from self.members(first, depth)
            case ast.Name(id=name) if depth and name in self._aliases:
                yield from self.members(self._alias(name), depth - 1)
            case ast.Constant(value=None):
                pass
            case _:
                yield annotation

    def literals(self, node: ast.expr) -> tuple[str, ...]:
        """The values of `Literal[...]`, of which another may be a part."""
        match node:
            case ast.Subscript(value=owner, slice=ast.Tuple(elts=parts)) if last_name(owner) == "Literal":
                return tuple(value for part in parts for value in self.literals(part))
            case ast.Subscript(value=owner, slice=inner) if last_name(owner) == "Literal":
                return self.literals(inner)
            case ast.Name(id=name) if name in self._aliases:
                return self.literals(self._alias(name))
            case ast.Constant(value=value):
                return (str(value),)
        return ()

    def _alias(self, name: str) -> ast.expr:
        if name not in self._resolved:
            match block(*self._aliases[name], (MARGIN,)):
                case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                    self._resolved[name] = value
                case _:
                    self._resolved[name] = ast.Name(name)
        return self._resolved[name]


def block(text: str, start: int, ends: Sequence[re.Pattern[str]]) -> ast.stmt | None:
    """The statement that begins at `start`, up to the first of such lines that leaves a whole one."""
    first = text.index("\n", start) + 1
    candidates = sorted({found.start() for pattern in ends for found in pattern.finditer(text, first)})
    for end in (*candidates, len(text)):
        try:
            return ast.parse(textwrap.dedent(text[start:end])).body[0]
        except SyntaxError:
            continue
    return None
