"""`qvlctl show`: where each argument comes from, and what the engine made of it, without its key."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.blackbox.harness import Daemon, args, merged, pool

KEY = "sk-5bd1-of-the-pool"
TOKEN = "hf_5bd1-of-the-engine"
QVLCTL = Path(sys.prefix, "bin", "qvlctl")


def show(daemon: Daemon, *words: str) -> str:
    ran = subprocess.run(
        [QVLCTL, "--socket", daemon.socket, "show", *words], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def row(text: str, key: str) -> list[str]:
    """The cells of an argument's row."""
    line = next(line for line in text.splitlines() if line.startswith(f"{key} "))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_origins_and_what_the_engine_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "secrets").write_text(f"HF_TOKEN={TOKEN}\n")
    changes = merged(
        pool(gpus=2, api_key_file=str(tmp_path / "key")),
        {"engines": {"sim": {"env_file": str(tmp_path / "secrets")}}},
        {"profiles": {"wide": {"extends": "standard", "args": {"tp": 1, "max-running-requests": 7}}}},
        args(served_model_name=f"named-like-{TOKEN}", schedule_policy="lpm", stream_interval=3),
        pool(profile="wide"),
    )
    with Daemon(tmp_path, changes) as daemon:
        daemon.start()
        worker = daemon.ready()
        daemon.ready("chat-1")
        headers = {"Authorization": f"Bearer {KEY}"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{worker['endpoint']}/server_info", headers=headers), timeout=20
        ) as answer:
            said = answer.read().decode()
        assert said.count(KEY) == 2  # so there is something to hide: at the top, and in the scheduler's word
        assert TOKEN in said

        whole = show(daemon, "wide", "--all")
        text = show(daemon, "wide")
        document: dict[str, Any] = json.loads(show(daemon, "wide", "--json"))
        raw = daemon.client.raw("/v1/workers/chat-0/resolved").decode()
        for shown in (whole, text, json.dumps(document), raw, daemon.said()):
            assert KEY not in shown
        for shown in (raw, json.dumps(document["resolved"])):
            assert TOKEN not in shown

        assert row(text, "max-running-requests") == ["max-running-requests", "7", "profile wide", "="]
        assert row(text, "schedule-policy") == ["schedule-policy", "lpm", "profile standard", "="]
        assert row(text, "tp") == ["tp", "1", "profile wide", "="]
        assert row(text, "port") == ["port", str(daemon.port), "pool chat", "="]
        assert row(text, "host")[2:] == ["pool chat", "="]
        assert row(text, "enable-metrics")[1:] == ["true", "qvl", "="]
        assert row(text, "config")[2] == "qvl"
        assert row(text, "nccl-port")[1:3] == ["a free one at each start", "qvl"]
        assert row(text, "served-model-name")[-1] == "(hidden)"
        assert row(text, "mem-fraction-static")[1:] == ["-", "-", "0.85"]
        assert row(text, "attention-backend")[1:] == ["-", "-", "fa3"]
        assert row(text, "CUDA_VISIBLE_DEVICES")[2] == "pool chat"
        assert row(text, "TMPDIR")[2] == "qvl"
        assert "resolved by chat-0" in text
        assert "chat-1 runs it too" in text
        assert "log-level" not in text
        assert "log-level" in whole
        assert "resolved by chat-1" in show(daemon, "wide", "--worker", "chat-1")

        # Another profile than what runs: nothing is resolved, and a pool gives it its place.
        assert "RESOLVED" not in show(daemon, "standard")
        assert row(show(daemon, "standard", "--pool", "chat"), "port") == ["port", str(daemon.port), "pool chat"]


def test_an_engine_that_hangs_doesnt_hang_us(tmp_path: Path) -> None:
    """It is shown on paper all the same, with the reason for what is missing."""
    with Daemon(tmp_path, args(sim_hang_after=0.1), pool(health={"deep_interval": "1h"})) as daemon:
        daemon.start().ready()
        daemon.until(lambda w: w["ready"], "ready")
        text = show(daemon, "standard")
        assert "unresolved: chat-0 gave no answer to /server_info within 5 s" in text
        assert "sim-hang-after" in text
        document = json.loads(show(daemon, "standard", "--json"))
        assert document["resolved"] is None
        assert "no answer" in document["resolved_error"]["message"]
