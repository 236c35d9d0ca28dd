"""Cards that fail: what people are told of it, and a card that is set aside until somebody says otherwise."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.blackbox.harness import Daemon, args, pool
from tests.support import wait_until

QUARANTINE = pool(restart={"causes": {"gpu-fault": "quarantine"}})


def xid(daemon: Daemon, number: int, gpu: int = 0) -> None:
    """Have a simulated card tell an Xid."""
    with (daemon.state / "simulated-gpus" / f"{gpu}.xid").open("a") as file:
        file.write(f"{number}\n")


def told(daemon: Daemon, kind: str = "gpu.fault") -> list[Any]:
    return [event for event in daemon.events() if event["kind"] == kind]


def health(daemon: Daemon, gpu: int = 0) -> str:
    return daemon.status["gpus"][gpu]["health"]


def test_an_xid_under_a_running_worker_is_told_with_its_card_and_its_meaning(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        worker = daemon.start().ready()
        assert worker["pid"] is not None
        xid(daemon, 48)
        os.kill(worker["pid"], signal.SIGKILL)
        (event,) = wait_until(lambda: told(daemon), 30, "the fault is told")
        assert (event["severity"], event["message"]) == ("error", "Xid 48 on GPU 0: double bit ECC error")
        assert (event["data"]["gpu"], event["data"]["xid"]) == (0, 48)
        assert health(daemon) == "ok"
        ended = daemon.ready(not_pid=worker["pid"])["last_exit"]
        assert len(told(daemon)) == 1
        assert ended is not None
        assert (ended["cause"], ended["signal"]) == ("gpu-fault", 9)
        assert "Xid 48 on GPU 0" in (ended["evidence"] or "")


def test_a_fault_from_before_a_restart_of_the_daemon_is_not_told_again(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        xid(daemon, 48)
        wait_until(lambda: told(daemon), 30, "the fault is told")
        daemon.kill()
        daemon.start().ready()
        xid(daemon, 13, gpu=1)
        wait_until(lambda: len(told(daemon)) > 1, 30, "another one")
        assert [event["data"]["xid"] for event in told(daemon)] == [48, 13]


def test_a_card_that_fell_off_the_bus_is_lost_until_it_is_mended(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        worker = daemon.start().ready()
        assert worker["pid"] is not None
        xid(daemon, 79)
        wait_until(lambda: health(daemon) == "lost", 30, "a lost card")
        assert health(daemon, 1) == "ok"
        daemon.kill()
        daemon.start()
        assert health(daemon) == "lost"
        os.kill(worker["pid"], signal.SIGKILL)
        waiting = daemon.until(lambda w: "GPU 0" in (w["reason"] or "") and w["phase"] == "releasing", "waits for it")
        assert waiting["reason"] == "GPU 0 does not answer"
        (daemon.state / "simulated-gpus" / "0.xid").unlink()
        daemon.ready(not_pid=worker["pid"])
        wait_until(lambda: health(daemon) == "ok", 30, "a mended card")


def test_a_card_stays_set_aside_over_a_crash_of_the_daemon_until_somebody_starts_on_it(tmp_path: Path) -> None:
    with Daemon(tmp_path, args(sim_fail="gpu-fault"), QUARANTINE) as daemon:
        ended = daemon.start().in_phase("failed")["last_exit"]
        assert ended is not None
        why = f"gpu-fault of chat-0: {ended['evidence']}"
        assert health(daemon) == "quarantined"
        daemon.kill()
        daemon.start()
        assert (health(daemon), daemon.status["gpus"][0].get("reason")) == ("quarantined", why)
        assert health(daemon, 1) == "ok"

        daemon.edit(args(sim_fail=None))  # a reason to try again, but not a word about the card
        sentence = f"GPU 0 is set aside: {why}; `qvlctl start` of this worker uses it again"
        daemon.until(lambda w: w["reason"] == sentence, "waits for somebody to say that the card is well")
        daemon.client.act("start", "chat-0", pool=False)
        worker = daemon.ready()
        assert health(daemon) == "ok"
        assert [event["message"] for event in told(daemon, "gpu.quarantine")] == [
            f"GPU 0 is set aside: {why}",
            "GPU 0 is used again",
        ]

        daemon.kill()
        daemon.start()
        assert daemon.ready()["pid"] == worker["pid"]
        assert health(daemon) == "ok"
