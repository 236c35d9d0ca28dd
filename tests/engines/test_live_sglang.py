"""What SGLang takes without a restart, and that its calls lead from wherever it may be to where it is to be."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from qvl.engines.live import LiveCall, carry_out
from qvl.engines.live_sglang import LIVES, LOGGING, SglangLive, adapters, loaded_adapters, takes
from qvl.model.spec import ArgValue, Engine, EngineKind, Launch

FIELDS = [key.replace("-", "_") for key in LOGGING]
LORA: dict[str, ArgValue] = {"enable-lora": True, "max-lora-rank": 8, "lora-target-modules": ["q_proj"]}
LIVE = SglangLive()


ENGINE = Engine(name="e", kind=EngineKind.SGLANG, python="/opt/python")


def launch(*raw: str, **args: ArgValue) -> Launch:
    given = {name.replace("_", "-"): value for name, value in args.items()}
    return Launch(engine=ENGINE, model="/m", args=given, raw_args=raw)


def lora(*paths: str, **more: ArgValue) -> Launch:
    given: dict[str, ArgValue] = {"lora-paths": list(paths)} if paths else {}
    return launch(**LORA, **given, **more)


def live(old: Launch, new: Launch, fields: Sequence[str] = FIELDS, lists: bool = True) -> frozenset[str]:
    return takes(fields, lists, old, new)


@pytest.mark.parametrize(
    ("new", "taken"),
    [
        (launch(log_level="DEBUG"), set(LOGGING)),
        (launch(log_level="chatty"), {*LOGGING} - {"log-level"}),
        (launch(log_requests=1), {*LOGGING} - {"log-requests"}),
        (launch(log_requests_level=4), {*LOGGING} - {"log-requests-level"}),
        (launch(log_requests_level="2"), {*LOGGING} - {"log-requests-level"}),
        (launch(log_requests_format="xml"), {*LOGGING} - {"log-requests-format"}),
        (launch(tokenizer_worker_num=2), set()),
        (launch(admin_api_key="sk"), set()),
        (launch("--admin-api-key", "sk"), set()),
        (launch("--config=more.yaml"), set()),
        (launch("--log-level", "error"), {*LOGGING} - {"log-level"}),
        (launch("--log-req"), {"log-level"}),
        (launch("--", "x"), set(LOGGING)),
        (msgspec.structs.replace(launch(), env={"SGLANG_LOGGING_CONFIG_PATH": "/x"}), {*LOGGING} - {"log-level"}),
    ],
)
def test_which_arguments_for_logging(new: Launch, taken: set[str]) -> None:
    assert live(launch(), new) == taken
    if new.args.keys() <= LOGGING.keys() and not new.env:
        assert live(new, launch()) == taken, "the way back"
    assert live(launch(), new, ["log_requests", "log_requests_level"]) == taken & {"log-requests", "log-requests-level"}


A, B = "a=/a", "b=/b"


@pytest.mark.parametrize(
    ("old", "new", "taken"),
    [
        (lora(), lora(A), True),
        (lora(A), lora(A, B), True),
        (lora(A, B), lora(B, A), True),
        (lora(A), lora(A, '{"lora_name": "b", "lora_path": "/b", "pinned": true}'), True),
        (lora(A), lora("/c", A), True),
        (lora(A, B, max_loaded_loras=2), lora(B, A, max_loaded_loras=2), True),
        (lora(A, B), lora(A), False),
        (lora(A), lora(B), False),
        (lora(A), lora("a=/other"), False),
        (lora(A), lora('{"lora_name": "a", "lora_path": "/a", "pinned": true}'), False),
        (lora(A), lora(A, "a=/b"), False),
        (lora(A), lora(A, "{"), False),
        (lora(A), lora(A, '{"lora_name": "b"}'), False),
        (lora(A, max_loaded_loras=1), lora(A, B, max_loaded_loras=1), False),
        (lora(A, dp_size=2), lora(A, B, dp_size=2), False),
        (launch(lora_paths=[A]), launch(lora_paths=[A, B]), False),
        (launch(max_lora_rank=8, lora_target_modules=["q_proj"]), lora(A), False),
        (launch("--lora-paths", B, **LORA), launch("--lora-paths", B, **LORA, lora_paths=[A]), False),
    ],
)
def test_which_adapters(old: Launch, new: Launch, taken: bool) -> None:
    assert ("lora-paths" in live(old, new)) is taken
    assert "lora-paths" not in live(old, new, lists=False)


def test_with_shape_and_paths_lora_is_on_by_itself() -> None:
    shape: dict[str, ArgValue] = {"max_lora_rank": 8, "lora_target_modules": ["q_proj"]}
    assert "lora-paths" in live(launch(lora_paths=[A], **shape), launch(lora_paths=[A, B], **shape))
    assert "lora-paths" not in live(launch(**shape), launch(lora_paths=[A], **shape))
    off: dict[str, ArgValue] = {"lora_paths": [A], **shape, "enable_lora": False}
    more: dict[str, ArgValue] = {**off, "lora_paths": [A, B]}
    assert "lora-paths" not in live(launch(**off), launch(**more))


def test_a_path_alone_is_its_own_name() -> None:
    assert adapters(launch(lora_paths=["org/x", "n=/p=q"])) == {"org/x": ("org/x", False), "n": ("/p=q", False)}
    assert adapters(launch(lora_paths={"lora_name": "t", "lora_path": "/t"})) == {"t": ("/t", False)}


# ---- calls


class Server:
    """SGLang as far as its calls go. A call that nobody waits for may come about later: before the next one that
    concerns adapters, since these wait for each other, and not before somebody looks."""

    def __init__(self, started: Launch) -> None:
        self.late: LiveCall | None = None
        self.logging = {key: started.args.get(key, LOGGING[key]) for key in LOGGING}
        self.loaded = {name: path for name, (path, _) in (adapters(started) or {}).items()}

    def models(self) -> dict[str, object]:
        cards = [{"id": name, "root": path, "parent": "m"} for name, path in self.loaded.items()]
        return {"data": [{"id": "m", "root": "m", "parent": None}, *cards]}

    def post(self, call: LiveCall) -> tuple[int, str]:
        late, self.late = self.late, None
        if late is not None:
            self.post(late)
        name = str(call.body.get("lora_name"))
        match call.path:
            case "/configure_logging":
                self.logging |= {key.replace("_", "-"): value for key, value in call.body.items()}  # type: ignore[misc]
                return 200, ""
            case "/load_lora_adapter" if name not in self.loaded:
                self.loaded[name] = str(call.body["lora_path"])
            case "/unload_lora_adapter" if name in self.loaded:
                del self.loaded[name]
            case "/unload_lora_adapter":
                error = f"LoRA with name {name} does not exist. Loaded LoRAs: odict_keys([])"
                return 400, json.dumps({"success": False, "error_message": error})
            case _:
                error = f"Failed to load LoRA adapter {name} because it is already loaded"
                return 400, json.dumps({"success": False, "error_message": error})
        return 200, json.dumps({"success": True, "error_message": ""})

    def made(self, olds: Sequence[Launch], new: Launch) -> list[str] | str:
        """What comes of a whole change."""

        async def look(path: str) -> dict[str, object] | str:
            return self.models()

        async def post(call: LiveCall) -> str | None:
            return LIVE.wrong(call, *self.post(call))

        return asyncio.run(carry_out(LIVE, olds, new, look, post))


LAUNCHES = st.builds(
    lambda paths, **logging: lora(*paths, **{key: value for key, value in logging.items() if value is not None}),
    paths=st.lists(st.sampled_from([A, B, "/c", "a=/other"]), unique_by=lambda path: path[:1]),
    log_level=st.sampled_from([None, "info", "debug"]),
    log_requests=st.sampled_from([None, True, False]),
    log_requests_level=st.sampled_from([None, 0, 2]),
)


@given(LAUNCHES, st.lists(st.tuples(LAUNCHES, st.integers(0, 6), st.booleans()), max_size=3), LAUNCHES)
def test_calls_lead_to_the_goal_from_wherever_a_change_was_cut_off(
    started: Launch, tried: list[tuple[Launch, int, bool]], goal: Launch
) -> None:
    """After any number of changes that were cut off after some of their calls, or in the middle of one that the engine
    goes on with, one whole change is enough. It says what it has done, and nothing of what was so."""
    server, olds = Server(started), [started]
    for target, done, goes_on in tried:
        calls = LIVE.calls(olds, target, server.models())
        for call in calls[:done]:
            server.post(call)
        if goes_on and done < len(calls):
            server.late = calls[done]
        olds.append(target)
    said = server.made(olds, goal)
    assert isinstance(said, list), said
    assert (server.logging, server.loaded, server.late) == (Server(goal).logging, Server(goal).loaded, None)
    again = server.made([*olds, goal], goal)
    assert isinstance(again, list)
    assert not any(part.startswith(("loading", "unloading")) for part in again), "adapters are as they are to be"


def test_what_others_have_loaded_is_left_alone() -> None:
    server = Server(lora(A))
    server.loaded |= {"theirs": "/theirs", "b": "/theirs"}
    assert server.made([lora(A)], lora(A, "/c")) == ["loading the LoRA adapter /c"]
    refused = server.made([lora(A, "/c")], lora(A, B, "/c"))
    assert isinstance(refused, str)
    assert "b because it is already loaded" in refused
    assert server.made([lora(A, "/c"), lora(A, B, "/c")], lora(A, "/c")) == []
    assert server.loaded == {"a": "/a", "/c": "/c", "theirs": "/theirs", "b": "/theirs"}


def test_an_engine_that_refuses_ever_new_things_is_left_at_last() -> None:
    looks = 0

    async def look(path: str) -> dict[str, object] | str:
        nonlocal looks
        looks += 1
        name, path = ("a", "/a") if looks % 2 else ("b", "/b")
        return {"data": [{"id": name, "root": path, "parent": "m"}]}

    async def post(call: LiveCall) -> str | None:
        return f"no {call.what}"

    said = asyncio.run(carry_out(LIVE, [lora()], lora(A, B), look, post))
    assert isinstance(said, str)
    assert said.startswith("no loading the LoRA adapter")


def test_only_adapters_that_are_missing_are_loaded() -> None:
    server = Server(lora(A))
    assert [call.path for call in LIVE.calls([lora(A)], lora(A, B), server.models())] == ["/load_lora_adapter"]


def test_only_what_differs_is_said() -> None:
    (call,) = LIVE.calls([launch(log_requests=True)], launch(log_level="debug"), {})
    assert call.body == {"log_level": "debug", "log_requests": False}
    assert call.what == 'log-level = "debug", log-requests = false'
    assert LIVE.look([launch()], launch(log_level="debug")) == ""
    assert LIVE.look([lora(A)], lora()) == "/v1/models"


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (200, "", None),
        (200, '{"success": true, "error_message": ""}', None),
        (200, '{"success": false, "error_message": "no room"}', "no room"),
        (400, '{"success": false, "error_message": ""}', "it did not succeed"),
        (400, '{"error": {"message": "no such thing"}}', "no such thing"),
        (401, '{"error": "Unauthorized"}', "a key that qvl does not know (401)"),
        (500, "Internal Server Error", "Internal Server Error (/p answered 500)"),
        (404, "", "no reason given (/p answered 404)"),
        (200, "[1]", None),
        (503, "x" * 10_000, "x" * 300),
    ],
)
def test_an_answer_is_judged_by_its_words_too(status: int, text: str, words: str | None) -> None:
    said = LIVE.wrong(LiveCall("/p", {}, "the change", 1.0), status, text)
    if words is None:
        assert said is None
    else:
        assert said is not None
        assert said.startswith("the change: ")
        assert words in said
        assert len(said) < 400


def test_access_lines_are_left_behind_where_the_level_hides_or_shows_them() -> None:
    loud, quiet = launch(), launch(log_level="WARNING")
    assert LIVE.left_behind(loud, quiet) == ("log-level of its web server (still info)",)
    assert LIVE.left_behind(quiet, loud) == ("log-level of its web server (still WARNING)",)
    assert LIVE.left_behind(loud, launch(log_level="debug")) == ()
    own = launch(log_level="error", log_level_http="info")
    assert LIVE.left_behind(launch(log_level_http="info"), own) == ()


def test_other_answers_to_what_is_loaded_are_none() -> None:
    for models in ({}, {"data": None}, {"data": ["x", {}]}, {"data": [{"id": "m", "parent": None}]}):
        assert loaded_adapters(models) == {}


# ---- the installed source

SOURCE = """
class BaseReq:
    rid: str

