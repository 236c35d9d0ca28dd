"""From a configuration and a host's cards to workers."""

from pathlib import Path

import msgspec
from qvl.config.fleet import fleet
from qvl.config.settings import Config
from qvl.model.spec import Launch

from tests.config.files import GOOD, config_of, host


def test_a_worker_for_each_gpu(tmp_path: Path) -> None:
    made = fleet(config_of(tmp_path, GOOD), host(2))
    assert [(worker.name, worker.launch.gpus, worker.launch.port) for worker in made.workers] == [
        ("p-0", (0,), 8000),
        ("p-1", (1,), 8001),
    ]
    assert made.pools[0].endpoint is None
    assert made.faults == ()


def test_a_launch_has_all_that_decides_which_process_runs(tmp_path: Path) -> None:
    text = """
[engines.sim]
kind = "simulated"
env = { E = "1" }
[profiles.standard]
engine = "sim"
model = "m"
raw_args = ["--more"]
args = { tensor-parallel-size = 2, f = 0.5 }
env = { A = "1" }
[pools.p]
profile = "standard"
gpus = [3, "GPU-x"]
host = "::1"
port = 9000
api_key_file = "/etc/qvl/key"
autostart = false
restart.mode = "never"
"""
    config = config_of(tmp_path, text)
    (worker,) = fleet(config, None).workers
    assert (worker.name, worker.pool, worker.index, worker.profile) == ("p-0", "p", 0, "standard")
    assert worker.autostart is False
    assert worker.policy == config.pools["p"].policy
    assert worker.launch == Launch(
        engine=config.engines["sim"],
        model="m",
        args={"tp-size": 2, "f": 0.5},
        raw_args=("--more",),
        env={"A": "1"},
        gpus=(3, "GPU-x"),
        host="::1",
        port=9000,
        api_key_file="/etc/qvl/key",
    )


def test_another_spelling_of_a_flag_is_no_change(tmp_path: Path) -> None:
    launches = []
    for flag in ("tp", "tp-size", "tensor-parallel-size"):
        config = config_of(tmp_path, GOOD + f"[profiles.standard.args]\n{flag} = 2\n")
        launches.append(fleet(config, host(2)).workers[0].launch)
    assert launches[0] == launches[1] == launches[2]


def test_the_flags_of_a_command_keep_their_spelling(tmp_path: Path) -> None:
    text = GOOD.replace('"simulated"', '"command"\ncommand = ["x"]')
    config = config_of(tmp_path, text + "[profiles.standard.args]\ntensor-parallel-size = 2\n")
    (worker,) = fleet(config, host(2)).workers
    assert worker.launch.args == {"tensor-parallel-size": 2}
    assert worker.launch.gpus == (0, 1)


TWO_PROFILES = GOOD + '[profiles.wide]\nextends = "standard"\nargs = { tp = 2 }\n'


def test_an_override_runs_instead(tmp_path: Path) -> None:
    made = fleet(config_of(tmp_path, TWO_PROFILES), host(4), {"p": "wide"})
    assert (made.pools[0].profile, made.pools[0].file_profile) == ("wide", "standard")
    assert [worker.launch.gpus for worker in made.workers] == [(0, 1), (2, 3)]
    assert {worker.profile for worker in made.workers} == {"wide"}
    assert made.notes == ()


def test_an_override_of_what_is_gone_is_dropped_with_a_note(tmp_path: Path) -> None:
    made = fleet(config_of(tmp_path, TWO_PROFILES), host(1), {"p": "gone", "q": "wide"})
    assert made.pools[0].profile == "standard"
    assert made.notes == (
        'the override of pool p is dropped: there is no profile "gone" any more',
        "the override of pool q is dropped: there is no such pool any more",
    )


def test_an_override_that_the_gpus_don_t_allow_is_a_fault_with_its_line(tmp_path: Path) -> None:
    config = config_of(tmp_path, TWO_PROFILES.replace('profile = "standard"', 'profile = "standard"\ngpus = [0, 1, 2]'))
    (fault,) = fleet(config, host(3), {"p": "wide"}).faults
    assert str(fault) == (
        f"{tmp_path}/qvl.toml:8: pools.p.gpus: has 3 GPUs, and its profile's parallel sizes take 2 for a worker"
    )


def test_one_card_by_two_names_comes_to_light_on_the_host(tmp_path: Path) -> None:
    config = config_of(tmp_path, GOOD + 'gpus = [0]\n[pools.q]\nprofile = "standard"\ngpus = ["GPU-0"]\nport = 9000\n')
    assert fleet(config, None).faults == ()
    (fault,) = fleet(config, host(1)).faults
    assert str(fault) == f"{tmp_path}/qvl.toml:11: pools.q.gpus: takes GPU GPU-0, which pool p has"


def test_the_remembered_configuration_makes_the_same_fleet(tmp_path: Path) -> None:
    config = config_of(tmp_path, TWO_PROFILES)
    again = msgspec.json.decode(msgspec.json.encode(config), type=Config)
    assert fleet(again, host(2), {"p": "wide"}) == fleet(config, host(2), {"p": "wide"})
