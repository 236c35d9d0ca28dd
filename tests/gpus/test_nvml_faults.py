"""Xids and error counters through NVML, with a driver of a script that keeps to NVML's reference."""

import logging
from collections import deque
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from qvl.gpus.nvml_faults import MOST, NvmlFaults
from qvl.model.gpu import Gpu

XID: int = pynvml.nvmlEventTypeXidCriticalError
DOUBLE_BIT: int = pynvml.nvmlEventTypeDoubleBitEccError
CLOCK: int = pynvml.nvmlEventTypeClock

LOST: int = pynvml.NVML_ERROR_GPU_IS_LOST
NOT_FOUND: int = pynvml.NVML_ERROR_NOT_FOUND
NOT_SUPPORTED: int = pynvml.NVML_ERROR_NOT_SUPPORTED
NO_PERMISSION: int = pynvml.NVML_ERROR_NO_PERMISSION
TIMEOUT: int = pynvml.NVML_ERROR_TIMEOUT
UNKNOWN: int = pynvml.NVML_ERROR_UNKNOWN


class Card:
    """A card as its driver has it. A number in `errors` is what a call fails with, by the end of the call's name."""

    def __init__(self) -> None:
        self.supported = XID | DOUBLE_BIT | CLOCK
        self.ecc = 0
        self.rows = (0, 0, 0, 0)
        self.errors: dict[str, int] = {}
        self.sets: list[EventSet] = []

    def check(self, call: str) -> None:
        if call in self.errors:
            raise pynvml.NVMLError(self.errors[call])

    def tell(self, event: int, data: int = 0) -> None:
        """Each set that listens to it gets the event."""
        for listening in self.sets:
            if listening.types & event:
                listening.events.append(SimpleNamespace(eventType=event, eventData=data))


class EventSet:
    def __init__(self) -> None:
        self.card: Card | None = None
        self.types = 0
        self.events: deque[Any] = deque()


class Driver:
    """Implements `Nvml`."""

    def __init__(self, *uuids: str) -> None:
        self.cards = {uuid: Card() for uuid in uuids}
        self.open: list[EventSet] = []
        self.waited: list[int] = []

    def nvmlDeviceGetHandleByUUID(self, uuid: str, /) -> Card:
        if uuid not in self.cards:
            raise pynvml.NVMLError(NOT_FOUND)
        self.cards[uuid].check("handle")
        return self.cards[uuid]

    def nvmlDeviceGetSupportedEventTypes(self, handle: Card, /) -> int:
        handle.check("supported")
        return handle.supported

    def nvmlEventSetCreate(self) -> EventSet:
        self.open.append(EventSet())
        return self.open[-1]

    def nvmlDeviceRegisterEvents(self, handle: Card, types: int, events: EventSet, /) -> None:
        handle.check("register")
        assert types & ~handle.supported == 0
        events.card, events.types = handle, types
        handle.sets.append(events)

    def nvmlEventSetWait_v2(self, events: EventSet, milliseconds: int, /) -> Any:
        assert events in self.open
        self.waited.append(milliseconds)
        if events.events:
            return events.events.popleft()
        if events.card is not None:
            events.card.check("wait")
        raise pynvml.NVMLError(TIMEOUT)

    def nvmlEventSetFree(self, events: EventSet, /) -> None:
        self.open.remove(events)
        if events.card is not None:
            events.card.sets.remove(events)

    def nvmlDeviceGetTotalEccErrors(self, handle: Card, kind: int, counter: int, /) -> int:
        assert (kind, counter) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        handle.check("ecc")
        return handle.ecc

    def nvmlDeviceGetRemappedRows(self, handle: Card, /) -> tuple[int, int, int, int]:
        handle.check("rows")
        return handle.rows


class Host:
    """Two cards, a and b, and who reads them."""

    def __init__(self) -> None:
        self.driver = Driver("GPU-a", "GPU-b")
        self.a, self.b = self.driver.cards["GPU-a"], self.driver.cards["GPU-b"]
        self.faults = NvmlFaults(self.driver)
        self.known = tuple(Gpu(index, uuid, "a card") for index, uuid in enumerate(self.driver.cards))

    def read(self) -> list[tuple[int, int | str | None]]:
        """Card and Xid, or what it said without one."""
        return [(fault.index, fault.xid or fault.what) for fault in self.faults.read(self.known)]


@pytest.fixture
def host() -> Host:
    return Host()


# ---- events


def test_each_xid_is_told_once_with_its_card(host: Host) -> None:
    assert host.read() == []
    host.b.tell(XID, 31)
    host.b.tell(XID, 31)
    host.a.tell(XID, 79)
    host.b.tell(XID, 43)
    faults = host.faults.read(host.known)
    assert [(f.index, f.uuid, f.xid) for f in faults] == [
        (0, "GPU-a", 79),
        (1, "GPU-b", 31),
        (1, "GPU-b", 31),
        (1, "GPU-b", 43),
    ]
    assert host.read() == []


def test_a_wait_never_lasts(host: Host) -> None:
    host.read()
    host.a.tell(XID, 31)
    host.read()
    assert set(host.driver.waited) == {0}


def test_what_happened_before_is_not_told(host: Host) -> None:
    host.a.tell(XID, 48)
    assert host.read() == []


def test_double_bit_errors_are_told_and_what_was_not_asked_for_is_not(host: Host) -> None:
    host.read()
    assert host.a.sets[0].types == XID | DOUBLE_BIT
    host.a.tell(DOUBLE_BIT)
    assert host.read() == [(0, "uncorrectable memory error")]


def test_only_what_a_card_supports_is_asked_of_it(host: Host) -> None:
    host.a.supported = XID | CLOCK
    host.read()
    assert host.a.sets[0].types == XID


