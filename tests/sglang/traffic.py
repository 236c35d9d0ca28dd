"""Clients of the worker: one answer, one stream, a load of them."""

import http.client
import json
import threading
import urllib.request
from typing import Any

from qvl.engines.picture import image_part

from tests.blackbox.harness import Daemon
from tests.sglang.conftest import KEY


def complete(daemon: Daemon, *, image: bool = False, key: str = KEY) -> dict[str, Any]:
    """A chat completion of four tokens; urllib.error.URLError where there is none."""
    content: list[dict[str, Any]] = [{"type": "text", "text": "Describe this."}]
    if image:
        content.append(image_part())
    body = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": content}]}
    request = urllib.request.Request(
        daemon.worker()["endpoint"] + "/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def running(daemon: Daemon) -> float:
    """Requests that run, as SGLang's own figures have it: the daemon reads these once in a health interval."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/metrics", headers={"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("sglang:num_running_reqs{"))


class Stream(threading.Thread):
    """A streamed completion of `tokens` tokens, which takes about 5 ms each."""

    def __init__(self, port: int, tokens: int) -> None:
        super().__init__()
        self._port = port
        self._tokens = tokens
        self.began = threading.Event()
        """Something of the answer has come, or nothing will."""
        self.done = False
        """It came to its end, whole."""
        self.error: str | None = None
        self.cut = False
        """It broke off after its beginning."""

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        body = {
            "model": "tiny",
            "stream": True,
            "max_tokens": self._tokens,
            "ignore_eos": True,
            "messages": [{"role": "user", "content": "Tell me a long story."}],
        }
        reason, some = None, False
        try:
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body),
                {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
            )
            answer = connection.getresponse()
            for line in answer:
                if not line.startswith(b"data: {"):
                    continue
                some = True
                self.began.set()
                for choice in json.loads(line.removeprefix(b"data: ")).get("choices", ()):
                    reason = choice.get("finish_reason") or reason
        except (OSError, http.client.HTTPException) as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
            self.done = reason == "length"
            self.cut = some and not self.done
            self.began.set()


class Load:
    """`clients` that ask for one stream after another, as long as it is open; a refused one asks again soon."""

    def __init__(self, port: int, *, clients: int = 3, tokens: int = 200) -> None:
        self._port = port
        self._tokens = tokens
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.whole = 0
        self.cut = 0
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._over.is_set():
            stream = Stream(self._port, self._tokens)
            stream.run()
            with self._lock:
                self.whole += stream.done
                self.cut += stream.cut
            if not stream.done:
                self._over.wait(0.2)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(150)
