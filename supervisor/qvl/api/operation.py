"""From a typed function to a route and its description.

A handler's signature is the one source of what it takes and gives: `query` and `body` are decoded into their
annotated types, other parameters come from the path, the answer is encoded, and qvl.api.openapi reads the same
annotations. So the document can't say what the code does not do.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from qvl.api.control import Actor, Control, Role
from qvl.api.peer import Access, named
from qvl.api.search import Searches
from qvl.api.stream import Streams
from qvl.model.api import Accepted
from qvl.model.error import ErrorCode, QvlError

log = logging.getLogger(__name__)
JSON = "application/json"
MAX_BODY = 1024 * 1024
DOCUMENT = "GET /v1/openapi.json describes every request"

Handler = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What all handlers work with."""

    control: Control
    access: Access
    streams: Streams
    heartbeat: float
    """Seconds between signs of life on an event stream."""
    searches: Searches = field(default_factory=Searches)


@dataclass(frozen=True, slots=True)
class Call:
    """One request and who makes it."""

    desk: Desk
    actor: Actor

    @property
    def control(self) -> Control:
        return self.desk.control


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    summary: str
    id: str
    act: bool
    """Changes something, or makes the daemon read a file that the client names: operators only."""
    path_names: tuple[str, ...]
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    body_optional: bool
    answers: tuple[object, ...]
    """Types; a union stands for one."""
    media: str
    """Of the answer. With anything but JSON the handler makes the response; `answers` is what a line holds."""

    async def __call__(self, desk: Desk, request: Request) -> Response:
        actor: Actor = request.state.actor
        if self.act:
            actor = await named(actor)
            if actor.role is not Role.OPERATOR:
                log.info("refused %s %r uid=%d pid=%d", self.method, request.url.path, actor.uid, actor.pid)
                raise desk.access.refusal(actor)
        given: dict[str, object] = {name: request.path_params[name] for name in self.path_names}
        if self.query is not None:
            given["query"] = _query(request, self.query)
        elif request.query_params:
            raise QvlError(ErrorCode.BAD_REQUEST, f"{self.method} {self.path} takes no query parameters")
        if self.body is not None:
            given["body"] = await self._body(request, self.body)
        elif self.method != "GET":
            await _read(request)  # nothing is done on half a request
        answer = await self.handler(Call(desk, actor), **given)
        if isinstance(answer, Response):
            return answer
        return respond(answer, status(type(answer)))

    async def _body(self, request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct | None:
        raw = await _read(request)
        if not raw.strip() and self.body_optional:
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise QvlError(
                ErrorCode.BAD_REQUEST, f"the body is not a {kind.__name__}: {_lower(error)}", DOCUMENT
            ) from error


def operation(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    id: str = "",
    act: bool = False,
    media: str = JSON,
    line: object = None,
) -> Operation:
    """Read the handler's signature. Raises TypeError where it does not fit the path."""
    hints = get_type_hints(handler)
    names = tuple(re.findall(r"{(\w+)}", path))
    answer, body, query = hints.pop("return"), hints.pop("body", None), hints.pop("query", None)
    if hints.pop("call", None) is not Call or set(hints) != set(names):
        raise TypeError(f"{method} {path}: its handler takes {sorted(hints)}")
    bodies = () if body is None else _members(body)
    return Operation(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        id=id or handler.__name__,
        act=act,
        path_names=names,
        query=query,
        body=next((kind for kind in bodies if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None),
        body_optional=NoneType in bodies,
        answers=_members(answer) if media == JSON else () if line is None else (line,),
        media=media,
    )


def status(answer: object) -> int:
    """An act is taken in and goes on (202); everything else is the answer itself."""
    return 202 if answer is Accepted else 200


def respond(answer: object, code: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(answer), code, media_type=JSON, headers={"cache-control": "no-store", **(headers or {})}
    )


def _members(hint: object) -> tuple[object, ...]:
    """`A | B` as (A, B), anything else as itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _query(request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise QvlError(ErrorCode.BAD_REQUEST, f"the query is not valid: {_lower(error)}", DOCUMENT) from error


async def _read(request: Request) -> bytes:
    """The whole body, if it is small. A body that dribbles is ended by the connection's patience."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise QvlError(ErrorCode.BAD_REQUEST, f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
