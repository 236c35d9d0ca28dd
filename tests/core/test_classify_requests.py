"""Words that a request, or something that an engine got over, put into the log are no cause of its end."""

import pytest
from qvl.model.worker import Cause

from tests.core.spoken import End, check, found, serving, starting, timed

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
WORKED = timed("Decode batch, #running-req: 3, #token: 512, token usage: 0.01, cuda graph: True")
ATTRIBUTE = "AttributeError: 'NoneType' object has no attribute 'next_token_ids'"

WORDS = [
    "ModuleNotFoundError: No module named 'flash_attn'",
    "OSError: [Errno 98] Address already in use",
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error",
    "ValueError: --chat-template is unknown",
    "error: unrecognized arguments: --prompt",
    "torch.OutOfMemoryError: CUDA out of memory",
    "RuntimeError: NCCL error: unhandled system error",
    "OSError: [Errno 28] No space left on device",
    "Scheduler hit an exception: Traceback",
    "Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)",
    "SIGTERM received. signum=None",
    "terminate called after throwing an instance of 'c10::DistBackendError'",
    "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus",
    "Subprocess scheduler_0 (pid=5) crashed with exit code -9",
    "Fatal Python error: Bus error",
]
FRAMES = ("Traceback (most recent call last):", '  File "sglang/srt/entrypoints/x.py", line 7, in f', "    await g()")


def exception_of(words: str) -> str:
    return words if ": " in words and " " not in words.partition(":")[0] else f"ValueError: {words}"


def records(words: str) -> list[list[str]]:
    """What engines log of single requests, with `words` where a user's can come."""
    path = words.replace(" ", "%20")
    exception = exception_of(words)
    return [
        [timed(f"Receive: obj=GenerateReqInput(rid='1', text='{words}', sampling_params={{}})")],
        [timed(f"Finish: obj=GenerateReqInput(text='x'), out={{'text': '{words}'}}")],
        [timed(f'INFO:     127.0.0.1:5 - "POST /v1/{path} HTTP/1.1" 404 Not Found')],
        [f'INFO:     127.0.0.1:5 - "GET /{words} HTTP/1.1" 404 Not Found'],
        [timed(f"[http_server] Error: {words}")],
        [timed(f"Error in request: {words}"), *FRAMES, exception, f"and {words}"],
        [
            timed("ERROR:    Exception in ASGI application"),
            "  + Exception Group Traceback (most recent call last):",
            '  |   File "http_server.py", line 700, in generate_request',
            *FRAMES,
            "During handling of the above exception, another exception occurred:",
            *FRAMES,
            exception,
        ],
        [timed(f"Error while loading data ImageData(url='{words}'): {words}"), *FRAMES, exception],
        [timed(f"Reasoning parsing error: {words}")],
        [timed(f"Hit invalid json_schema: key_string='{words}', e={words}")],
        [f'{{"timestamp": "2026", "event": "request.finished", "out": "{words}"}}'],
        [timed(f"Unheard-of complaint about a request: {words}")],
        [timed("Unheard-of failure of a request"), *FRAMES, exception, f"and {words}"],
        ["Exception in callback f()", f"handle: <Handle f('{words}')>", *FRAMES, exception],
        [
            "Task exception was never retrieved",
            f"future: <Task finished exception=ValueError('{words}')>",
            *FRAMES,
            exception,
        ],
        [f"INFO 09-28 15:47:24 [logger.py:39] Received request cmpl-1: prompt: '{words}', params: SamplingParams(n=1)"],
        [
            "ERROR 09-28 15:47:24 [serving_chat.py:200] Error in preprocessing prompt inputs",
            *(f"ERROR 09-28 15:47:24 [serving_chat.py:200] {line}" for line in (*FRAMES, exception)),
        ],
    ]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("kind", range(len(records(""))))
def test_words_of_a_request_are_no_cause(words: str, kind: int) -> None:
    """Whatever a user writes, an end that comes right after it, or some time after, has nothing to do with it."""
    record = records(words)[kind]
    for between in ([], [WORKED]):
        log = [timed("The server is fired up and ready to roll!"), *record, *between]
        assert found(End("", log, Cause.KILLED, "", was_ready=True)).cause is Cause.KILLED
        assert found(End("", log, Cause.EXITED, "", code=0, was_ready=True)).cause is Cause.EXITED
        crash = found(End("", log + serving(ATTRIBUTE)[2:], Cause.ENGINE_CRASH, "", was_ready=True))
        assert (crash.cause, crash.evidence) == (Cause.ENGINE_CRASH, ATTRIBUTE)
        term = timed("SIGTERM received. signum=None frame=None. Draining requests and shutting down...")
        assert found(End("", [*log, term], Cause.KILLED, "", was_ready=True)).evidence == term.partition("] ")[2]


