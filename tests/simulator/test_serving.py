"""What a ready engine answers: health, completions, metrics, administration; and what it makes of bad clients."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.simulator.harness import MODEL, Engine, long_request, metric
from tests.support import wait_until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path, "--enable-metrics", "--sim-token-seconds", "0.002").ready() as engine:
        yield engine


def running(engine: Engine) -> float:
    return metric(engine.get("/metrics").body.decode(), "num_running_reqs")


def waiting(engine: Engine) -> int:
    loads = json.loads(engine.get("/v1/loads").body)["loads"]
    return int(loads[0]["num_waiting_reqs"])


def test_health_generates_a_token(engine: Engine) -> None:
    before = engine.log.count("Prefill batch")
    assert engine.get("/health").status == 200
    assert engine.get("/health_generate").status == 200
    assert engine.log.count("Prefill batch") == before + 2
    assert '"GET /health HTTP/1.1" 200 OK' in engine.access_log
    assert metric(engine.get("/metrics").body.decode(), "http_requests_total") == 3


def test_it_says_what_it_is(engine: Engine) -> None:
    assert engine.get("/ready").status == 200
    assert engine.get("/ping").status == 200
    models = json.loads(engine.get("/v1/models").body)
    assert [model["id"] for model in models["data"]] == [MODEL]
    assert engine.get("/model_info").json()["has_image_understanding"] is True
    assert engine.get("/get_model_info").json()["model_path"] == MODEL
    info = engine.get("/server_info").json()
    assert info["version"] == "0.5.18"
    assert info["port"] == engine.port
    loads = json.loads(engine.get("/v1/loads").body)["loads"]
    assert loads[0]["num_running_reqs"] == 0
    assert loads[0]["max_total_num_tokens"] == info["max_total_num_tokens"]
    assert engine.get("/nope").status == 404
    assert engine.get("/v1/chat/completions").status == 405


def test_the_same_prompt_gets_the_same_answer(engine: Engine) -> None:
    first, second = (json.loads(engine.chat("what is this?", max_tokens=12).body) for _ in range(2))
    assert first["choices"] == second["choices"]
    assert first["choices"][0]["finish_reason"] == "length"
    assert first["usage"]["completion_tokens"] == 12
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    other = json.loads(engine.chat("something else", max_tokens=12).body)
    assert other["choices"] != first["choices"]


def test_an_answer_without_a_limit_stops_by_itself(engine: Engine) -> None:
    answer = json.loads(engine.chat("tell me").body)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert len(answer["choices"][0]["message"]["content"].split()) == answer["usage"]["completion_tokens"]


def test_an_image_costs_vision_tokens(engine: Engine) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "what is this?"}, picture]
    answer = json.loads(
        engine.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "max_tokens": 2}).body
    )
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == 256
    assert answer["usage"]["prompt_tokens"] > 256


def test_a_stream_is_the_whole_answer_in_parts(engine: Engine) -> None:
    body: dict[str, object] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    whole = json.loads(engine.post("/v1/chat/completions", body).body)
    with engine.stream("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}) as events:
        *chunks, last = events
    parsed = [json.loads(chunk) for chunk in chunks]
    assert last == "[DONE]"
    assert parsed[-1]["usage"]["completion_tokens"] == 9
    assert parsed[-2]["choices"][0]["finish_reason"] == "length"
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in parsed[:-1])
    assert text == whole["choices"][0]["message"]["content"]


def test_completions_and_generate_stream_too(engine: Engine) -> None:
    whole = json.loads(engine.post("/v1/completions", {"prompt": "once", "max_tokens": 5}).body)
    with engine.stream("/v1/completions", {"prompt": "once", "max_tokens": 5}) as events:
        parts = [json.loads(event)["choices"][0]["text"] for event in events if event != "[DONE]"]
    assert "".join(parts) == whole["choices"][0]["text"]
    body: dict[str, object] = {"text": "once", "sampling_params": {"max_new_tokens": 5}}
    generated = engine.post("/generate", body).json()
    with engine.stream("/generate", body) as events:
        *_, last, done = events
    assert (json.loads(last)["text"], done) == (generated["text"], "[DONE]")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON decode error"),
        (b"[]", "valid dictionary"),
        (b"{}", "messages: Field required"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "must be at least 1"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 999999}', "maximum context length"),
        (json.dumps({"messages": [{"content": "x" * 2_000_000}]}).encode(), "longer than the model's context length"),
    ],
)
def test_a_wrong_request_is_a_400_that_says_why(engine: Engine, body: bytes, words: str) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as client:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        reply = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    assert reply.startswith("HTTP/1.1 400 Bad Request")
    assert words in reply


def test_metrics_are_prometheus_text_with_sglangs_names(engine: Engine) -> None:
    assert engine.chat(max_tokens=50, ignore_eos=True).status == 200
    with engine.stream("/v1/completions", {"prompt": "x", "max_tokens": 3}) as events:
        assert len(list(events)) > 2
    page = engine.get("/metrics").body.decode()
    assert metric(page, "num_requests_total") == 2
    assert metric(page, "generation_tokens_total") == 53
    assert metric(page, "prompt_tokens_total") > 0
    assert metric(page, "realtime_tokens_total") > 50
    assert metric(page, "time_to_first_token_seconds_count") == 2
    assert metric(page, "e2e_request_latency_seconds_count") == 2
    assert metric(page, "inter_token_latency_seconds_count") == 51
    assert metric(page, "num_running_reqs") == metric(page, "num_queue_reqs") == 0
    assert metric(page, "max_total_num_tokens") > 300_000
    assert f'model_name="{MODEL}"' in page
    assert 'is_streaming="true"' in page


def test_metrics_are_off_by_default(tmp_path: Path) -> None:
    with Engine(tmp_path).ready() as engine:
        assert engine.get("/metrics").status == 404


def test_what_exceeds_max_running_requests_queues(tmp_path: Path) -> None:
    with Engine(tmp_path, "--enable-metrics", "--max-running-requests", "2").ready() as engine:
        with (
            engine.stream("/generate", long_request()) as first,
            engine.stream("/generate", long_request()) as second,
            ThreadPoolExecutor(1) as pool,
        ):
            assert next(first)
            assert next(second)
            third = pool.submit(engine.chat, "me too", max_tokens=1)
            wait_until(lambda: waiting(engine) == 1, what="the third request queues")
            page = engine.get("/metrics").body.decode()
            assert metric(page, "num_queue_reqs") == 1
            assert metric(page, "num_running_reqs") == 2
            assert metric(page, "token_usage") > 0
            assert not third.done()
            assert engine.post("/abort_request", {"abort_all": True}).status == 200
            third.result(timeout=10)
        wait_until(lambda: running(engine) == 0, what="an idle engine")


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    flags = ("--max-running-requests", "1", "--max-queued-requests", "1")
    with (
        Engine(tmp_path, *flags).ready() as engine,
        engine.stream("/generate", long_request()) as events,
        ThreadPoolExecutor(1) as pool,
    ):
        assert next(events)
        waits = pool.submit(engine.chat, max_tokens=1)
        wait_until(lambda: waiting(engine) == 1)
        assert engine.chat(max_tokens=1).status == 503
        engine.post("/abort_request", {"abort_all": True})
        waits.result(timeout=10)


def test_batches_are_logged_in_sglangs_words(engine: Engine) -> None:
    assert engine.chat(max_tokens=90, ignore_eos=True).status == 200
    decode = [line for line in engine.log.splitlines() if "Decode batch" in line]
    assert len(decode) == 2
    assert "#running-req: 1, #token: " in decode[0]
    assert ", cuda graph: True, gen throughput (token/s): " in decode[0]
    assert "#new-seq: 1, #new-token: " in engine.log


def test_a_client_that_leaves_frees_its_place(engine: Engine) -> None:
    with engine.stream("/generate", long_request(100_000)) as events:
        assert next(events)
        assert running(engine) == 1
    wait_until(lambda: running(engine) == 0, what="the request of the lost client is aborted")


def test_a_key_guards_all_but_health_ready_and_metrics(tmp_path: Path) -> None:
    with Engine(tmp_path, "--api-key", "secret", "--enable-metrics").ready() as engine:
        for path in ("/health", "/ready", "/metrics"):
            assert engine.get(path).status == 200
        for path in ("/v1/models", "/server_info", "/ping", "/no-such-path"):
            refused = engine.get(path)
            assert (refused.status, refused.json()) == (401, {"error": "Unauthorized"})
        assert engine.get("/v1/models", key="wrong").status == 401
        assert engine.get("/server_info", key="secret").json()["api_key"] == "secret"


def test_an_admin_key_replaces_the_key_for_administration(tmp_path: Path) -> None:
    with Engine(tmp_path, "--api-key", "user", "--admin-api-key", "admin").ready() as engine:
        assert engine.request("POST", "/flush_cache", key="user").status == 401
        assert engine.request("POST", "/flush_cache", key="admin").status == 200
        assert engine.get("/v1/models", key="user").status == 200


def test_garbage_and_slow_clients_disturb_nobody(engine: Engine) -> None:
    clients = [socket.create_connection(("127.0.0.1", engine.port), timeout=10) for _ in range(5)]
    garbage, huge, half, mute, drip = clients
    try:
        garbage.sendall(b"\x16\x03\x01\x02\x00\x01\x00\xfc\x03\x03 no http\r\n\r\n")
        huge.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000)
        half.sendall(b"POST /v1/completions HTTP/1.1\r\ncontent-length: 100\r\n\r\n{")
        drip.sendall(b"GET /v1/mod")
        assert garbage.recv(100).startswith(b"HTTP/1.1 400 Bad Request")
        assert engine.chat(max_tokens=2).status == 200
        drip.sendall(b"els HTTP/1.1\r\nHost: x\r\n\r\n")
        assert drip.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert mute.fileno() > 0
    finally:
        for client in clients:
            client.close()
    assert engine.get("/health").status == 200


def test_a_client_that_never_reads_holds_up_nobody(engine: Engine) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        body = json.dumps({**long_request(100_000), "stream": True}).encode()
        deaf.sendall(b"POST /generate HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: running(engine) == 1)
        for _ in range(3):
            assert engine.chat(max_tokens=5).status == 200


def test_two_hundred_clients_at_once(engine: Engine) -> None:
    barrier = threading.Barrier(200)

    def ask(number: int) -> int:
        barrier.wait(timeout=10)
        return engine.chat(f"client {number}", max_tokens=4).status

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(ask, range(200))) == {200}


def test_pause_aborts_what_runs_and_holds_what_comes(engine: Engine) -> None:
    with engine.stream("/generate", long_request()) as events, ThreadPoolExecutor(1) as pool:
        assert next(events)
        assert engine.post("/pause_generation", {"mode": "abort"}).status == 200
        *_, last, _done = events
        assert json.loads(last)["meta_info"]["finish_reason"] == {"type": "abort"}
        assert engine.get("/ready").status == 503
        held = pool.submit(engine.chat, max_tokens=2)
        wait_until(lambda: waiting(engine) == 1)
        assert not held.done()
        assert engine.post("/continue_generation", {}).status == 200
        assert held.result(timeout=10).status == 200
    assert engine.get("/ready").status == 200


def test_slow_down_slows_each_step(engine: Engine) -> None:
    assert engine.post("/slow_down", {"forward_sleep_time": 0.1}).status == 200
    begun = time.monotonic()
    assert engine.chat(max_tokens=3).status == 200
    assert time.monotonic() - begun >= 0.3
    assert engine.post("/slow_down", {"forward_sleep_time": None}).status == 200


def test_the_log_level_is_live_but_for_access_lines(engine: Engine) -> None:
    assert engine.post("/configure_logging", {"log_level": "error"}).status == 200
    before, seen = engine.log, engine.access_log
    assert engine.chat(max_tokens=3).status == 200
    assert engine.log == before
    assert engine.access_log.count("POST /v1/chat/completions") == seen.count("POST /v1/chat/completions") + 1
    assert engine.post("/configure_logging", {"log_level": "chatty"}).status == 500
    assert "ValueError: Unknown level: 'CHATTY'" in engine.log.removeprefix(before)
    before = engine.log
    assert engine.post("/configure_logging", {"log_level": "info"}).status == 200
    assert engine.chat(max_tokens=3).status == 200
    assert "Config logging: obj=ConfigureLoggingReq(log_level='info')" in engine.log
    assert engine.log.count("Prefill batch") > before.count("Prefill batch")


def test_flush_cache_refuses_while_busy(engine: Engine) -> None:
    assert engine.post("/flush_cache").status == 200
    with engine.stream("/generate", long_request()) as events:
        assert next(events)
        assert engine.post("/flush_cache").status == 400


def test_a_long_prefill_silences_health_but_not_the_counters(tmp_path: Path) -> None:
    flags = ("--enable-metrics", "--sim-prefill-seconds", "30")
    with Engine(tmp_path, *flags, env={"SGLANG_HEALTH_CHECK_TIMEOUT": "0.3"}).ready() as engine:
        assert engine.get("/health").status == 200
        with engine.stream("/v1/completions", {"prompt": "word " * 4000, "max_tokens": 1}):
            wait_until(lambda: running(engine) == 1)
            before = metric(engine.get("/metrics").body.decode(), "realtime_tokens_total")
            assert engine.get("/health").status == 503
            assert "Health check failed. Server couldn't get a response from detokenizer" in engine.log
            wait_until(lambda: metric(engine.get("/metrics").body.decode(), "realtime_tokens_total") > before)
