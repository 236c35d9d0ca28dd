"""The ASGI application: the routes of the table, the gate of the view socket, and one body for every error."""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qvl.api.operation import DOCUMENT, Desk, Operation, respond
from qvl.api.peer import named
from qvl.model.error import ErrorCode, QvlError

log = logging.getLogger(__name__)
READS = ("GET", "HEAD")


def build(desk: Desk, operations: Sequence[Operation]) -> ASGIApp:
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    app = Starlette(
        routes=[_route(desk, path, methods) for path, methods in paths.items()],
        middleware=[Middleware(Guard, desk=desk)],
        exception_handlers={QvlError: _refused, HTTPException: _not_routed},
    )
    app.router.redirect_slashes = False  # a script should learn the right path, not be led to it
    return app


def _route(desk: Desk, path: str, methods: dict[str, Operation]) -> Route:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](desk, request)

    return Route(path, endpoint, methods=list(methods))


class Guard:
    """Keeps the view socket to reads, and turns whatever goes wrong behind it into our error body."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        if scope["state"]["view"] and scope["method"] not in READS:
            refusal = self._desk.access.refusal(await named(scope["state"]["actor"]))
            error = QvlError(
                ErrorCode.FORBIDDEN, f"the view socket answers reads only: {refusal.message}", refusal.hint
            )
            await _answer(error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            pass
        except Exception as error:  # the last resort: whatever it is, one request must not take the daemon along
            log.exception("%s %r failed", scope["method"], scope["path"])
            if begun:
                raise ConnectionAbortedError("an answer broke off") from error  # the client must not take it for whole
            internal = QvlError(
                ErrorCode.INTERNAL, f"the daemon stumbled: {type(error).__name__}", "journalctl -u qvl-supervisor"
            )
            await _answer(internal)(scope, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, QvlError)
    return _answer(error)


async def _not_routed(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{request.method} is not answered at {request.url.path}, only {headers.get('Allow', 'others')}"
        return _answer(QvlError(ErrorCode.BAD_REQUEST, message, DOCUMENT), error.status_code, headers)
    code = ErrorCode.NOT_FOUND if error.status_code == HTTPStatus.NOT_FOUND else ErrorCode.BAD_REQUEST
    return _answer(QvlError(code, f"there is no {request.url.path}", DOCUMENT), error.status_code, headers)


def _answer(error: QvlError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    return respond(error.body(), status or error.code.http, headers)
