"""The daemon in the foreground, and the demo: the real daemon with simulated engines, from start to clean end."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from qvl.cli.demo import BUSIEST, CONFIG, clients_at, demo_home, free_ports
from qvl.cli.foreground import Foreground
from qvl.config.flags import installed_check
from qvl.config.load import load
from qvl.config.paths import Paths, drop_ins_of
from qvl.host.ports import is_free
from qvl.model.error import QvlError

from tests.cli.run import environment, program
from tests.support import wait_until

QUICK = """\
[supervisor]
gpus = "simulated:1"
[engines.pretend]
kind = "simulated"
[profiles.standard]
engine = "pretend"
model = "tiny"
[profiles.standard.args]
sim-load-seconds = 0.1
[pools.one]
profile = "standard"
gpus = "all"
port = {port}
"""


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    config = tmp_path / "qvl.toml"
    claim, port = free_ports(2)
    with claim:
        config.write_text(QUICK.format(port=port))
        yield Paths(
            config,
            drop_ins_of(config),
            tmp_path / "s.sock",
            tmp_path / "view.sock",
            tmp_path / "state",
            tmp_path / "logs",
        )


def flags(paths: Paths) -> list[str]:
    given = {
        "--config": paths.config,
        "--socket": paths.socket,
        "--state-dir": paths.state_dir,
        "--log-dir": paths.log_dir,
    }
    return [str(word) for pair in given.items() for word in pair]


def test_the_demos_configuration_is_one_that_is_taken() -> None:
    with demo_home() as home:
        loaded = load(home.paths.config, flag_check=installed_check())
        assert (loaded.faults, loaded.warnings) == ((), ())
        assert loaded.config is not None
        assert len(str(home.paths.socket)) < 80
    assert not home.paths.config.exists()
    assert "{" not in CONFIG.format(vl_port=1, dense_port=2)


def test_traffic_comes_in_waves() -> None:
    wave = [clients_at(second) for second in range(90)]
    assert (min(wave), max(wave)) == (1, BUSIEST)
    assert wave[:45] == wave[45:]


def test_free_ports_are_free() -> None:
    claim, first = free_ports(4)
    with claim:
        assert all(is_free("127.0.0.1", port) for port in range(first, first + 4))
        other, second = free_ports(4)
        other.close()
    assert second != first


def test_up_without_a_terminal_shows_the_status_serves_and_ends_all(paths: Paths) -> None:
    command = program("up", *flags(paths), "--json")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        document = json.loads(process.stdout.readline())
        assert [worker["ready"] for worker in document["workers"]] == [True]
        pids = [document["supervisor"]["pid"], document["workers"][0]["pid"]]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20, "the end of daemon and worker")
    assert not paths.socket.exists()


def test_up_serves_for_a_while(paths: Paths) -> None:
    command = program("up", *flags(paths), "--for", "100ms")
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0
    assert "one-0" in ran.stdout
    assert "one-0: ready" in ran.stderr


def test_a_refused_configuration_ends_up_with_its_faults(paths: Paths) -> None:
    paths.config.write_text("[pools.one]\nprofile = 'none'\n")
    command = program("up", *flags(paths))
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 1
    assert "the daemon ended with exit code 78" in ran.stderr
    assert f"{paths.config}:2: pools.one.profile" in ran.stderr
    assert "hint: see what is wrong with the configuration: qvlctl check" in ran.stderr


def test_a_second_daemon_is_refused(paths: Paths) -> None:
    with Foreground(paths) as first:
        assert first.client.status()["supervisor"]["pid"] != os.getpid()
        with pytest.raises(QvlError, match=r"runs at .* already"):
            Foreground(paths).__enter__()
        assert first.client.status()["version"] == 1
