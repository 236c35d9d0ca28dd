"""What the sockets answer: one table. No decision is made here; handlers pass on what was asked and who asks."""

import logging
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from qvl.api import logs, openapi, stream
from qvl.api.control import Verb
from qvl.api.operation import DOCUMENT, Call, Handler, operation
from qvl.api.peer import named
from qvl.api.search import SearchQuery
from qvl.model.api import (
    Accepted,
    History,
    PlanRequest,
    ProfileDetail,
    ProfileInfo,
    Resolved,
    SwitchRequest,
    VersionInfo,
    WhoAmI,
)
from qvl.model.config import ConfigView
from qvl.model.detail import WorkerDetail
from qvl.model.error import ErrorCode, QvlError
from qvl.model.event import Frame
from qvl.model.log import LogExtent, LogFound
from qvl.model.plan import Plan
from qvl.model.status import Status

log = logging.getLogger(__name__)
TEXT = "text/plain; charset=utf-8"


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: Annotated[int, Meta(ge=0, description="tell the remembered events after this number as well")] | None = None
    follow: Annotated[bool, Meta(description="go on with what happens; false: only what is remembered")] = True
    changes: Annotated[bool, Meta(description="add `change` frames: new figures, not numbered")] = False


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    last: Annotated[int, Meta(ge=1, description="only the newest so many samples of the last hour")] | None = None
    span: Annotated[int, Meta(ge=5, le=86400, description="this many seconds instead, in steps that fit")] | None = None
    points: Annotated[int, Meta(ge=1, le=720, description="with `span`: at most so many steps; 240")] | None = None


class ProfileQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pool: Annotated[str, Meta(description="as this pool would run it")] | None = None


class SwitchBackQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cancel: Annotated[bool, Meta(description="cancel the transaction under way instead")] = False
    dry_run: Annotated[bool, Meta(description="only the plan of it")] = False


async def status(call: Call) -> Status:
    return call.control.status()


async def events(call: Call, query: EventsQuery) -> Response:
    if not query.follow:
        return stream.remembered(call.control, query.since or 0)
    frames = stream.events(call.control, query.since, call.desk.heartbeat, changes=query.changes)
    return stream.StreamResponse(call.desk.streams, frames, stream.NDJSON)


async def worker_log(call: Call, name: str, query: logs.LogQuery) -> Response:
    source = call.control.log_source(name)
    part = await logs.section(source, query, name)
    offset, data = await logs.first_chunk(source, part)
    body = logs.follow(source, part, offset, data)
    return stream.StreamResponse(call.desk.streams, body, TEXT, {"x-qvl-offset": str(offset)})


async def log_extent(call: Call, name: str) -> LogExtent:
    return await logs.extent(call.control.log_source(name))


async def log_search(call: Call, name: str, query: SearchQuery) -> Response:
    return await call.desk.searches.begin(call.desk.streams, call.control.log_source(name), query)


def act(verb: Verb, *, pool: bool) -> Handler:
    async def handler(call: Call, name: str) -> Accepted:
        return await call.control.act(verb, name, pool=pool, actor=call.actor)

    return handler


async def switch(call: Call, name: str, body: SwitchRequest) -> Accepted | Plan:
    return await call.control.switch(name, body.profile, dry_run=body.dry_run, actor=call.actor)


async def switch_back(call: Call, name: str, query: SwitchBackQuery) -> Accepted | Plan:
    if query.cancel:
        return await call.control.cancel_switch(name, actor=call.actor)
    return await call.control.switch(name, None, dry_run=query.dry_run, actor=call.actor)


async def plan(call: Call, body: PlanRequest | None) -> Plan:
    path = Path(body.path) if body is not None and body.path is not None else None
    if path is not None and not path.is_absolute():
        raise QvlError(
            ErrorCode.BAD_REQUEST, f'path "{path}" is not absolute', "the daemon has another working directory"
        )
    return await call.control.plan(path)


async def apply_plan(call: Call, id: str) -> Accepted:
    return await call.control.apply(id, actor=call.actor)


