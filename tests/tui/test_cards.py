"""The cards on the fleet screen: all of them at any size, whose they are, and what is wrong with one."""

import re

import pytest
from qvl.model.api import History
from qvl.model.event import Change
from qvl.model.gpu import GpuHolder
from qvl_tui.store import KEPT_SAMPLES

from tests.tui.fleet import GIB, NOW, FakeLink, gpu, snapshot, troubled, worker
from tests.tui.support import screen_test, terminal

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_sixteen_cards_and_workers_fit(size: tuple[int, int]) -> None:
    @screen_test
    async def scenario() -> None:
        workers = [worker(f"w-{n}") for n in range(16)]
        async with terminal(FakeLink(snapshot(*workers)), size) as t:
            assert "16/16 ready" in t.lines[0]
            await t.press("G")
            assert "w-15" in t.row("›")
            for index in range(16):
                assert any(re.search(rf" {index:>2} (H200 +)?━", line) for line in t.lines), index

    scenario()


@screen_test
async def test_a_host_without_cards_has_no_strip() -> None:
    async with terminal(FakeLink(snapshot(worker("w-0", gpus=()), gpus=()))) as t:
        assert "GiB" not in t.text
        assert t.lines[3].split()[0] == "worker"


@screen_test
async def test_a_sick_card_and_a_strangers_memory_are_marked() -> None:
    async with terminal(FakeLink(*troubled()), (120, 40)) as t:
        assert "▲ pid 4711 python" in t.row("116/141")
        ours = GpuHolder(4101, 100 * GIB, "sglang::scheduler", "qvl", worker="qwen3-vl-0")
        other = GpuHolder(4712, 2 * GIB, "jupyter", "bob")
        t.link.tell(Change(NOW, gpus=(gpu(0, holders=(ours,)), gpu(1, holders=(ours, other)))))
        await t.settle()
        t.app._beat()
        await t.settle()
        assert "▲" not in t.row("110/141")
        assert t.row("113/141").endswith("▲ pid 4712 jupyter (bob) 2.0 GiB")
        t.link.tell(Change(NOW, gpus=(gpu(0, health="lost", memory_used=None, utilization=None), gpu(1))))
        await t.settle()
        assert "✕ lost" in t.row("—/141")


class Busy(FakeLink):
    """A card that worked for as long as its course goes back, and one that idled."""

    async def history(self) -> History:
        def card(degrees: float, watts: float) -> dict[str, list[float | None]]:
            return {"temperature": [degrees] * KEPT_SAMPLES, "power": [watts] * KEPT_SAMPLES}

        return History(2.0, [0.0] * KEPT_SAMPLES, {}, {"0": card(60.0, 590.0), "1": card(40.0, 80.0)})


@screen_test
async def test_courses_stand_clear_of_the_figures_before_them_and_share_a_scale() -> None:
    cards = gpu(0, utilization=1.0, temperature=60, power=590), gpu(1, utilization=0.0, temperature=40, power=80)
    async with terminal(Busy(snapshot(worker("a-0"), gpus=cards)), (200, 40)) as t:
        t.app._beat()
        await t.settle()
        busy, idle = (next(line for line in t.lines if line.startswith(f"  {index} H200")) for index in (0, 1))
        assert "100%  ▅▅▅▅▅▅▅▅▅▅▅▅   60°C  ████████████   590 W" in busy
        assert "0%  ▄▄▄▄▄▄▄▄▄▄▄▄   40°C  ▂▂▂▂▂▂▂▂▂▂▂▂    80 W" in idle


@screen_test
async def test_each_card_names_its_workers_where_there_is_room() -> None:
    workers = worker("a-0", gpus=(0, 1)), worker("b-2", gpus=("GPU-00000002",))
    cards = tuple(gpu(index) for index in range(4))
    async with terminal(FakeLink(snapshot(*workers, gpus=cards)), (120, 40)) as t:
        lines = [next(line for line in t.lines if line.startswith(f"  {index} H200")) for index in range(4)]
        assert [line.split(" W")[1].strip() for line in lines] == ["a-0", "a-0", "b-2", ""]
