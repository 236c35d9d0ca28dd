"""A pool of vLLM beside one of SGLang on the same host; both are stand-ins, see `vllm_standin` for what that means."""

import json
from pathlib import Path

from tests.blackbox.harness import BRISK, Daemon, ask, complete, pool
from tests.blackbox.vllm_standin import environment
from tests.support import wait_until

KEY = "sk-never-to-be-seen-4713"


def beside(tmp_path: Path) -> Daemon:
    """Pool `chat` runs the simulated engine on card 0, pool `other` vLLM on card 1, with a key."""
    python = environment(tmp_path / "vllm")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"vision_config": {}}))
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY + "\n")
    daemon = Daemon(
        tmp_path,
        {
            "engines": {"new": {"kind": "vllm", "python": str(python)}},
            "profiles": {
                "new": {"engine": "new", "model": str(model), "args": {"max-model-len": 1024, "load-format": "dummy"}},
                "longer": {"extends": "new", "args": {"max-model-len": 2048}},
            },
        },
        pool(gpus=[0]),
    )
    daemon.edit(pool("other", profile="new", gpus=[1], port=daemon.port + 4, api_key_file=str(key_file), **BRISK))
    return daemon


def test_two_kinds_of_engines_serve_on_cards_and_ports_of_their_own(tmp_path: Path) -> None:
    with beside(tmp_path) as daemon:
        daemon.start()
        sglang, vllm = daemon.ready("chat-0"), daemon.ready("other-0")
        assert (sglang["engine"], sglang["gpus"], sglang["port"]) == ("sim", [0], daemon.port)
        assert (vllm["engine"], vllm["gpus"], vllm["port"]) == ("new", [1], daemon.port + 4)
        assert complete(daemon.port)[0] == 200
        assert ask(daemon.port + 4, "POST", "/v1/completions", {"prompt": "hello"})[0] == 401
        assert ask(daemon.port + 4, "POST", "/v1/completions", {"prompt": "hello"}, KEY)[0] == 200
        line = Path(f"/proc/{vllm['pid']}/cmdline").read_text().split("\0")
        assert line[1:5] == ["-m", "vllm.entrypoints.cli.main", "serve", str(tmp_path / "model")]
        assert KEY not in line
        assert KEY.encode() not in Path(f"/proc/{vllm['pid']}/environ").read_bytes()
        assert daemon.client.version()["engines"]["new"] == "0.32.0"
        shown = daemon.until(lambda w: w["metrics"]["tokens_per_s"] is not None, "its figures", "other-0")
        assert (shown["metrics"]["running"], shown["metrics"]["queued"]) == (0, 0)


def test_side_ports_of_two_workers_are_apart(tmp_path: Path) -> None:
    """vLLM counts on from the one that it is given."""
    with beside(tmp_path) as daemon:
        daemon.edit(pool("other", gpus=[1, 2]))
        daemon.start()
        firsts = []
        for name in ("other-0", "other-1"):
            environ = Path(f"/proc/{daemon.ready(name)['pid']}/environ").read_text().split("\0")
            (first,) = [int(word.partition("=")[2]) for word in environ if word.startswith("VLLM_PORT=")]
            firsts.append(first)
        assert abs(firsts[0] - firsts[1]) >= 16
        assert all(20_000 <= first < 29_000 for first in firsts)


def test_each_kind_is_held_to_the_flags_of_its_own_version(tmp_path: Path) -> None:
    with beside(tmp_path) as daemon:
        daemon.start()
        before = daemon.ready("other-0")
        daemon.edit({"profiles": {"new": {"args": {"mem-fraction-static": 0.8}}, "standard": {"args": {"tp": 1}}}})
        wait_until(lambda: daemon.file["error"], 10, "the refusal")
        assert 'vllm 0.32.0 has no flag "mem-fraction-static"' in daemon.file["error"]
        assert daemon.worker("other-0")["pid"] == before["pid"]


def test_a_switch_of_vllm_is_committed_after_a_completion(tmp_path: Path) -> None:
    with beside(tmp_path) as daemon:
        daemon.start()
        before = daemon.ready("other-0")
        daemon.client.switch("other", "longer")
        daemon.ready("other-0", not_pid=before["pid"])
        wait_until(lambda: daemon.pool("other")["switch"] is None, 20, "the switch is over")
        assert daemon.pool("other")["override"] == "longer"
        metrics = ask(daemon.port + 4, "GET", "/metrics")
        assert metrics[0] == 200


def test_an_engine_that_hangs_behind_a_server_that_is_well_is_found_by_a_generation(tmp_path: Path) -> None:
    with beside(tmp_path) as daemon:
        daemon.edit(pool("other", health={"interval": "0.2s", "deep_interval": "0.5s", "timeout": "1s", "failures": 2}))
        daemon.start()
        before = daemon.ready("other-0")
        (tmp_path / "model" / "hang").touch()
        assert ask(daemon.port + 4, "GET", "/health")[0] == 200
        ended = daemon.until(lambda w: w["last_exit"] is not None, "the end", "other-0", timeout=60)
        assert ended["last_exit"] is not None
        assert ended["last_exit"]["cause"] == "hang"
        (tmp_path / "model" / "hang").unlink()
        daemon.ready("other-0", not_pid=before["pid"])
        assert daemon.worker("chat-0")["restarts"] == 0
