"""Clients as people write them, with OpenAI's own library: each sends one request after the other, every second one
streamed, and nothing is tried again, so that each failure counts."""

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import openai


@dataclass(frozen=True, slots=True)
class Answer:
    began: float
    """CLOCK_MONOTONIC seconds."""
    seconds: float
    streamed: bool
    error: str | None
    """None: answered whole."""


class Load:
    """`clients` of them against one endpoint, from entering to leaving. What has begun by then is waited for."""

    def __init__(
        self, endpoint: str, *, clients: int = 8, tokens: int = 8, key: str = "none", timeout: float = 60
    ) -> None:
        self._endpoint = f"{endpoint}/v1"
        self._tokens = tokens
        self._key = key
        self._timeout = timeout
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._threads = [threading.Thread(target=self._client, args=(index,)) for index in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> Sequence[Answer]:
        """So far, in the order in which they ended."""
        with self._lock:
            return list(self._answers)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error is not None]

    def _client(self, index: int) -> None:
        with openai.OpenAI(base_url=self._endpoint, api_key=self._key, max_retries=0, timeout=self._timeout) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                streamed = (number + index) % 2 == 0
                began = time.monotonic()
                error = None
                try:
                    # Beginnings differ, so that a router which goes by them has no favourite.
                    self._ask(client, f"{uuid.uuid4()}: say hello, for the {number}th time", streamed=streamed)
                except (openai.OpenAIError, OSError, ValueError, RuntimeError) as failure:
                    error = f"{type(failure).__name__}: {failure}"
                answer = Answer(began, time.monotonic() - began, streamed, error)
                with self._lock:
                    self._answers.append(answer)
                if error is not None:
                    self._over.wait(0.05)

    def _ask(self, client: openai.OpenAI, text: str, *, streamed: bool) -> None:
        """ValueError where an answer is not whole."""
        if not streamed:
            whole = client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": text}], max_tokens=self._tokens
            )
            if not whole.choices[
                0
            ].finish_reason:  # the text may be empty: models of random weights say nothing at times
                raise ValueError("an answer that is not whole")
            return
        ended = False
        stream = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": text}], max_tokens=self._tokens, stream=True
        )
        for chunk in stream:
            ended = ended or any(choice.finish_reason for choice in chunk.choices)
        if not ended:
            raise ValueError("a stream that broke off")
