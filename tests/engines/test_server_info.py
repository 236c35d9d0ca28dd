"""What is passed on of SGLang's word about its arguments: all that people want to know, and no secret."""

import json
from typing import Any

import pytest
from qvl.config.origins import names_a_secret
from qvl.engines.flags import FlagTable
from qvl.engines.server_info import COMMON, resolved, same
from qvl.engines.simulated import simulated_table
from qvl.model.api import ResolvedValue

TABLE = simulated_table()
KEY = "sk-0815/with=signs"
OTHER = "hf_second-secret"


def ask(
    document: dict[str, Any], given: dict[str, object] | None = None, table: FlagTable | None = TABLE
) -> tuple[dict[str, ResolvedValue], tuple[str, ...]]:
    values, hidden = resolved(document, table, given or {}, [KEY, OTHER], names_a_secret)
    return {value.key: value for value in values}, hidden


def test_values_are_named_like_their_flags_and_compared_with_what_was_given() -> None:
    document = {"tp_size": 2, "mem_fraction_static": 0.72, "max_running_requests": 7, "served_model_name": "m"}
    values, hidden = ask(document, {"tp-size": 2, "max-running-requests": 9, "mem-fraction-static": 0.72})
    assert hidden == ()
    assert (values["tp-size"].value, values["tp-size"].given, values["tp-size"].differs) == (2, 2, False)
    assert {"tp", "tensor-parallel-size"} <= set(values["tp-size"].names)
    running = values["max-running-requests"]
    assert (running.value, running.given, running.differs, running.common) == (7, 9, True, True)
    assert not values["mem-fraction-static"].differs
    assert not values["served-model-name"].common


def test_the_common_ones_come_first_and_in_their_order() -> None:
    document = {"log_level": "info", "schedule_policy": "fcfs", "attention_backend": "fa3", "host": "::"}
    values, _ = resolved(document, TABLE, {}, [], names_a_secret)
    assert [value.key for value in values] == ["attention-backend", "schedule-policy", "host", "log-level"]


def test_the_scheduler_knows_better() -> None:
    state = {"page_size": 16, "max_running_requests": None, "effective_max_running_requests_per_dp": 48}
    document = {
        "page_size": 1,
        "max_running_requests": None,
        "max_total_num_tokens": 356176,
        "internal_states": [state],
    }
    values, _ = ask(document)
    assert values["page-size"].value == 16
    assert values["max-running-requests"].value == 48
    assert (values["max-total-num-tokens"].value, values["max-total-num-tokens"].common) == (356176, True)


def test_what_was_asked_for_is_not_replaced_by_what_each_rank_gets() -> None:
    document = {"max_running_requests": 9, "internal_states": [{"effective_max_running_requests_per_dp": 4}]}
    assert ask(document, {"max-running-requests": 9})[0]["max-running-requests"].value == 9


SECRETS: dict[str, dict[str, Any]] = {
    "the key": {"api_key": KEY},
    "a key that we don't know": {"admin_api_key": "unknown"},
    "a password": {"ssl_keyfile_password": "unknown"},
    "the command line": {"launch_command": f"python -m sglang.launch_server --api-key {KEY}"},
    "the key in another value": {"served_model_name": f"model of {KEY}"},
    "the key in a list": {"uvicorn_access_log_exclude_prefixes": ["/a", f"/b?key={KEY}"]},
    "the key, percent-encoded": {"model_path": "https://x/?k=sk-0815%2Fwith%3Dsigns"},
    "a variable of the env_file": {"tokenizer_path": OTHER},
    "a user and a password": {"model_path": "s3://me:word@bucket/model"},
    "a name within JSON": {"model_loader_extra_config": json.dumps({"a": [{"aws_secret_access_key": "unknown"}]})},
    "a name within a table": {"json_model_override_args": {"hf-token": "unknown"}},
    "a flag within a text": {"chat_template": "--admin-api-key=unknown"},
    "the scheduler's word": {"internal_states": [{"api_key": KEY, "served_model_name": KEY}]},
    "a field of another version": {"brand_new_field": KEY, "env": {"X": "unknown"}},
}


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_is_passed_on(what: str) -> None:
    document = {"schedule_policy": "fcfs", **SECRETS[what]}
    values, hidden = resolved(document, TABLE, {}, [KEY, OTHER], names_a_secret)
    said = repr((values, hidden))
    assert [word for word in (KEY, OTHER, "unknown", "me:word", "0815") if word in said] == []
    assert [value.key for value in values] == ["schedule-policy"]


def test_what_is_hidden_is_named_if_it_is_a_flag() -> None:
    assert ask({"api_key": KEY, "model_path": KEY, "launch_command": KEY})[1] == ("api-key", "model-path")


def test_numbers_are_no_secrets() -> None:
    values, hidden = ask({"admin_api_key": None, "bucket_inter_token_latency": [0.1, 2]})
    assert hidden == ()
    assert values["bucket-inter-token-latency"].value == [0.1, 2]


def test_a_flag_that_one_of_two_places_gives_away_is_hidden_in_both() -> None:
    values, hidden = ask({"served_model_name": KEY, "internal_states": [{"served_model_name": KEY}]})
    assert (values, hidden) == ({}, ("served-model-name",))


def test_without_a_table_only_what_is_known_or_was_given_is_shown() -> None:
    document = {"attention_backend": "fa3", "some_flag": 1, "odd_flag": 2, "max_total_num_tokens": 5}
    values, _ = ask(document, {"odd-flag": 2}, None)
    assert {value.key: value.value for value in values.values()} == {
        "attention-backend": "fa3",
        "odd-flag": 2,
        "max-total-num-tokens": 5,
    }


@pytest.mark.parametrize(
    ("given", "now", "expected"),
    [
        (True, True, True),
        (False, False, True),
        (True, 1, False),
        (1, 1.0, True),
        ("8", 8, True),
        ("32k", 32000, False),
        ({"a": [1]}, '{"a": [1]}', True),
        ({"a": 1}, "{'a': 1}", False),
        ([1, "b"], ["1", "b"], True),
        ([1], [1, 2], False),
        ("x", None, False),
    ],
)
def test_same(given: object, now: object, expected: bool) -> None:
    assert same(given, now) is expected


def test_the_common_ones_are_flags_or_figures() -> None:
    newer = {"cuda-graph-max-bs-decode", "cuda-graph-bs-decode", "mm-feature-transport", "max-total-num-tokens"}
    assert {name for name in COMMON if TABLE.find(name) is None} <= newer
