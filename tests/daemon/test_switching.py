"""Switches that meet: two at once, two pools, a daemon that goes while one is under way."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from qvl.client.sync import Client
from qvl.model.error import QvlError

from tests.blackbox.harness import Daemon, Table, merged
from tests.support import wait_until


def other(**args: object) -> Table:
    """Profile `other` with flags of its own."""
    flags = {name.replace("_", "-"): value for name, value in args.items()}
    return {"profiles": {"other": {"extends": "standard", "args": flags}}}


def with_second_pool(daemon: Daemon) -> Table:
    """The configuration with pool `two`, which is as pool `chat` is."""
    return merged(daemon.config, {"pools": {"two": {**daemon.config["pools"]["chat"], "port": daemon.port + 4}}})


def test_of_switches_asked_for_at_once_one_is_taken(tmp_path: Path) -> None:
    with Daemon(tmp_path, other(sim_load_seconds=0.5)) as daemon:
        daemon.start()
        daemon.ready()

        def ask(_: int) -> str:
            try:
                Client(str(daemon.socket)).switch("chat", "other")
            except QvlError as error:
                return error.message
            return "taken"

        with ThreadPoolExecutor(6) as clients:
            answers = sorted(clients.map(ask, range(6)))
        assert answers == [*["a change of pool chat is under way"] * 5, "taken"]
        daemon.until(lambda w: w["ready"] and w["profile"] == "other", "switched")
        wait_until(lambda: daemon.pool()["switch"] is None, what="the end of the switch")
        assert daemon.pool()["override"] == "other"


def test_the_switch_of_one_pool_keeps_the_override_of_another(tmp_path: Path) -> None:
    with Daemon(tmp_path, other(sim_load_seconds=0.3)) as daemon:
        daemon.write(with_second_pool(daemon))
        daemon.start()
        daemon.ready()
        daemon.ready("two-0")
        daemon.client.switch("chat", "other")
        daemon.client.switch("two", "other")
        wait_until(lambda: all(pool["switch"] is None for pool in daemon.status["pools"]), what="both have ended")
        assert [daemon.pool(name)["override"] for name in ("chat", "two")] == ["other", "other"]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_daemon_goes_though_a_switch_is_under_way(tmp_path: Path, replaced: bool) -> None:
    with Daemon(tmp_path, other(sim_load_seconds=60.0)) as daemon:
        daemon.start()
        daemon.ready()
        daemon.client.switch("chat", "other")
        daemon.in_phase("starting")
        if not replaced:
            daemon.stop(10)
            return
        began = daemon.status["supervisor"]["started_at"]
        daemon.client.restart_daemon()

        def succeeded() -> bool:
            with suppress(QvlError):  # it goes, or isn't there yet
                return daemon.status["supervisor"]["started_at"] != began
            return False

        wait_until(succeeded, what="the successor")
        # Nobody committed the switch, so what runs goes back to what the file says.
        daemon.until(lambda w: w["ready"] and w["profile"] == "standard", "the profile of the file")
