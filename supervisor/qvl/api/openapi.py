"""The OpenAPI 3.1 document, computed from the same table that routes requests."""

from collections.abc import Sequence
from typing import Any

import msgspec

import qvl
from qvl.api.operation import JSON, Operation, status
from qvl.model.error import ErrorBody, ErrorCode

_REF = "#/components/schemas/{name}"
Schema = dict[str, Any]  # JSON Schema, as msgspec types it


def document(operations: Sequence[Operation]) -> dict[str, object]:
    kinds: list[object] = [ErrorBody]
    for operation in operations:
        kinds += [kind for kind in (*operation.answers, operation.body) if kind is not None and kind not in kinds]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF, schema_hook=_anything)
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qvl",
            "version": qvl.__version__,
            "description": "The supervisor's unix sockets. Acts need the operator group; view.sock answers GET only.",
        },
        "servers": [
            {"url": "http://qvl", "description": "curl --unix-socket /run/qvl/supervisor.sock http://qvl/v1/status"}
        ],
        "paths": paths,
        "components": {"schemas": components},
    }


def _anything(kind: type) -> Schema:
    """`object` in the model is any JSON value: an engine's argument, the facts of an event."""
    if kind is object:
        return {"description": "any JSON value"}  # msgspec takes an empty schema for none
    raise NotImplementedError(kind)


def _operation(operation: Operation, schema_of: dict[object, Schema]) -> dict[str, object]:
    described: dict[str, object] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {**_answers(operation, schema_of), "default": _error(schema_of)},
        "x-qvl-role": "operator" if operation.act else "viewer",
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {JSON: {"schema": schema_of[operation.body]}},
        }
    return described


def _answers(operation: Operation, schema_of: dict[object, Schema]) -> dict[str, object]:
    if operation.media != JSON:
        content = {"schema": schema_of[operation.answers[0]]} if operation.answers else {"schema": {"type": "string"}}
        answer: dict[str, object] = {"description": operation.summary, "content": {operation.media: content}}
        return {"200": answer}
    return {
        str(status(kind)): {"description": operation.summary, "content": {JSON: {"schema": schema_of[kind]}}}
        for kind in operation.answers
    }


def _error(schema_of: dict[object, Schema]) -> dict[str, object]:
    codes = ", ".join(f"{code.wire} ({code.http})" for code in ErrorCode)
    return {"description": f"refused or failed: {codes}", "content": {JSON: {"schema": schema_of[ErrorBody]}}}


def _path_parameters(operation: Operation) -> list[dict[str, object]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in operation.path_names
    ]


def _query_parameters(operation: Operation) -> list[dict[str, object]]:
    if operation.query is None:
        return []
    reference = msgspec.json.schema(operation.query)
    properties: dict[str, Schema] = reference["$defs"][operation.query.__name__]["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
