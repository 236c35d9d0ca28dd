"""The simulated GPUs: what engines put on them, and what they show of engines, strangers and faults."""

import json
import os
import time
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


# ---- Xids


def numbers(gpus: SimulatedGpus) -> list[tuple[int, int | None]]:
    """Card and Xid of what is new."""
    return [(fault.index, fault.xid) for fault in gpus.faults()]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_each_line_of_a_cards_file_is_told_once(cards: Path) -> None:
    gpus = SimulatedGpus(2, cards)
    assert numbers(gpus) == []
    append(cards / "1.xid", "48\n")
    before = time.time(), time.monotonic()
    (fault,) = gpus.faults()
    assert (fault.index, fault.uuid, fault.xid) == (1, "GPU-SIM-1", 48)
    assert (fault.at, fault.at_mono) >= before
    assert numbers(gpus) == []
    append(cards / "0.xid", "13\n")
    append(cards / "1.xid", "48\n95\n")
    assert numbers(gpus) == [(0, 13), (1, 48), (1, 95)]


def test_what_is_no_number_is_passed_over(cards: Path) -> None:
    gpus = SimulatedGpus(1, cards)
    (cards / "0.xid").write_bytes(b"\n  48 \r\nXid 79\n-3\n4.5\n\xff\xfe\n99999\n\xd9\xa3\n63\n")
    assert numbers(gpus) == [(0, 48), (0, 63)]


def test_a_line_is_told_once_it_is_whole(cards: Path) -> None:
    gpus = SimulatedGpus(1, cards)
    append(cards / "0.xid", "11")
    assert numbers(gpus) == []
    append(cards / "0.xid", "9\n")
    assert numbers(gpus) == [(0, 119)]


def test_what_an_earlier_run_has_told_is_not_told_again(cards: Path) -> None:
    append(cards / "0.xid", "48\n79\n")
    gpus = SimulatedGpus(1, cards)
    assert numbers(gpus) == []
    assert gpus.sample()[0].health == "lost"
    append(cards / "0.xid", "64\n")
    assert numbers(gpus) == [(0, 64)]


def test_a_card_whose_last_xid_is_79_is_lost_until_that_is_taken_back(cards: Path) -> None:
    gpus = SimulatedGpus(2, cards)
    file = cards / "0.xid"
    append(file, "48\n79\n?\n")
    assert [sample.health for sample in gpus.sample()] == ["lost", "ok"]
    append(file, "48\n")
    assert gpus.sample()[0].health == "ok"
    append(file, "79\n")
    assert gpus.sample()[0].health == "lost"
    file.write_text("")
    assert gpus.sample()[0].health == "ok"
    append(file, "79\n")
    assert gpus.sample()[0].health == "lost"
    file.unlink()
    assert gpus.sample()[0].health == "ok"


def test_a_file_that_was_cut_or_replaced_tells_only_what_is_new(cards: Path) -> None:
    gpus = SimulatedGpus(1, cards)
    file = cards / "0.xid"
    file.write_text("48\n79\n")
    assert numbers(gpus) == [(0, 48), (0, 79)]
    file.write_text("48\n")
    assert numbers(gpus) == []
    append(file, "79\n")
    assert numbers(gpus) == [(0, 79)]
    file.write_text("95\n")  # another file of the length that one of them had
    assert numbers(gpus) == [(0, 95)]
    file.unlink()
    assert numbers(gpus) == []
    file.write_text("95\n")
    assert numbers(gpus) == [(0, 95)]
