"""Figures of the past, from the engine's own page to the plot that a later daemon is asked for."""

from pathlib import Path

import msgspec
from qvl.model.api import History

from tests.blackbox.harness import Daemon, complete
from tests.support import wait_until


def test_a_fleets_past_outlives_its_daemon(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start()
        worker = daemon.ready()

        def told() -> History:
            return msgspec.json.decode(daemon.client.raw("/v1/history?span=300&points=60"), type=History)

        def measured() -> dict[float, float]:
            found = told()
            values = found.workers.get("chat-0", {}).get("itl_p95_s", [])
            assert found.gpus == {} or set(found.gpus) == {"0", "1", "2", "3"}
            assert set(found.profiles.get("chat-0", [])) <= {None, worker["profile"]}
            return {at: value for at, value in zip(found.at, values, strict=False) if value is not None}

        complete(worker["port"], tokens=20)
        before = wait_until(measured, 20, "the time between tokens in the history")
        daemon.stop()
        daemon.start()
        wait_until(lambda: before.items() <= measured().items(), 20, "the same figures from the next daemon")