async def history(call: Call, query: HistoryQuery) -> History:
    if query.span is not None and query.last is None:
        return await call.control.history_of(query.span, query.points)
    if query.span is not None or query.points is not None:
        raise QvlError(ErrorCode.BAD_REQUEST, "`points` goes with `span`, and `span` not with `last`", DOCUMENT)
    return await call.control.history(query.last)


async def profiles(call: Call) -> tuple[ProfileInfo, ...]:
    return call.control.profiles()


async def profile(call: Call, name: str, query: ProfileQuery) -> ProfileDetail:
    return await call.control.profile(name, query.pool)


async def worker_detail(call: Call, name: str) -> WorkerDetail:
    return await call.control.detail(name)


async def resolved(call: Call, name: str) -> Resolved:
    return await call.control.resolved(name)


async def config(call: Call) -> ConfigView:
    return await call.control.config()


async def version(call: Call) -> VersionInfo:
    return await call.control.version()


async def whoami(call: Call) -> WhoAmI:
    actor = await named(call.actor)
    return WhoAmI(actor.uid, actor.gid, actor.pid, actor.user, actor.role.value)


async def restart_daemon(call: Call) -> Accepted:
    return await call.control.restart_daemon(actor=call.actor)


async def document(call: Call) -> dict[str, object]:
    return openapi.document(OPERATIONS)


OPERATIONS = (
    operation("GET", "/v1/status", status, "pools, workers and GPUs as they are"),
    operation("GET", "/v1/events", events, "what happens, a JSON object a line", media=stream.NDJSON, line=Frame),
    *(
        operation(
            "POST",
            f"/v1/{kind}s/{{name}}/{verb}",
            act(verb, pool=kind == "pool"),
            f"{verb} {'a worker' if kind == 'worker' else 'the workers of a pool; `all` is every pool'}",
            id=f"{verb}_{kind}",
            act=True,
        )
        for kind in ("worker", "pool")
        for verb in Verb
    ),
    operation("POST", "/v1/pools/{name}/switch", switch, "run another profile, or tell what that would do", act=True),
    operation("DELETE", "/v1/pools/{name}/switch", switch_back, "go back to the file's profile", act=True),
    operation("POST", "/v1/plans", plan, "what the live file, or another one, would change", act=True),
    operation("POST", "/v1/plans/{id}/apply", apply_plan, "apply a plan", act=True),
    operation(
        "GET",
        "/v1/workers/{name}",
        worker_detail,
        "a worker's start, capacity, processes and last ends, beside its status",
    ),
    operation(
        "GET",
        "/v1/workers/{name}/log",
        worker_log,
        "bytes of a worker's log; X-Qvl-Offset says where they begin",
        media=TEXT,
    ),
    operation("GET", "/v1/workers/{name}/log/extent", log_extent, "where a worker's log and its runs begin and end"),
    operation(
        "GET",
        "/v1/workers/{name}/log/search",
        log_search,
        "lines of a worker's log by pattern and level, a JSON object a line; the last one is its end",
        media=stream.NDJSON,
        line=LogFound,
    ),
    operation(
        "GET",
        "/v1/workers/{name}/resolved",
        resolved,
        "what a running engine made of its arguments, without secrets; asks the engine, and may take 5 s",
    ),
    operation("GET", "/v1/history", history, "figures of the past"),
    operation("GET", "/v1/profiles", profiles, "the profiles of the configuration"),
    operation("GET", "/v1/profiles/{name}", profile, "a profile as resolved, and where each value comes from"),
    operation(
        "GET",
        "/v1/config",
        config,
        "the configuration's files as they are now, without secrets, with their faults and what they would change",
    ),
    operation("GET", "/v1/version", version, "versions of the daemon and of the engines"),
    operation("GET", "/v1/whoami", whoami, "who you are to the daemon, and what you may do"),
    operation(
        "POST", "/v1/daemon/restart", restart_daemon, "replace the daemon's code; workers keep serving", act=True
    ),
    operation("GET", "/v1/openapi.json", document, "this document"),
)
