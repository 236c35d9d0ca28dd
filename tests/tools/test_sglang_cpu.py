import base64
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_until
from tools.sglang_cpu import demo, make_model

REPOSITORY = Path(__file__).parents[2]
SGLANG_PYTHON = REPOSITORY / ".sglang" / "bin" / "python"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_example_for_people_is_what_the_demo_generates() -> None:
    example = tomllib.loads((REPOSITORY / "etc" / "cpu.toml").read_text(encoding="utf-8"))
    python, model = example["engines"]["sglang-cpu"]["python"], example["profiles"]["tiny"]["model"]
    generated = demo.config(Path(python), Path(model), example["pools"]["tiny"]["port"])
    assert tomllib.loads(generated) == example


def test_a_model_has_a_token_for_every_merge_and_an_id_of_its_own_for_every_token(tmp_path: Path) -> None:
    make_model.make(tmp_path)
    tokenizer, config = read_json(tmp_path / "tokenizer.json"), read_json(tmp_path / "config.json")
    vocabulary = tokenizer["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(config["text_config"]["vocab_size"]))
    assert {left + right for left, right in tokenizer["model"]["merges"]} <= vocabulary.keys()
    assert {token["content"]: token["id"] for token in tokenizer["added_tokens"]}.items() <= vocabulary.items()
    assert config["image_token_id"] == vocabulary["<|image_pad|>"]


def test_a_text_model_has_no_picture_processor_and_making_it_again_changes_nothing(tmp_path: Path) -> None:
    make_model.main([str(tmp_path), "text"])
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_model.main([str(tmp_path), "text"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert "preprocessor_config.json" not in first
    assert json.loads(first["config.json"])["architectures"] == ["Qwen3ForCausalLM"]


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([row % 256, 128, 64]) * width for row in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The real SGLang as the demo configures it; its whole process group is gone afterwards."""
    make_model.make(tmp_path / "model")
    port = free_port()
    flags = [word for flag, value in demo.ARGS.items() for word in (f"--{flag}", str(value)) if value is not True]
    bare = [f"--{flag}" for flag, value in demo.ARGS.items() if value is True]
    command: list[str | Path] = [
        SGLANG_PYTHON,
        "-m",
        "sglang.launch_server",
        "--model-path",
        tmp_path / "model",
        *flags,
        *bare,
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--nccl-port", str(free_port())]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            command,
            env=os.environ | demo.ENVIRONMENT,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process, port
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """Status and body; status 0 where nothing listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except ConnectionRefusedError:
        return 0, b""
    finally:
        connection.close()


@pytest.mark.sglang
@pytest.mark.long
@pytest.mark.skipif(not SGLANG_PYTHON.exists(), reason="tools/sglang_cpu/install.sh has not been run")
@pytest.mark.timeout(300)
def test_the_real_server_becomes_healthy_and_looks_at_a_picture(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server

    def healthy() -> bool:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        return request(port, "GET", "/health")[0] == 200

    wait_until(healthy, timeout=200, what="/health answers 200")
    picture = "data:image/png;base64," + base64.b64encode(png(64, 64)).decode()
    content = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": "what is in this picture"},
    ]
    chat = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": content}]}
    status, body = request(port, "POST", "/v1/chat/completions", chat)
    assert status == 200, body
    usage = json.loads(body)["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 4  # 64 x 64 pixels in patches of 16, merged two by two
    assert usage["completion_tokens"] > 0
