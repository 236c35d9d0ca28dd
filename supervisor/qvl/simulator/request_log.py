"""What `--log-requests` has SGLang 0.5.18 write on stdout, two lines or more a request, and its switch at run time."""

import json
import time
from collections.abc import Mapping

from qvl.simulator.arguments import Settings
from qvl.simulator.console import Console

_LEVELS = range(4)
_INPUT = ("text", "input_ids", "image_data", "lora_path")
"""Not shown below level 2."""


class RequestLog:
    def __init__(self, settings: Settings, console: Console) -> None:
        self._console = console
        self._on = settings.on("log_requests")
        self._level = int(settings.number("log_requests_level", 2))
        self._format = settings.text("log_requests_format")

    def configure(self, body: Mapping[str, object]) -> None:
        """Raises ValueError, with SGLang's words, after it has taken what was wrong, as SGLang does."""
        if (on := body.get("log_requests")) is not None:
            self._on = bool(on)
        if isinstance(level := body.get("log_requests_level"), int):
            self._level = level
        if isinstance(form := body.get("log_requests_format"), str):
            self._format = form
        if self._on and self._level not in _LEVELS:
            raise ValueError(f"Invalid --log-requests-level: self.log_requests_level={self._level}")

    def openai(self, body: Mapping[str, object]) -> None:
        """A request as the client wrote it."""
        if self._on and self._level >= 2:
            if self._format == "json":
                self._write_json("request.received.openai", {"obj": body})
            else:
                self._console.output(f"Receive OpenAI: obj={_shown(body)}")

    def received(self, rid: str, request: Mapping[str, object]) -> None:
        if self._on:
            if self._format == "json":
                self._write_json("request.received", {"rid": rid, "obj": self._seen(request)})
            else:
                self._console.output(f"Receive: obj={self._text(request)}")

    def finished(self, rid: str, request: Mapping[str, object], out: Mapping[str, object]) -> None:
        if self._on:
            if self._level < 2:
                out = {key: value for key, value in out.items() if key not in ("text", "output_ids")}
            if self._format == "json":
                self._write_json("request.finished", {"rid": rid, "obj": self._seen(request), "out": out})
            else:
                self._console.output(f"Finish: obj={self._text(request)}, out={_shown(out)}")

    def _seen(self, request: Mapping[str, object]) -> Mapping[str, object]:
        hidden = (*_INPUT, "sampling_params") if self._level == 0 else _INPUT if self._level == 1 else ()
        return {key: value for key, value in request.items() if key not in hidden}

    def _text(self, request: Mapping[str, object]) -> str:
        fields = ", ".join(f"{key}={value!r}" for key, value in self._seen(request).items())
        return f"GenerateReqInput({fields})"

    def _write_json(self, event: str, data: Mapping[str, object]) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        self._console.output(json.dumps({"timestamp": stamp, "event": event, **data}, ensure_ascii=False, default=str))


def _shown(value: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{key!r}: {inner!r}" for key, inner in value.items()) + "}"
