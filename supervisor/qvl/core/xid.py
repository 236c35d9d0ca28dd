"""What a card's Xid number means, and what it says of a worker's end.

Meanings and advice: NVIDIA's catalogue of Xid errors for Ampere and newer
(https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html), whose "immediate action" makes the `Kind`.
Seen on an H200 with driver 580.159: an access to an address that is not mapped gives Xid 31, a `trap` in a kernel gives
Xid 43, and SIGKILL or SIGTERM of a process that computes gives none; older drivers tell Xid 45 then.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from qvl.core.classify import Finding
from qvl.model.gpu import GpuFault
from qvl.model.worker import Cause


class Kind(StrEnum):
    """What the catalogue wants done about an Xid, which says whose it is."""

    CARD = "card"
    """Reset the GPU, restart the machine, look at its links or cables."""
    PROGRAM = "program"
    """Restart the application: typically a fault of its own, and the card is well."""
    NOTE = "note"
    """Nothing: it follows from another event or from a signal, or was mended."""


class Xid(msgspec.Struct, frozen=True):
    meaning: str
    kind: Kind
    advice: str | None = None
    """What to do, for people; `{gpu}` is the card's index."""


RELEVANT = 900.0
"""Seconds before an end within which a card's fault can have caused it. An engine may outlive its card for long:
SGLang's watchdog waits 5 minutes, torch's for collectives 10."""

_RESET = (
    "reset GPU {gpu} (`nvidia-smi --gpu-reset -i {gpu}`) or restart the machine; if it comes again, have it looked at"
)
_MACHINE = "restart the machine; `journalctl -k -g NVRM` may say why the GPU's link went"
_CABLES = "connect the power cables of GPU {gpu}"
_LINKS = "look at `nvidia-smi nvlink -e -i {gpu}`, then reset the GPU or restart the machine"
_LATER = "it can go on; reset GPU {gpu} (`nvidia-smi --gpu-reset -i {gpu}`) when that is convenient"

_COPY_ENGINES = (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136))
_VIDEO_ENGINES = (60, 68, 82, 83, 84, 86, 88, 89, *range(96, 106), 139)


def _all(numbers: Iterable[int], meaning: str, kind: Kind, advice: str | None = None) -> dict[int, Xid]:
    return dict.fromkeys(numbers, Xid(meaning, kind, advice))


XIDS: dict[int, Xid] = {
    46: Xid("GPU stopped processing", Kind.CARD, _RESET),
    48: Xid("double bit ECC error", Kind.CARD, _RESET),
    54: Xid("auxiliary power is not connected to the GPU board", Kind.CARD, _CABLES),
    62: Xid("internal micro-controller halt", Kind.CARD, _RESET),
    64: Xid("GPU memory remapping failure", Kind.CARD, _RESET),
    74: Xid("NVLink error", Kind.CARD, _LINKS),
    79: Xid("GPU has fallen off the bus", Kind.CARD, _MACHINE),
    # To restart the application is enough here, but what ended it is memory that failed.
    94: Xid("contained memory error", Kind.CARD, _LATER),
    95: Xid("uncontained memory error", Kind.CARD, _RESET),
    109: Xid("context switch timeout", Kind.CARD, _RESET),
    110: Xid("security fault", Kind.CARD, _RESET),
    119: Xid("GSP RPC timeout", Kind.CARD, _RESET),
    120: Xid("GSP error", Kind.CARD, _RESET),
    136: Xid("link training failed", Kind.CARD, _LINKS),
    140: Xid("unrecovered ECC error", Kind.CARD, _RESET),
    143: Xid("GPU initialization error", Kind.CARD, _RESET),
    **_all(range(144, 151), "NVLink error", Kind.CARD, _LINKS),
    151: Xid("key rotation error", Kind.CARD, "restart the virtual machine"),
    156: Xid("resource retirement", Kind.CARD, _RESET),
    158: Xid("GPU fatal timeout", Kind.CARD, _RESET),
    # The catalogue: in addition to 48.
    171: Xid("uncorrectable DRAM error", Kind.CARD, _RESET),
    172: Xid("uncorrectable SRAM error", Kind.CARD, _RESET),
    8: Xid("GPU stopped processing", Kind.PROGRAM),
    **_all((11, 25, 32), "invalid or corrupted push buffer stream", Kind.PROGRAM),
    13: Xid("graphics engine exception", Kind.PROGRAM),
    31: Xid("GPU memory page fault", Kind.PROGRAM),
    # Its action is "ignore", and its text: "a user application hits a software induced fault and must terminate".
    43: Xid("GPU stopped processing", Kind.PROGRAM),
    69: Xid("graphics engine class error", Kind.PROGRAM),
    80: Xid("corrupted data sent to GPU", Kind.PROGRAM),
    **_all(_COPY_ENGINES, "copy engine exception", Kind.PROGRAM),
    **_all(_VIDEO_ENGINES, "video engine exception", Kind.PROGRAM),
    # Its action is "ignore", and its text is that of 31, for the memory of another card.
    137: Xid("NVLink privilege error", Kind.PROGRAM),
    14: Xid("fake or injected error", Kind.NOTE),
    **_all((37, 38), "driver firmware error", Kind.NOTE),
    44: Xid("graphics engine fault during context switch", Kind.NOTE),
    45: Xid("preemptive cleanup: a program was ended, by an error before or by a signal", Kind.NOTE),
    63: Xid("GPU memory remapping event", Kind.NOTE),
    **_all((66, 67), "illegal access by driver", Kind.NOTE),
    92: Xid("high single-bit ECC error rate", Kind.NOTE),
    93: Xid("InfoROM wear limit", Kind.NOTE),
    **_all((106, 107), "SMBPBI test message", Kind.NOTE),
    121: Xid("corrected C2C link error", Kind.NOTE),
    141: Xid("CUDA fast path error", Kind.NOTE),
    154: Xid("GPU recovery action changed", Kind.NOTE),
    155: Xid("NVLink taken down on purpose", Kind.NOTE),
    157: Xid("resource retirement failure", Kind.NOTE),
    **_all((160, 161), "channel retirement", Kind.NOTE),
}

