"""What the operator wants of a pool outlives everything but its removal."""

from pathlib import Path

import pytest
from qvl.model.error import ErrorCode, QvlError

from tests.blackbox.harness import Daemon, pool


def test_a_stop_of_a_pool_holds_for_workers_it_gets_later(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        accepted = daemon.client.act("stop", "chat", pool=True)
        assert accepted["workers"] == ["chat-0"]
        daemon.in_phase("stopped")
        daemon.edit(pool(gpus=2))
        worker = daemon.in_phase("stopped", "chat-1")
        assert worker["wanted"] == "down"
        for end in (daemon.stop, daemon.kill):
            end()
            daemon.start()
            assert {w["wanted"] for w in daemon.status["workers"]} == {"down"}
            end = daemon.kill
        daemon.edit(pool(gpus=3))
        assert daemon.in_phase("stopped", "chat-2")["wanted"] == "down"
        daemon.client.act("start", "chat", pool=True)
        for index in range(3):
            daemon.ready(f"chat-{index}")
        daemon.edit(pool(gpus=4))
        daemon.ready("chat-3")


def test_a_stop_of_a_worker_holds_for_it_alone(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.start().ready("chat-1")
        daemon.client.act("stop", "chat-1", pool=False)
        daemon.in_phase("stopped", "chat-1")
        daemon.edit(pool(gpus=3))
        daemon.ready("chat-2")
        assert daemon.worker("chat-1")["wanted"] == "down"
        daemon.stop()
        daemon.start().ready("chat-0")
        daemon.ready("chat-2")
        assert daemon.worker("chat-1")["phase"] == "stopped"


def test_autostart_counts_only_for_the_first_time(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(autostart=False)) as daemon:
        worker = daemon.start().in_phase("stopped")
        assert worker["wanted"] == "down"
        daemon.client.act("start", "chat-0", pool=False)
        daemon.ready()
        daemon.stop()
        daemon.start().ready()


def test_all(tmp_path: Path) -> None:
    with Daemon(tmp_path, pool(gpus=2)) as daemon:
        daemon.edit({"pools": {"more": {"profile": "standard", "gpus": [3], "port": daemon.port + 4}}})
        daemon.start()
        names = ("chat-0", "chat-1", "more-0")
        before = [daemon.ready(name)["pid"] for name in names]
        daemon.client.act("restart", "all", pool=True)
        for name, pid in zip(names, before, strict=True):
            assert daemon.ready(name, not_pid=pid)["restarts"] == 0
        daemon.client.act("stop", "all", pool=True)
        for name in names:
            daemon.in_phase("stopped", name)


@pytest.mark.parametrize("is_pool", [True, False])
def test_unknown_names_are_answered_with_the_nearest(is_pool: bool, tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        with pytest.raises(QvlError) as info:
            daemon.client.act("stop", "chta" if is_pool else "chat-00", pool=is_pool)
        assert info.value.code is ErrorCode.NOT_FOUND
        assert ("chat" if is_pool else "chat-0") in (info.value.hint or "")


def test_without_gpus(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"gpus": "none"}}, pool(gpus="none", workers=2)) as daemon:
        daemon.start()
        for index in range(2):
            assert daemon.ready(f"chat-{index}")["gpus"] == []
        assert daemon.status["gpus"] == []


def test_no_pools_at_all(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.write('[supervisor]\ngpus = "simulated:4"\n')
        daemon.start()
        assert (daemon.status["pools"], daemon.status["workers"]) == ([], [])
        daemon.write(daemon.config)
        daemon.ready()
