"""Asks workers for streamed chat completions without a pause, and tells of each whether it came in whole.

Run in a box as a program of its own (`python -I -S load.py STREAMS PORT…`), since a box has a network of its own.
Standard library only. Lines of JSON on stdout: {"begun": ID, "port": P, "at": T} when the first chunk is there, and for
each request {"ended": ID, "port": P, "at": T, "gap": S, "error": null or a sentence}. T is the monotonic clock, S the
longest time between two chunks. When stdin ends, it finishes what is in flight and ends.

Whole means: status 200, every chunk of the transfer and its last one, as many tokens as were asked for, the same text
as every other answer to the same prompt, a reason for its end, and [DONE].
"""

import asyncio
import itertools
import json
import sys
import time

TOKENS = 80
"""Of each answer."""
PATIENCE = 60.0
"""Seconds for a request; a longer one counts as hung."""
PAUSE = 0.05
"""Seconds after a request that failed: a worker that is gone must not be asked a thousand times a second."""

_numbers = itertools.count(1)


class Broken(Exception):
    """An answer that isn't whole; the text says what is wrong with it."""


def tell(**line: object) -> None:
    """One line on stdout."""
    print(json.dumps(line), flush=True)


async def ask(port: int, prompt: str, number: int) -> tuple[str, float]:
    """One request: the text of the answer, and the longest time between two chunks of it. Broken, OSError, EOFError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps(
            {
                "model": "demo",
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": TOKENS,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        # The number stands in the worker's access line, so that its log can be held against what was asked.
        head = f"POST /v1/chat/completions?load={number} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n"
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if not answer.startswith("http/1.1 200 ") or "transfer-encoding: chunked" not in answer:
            raise Broken(f"the answer begins with {answer!r}")
        return await _read(reader, port, number)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, port: int, number: int) -> tuple[str, float]:
    content, longest, last = b"", 0.0, 0.0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += (await reader.readexactly(size + 2))[:-2]
        now = time.monotonic()
        if last:
            longest = max(longest, now - last)
        else:
            tell(begun=number, port=port, at=now)
        last = now
    await reader.readexactly(2)
    if await reader.read(1):
        raise Broken("more follows the last chunk")
    return text_of(content), longest


def text_of(content: bytes) -> str:
    """The text of a stream of events. Broken where it isn't a whole one."""
    *events, done, end = content.decode().split("\n\n")
    if (done, end) != ("data: [DONE]", ""):
        raise Broken(f"it ends with {content[-60:]!r}")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    told = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk["usage"]]
    if told != [TOKENS]:
        raise Broken(f"{TOKENS} tokens were asked for, {told} were made")
    if [choice["finish_reason"] for choice in choices if choice["finish_reason"]] != ["length"]:
        raise Broken("it doesn't say once why it ends")
    text = "".join(choice["delta"]["content"] for choice in choices)
    if (words := len(text.split(" "))) != TOKENS:  # a token of the simulated engine is a word
        raise Broken(f"{words} of {TOKENS} tokens arrived")
    return text


async def stream(port: int, prompt: str, over: asyncio.Event) -> None:
    """Ask the same again and again."""
    expected = None
    while not over.is_set():
        number, error, text, gap = next(_numbers), None, "", 0.0
        try:
            async with asyncio.timeout(PATIENCE):
                text, gap = await ask(port, prompt, number)
            expected = expected or text
            if text != expected:
                raise Broken(f"another text than before: {text!r}")
        except (Broken, OSError, EOFError, ValueError, KeyError, TypeError) as failure:  # a TimeoutError is an OSError
            error = f"{type(failure).__name__}: {failure}"
            await asyncio.sleep(PAUSE)
        tell(ended=number, port=port, at=time.monotonic(), gap=gap, error=error)


async def main(streams: int, ports: list[int]) -> None:
    """Ask until stdin ends."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, over.set)
    async with asyncio.TaskGroup() as group:
        for port in ports:
            for number in range(streams):
                group.create_task(stream(port, f"prompt {number} for port {port}", over))
        await over.wait()
        asyncio.get_running_loop().remove_reader(0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
