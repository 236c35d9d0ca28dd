"""Switches that meet: two at once, two pools, a daemon that goes while one is under way."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from qvl.client.sync import Client
from qvl.model.error import QvlError

from tests.blackbox.harness import Daemon, Table, args, merged, pool
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


def test_a_switch_that_a_crash_cut_off_goes_back_though_the_file_is_refused(tmp_path: Path) -> None:
    """Nothing is planned from a refused file, so nothing else would bring the pool back to one profile."""
    with Daemon(tmp_path, other(sim_load_seconds=0.5), pool(gpus=2)) as daemon:
        daemon.start()
        daemon.ready("chat-0")
        other_pid = daemon.ready("chat-1")["pid"]
        daemon.write("nonsense = ")
        wait_until(lambda: daemon.file["error"], what="the file's refusal")
        daemon.client.switch("chat", "other")
        first = daemon.until(lambda w: w["ready"] and w["profile"] == "other", "half of the switch")
        daemon.kill()
        daemon.start()
        daemon.until(lambda w: w["ready"] and w["profile"] == "standard", "the way back")
        assert daemon.worker()["pid"] != first["pid"]
        untouched = daemon.ready("chat-1")
        assert untouched["profile"] == "standard"
        assert untouched["pid"] == other_pid or daemon.spawns("chat-1") == 2  # the switch may have reached it


def test_what_is_about_to_be_forgotten_is_not_started(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_ignore_sigterm=True), pool(stop={"term": "1s"})) as daemon:
        both = with_second_pool(daemon)
        both["pools"]["two"]["stop"] = {"drain": "0s", "term": "1s"}
        daemon.write(both)
        daemon.start()
        daemon.ready("two-0")
        daemon.write(daemon.config)
        wait_until(lambda: daemon.file["pending"], what="the removal waits to be applied")
        daemon.client.apply(daemon.client.plan()["id"])
        daemon.in_phase("stopping", "two-0")
        with pytest.raises(QvlError, match="configured no more"):
            daemon.client.act("start", "two-0", pool=False)
        wait_until(lambda: [w["name"] for w in daemon.status["workers"]] == ["chat-0"], what="it is forgotten")
