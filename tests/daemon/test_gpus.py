"""The monitor of the cards: what they tell, told on and remembered; what is set aside, over restarts of the daemon."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from qvl.daemon.gpus import KEPT, QUIET, GpuMonitor
from qvl.daemon.journal import Journal
from qvl.daemon.store import Store
from qvl.gpus.simulated import SimulatedGpus
from qvl.model.event import Event, Severity
from qvl.model.gpu import Gpu, GpuFault, GpuSample

WHY = "gpu-fault of chat-0: Xid 79 on GPU 0: GPU has fallen off the bus"


class Cards:
    """A `GpuSource` of two cards that tells what it is given to tell."""

    def __init__(self) -> None:
        self.told: list[GpuFault] = []
        self.moved = False
        """The cards have changed places."""
        self.hung: threading.Event | None = None
        """The next readings last until it is set."""
        self.said = ""
        """What was called, by its first letter."""

    def inventory(self) -> tuple[Gpu, ...]:
        names = ("GPU-b", "GPU-a") if self.moved else ("GPU-a", "GPU-b")
        return tuple(Gpu(index, uuid, "a card", 80 << 30) for index, uuid in enumerate(names))

    def sample(self) -> tuple[GpuSample, ...]:
        self.said += "s"
        if self.hung is not None:
            self.hung.wait(60)
        return tuple(GpuSample(card.index, card.uuid, card.name, 0, card.memory_total) for card in self.inventory())

    def faults(self) -> tuple[GpuFault, ...]:
        self.said += "f"
        told, self.told = tuple(self.told), []
        return told

    def close(self) -> None:
        pass


def fault(xid: int | None, index: int = 0, at_mono: float = 100.0, what: str = "") -> GpuFault:
    return GpuFault(index, "GPU-" + "ab"[index], 1e9 + at_mono, at_mono, xid, what)


class House:
    """A state directory, its cards, and one run of the monitor after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cards = Cards()
        self.journal = Journal(root / "events.jsonl")
        self.monitor: GpuMonitor

    @contextmanager
    def run(self) -> Iterator[GpuMonitor]:
        store = Store(self.root, "boot")
        store.open()
        self.monitor = GpuMonitor(self.cards, store=store, journal=self.journal)
        try:
            yield self.monitor
        finally:
            self.monitor.close()
            store.close()

    def events(self, kind: str = "gpu.fault") -> list[Event]:
        return [event for event in self.journal.since(0) if event.kind == kind]

    def said(self, kind: str = "gpu.fault") -> list[str]:
        return [event.message for event in self.events(kind)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def heard(monitor: GpuMonitor, cards: Cards, *faults: GpuFault) -> None:
    cards.told = list(faults)
    await monitor.sample()


# ---- what cards tell


def test_faults_are_asked_for_before_a_reading_which_may_give_up_the_driver(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            await monitor.sample()

    asyncio.run(scenario())
    assert house.cards.said == "fsfs"


def test_a_fault_is_an_event_with_its_card_its_number_and_its_meaning(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            counted = fault(None, 1, what="2 uncorrectable memory errors")
            await heard(monitor, house.cards, fault(79), fault(31, 1), fault(63), fault(888), counted)

    asyncio.run(scenario())
    assert [(event.severity, event.message) for event in house.events()] == [
        (Severity.ERROR, "Xid 79 on GPU 0: GPU has fallen off the bus"),
        (Severity.WARNING, "Xid 31 on GPU 1: GPU memory page fault"),
        (Severity.INFO, "Xid 63 on GPU 0: GPU memory remapping event"),
        (Severity.INFO, "Xid 888 on GPU 0"),
        (Severity.ERROR, "GPU 1: 2 uncorrectable memory errors"),
    ]
    first = house.events()[0]
    assert first.at.timestamp() == 1e9 + 100
    assert first.data is not None
    assert {key: first.data[key] for key in ("gpu", "uuid", "xid", "kind")} == {
        "gpu": 0,
        "uuid": "GPU-a",
        "xid": 79,
        "kind": "card",
    }
    assert json.loads(msgspec.json.encode(first))["data"]["hint"]


def test_a_storm_is_told_once_a_minute_and_remembered(house: House) -> None:
    async def scenario() -> int:
        with house.run() as monitor:
            await monitor.open()
            await heard(monitor, house.cards, *[fault(74, at_mono=100.0)] * 50)
            for at in (101.0, 120.0, 100 + QUIET - 1):
                await heard(monitor, house.cards, fault(74, at_mono=at))
            await heard(monitor, house.cards, fault(74, 1, at_mono=103.0), fault(48, at_mono=104.0))
            assert len(house.said()) == 3
            await heard(monitor, house.cards, fault(74, at_mono=100 + QUIET))
            return len(monitor.faults_of([0], 0.0))

    assert asyncio.run(scenario()) == 6, "each reading's, once"
    assert house.said() == [
        "Xid 74 on GPU 0: NVLink error",
        "Xid 74 on GPU 1: NVLink error",
        "Xid 48 on GPU 0: double bit ECC error",
        "Xid 74 on GPU 0: NVLink error",
    ]


def test_a_worker_is_told_of_its_own_cards_within_its_run(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            old, ours, theirs = fault(48, at_mono=10.0), fault(79, at_mono=30.0), fault(95, 1, at_mono=20.0)
            await heard(monitor, house.cards, old, theirs, ours)
            assert monitor.faults_of([0], 10.0) == (old, ours)
            assert monitor.faults_of(["GPU-a"], 10.5) == (ours,)
            assert monitor.faults_of([1, "GPU-a"], 10.5) == (theirs, ours)
            assert monitor.faults_of([0], 30.5) == ()
            assert monitor.faults_of([], 0.0) == ()
            assert monitor.faults_of([7, "GPU-z"], 0.0) == ()

    asyncio.run(scenario())


def test_a_fault_stays_with_its_card_when_cards_change_places(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            await heard(monitor, house.cards, fault(48))
            house.cards.moved = True
            await monitor.look()
            assert monitor.faults_of([0], 0.0) == ()
            assert [found.xid for found in monitor.faults_of([1], 0.0)] == [48]

    asyncio.run(scenario())


def test_what_is_remembered_has_an_end(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            for number in range(KEPT + 10):
                await heard(monitor, house.cards, fault(1000 + number))
            kept = monitor.faults_of([0], 0.0)
            assert len(kept) == KEPT
            assert kept[-1].xid == 1000 + KEPT + 9

    asyncio.run(scenario())


def test_what_a_driver_says_too_late_is_heard_all_the_same(house: House) -> None:
    """A card that falls off the bus can block the driver for long after it has told why."""

    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            house.cards.told = [fault(79)]
            house.cards.hung = threading.Event()
            late = asyncio.create_task(monitor.sample())
            await asyncio.sleep(0)
            late.cancel()
            with pytest.raises(asyncio.CancelledError):
                await late
            house.cards.hung.set()
            await monitor.sample()
            assert [found.xid for found in monitor.faults_of([0], 0.0)] == [79]

    asyncio.run(scenario())


# ---- cards that are set aside


def healths(monitor: GpuMonitor) -> list[tuple[str, str | None]]:
    return [(sample.health, sample.reason) for sample in monitor.latest]


def test_a_card_that_is_set_aside_says_so_at_once_and_why(house: House) -> None:
    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            monitor.set_aside([0], WHY)
            assert healths(monitor) == [("quarantined", WHY), ("ok", None)]
            await monitor.sample()
            assert healths(monitor) == [("quarantined", WHY), ("ok", None)]
            card = monitor.resolve(0)
            assert card is not None
            found = monitor.aside(card)
            assert found is not None
            assert found.why == WHY
            monitor.clear([0, 1])
            assert healths(monitor) == [("ok", None), ("ok", None)]
            assert monitor.aside(card) is None
            monitor.clear([0, 1])

    asyncio.run(scenario())
    assert house.said("gpu.quarantine") == [f"GPU 0 is set aside: {WHY}", "GPU 0 is used again"]


def test_a_card_stays_set_aside_over_a_restart_wherever_it_is_then(house: House) -> None:
    async def set_aside() -> None:
        with house.run() as monitor:
            await monitor.open()
            monitor.set_aside(["GPU-a"], WHY)

    async def looked_at() -> list[tuple[str, str | None]]:
        with house.run() as monitor:
            await monitor.open()
            return healths(monitor)

    async def cleared() -> None:
        with house.run() as monitor:
            await monitor.open()
            monitor.clear([1])

    asyncio.run(set_aside())
    assert asyncio.run(looked_at()) == [("quarantined", WHY), ("ok", None)]
    house.cards.moved = True
    assert asyncio.run(looked_at()) == [("ok", None), ("quarantined", WHY)]
    asyncio.run(cleared())
    assert asyncio.run(looked_at()) == [("ok", None), ("ok", None)]


def test_what_was_set_aside_is_on_disk_before_it_is_told(house: House) -> None:
    file = house.root / "quarantine.json"
    seen: list[str] = []

    class Watching(Journal):
        def publish(self, kind: str, message: str, **more: Any) -> Event:
            seen.append(file.read_text())
            return super().publish(kind, message, **more)

    house.journal = Watching(house.root / "events.jsonl")

    async def scenario() -> None:
        with house.run() as monitor:
            await monitor.open()
            monitor.set_aside([1], WHY)
            monitor.clear([1])

    asyncio.run(scenario())
    assert [list(json.loads(text)) for text in seen] == [["GPU-b"], []]


def test_a_card_that_nobody_sees_can_be_set_aside_and_used_again_by_its_uuid(house: House) -> None:
    async def scenario() -> list[str]:
        with house.run() as monitor:
            await monitor.open()
            monitor.set_aside(["GPU-gone"], WHY)
            aside = list(json.loads((house.root / "quarantine.json").read_text()))
            monitor.clear(["GPU-gone"])
            return aside

    assert asyncio.run(scenario()) == ["GPU-gone"]
    assert json.loads((house.root / "quarantine.json").read_text()) == {}
    assert house.said("gpu.quarantine") == [f"GPU GPU-gone is set aside: {WHY}", "GPU GPU-gone is used again"]


def test_without_a_store_or_a_journal_it_watches_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        monitor = GpuMonitor(SimulatedGpus(1, tmp_path))
        await monitor.open()
        (tmp_path / "0.xid").write_text("48\n")
        await monitor.sample()
        assert [found.xid for found in monitor.faults_of([0], 0.0)] == [48]
        monitor.set_aside([0], WHY)
        assert healths(monitor) == [("quarantined", WHY)]
        monitor.close()

    asyncio.run(scenario())
