"""The document is valid, whole, and says what the server does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from qvl.api.openapi import document
from qvl.api.operation import Call, operation
from qvl.api.routes import OPERATIONS
from qvl.model.error import ErrorCode
from qvl.model.status import Status

from tests.api.wire import ask
from tests.fakes import FakeControl, Served, serve

DOCUMENT: dict[str, Any] = json.loads(json.dumps(document(OPERATIONS)))
QUERIES = {"/v1/events": "?follow=0", "/v1/workers/{name}/log/search": "?level=error"}
BODIES = {
    "/v1/pools/chat/switch": b'{"profile": "eagle3", "dry_run": true}',
    "/v1/plans": b'{"path": "/etc/qvl/new.toml"}',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path: Path = tmp_path_factory.mktemp("api") / "s.sock"
    with serve(FakeControl(), path) as running:
        yield running


def described() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, entry)
        for path, methods in DOCUMENT["paths"].items()
        for method, entry in methods.items()
    ]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """For a schema that refers to the document's components."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def concrete(path: str) -> str:
    name = "chat" if path.startswith("/v1/pools") else "chat-0" if path.startswith("/v1/workers") else "eagle3"
    return path.replace("{name}", name).replace("{id}", "p1")


def test_the_document_is_served(served: Served) -> None:
    assert ask(served.view, "GET", "/v1/openapi.json").json == DOCUMENT


def test_structure() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(DOCUMENT["info"])
    ids = [entry["operationId"] for _, _, entry in described()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for method, path, entry in described():
        parameters = entry["parameters"]
        in_path = [one["name"] for one in parameters if one["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert len({(one["in"], one["name"]) for one in parameters}) == len(parameters)
        assert entry["summary"]
        assert "default" in entry["responses"]
        assert len(entry["responses"]) > 1
        for response in entry["responses"].values():
            assert response["description"]
        assert (entry["x-qvl-role"] == "operator") == (method != "GET")


def test_schemas_are_valid_and_references_lead_somewhere() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)):
        root, _, name = reference.rpartition("/")
        assert root == "#/components/schemas"
        assert name in DOCUMENT["components"]["schemas"]
    for _, _, entry in described():
        for parameter in entry["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in described()])
def test_every_answer_is_as_described(served: Served, method: str, path: str) -> None:
    entry = DOCUMENT["paths"][path][method.lower()]
    target = concrete(path)
    query = QUERIES.get(path, "")
    body = BODIES.get(target) if method == "POST" else None
    if body is not None:
        schema = entry["requestBody"]["content"]["application/json"]["schema"]
        validator(schema).validate(json.loads(body))
    answer = ask(served.socket, method, target + query, body)
    content = entry["responses"][str(answer.status)]["content"]
    assert list(content) == [answer.headers["content-type"]]
    ((media, one),) = content.items()
    if media == "application/json":
        validator(one["schema"]).validate(json.loads(answer.body))
    elif media == "application/x-ndjson":
        lines = answer.body.splitlines()
        assert lines
        for line in lines:
            validator(one["schema"]).validate(json.loads(line))
            assert not validator(one["schema"]).is_valid({**json.loads(line), "type": "unheard-of"})


def test_every_error_is_as_described(served: Served) -> None:
    schema = DOCUMENT["paths"]["/v1/status"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
    for method, target in [("GET", "/none"), ("PUT", "/v1/status"), ("POST", "/v1/pools/none/stop")]:
        validator(schema).validate(ask(served.socket, method, target).json)


def test_the_described_methods_are_all_that_is_answered(served: Served) -> None:
    """In step in the other direction: the server answers nothing that the document does not know."""
    for path, methods in DOCUMENT["paths"].items():
        allowed = ask(served.socket, "TRACE", concrete(path)).headers["allow"]
        named = {name.strip().lower() for name in allowed.split(",")} - {"head"}
        assert named == set(methods)


def test_the_snapshot_frame_is_described(served: Served) -> None:
    schema = DOCUMENT["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["application/x-ndjson"]["schema"]
    status = ask(served.socket, "GET", "/v1/status").json
    frame = {"type": "snapshot", "seq": 3, "at": "2026-01-02T03:04:05Z", "status": status}
    validator(schema).validate(frame)
    for other in ({"type": "lost", "lost": 3}, {"type": "heartbeat", "at": "2026-01-02T03:04:05Z", "seq": 3}):
        validator(schema).validate(other)


def test_all_error_codes_are_named() -> None:
    text = DOCUMENT["paths"]["/v1/status"]["get"]["responses"]["default"]["description"]
    for code in ErrorCode:
        assert f"{code.wire} ({code.http})" in text


def test_a_handler_that_does_not_fit_its_path_is_refused() -> None:
    async def handler(call: Call, nom: str) -> Status:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"GET /v1/\{name\}"):
        operation("GET", "/v1/{name}", handler, "misspelt")
