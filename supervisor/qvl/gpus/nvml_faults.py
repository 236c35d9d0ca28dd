"""What NVIDIA's cards tell of themselves through NVML: Xid events, and counters where a card has no events.

Facts from NVML's reference (Event Handling Methods): events from before the registration are not told; after
NOT_SUPPORTED nothing is registered; after UNKNOWN the set is undefined and is to be freed; in MIG mode only events of
the whole card are told to those without privileges. Seen with driver 580.159, also without privileges: a wait of 0 ms
returns Timeout within microseconds, each Xid is an event of its own, each set gets them all, and a set from before
`nvmlShutdown` stays silent after the next `nvmlInit` instead of failing.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import pynvml

from qvl.model.gpu import Gpu, GpuFault

log = logging.getLogger(__name__)

T = TypeVar("T")

WANTED: int = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError

MOST = 100
"""Events that are taken of a card at a time: a storm must not keep the other cards waiting."""


class Nvml(Protocol):
    """The part of pynvml that is used here. Handles and event sets are opaque; each call may raise NVMLError."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str, /) -> Any: ...

    def nvmlDeviceGetSupportedEventTypes(self, handle: Any, /) -> int: ...

    def nvmlEventSetCreate(self) -> Any: ...

    def nvmlDeviceRegisterEvents(self, handle: Any, types: int, events: Any, /) -> None: ...

    def nvmlEventSetWait_v2(self, events: Any, milliseconds: int, /) -> Any: ...

    def nvmlEventSetFree(self, events: Any, /) -> None: ...

    def nvmlDeviceGetTotalEccErrors(self, handle: Any, kind: int, counter: int, /) -> int: ...

    def nvmlDeviceGetRemappedRows(self, handle: Any, /) -> tuple[int, int, int, int]: ...


class NvmlFaults:
    """Listens to each card by itself, so that one that is lost doesn't silence the others. The caller initialises NVML
    before, and calls `close` before it shuts it down."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._cards: dict[str, _Events | _Counters] = {}
        self._explained: set[str] = set()
        self._lost: set[str] = set()

    def read(self, cards: Iterable[Gpu]) -> tuple[GpuFault, ...]:
        """What is new. A card that can't be asked has nothing to tell; the first call only begins to listen."""
        found: list[GpuFault] = []
        for card in cards:
            try:
                if card.uuid not in self._cards:
                    self._cards[card.uuid] = self._listen(card)
                self._cards[card.uuid].read(found)
                self._lost.discard(card.uuid)
            except pynvml.NVMLError as error:
                # It is listened to anew once it answers again: after a reset, say.
                if (listener := self._cards.pop(card.uuid, None)) is None:
                    continue
                listener.close()
                if error.value == pynvml.NVML_ERROR_GPU_IS_LOST and card.uuid not in self._lost:
                    self._lost.add(card.uuid)
                    found.append(_fault(card, what="the driver has lost it"))
        return tuple(found)

    def close(self) -> None:
        for listener in self._cards.values():
            listener.close()
        self._cards.clear()

    def _listen(self, card: Gpu) -> "_Events | _Counters":
        """NVMLError where the card does not answer at all."""
        handle = self._nvml.nvmlDeviceGetHandleByUUID(card.uuid)
        try:
            return _Events(self._nvml, card, handle)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                raise
            if card.uuid not in self._explained:
                self._explained.add(card.uuid)
                log.info("GPU %d tells no events (%s), its memory's error counters are read instead", card.index, error)
            return _Counters(self._nvml, card)


class _Events:
    """A card that tells its events, in a set of its own: whose they are needn't be asked of a card that may be lost."""

    def __init__(self, nvml: Nvml, card: Gpu, handle: Any) -> None:
        self._nvml = nvml
        self._card = card
        types = WANTED & nvml.nvmlDeviceGetSupportedEventTypes(handle)
        if not types & pynvml.nvmlEventTypeXidCriticalError:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self._set = nvml.nvmlEventSetCreate()
        try:
            nvml.nvmlDeviceRegisterEvents(handle, types, self._set)
        except pynvml.NVMLError:
            self.close()
            raise

    def read(self, found: list[GpuFault]) -> None:
        for _ in range(MOST):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._set, 0)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_TIMEOUT:
                    return
                raise
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                found.append(_fault(self._card, xid=int(event.eventData)))
            elif event.eventType == pynvml.nvmlEventTypeDoubleBitEccError:
                found.append(_fault(self._card, what="uncorrectable memory error"))

    def close(self) -> None:
        try:
            self._nvml.nvmlEventSetFree(self._set)
        except pynvml.NVMLError as error:
            log.debug("GPU %d: its events can't be let go: %s", self._card.index, error)


class _Counters:
    """A card without events: what its counters gain is told. They begin anew with the driver."""

    def __init__(self, nvml: Nvml, card: Gpu) -> None:
        self._nvml = nvml
        self._card = card
        self._errors, self._unmapped = self._count()

    def read(self, found: list[GpuFault]) -> None:
        errors, unmapped = self._count()
        if errors is not None:
            gained = errors - (errors if self._errors is None else self._errors)
            if gained > 0:
                what = "uncorrectable memory error" if gained == 1 else f"{gained} uncorrectable memory errors"
                found.append(_fault(self._card, what=what))
            self._errors = errors
        if unmapped is not None:
            if unmapped and self._unmapped is False:
                found.append(_fault(self._card, what="a row of its memory failed and could not be remapped"))
            self._unmapped = unmapped

    def close(self) -> None:
        """Nothing is held."""

    def _count(self) -> tuple[int | None, bool | None]:
        """Uncorrectable errors since the driver came up, and whether a remapping (Ampere and newer) has failed; None
        for what the card doesn't tell."""
        nvml, handle = self._nvml, self._nvml.nvmlDeviceGetHandleByUUID(self._card.uuid)
        kinds = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
        errors = _unless_lost(lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, *kinds))
        rows = _unless_lost(lambda: nvml.nvmlDeviceGetRemappedRows(handle))
        return errors, None if rows is None else bool(rows[3])


def _unless_lost(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
            raise
        return None


def _fault(card: Gpu, *, xid: int | None = None, what: str = "") -> GpuFault:
    return GpuFault(card.index, card.uuid, time.time(), time.monotonic(), xid, what)