def test_a_storm_leaves_room_for_the_other_cards(host: Host) -> None:
    host.read()
    for _ in range(MOST + 5):
        host.a.tell(XID, 74)
    host.b.tell(XID, 48)
    assert host.read() == [(0, 74)] * MOST + [(1, 48)]
    assert host.read() == [(0, 74)] * 5


# ---- cards that go


def test_a_card_that_is_lost_says_so_once_and_is_heard_again_when_it_is_back(host: Host) -> None:
    host.read()
    host.a.tell(XID, 79)
    host.a.errors = {"wait": LOST}
    assert host.read() == [(0, 79), (0, "the driver has lost it")]
    assert len(host.driver.open) == 1
    host.a.errors = {"handle": LOST}
    host.b.tell(XID, 31)
    assert host.read() == [(1, 31)]
    host.a.errors = {}
    assert host.read() == []
    host.a.tell(XID, 48)
    assert host.read() == [(0, 48)]
    host.a.errors = {"wait": LOST}
    assert host.read() == [(0, "the driver has lost it")], "again"


@pytest.mark.parametrize("call", ["supported", "register", "wait"])
def test_a_card_that_stays_lost_is_no_news(call: str, host: Host) -> None:
    host.read()
    host.a.errors = {"wait": LOST}
    assert host.read() == [(0, "the driver has lost it")]
    host.a.errors = {call: LOST, "wait": LOST}
    assert [host.read() for _ in range(3)] == [[], [], []]
    assert len(host.driver.open) == 1, "no set is left behind"


def test_a_card_that_was_never_there_has_nothing_to_tell(host: Host) -> None:
    del host.driver.cards["GPU-a"]
    host.read()
    host.b.tell(XID, 48)
    assert host.read() == [(1, 48)]


def test_events_that_can_not_be_waited_for_are_asked_for_anew(host: Host) -> None:
    host.read()
    host.a.errors = {"wait": UNKNOWN}
    assert host.read() == []
    host.a.errors = {}
    assert host.read() == []
    host.a.tell(XID, 48)
    assert host.read() == [(0, 48)]
    assert len(host.driver.open) == 2


def test_closing_frees_every_set_and_reading_begins_anew(host: Host) -> None:
    host.read()
    host.faults.close()
    assert host.driver.open == []
    host.a.tell(XID, 48)
    assert host.read() == []
    host.a.tell(XID, 64)
    assert host.read() == [(0, 64)]


# ---- counters


def mute(card: Card, how: str) -> None:
    match how:
        case "no such event":
            card.supported = CLOCK | DOUBLE_BIT
        case "not asked":
            card.errors["supported"] = NOT_SUPPORTED
        case "not registered":
            card.errors["register"] = NOT_SUPPORTED
        case "no permission":
            card.errors["register"] = NO_PERMISSION
        case "undefined":
            card.errors["register"] = UNKNOWN


@pytest.mark.parametrize("how", ["no such event", "not asked", "not registered", "no permission", "undefined"])
def test_a_card_without_events_is_counted(how: str, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mute(host.a, how)
    host.a.ecc, host.a.rows = 7, (1, 1, 0, 1)
    assert host.read() == [], "what was there before is old"
    assert len(host.driver.open) == 1, "a set that nothing listens to is freed"
    host.a.ecc = 8
    assert host.read() == [(0, "uncorrectable memory error")]
    assert host.read() == []
    host.a.ecc = 11
    assert host.read() == [(0, "3 uncorrectable memory errors")]
    host.a.ecc = 0  # the driver was loaded anew
    assert host.read() == []
    host.a.ecc = 1
    assert host.read() == [(0, "uncorrectable memory error")]
    assert [record.getMessage()[:23] for record in caplog.records] == ["GPU 0 tells no events ("]


def test_a_row_that_can_not_be_remapped_is_told_once(host: Host) -> None:
    mute(host.a, "not asked")
    host.read()
    host.a.rows = (4, 2, 1, 0)
    assert host.read() == []
    host.a.rows = (4, 3, 1, 1)
    assert host.read() == [(0, "a row of its memory failed and could not be remapped")]
    assert host.read() == []


def test_a_counter_that_is_not_had_for_a_moment_is_no_error(host: Host) -> None:
    mute(host.a, "not asked")
    host.a.ecc, host.a.rows = 7, (0, 0, 0, 1)
    host.read()
    host.a.errors |= {"ecc": UNKNOWN, "rows": UNKNOWN}
    assert host.read() == []
    host.a.errors = {"supported": NOT_SUPPORTED}
    assert host.read() == []


def test_a_counter_that_is_had_later_begins_then(host: Host) -> None:
    mute(host.a, "not asked")
    host.a.ecc, host.a.rows = 7, (0, 0, 0, 1)
    host.a.errors |= {"ecc": UNKNOWN, "rows": UNKNOWN}
    host.read()
    host.a.errors = {"supported": NOT_SUPPORTED}
    assert host.read() == []
    host.a.ecc = 8
    assert host.read() == [(0, "uncorrectable memory error")]


def test_a_card_that_tells_neither_events_nor_counters_is_quiet(host: Host) -> None:
    host.a.errors = {"supported": NOT_SUPPORTED, "ecc": NOT_SUPPORTED, "rows": NOT_SUPPORTED}
    assert [host.read() for _ in range(3)] == [[], [], []]


def test_a_counted_card_that_is_lost_says_so_once(host: Host) -> None:
    mute(host.a, "not asked")
    host.read()
    host.a.errors["ecc"] = LOST
    assert host.read() == [(0, "the driver has lost it")]
    assert [host.read() for _ in range(3)] == [[], [], []]
    del host.a.errors["ecc"]
    host.read()
    host.a.ecc = 2
    assert host.read() == [(0, "2 uncorrectable memory errors")]
