"""What the simulated engine takes while it runs, with SGLang's words: its log of requests, and LoRA adapters."""

import json
import re
from pathlib import Path

import pytest

from tests.simulator.harness import Engine

LORA = ("--enable-lora", "--max-lora-rank", "8", "--lora-target-modules", "q_proj", "v_proj", "--max-loaded-loras", "2")


def lines(engine: Engine, word: str) -> list[str]:
    return [line for line in engine.access_log.splitlines() if word in line]


def test_requests_are_logged_once_that_is_wanted(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        assert engine.chat("unmistakable", max_tokens=2).status == 200
        assert not lines(engine, "obj=")
        assert engine.post("/configure_logging", {"log_requests": True, "log_requests_level": 1}).status == 200
        assert engine.chat("unmistakable", max_tokens=2).status == 200
        assert re.search(r"^\[[-\d: ]+\] Receive: obj=GenerateReqInput\(rid='\w+', samp", lines(engine, "Receive")[0])
        assert len(lines(engine, "Finish: obj=GenerateReqInput(")) == 1
        assert "unmistakable" not in engine.access_log
        assert engine.post("/configure_logging", {"log_requests_level": 2}).status == 200
        assert engine.chat("unmistakable", max_tokens=2, stream=True).status == 200
        assert "'content': 'unmistakable'" in lines(engine, "Receive OpenAI: ")[0]
        assert "text='unmistakable'" in lines(engine, "Finish: ")[1]
        assert engine.post("/configure_logging", {"log_requests_format": "json"}).status == 200
        assert engine.post("/generate", {"text": "again"}).status == 200
        found = [json.loads(line.partition("] ")[2]) for line in lines(engine, '"event": "request.')]
        assert [line["event"] for line in found] == ["request.received", "request.finished"]
        assert found[1]["out"]["text"]
        assert engine.post("/configure_logging", {"log_requests": True, "log_requests_level": 9}).status == 500
        assert engine.post("/configure_logging", {"log_requests": False, "log_requests_level": 2}).status == 200
        seen = len(lines(engine, "Receive"))
        assert engine.chat(max_tokens=2).status == 200
        assert len(lines(engine, "Receive")) == seen


def test_adapters_come_and_go_as_in_sglang(tmp_path: Path) -> None:
    for name, rank in (("a", 4), ("big", 16)):
        (tmp_path / name).mkdir()
        config = {"r": rank, "target_modules": ["q_proj"]}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config))

    with Engine(tmp_path, *LORA, "--lora-paths", "base=org/base").ready() as engine:

        def loaded() -> dict[str, str]:
            data = engine.get("/v1/models").json()["data"]
            assert isinstance(data, list)
            return {card["id"]: card["root"] for card in data if card["parent"]}

        def load(name: str, path: str) -> str:
            reply = engine.post("/load_lora_adapter", {"lora_name": name, "lora_path": path})
            said = reply.json()
            assert said["success"] is (reply.status == 200)
            return str(said["error_message"])

        assert loaded() == {"base": "org/base"}
        assert load("a", f"{tmp_path}/a") == ""
        assert "already loaded" in load("a", f"{tmp_path}/a")
        assert "with rank 16 is incompatible" in load("big", f"{tmp_path}/big")
        assert "Repo id must be in the form" in load("gone", f"{tmp_path}/gone")
        assert loaded() == {"base": "org/base", "a": f"{tmp_path}/a"}
        assert load("third", "org/third") == ""
        assert set(loaded()) == {"a", "third"}, "the least used one has to go"
        reply = engine.post("/generate", {"text": "x", "lora_path": "never"})
        assert (reply.status, b"has never been loaded: never" in reply.body) == (400, True)
        assert engine.post("/unload_lora_adapter", {"lora_name": "a"}).status == 200
        assert engine.post("/unload_lora_adapter", {"lora_name": "a"}).status == 400
        assert set(loaded()) == {"third"}
        assert engine.post("/generate", {"text": "x", "lora_path": "a"}).status == 200
        assert set(loaded()) == {"third", "a"}, "it comes back by itself"


@pytest.mark.parametrize(
    ("flags", "words"),
    [((), "LoRA is not enabled"), ((*LORA, "--lora-paths", "x=/nowhere"), "LoRA adapter x: Repo id")],
)
def test_what_is_not_set_up_says_so(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    with Engine(tmp_path, *flags) as engine:
        if flags:
            assert engine.exit_code() == -9
            assert words in engine.log
        else:
            assert words in str(engine.ready().post("/load_lora_adapter", {"lora_name": "x", "lora_path": "y"}).json())