class ConfigureLoggingReq(BaseReq, kw_only=True):
    log_requests: Optional[bool] = None

    log_level: Optional[str] = None
    # not_a_field: int
    def method(self):
        other: int = 1

class Other:
    log_requests_level: int
"""
SERVER = """
@app.get("/v1/models", response_class=ORJSONResponse)
async def available_models():
    for _, lora_ref in lora_registry.get_all_adapters().items():
        pass

@app.get("/v1/other")
async def other():
    pass
"""


def install(root: Path, source: str, server: str, version: str = "0.5.18") -> Path:
    """A virtual environment with as much of SGLang as is looked at."""
    site = root / "lib" / "python3.11" / "site-packages"
    package = site / "sglang" / "srt"
    (package / "managers").mkdir(parents=True)
    (package / "entrypoints").mkdir()
    (package / "managers" / "io_struct.py").write_text(source)
    (package / "entrypoints" / "http_server.py").write_text(server)
    (package / "server_args.py").touch()
    metadata = site / f"sglang-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").touch()
    (root / "pyvenv.cfg").write_text("version = 3.11.7\n")
    python = root / "bin" / "python"
    python.parent.mkdir()
    python.touch(0o755)
    return python


def of(python: Path, launch: Launch) -> Launch:
    return msgspec.structs.replace(launch, engine=msgspec.structs.replace(launch.engine, python=str(python)))


def test_what_the_installed_version_says_it_takes(tmp_path: Path) -> None:
    python = install(tmp_path / "new", SOURCE, SERVER)
    made = (python.parents[1] / "lib/python3.11/site-packages/sglang-0.5.18.dist-info").stat().st_mtime
    old, new = of(python, lora()), of(python, lora(A, log_level="debug"))
    assert LIVE.arguments(old, new, made + 1) == {"log-requests", "log-level", "lora-paths"}
    assert LIVE.arguments(old, new, made - 1) == frozenset(), "it was replaced since: another one runs"
    edited = python.parents[1] / "lib/python3.11/site-packages/sglang/srt/managers/io_struct.py"
    os.utime(edited, (made + 5, made + 5))
    assert LIVE.arguments(old, new, made + 1) == frozenset(), "a checkout, of another commit since"
    python = install(tmp_path / "old", SOURCE.replace("log_level", "other"), SERVER.replace("get_all", "x"))
    assert LIVE.arguments(of(python, lora()), of(python, lora(A)), made + 60) == {"log-requests"}
    python = install(tmp_path / "strange", "", "")
    assert LIVE.arguments(of(python, lora()), of(python, lora(A)), made + 60) == frozenset()
    assert LIVE.arguments(launch(), launch(), made + 60) == frozenset(), "there is none"


def test_other_kinds_take_nothing() -> None:
    assert set(LIVES) == {EngineKind.SGLANG, EngineKind.SIMULATED}
