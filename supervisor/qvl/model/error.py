"""Errors that people read. One tree:

    QvlError
      an error with a code, a sentence and the next step; its body on the wire is {"error": {"code", "message", "hint"}}

`ErrorCode` is the one table from code to HTTP status and exit code.
"""

from enum import Enum

import msgspec


class ErrorCode(Enum):
    """name = (wire name, HTTP status, exit code of qvlctl)"""

    BAD_REQUEST = ("bad-request", 400, 1)
    FORBIDDEN = ("forbidden", 403, 1)
    NOT_FOUND = ("not-found", 404, 1)
    CONFLICT = ("conflict", 409, 1)
    STALE_PLAN = ("stale-plan", 409, 1)
    REFUSED = ("refused", 422, 1)
    INTERNAL = ("internal", 500, 1)
    UNSUPPORTED = ("unsupported", 501, 1)
    UNREACHABLE = ("unreachable", 503, 3)
    TIMED_OUT = ("timed-out", 504, 4)

    def __init__(self, wire: str, http: int, exit_code: int) -> None:
        self.wire = wire
        self.http = http
        self.exit_code = exit_code

    @classmethod
    def of(cls, wire: str) -> "ErrorCode":
        return next((code for code in cls if code.wire == wire), cls.INTERNAL)


class ErrorInfo(msgspec.Struct, frozen=True):
    code: str
    message: str
    hint: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    error: ErrorInfo


class QvlError(Exception):
    """`message`: lower-case, one sentence, names the thing and the value. `hint`: what to type or change next."""

    def __init__(self, code: ErrorCode, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def body(self) -> ErrorBody:
        return ErrorBody(ErrorInfo(self.code.wire, self.message, self.hint))
