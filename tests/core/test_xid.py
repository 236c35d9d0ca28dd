"""What an Xid says, and whom it accuses when a worker ends."""

import pytest
from qvl.core.classify import Finding
from qvl.core.xid import XIDS, Kind, advice, attribute, describe, kind_of
from qvl.model.gpu import GpuFault
from qvl.model.worker import Cause

LOG = "CUDA error: an illegal memory access was encountered"
SURE = (
    Cause.REQUESTED,
    Cause.BAD_ARGUMENTS,
    Cause.MODEL_MISSING,
    Cause.ENVIRONMENT,
    Cause.PORT_IN_USE,
    Cause.DISK_FULL,
)


def xid(number: int, index: int = 0) -> GpuFault:
    return GpuFault(index, f"GPU-{index}", 1e9, 50.0, number)


COUNTED = GpuFault(3, "GPU-3", 1e9, 50.0, what="2 uncorrectable memory errors")


@pytest.mark.parametrize("number", [46, 48, 62, 64, 74, 79, 94, 95, 109, 119, 120, 140, 143, 149, 158, 172])
def test_what_asks_for_a_reset_is_the_card(number: int) -> None:
    assert kind_of(xid(number)) is Kind.CARD
    assert advice(xid(number))


@pytest.mark.parametrize("number", [8, 13, 31, 43, 68, 69, 85, 100, 137])
def test_what_asks_for_a_new_start_of_the_program_is_the_program(number: int) -> None:
    assert kind_of(xid(number)) is Kind.PROGRAM
    assert advice(xid(number)) is None


@pytest.mark.parametrize("number", [45, 63, 92, 121, 154, 155])
def test_what_asks_for_nothing_accuses_nobody(number: int) -> None:
    assert kind_of(xid(number)) is Kind.NOTE


@pytest.mark.parametrize("number", [0, 1, 59, 999, 2**63])
def test_a_number_without_a_meaning_accuses_nobody(number: int) -> None:
    assert kind_of(xid(number)) is Kind.NOTE
    assert describe(xid(number, 7)) == f"Xid {number} on GPU 7"


def test_a_fault_is_named_with_its_card_and_its_meaning() -> None:
    assert describe(xid(79)) == "Xid 79 on GPU 0: GPU has fallen off the bus"
    assert describe(COUNTED) == "GPU 3: 2 uncorrectable memory errors"


def test_advice_names_the_card() -> None:
    for number, known in XIDS.items():
        if known.advice:
            told = advice(xid(number, 5)) or ""
            assert "{" not in told
            assert ("GPU 5" in told or "-i 5" in told) is ("{gpu}" in known.advice)
    assert "-i 3" in (advice(COUNTED) or "")


# ---- the cause of an end


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in SURE])
def test_a_fault_of_the_card_explains_any_end_whose_log_could_say_anything(cause: Cause) -> None:
    found = attribute(Finding(cause, "what the log said", "a hint"), [xid(79)])
    assert found.cause is Cause.GPU_FAULT
    assert found.evidence == "Xid 79 on GPU 0: GPU has fallen off the bus"
    assert found.hint == advice(xid(79))


@pytest.mark.parametrize("cause", SURE)
def test_what_is_surely_something_else_stays_what_it_is(cause: Cause) -> None:
    finding = Finding(cause, "what the log said")
    assert attribute(finding, [xid(79), xid(31)]) is finding


def test_a_counter_of_the_card_accuses_it_too() -> None:
    found = attribute(Finding(Cause.KILLED), [COUNTED])
    assert (found.cause, found.evidence) == (Cause.GPU_FAULT, "GPU 3: 2 uncorrectable memory errors")


def test_the_first_fault_of_a_card_is_the_root() -> None:
    found = attribute(Finding(Cause.KILLED), [xid(45), xid(13), xid(48, 1), xid(79, 2), xid(45)])
    assert found.evidence == "Xid 48 on GPU 1: double bit ECC error"


@pytest.mark.parametrize("numbers", [(), (45,), (63, 154), (999,), (45, 45, 45)])
@pytest.mark.parametrize("cause", list(Cause))
def test_notes_change_nothing(cause: Cause, numbers: tuple[int, ...]) -> None:
    finding = Finding(cause, "what the log said")
    assert attribute(finding, [xid(number) for number in numbers]) is finding


def test_a_fault_of_the_program_makes_an_unknown_end_a_crash() -> None:
    told = "Xid 31 on GPU 0: GPU memory page fault"
    assert attribute(Finding(Cause.UNKNOWN), [xid(31)]) == Finding(Cause.ENGINE_CRASH, told)
    found = attribute(Finding(Cause.UNKNOWN, "exited with 1", "a hint"), [xid(45), xid(31)])
    assert found == Finding(Cause.ENGINE_CRASH, f"exited with 1; {told}", "a hint")


@pytest.mark.parametrize("cause", [Cause.ENGINE_CRASH, Cause.GPU_FAULT])
def test_a_fault_of_the_program_stands_beside_what_the_log_says(cause: Cause) -> None:
    found = attribute(Finding(cause, LOG, "a hint"), [xid(31)])
    assert found == Finding(cause, f"{LOG}; Xid 31 on GPU 0: GPU memory page fault", "a hint")


@pytest.mark.parametrize(
    "cause", [cause for cause in Cause if cause not in (Cause.UNKNOWN, Cause.ENGINE_CRASH, Cause.GPU_FAULT)]
)
def test_a_fault_of_the_program_explains_nothing_else(cause: Cause) -> None:
    finding = Finding(cause, "what the log said")
    assert attribute(finding, [xid(13), xid(31), xid(43), xid(45)]) is finding
