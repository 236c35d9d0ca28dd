"""Who gets which cards and ports."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.core.placement import Ask, Slot, canonical, group_size, place
from qvl.model.gpu import Gpu


def host(*indexes: int) -> list[Gpu]:
    return [Gpu(index, f"GPU-{index}", "H100") for index in indexes]


def ask(
    gpus: str | int | Sequence[int | str], *, pool: str = "p", group: int = 1, workers: int = 1, port: int = 8000
) -> Ask:
    return Ask(pool, gpus, workers, group, port)


def cards(asks: Sequence[Ask], inventory: Sequence[Gpu] | None) -> dict[str, list[tuple[int | str, ...]]]:
    placed = place(asks, inventory)
    assert placed.clashes == []
    return {pool: [slot.gpus for slot in slots] for pool, slots in placed.slots.items()}


def refused(*asks: Ask, inventory: Sequence[Gpu] | None = None) -> list[str]:
    return [f"{clash.pool}.{clash.key} {clash.message}" for clash in place(asks, inventory).clashes]


def test_all() -> None:
    assert cards([ask("all")], host(0, 1, 2)) == {"p": [(0,), (1,), (2,)]}
    assert cards([ask("all", group=2)], host(0, 1, 2, 3)) == {"p": [(0, 1), (2, 3)]}


def test_all_of_an_unknown_host_is_unknown() -> None:
    assert cards([ask("all")], None) == {"p": []}


def test_none_is_counted_by_workers() -> None:
    assert place([ask("none", workers=2)], host(0)).slots == {"p": (Slot(0, (), 8000), Slot(1, (), 8001))}


def test_cards_that_are_over_are_told() -> None:
    placed = place([ask("all", group=2)], host(0, 1, 2))
    assert [slot.gpus for slot in placed.slots["p"]] == [(0, 1)]
    assert [note.message for note in placed.notes] == ["leaves 1 of 3 GPUs idle, since a worker takes 2"]


def test_a_list_keeps_its_order_and_names() -> None:
    assert cards([ask([3, "GPU-1", 0, 7], group=2)], host(0, 1, 2, 3)) == {"p": [(3, "GPU-1"), (0, 7)]}


def test_counts_take_the_lowest_that_no_list_names() -> None:
    asks = [ask(2), ask([0, "GPU-2"], pool="q", port=9000), ask(1, pool="r", port=9100)]
    assert cards(asks, host(0, 1, 2, 3, 4)) == {"p": [(1,), (3,)], "q": [(0,), ("GPU-2",)], "r": [(4,)]}


@pytest.mark.parametrize(
    ("gpus", "inventory", "expected"),
    [
        (3, host(0), [(0,), (1,), (2,)]),
        (2, host(), [(0,), (1,)]),
        (2, host(4), [(4,), (5,)]),
        (2, None, [(0,), (1,)]),
        ("all", host(), [(0,)]),
        ([9], host(0), [(9,)]),
    ],
)
def test_cards_that_the_host_lacks_are_waited_for(
    gpus: str | int | list[int], inventory: list[Gpu] | None, expected: list[tuple[int, ...]]
) -> None:
    assert cards([ask(gpus)], inventory) == {"p": expected}


def test_a_group_that_the_host_can_t_fill_is_waited_for() -> None:
    assert cards([ask("all", group=2)], host(1)) == {"p": [(0, 1)]}


def test_overlaps_name_both_pools() -> None:
    assert refused(ask([0, 1]), ask([1, 2], pool="q", port=9000)) == ["q.gpus takes GPU 1, which pool p has"]
    assert refused(ask([0]), ask(["GPU-0"], pool="q", port=9000), inventory=host(0)) == [
        "q.gpus takes GPU GPU-0, which pool p has"
    ]
    assert refused(ask(1), ask("all", pool="q", port=9000), ask("none", pool="r", port=9100)) == [
        "p.gpus takes GPUs, and pool q has all of them"
    ]
    assert refused(ask([0, "GPU-0"]), inventory=host(0)) == ["p.gpus lists one GPU twice, as 0 and as GPU-0"]


def test_groups_have_to_come_out_even() -> None:
    sentence = "p.gpus has 3 GPUs, and its profile's parallel sizes take 2 for a worker"
    assert refused(ask([0, 1, 2], group=2)) == [sentence]
    assert refused(ask(3, group=2)) == [sentence]


def test_ports_overlap_by_what_the_workers_really_take() -> None:
    pools = [ask([0, 1, 2, 3], group=2), ask("none", pool="q", port=8002)]
    assert refused(*pools) == []
    assert refused(ask([0, 1, 2]), pools[1]) == ["q.port takes port 8002, which pool p has"]
    assert refused(ask("none", port=65535, workers=2)) == ["p.port needs ports 65535 to 65536, and 65535 is the last"]


@pytest.mark.parametrize(
    ("args", "size"),
    [
        ({}, 1),
        ({"tp": 2}, 2),
        ({"tensor-parallel-size": 2, "pp": 2, "data-parallel-size": 2}, 8),
        ({"tp-size": 4, "dp-size": 4, "enable-dp-attention": True}, 4),
        ({"tp-size": 4, "dp-size": 4, "enable-dp-attention": False}, 16),
        ({"tp": 4, "ep": 4}, 4),
        ({"tp": "two", "pp": True, "dp": -1}, 1),
    ],
)
def test_cards_of_one_server(args: dict[str, object], size: int) -> None:
    assert group_size(args) == size


def test_one_name_for_each_flag() -> None:
    assert canonical({"tp": 1, "x": 2, "tensor-parallel-size": 3}) == {"tp-size": 3, "x": 2}


requests = st.builds(
    lambda gpus, group, workers, port: (gpus, group, workers, port),
    st.one_of(
        st.sampled_from(["all", "none"]),
        st.integers(1, 6),
        st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["GPU-0", "GPU-3"])), min_size=1, max_size=4),
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 65535),
)


@given(st.lists(requests, max_size=4), st.one_of(st.none(), st.sets(st.integers(0, 7)).map(sorted)))
def test_without_a_clash_nothing_is_given_out_twice(
    made: list[tuple[str | int | list[int | str], int, int, int]], indexes: list[int] | None
) -> None:
    asks = [Ask(f"p{number}", gpus, workers, group, port) for number, (gpus, group, workers, port) in enumerate(made)]
    inventory = None if indexes is None else host(*indexes)
    placed = place(asks, inventory)
    assert set(placed.slots) == {each.pool for each in asks}
    if placed.clashes:
        return
    by_uuid = {gpu.uuid: gpu.index for gpu in inventory or ()}
    slots = [(each, slot) for each in asks for slot in placed.slots[each.pool]]
    given_out = [by_uuid.get(card, card) if isinstance(card, str) else card for _, slot in slots for card in slot.gpus]
    ports = [slot.port for _, slot in slots]
    assert len(set(given_out)) == len(given_out)
    assert len(set(ports)) == len(ports)
    assert all(1 <= port <= 65535 for port in ports)
    for each, slot in slots:
        assert len(slot.gpus) == (0 if each.gpus == "none" else each.group)
        assert slot.port == each.port + slot.index
