"""The simulated GPUs: what engines put on them, and what they show of engines, strangers and faults."""

import json
import os
from pathlib import Path

import pytest
from qvl.gpus.simulated import MEMORY_TOTAL, SimulatedGpus
from qvl.model.gpu import GpuHolder

from tests.simulator.harness import MODEL, Engine, long_request
from tests.support import wait_until

GIB = 1 << 30


def used(gpus: SimulatedGpus, index: int = 0) -> float:
    """GiB."""
    memory = gpus.sample()[index].memory_used
    assert memory is not None
    return memory / GIB


def watts(gpus: SimulatedGpus) -> float:
    power = gpus.sample()[0].power
    assert power is not None
    return power


def environment(directory: Path, visible: str = "0") -> dict[str, str]:
    return {"QVL_SIMULATED_GPUS": str(directory), "CUDA_VISIBLE_DEVICES": visible}


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    directory = tmp_path / "cards"
    directory.mkdir()
    return directory


def test_the_inventory_is_as_asked(cards: Path) -> None:
    gpus = SimulatedGpus(4, cards)
    assert [(gpu.index, gpu.uuid, gpu.memory_total) for gpu in gpus.inventory()] == [
        (index, f"GPU-SIM-{index}", MEMORY_TOTAL) for index in range(4)
    ]


def test_nothing_moves_at_rest(cards: Path) -> None:
    gpus = SimulatedGpus(2, cards)
    first = gpus.sample()
    assert all(gpus.sample() == first for _ in range(20))
    assert first[0].memory_used == 0
    assert first[0].utilization == 0


def test_a_directory_that_is_not_there_yet_means_empty_cards(tmp_path: Path) -> None:
    assert used(SimulatedGpus(1, tmp_path / "later")) == 0


def test_memory_grows_with_the_load_and_falls_with_the_engine(tmp_path: Path, cards: Path) -> None:
    gpus = SimulatedGpus(2, cards)
    env = environment(cards, "GPU-SIM-1")
    with Engine(tmp_path, "--sim-stall-at", "weights", "--mem-fraction-static", "0.8", env=env) as engine:
        engine.wait_for("Multi-thread loading shards:  50%")
        loading = used(gpus, 1)
        assert 3 < loading < 15
        engine.process.kill()
        engine.process.wait()
        assert used(gpus, 1) == loading, "the driver takes a moment"
        wait_until(lambda: used(gpus, 1) == 0, what="the memory is free")
        assert not list(cards.iterdir())
    with Engine(tmp_path, "--mem-fraction-static", "0.8", env=env).ready() as engine:
        sample = gpus.sample()[1]
        assert sample.memory_used is not None
        assert 60 < sample.memory_used / GIB < 70
        assert [holder.pid for holder in sample.holders] == [engine.process.pid]
        assert used(gpus, 0) == 0
        engine.process.send_signal(2)
        assert engine.exit_code() == 0
        assert not list(cards.iterdir())


def test_utilization_heat_and_power_follow_requests(tmp_path: Path, cards: Path) -> None:
    gpus = SimulatedGpus(1, cards)
    watts_at_rest = watts(gpus)
    with Engine(tmp_path, env=environment(cards)).ready() as engine:
        with engine.stream("/generate", long_request()) as events:
            assert next(events)
            wait_until(lambda: gpus.sample()[0].utilization, what="a busy card")
            wait_until(lambda: watts(gpus) > watts_at_rest, what="more power")
        wait_until(lambda: gpus.sample()[0].utilization == 0, what="an idle card")


def test_an_engine_on_two_cards_takes_half_of_each(tmp_path: Path, cards: Path) -> None:
    gpus = SimulatedGpus(3, cards)
    flags = ("--tp-size", "2", "--max-total-tokens", "1000")
    with Engine(tmp_path, *flags, env=environment(cards, "0,2")).ready():
        first, none, second = (used(gpus, index) for index in range(3))
    assert first == second > 10
    assert none == 0


def test_parked_memory_is_free_for_another(tmp_path: Path, cards: Path) -> None:
    gpus = SimulatedGpus(1, cards)
    with Engine(tmp_path, "--enable-memory-saver", env=environment(cards)).ready() as engine:
        whole = used(gpus)
        engine.post("/pause_generation", {"mode": "abort"})
        engine.post("/release_memory_occupation")
        assert used(gpus) == pytest.approx(3.33, abs=0.3)
        engine.post("/resume_memory_occupation")
        assert used(gpus) == whole


def test_two_engines_share_a_card_if_one_sleeps(tmp_path: Path, cards: Path) -> None:
    env = environment(cards)
    with Engine(tmp_path, "--enable-memory-saver", env=env).ready() as sleeper:
        sleeper.post("/pause_generation", {"mode": "abort"})
        sleeper.post("/release_memory_occupation")
        with Engine(tmp_path, env=env).ready() as awake:
            with pytest.raises(ConnectionError):
                sleeper.post("/resume_memory_occupation")
            assert sleeper.exit_code() == -9
            assert "out of memory" in sleeper.log
            assert awake.chat(max_tokens=2).status == 200


def test_a_card_that_is_taken_is_out_of_memory(tmp_path: Path, cards: Path) -> None:
    record = {"memory": 70 * GIB, "pid": os.getpid(), "command": "train.py"}
    (cards / "gpu0.hold.json").write_text(json.dumps(record))
    sample = SimulatedGpus(1, cards).sample()[0]
    assert sample.holders == (GpuHolder(os.getpid(), 70 * GIB, "train.py", sample.holders[0].user),)
    assert sample.memory_used == 70 * GIB
    with Engine(tmp_path, "--model-path", MODEL, env=environment(cards)) as engine:
        assert engine.exit_code() == -9
        assert "CUDA out of memory" in engine.log


def test_a_lost_card_has_no_figures(cards: Path) -> None:
    (cards / "gpu1.lost").touch()
    fine, lost = SimulatedGpus(2, cards).sample()
    assert fine.health == "ok"
    assert (lost.health, lost.memory_used, lost.utilization, lost.temperature) == ("lost", None, None, None)


def test_half_a_file_is_nobody(cards: Path) -> None:
    (cards / "gpu0.hold.json").write_text('{"memory": ')
    assert used(SimulatedGpus(1, cards)) == 0
