"""A stand-in for vLLM as its supervisor sees it: what `python -m vllm.entrypoints.cli.main` runs where `environment`
made the environment. It is simulated: written after the source and the recorded output of vLLM 0.32.0 on a CPU, and it
generates nothing. `tests/vllm` has the real one.

Its engine hangs while the file `hang` of the model's directory exists: `/health` goes on answering 200, as vLLM's does.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DECLARATIONS = """
class EngineArgs:
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--model", type=str)
        parser.add_argument("--tensor-parallel-size", "-tp", type=int)
        parser.add_argument("--max-model-len", type=int)
        parser.add_argument("--load-format", type=str)
        parser.add_argument("--host", type=str)
        parser.add_argument("--port", type=int)
        parser.add_argument("--config", type=str)
        parser.add_argument("--disable-access-log-for-endpoints", type=str)
"""


def environment(root: Path, version: str = "0.32.0") -> Path:
    """A virtual environment with the stand-in as its package `vllm`. Returns its python."""
    site = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (root / "bin").mkdir(parents=True)
    base = Path(sys.executable).resolve()
    (root / "bin" / "python").symlink_to(base)
    (root / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = 3.{sys.version_info.minor}.0\n")
    files = {
        "vllm/__init__.py": "",
        "vllm/engine/arg_utils.py": DECLARATIONS,
        "vllm/entrypoints/__init__.py": "",
        "vllm/entrypoints/cli/__init__.py": "",
        "vllm/entrypoints/cli/main.py": Path(__file__).read_text() + "\nmain()\n",
        f"vllm-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
    }
    for name, text in files.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root / "bin" / "python"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__((options["--host"], int(options["--port"])), _Handler)
        self.model = options["model"]
        self.key = _key(options)
        self.tokens = 0
        self.over = threading.Event()


def _key(options: dict[str, str]) -> str | None:
    if "--config" not in options:
        return None
    name, _, value = Path(options["--config"]).read_text().strip().partition(": ")
    assert name == "api-key", name
    key: str = json.loads(value)  # a JSON string is a YAML string
    return key


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, b"", "text/plain")
        elif self.path == "/metrics":
            self._answer(200, self._metrics().encode(), "text/plain; version=0.0.4")
        elif self.path == "/v1/models" and self._allowed():
            self._json(200, {"object": "list", "data": [{"id": self.server.model, "object": "model"}]})
        else:
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if not self._allowed():
            return
        if self.path not in ("/v1/completions", "/v1/chat/completions"):
            self._json(404, {"detail": "Not Found"})
        elif body.get("model") not in (None, self.server.model):
            self._json(404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}})
        else:
            while os.path.exists(os.path.join(self.server.model, "hang")) and not self.server.over.wait(0.05):
                pass
            self.server.tokens += int(body.get("max_tokens", 16))
            self._json(200, {"object": "completion", "choices": [{"text": "a", "message": {"content": "a"}}]})

    def _allowed(self) -> bool:
        """The key guards /v1 alone."""
        if self.server.key in (None, (self.headers.get("authorization") or "").removeprefix("Bearer ")):
            return True
        self._json(401, {"error": "Unauthorized"})
        return False

    def _metrics(self) -> str:
        label = f'{{engine="0",model_name="{self.server.model}"}}'
        values = {"num_requests_running": 0, "num_requests_waiting": 0, "kv_cache_usage_perc": 0.25}
        values["generation_tokens_total"] = self.server.tokens
        return "".join(f"vllm:{name}{label} {value}\n" for name, value in values.items())

    def _json(self, status: int, document: object) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    words = sys.argv[1:]
    assert words[0] == "serve", words
    options = {"model": words[1], **dict(zip(words[2::2], words[3::2], strict=True))}
    prefix = f"(APIServer pid={os.getpid()}) INFO 11-26 06:40:34"
    print(f"{prefix} [api_utils.py:286] non-default args: {{'api_key': '***'}}", file=sys.stderr)
    server = _Server(options)
    print(f"{prefix} [entry.py:140] Starting vLLM server on http://{options['--host']}:{options['--port']}", flush=True)
    server.serve_forever(poll_interval=0.05)