@pytest.mark.parametrize("words", WORDS)
def test_words_of_a_request_that_come_while_it_dies_are_no_cause(words: str) -> None:
    end = serving(ATTRIBUTE)
    for record in records(words):
        crash = found(End("", [*end[:-3], *record, *end[-3:]], Cause.ENGINE_CRASH, "", was_ready=True))
        assert (crash.cause, crash.evidence) == (Cause.ENGINE_CRASH, ATTRIBUTE), record


@pytest.mark.parametrize("words", WORDS)
def test_what_a_start_got_over_is_no_cause(words: str) -> None:
    """It says so in a record of its own, with a traceback or without, and goes on."""
    if "already in use" in words:
        return  # it goes on, but serves nobody
    if found(End("", [timed(words)], Cause.UNKNOWN, "", code=0)).evidence == words:
        failed = timed(f"Setup of x failed: {words}")
        for record in ([failed], [failed, *FRAMES, exception_of(words)]):
            crash = found(End("", record + starting(ATTRIBUTE), Cause.ENGINE_CRASH, ""))
            assert (crash.cause, crash.evidence) == (Cause.ENGINE_CRASH, ATTRIBUTE)


def test_a_death_that_it_did_without_is_no_cause() -> None:
    died = ["Process Process-9:", *FRAMES, "KeyError: 'x'"]
    served = [timed(f"Decode batch, #running-req: 1, #token: {n}") for n in range(30)]
    assert found(End("", [*died, *served], Cause.KILLED, "", was_ready=True)).cause is Cause.KILLED
    term = timed("SIGTERM received. signum=None frame=None. Draining requests and shutting down...")
    assert (found(End("", [term, *served], Cause.KILLED, "", was_ready=True)).evidence or "").startswith("SIGTERM")
    assert found(End("", [*died, *served[:9]], Cause.ENGINE_CRASH, "", was_ready=True)).cause is Cause.ENGINE_CRASH


def test_a_recovered_fault_of_long_ago_is_no_cause() -> None:
    old = ["CUDA out of memory. Tried to allocate 2 GiB: retried with less"]
    served = [timed(f"Decode batch, #running-req: 1, #token: {n}") for n in range(60)]
    end = [timed("Scheduler hit an exception: Traceback (most recent call last):"), "KeyError: 'x'"]
    assert found(End("", old + served + end, Cause.ENGINE_CRASH, "", was_ready=True)).cause is Cause.ENGINE_CRASH
    assert found(End("", old + served, Cause.UNKNOWN, "", code=1, was_ready=True)).cause is Cause.UNKNOWN


def test_a_traceback_after_which_it_worked_is_no_cause() -> None:
    """Of a thread, or of a helper's: nobody knows. It went on."""
    bare = ["Exception in thread Thread-5:", *FRAMES, OOM]
    log = [WORKED, *bare, WORKED, timed("Subprocess scheduler_0 (pid=5) crashed with exit code 1. Triggering SIGQUIT")]
    assert found(End("", log, Cause.ENGINE_CRASH, "", was_ready=True)).cause is Cause.ENGINE_CRASH
    assert found(End("", [WORKED, *bare, log[-1]], Cause.OUT_OF_GPU_MEMORY, "", was_ready=True)).cause is (
        Cause.OUT_OF_GPU_MEMORY
    )


@pytest.mark.parametrize(
    "last", ["Decode batch, #running-req: 3", "Prefill batch, #new-seq: 1", "INFO:     Uvicorn running"]
)
def test_a_traceback_after_a_routine_line_is_not_about_it(last: str) -> None:
    died = timed("Subprocess scheduler_0 (pid=5) crashed with exit code 1. Triggering SIGQUIT")
    check(End("", [timed(last), *FRAMES, OOM, died], Cause.OUT_OF_GPU_MEMORY, "CUDA out of memory", was_ready=True))
    check(End("", [timed("A request was bad"), *FRAMES, OOM, died], Cause.ENGINE_CRASH, "exit code 1", was_ready=True))


@pytest.mark.parametrize("words", ["Error: x", "An exception came", "Setup FAILED"])
def test_a_start_goes_on_after_what_it_announces(words: str) -> None:
    for announced, cause in ((words, Cause.ENGINE_CRASH), ("Load weight begin.", Cause.OUT_OF_GPU_MEMORY)):
        assert found(End("", [timed(announced), *FRAMES, OOM, *starting(ATTRIBUTE)], cause, "")).cause is cause


def test_an_import_that_an_engine_survived_is_not_why_it_ended() -> None:
    log = [
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'torchcodec'",
        timed("OpenAI Responses API disabled: failed (ModuleNotFoundError: No module named 'openai_harmony')"),
        *starting("AttributeError: no"),
    ]
    check(End("", log, Cause.ENGINE_CRASH, "AttributeError: no"))


def test_a_soft_watchdog_only_complains() -> None:
    log = [timed("Scheduler watchdog timeout (self.watchdog_timeout=60, self.soft=True)")]
    check(End("", log, Cause.EXITED, "exited with 0", code=0, was_ready=True))