_SURE = frozenset(
    {
        Cause.REQUESTED,
        Cause.BAD_ARGUMENTS,
        Cause.MODEL_MISSING,
        Cause.ENVIRONMENT,
        Cause.PORT_IN_USE,
        Cause.DISK_FULL,
    }
)
"""Causes with words that no card's fault puts into a log."""


def kind_of(fault: GpuFault) -> Kind:
    """A number that the table lacks accuses nobody; what is no Xid is counted errors or the loss of the card."""
    if fault.xid is None:
        return Kind.CARD
    known = XIDS.get(fault.xid)
    return Kind.NOTE if known is None else known.kind


def describe(fault: GpuFault) -> str:
    """`Xid 79 on GPU 0: GPU has fallen off the bus`; without a number `GPU 0: …`."""
    if fault.xid is None:
        return f"GPU {fault.index}: {fault.what}"
    known = XIDS.get(fault.xid)
    what = fault.what or (known.meaning if known else "")
    return f"Xid {fault.xid} on GPU {fault.index}" + (f": {what}" if what else "")


def advice(fault: GpuFault) -> str | None:
    """What to do about it, in one sentence; None where that is nothing about the card."""
    if fault.xid is None:
        return _RESET.format(gpu=fault.index)
    known = XIDS.get(fault.xid)
    return known.advice.format(gpu=fault.index) if known and known.advice else None


def attribute(finding: Finding, faults: Sequence[GpuFault]) -> Finding:
    """The cause of an end, given what the worker's cards told within its run; the oldest first.

    A card's fault explains any end but those whose log says surely otherwise: what an engine says when its card fails
    is as good as random (a hang, a kill by its own hand, NCCL). The first is the root, others follow from it. A
    program's fault makes an unknown end a crash of the engine, and stands beside what the log says of a crash; it never
    accuses the card, and explains no kill. Notes explain nothing: the driver writes some at any end.
    """
    if finding.cause in _SURE:
        return finding
    for fault in faults:
        if kind_of(fault) is Kind.CARD:
            return Finding(Cause.GPU_FAULT, describe(fault), advice(fault))
    own = next((fault for fault in faults if kind_of(fault) is Kind.PROGRAM), None)
    if own is None or finding.cause not in (Cause.UNKNOWN, Cause.ENGINE_CRASH, Cause.GPU_FAULT):
        return finding
    cause = Cause.ENGINE_CRASH if finding.cause is Cause.UNKNOWN else finding.cause
    evidence = f"{finding.evidence}; {describe(own)}" if finding.evidence else describe(own)
    return Finding(cause, evidence, finding.hint)
