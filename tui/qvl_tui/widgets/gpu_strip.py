"""The cards: as much of each as the room allows, down to a few cells where there are sixteen."""

from collections.abc import Callable

from qvl.model.gpu import GpuHolder, GpuSample

from qvl_tui.format import bar, percent, share, size, spark, used_of
from qvl_tui.paint import Line, Tone, cell_len, left, pad, right
from qvl_tui.store import Store

Cell = Callable[[GpuSample, Store, list[str], int], Line]


def gpu_lines(store: Store, width: int, most: int) -> tuple[Line, ...]:
    """The strip in at most `most` lines where that can be: a card a line if it fits, else several a line."""
    gpus = store.shown.gpus
    if not gpus:
        return ()
    for cell, least in ((_full, 76), (_short, 36), (_tiny, 18)):
        across = 1 if cell is _full else max(1, width // least)
        if -(-len(gpus) // across) <= most and width >= least:
            break
    rows = -(-len(gpus) // across)
    room = width // across
    return tuple(
        tuple(span for gpu in gpus[row::rows] for span in pad(cell(gpu, store, strangers(gpu), room), room))
        for row in range(rows)
    )


def _full(gpu: GpuSample, store: Store, others: list[str], width: int) -> Line:
    wide = width >= 110
    model = min(max(cell_len(_model(other.name)) for other in store.shown.gpus), 24) + 2
    meter, chart = (28, 20) if width >= 140 else (20, 12) if wide else (12, 8)
    more = 12 if width >= 170 else 0
    """Cells for the course of temperature and power, where there is room for it."""
    return (
        (f" {gpu.index:>2} ", Tone.MUTED),
        *(((left(_model(gpu.name), model), Tone.MUTED),) if wide else ()),
        *_memory(gpu, meter),
        (right(used_of(gpu.memory_used, gpu.memory_total), 12), Tone.TEXT),
        ("   ", Tone.TEXT),
        (_course(gpu, store, "utilization", chart, 1.0), Tone.CHART),
        (right(percent(gpu.utilization), 5), Tone.TEXT),
        *((("  ", Tone.TEXT), (_course(gpu, store, "temperature", more, 100.0), Tone.CHART)) if more else ()),
        (right(_degrees(gpu), 7), _heat(gpu)),
        *((("  ", Tone.TEXT), (_course(gpu, store, "power", more, _most_power(store)), Tone.CHART)) if more else ()),
        (right(_watts(gpu), 8), Tone.MUTED),
        ("  ", Tone.TEXT),
        *(_trouble(gpu, others) or ((", ".join(_workers(gpu, store)), Tone.MUTED),)),
    )


def _most_power(store: Store) -> float:
    """Watts at the top of the course of each card: on a scale of its own an idle one would look as busy as any."""
    drawn = (watts for gpu in store.shown.gpus for watts in store.shown.samples(f"gpu:{gpu.index}", "power"))
    return max((watts for watts in drawn if watts is not None), default=0.0)


def _workers(gpu: GpuSample, store: Store) -> list[str]:
    """Those that the card was given to."""
    return [name for name, worker in store.workers.items() if gpu.index in worker.gpus or gpu.uuid in worker.gpus]


def _short(gpu: GpuSample, store: Store, others: list[str], width: int) -> Line:
    bad = gpu.health != "ok" or others
    return (
        (f" {gpu.index:>2} ", Tone.MUTED),
        *_memory(gpu, 8),
        (right(percent(share(gpu.memory_used, gpu.memory_total)), 5), Tone.TEXT),
        (" ", Tone.TEXT),
        (_course(gpu, store, "utilization", 4, 1.0), Tone.CHART),
        (right(percent(gpu.utilization), 5), Tone.TEXT),
        (right(_degrees(gpu), 6), _heat(gpu)),
        *(_trouble(gpu, others) if bad else ()),
    )


def _tiny(gpu: GpuSample, store: Store, others: list[str], width: int) -> Line:
    mark = ("✕", Tone.BAD) if gpu.health != "ok" else ("▲", Tone.WARN) if others else (" ", Tone.TEXT)
    return (
        (f" {gpu.index:>2} ", Tone.MUTED),
        *_memory(gpu, 4),
        (right(percent(gpu.utilization), 5), Tone.TEXT),
        (right(_degrees(gpu).removesuffix("C"), 5), _heat(gpu)),
        mark,
    )


def strangers(gpu: GpuSample) -> list[str]:
    """Who holds memory of the card and is no worker of ours, as `pid 4711 python (ann) 3.2 GiB`."""
    return [_holder(holder) for holder in gpu.holders if not holder.worker]


def _holder(holder: GpuHolder) -> str:
    user = f"({holder.user})" if holder.user else ""
    memory = size(holder.memory) if holder.memory else ""
    return " ".join(filter(None, (f"pid {holder.pid}", holder.command, user, memory)))


def _memory(gpu: GpuSample, width: int) -> Line:
    filled, empty = bar(share(gpu.memory_used, gpu.memory_total), width)
    return (filled, Tone.ACCENT), (empty, Tone.FAINT)


def _course(gpu: GpuSample, store: Store, figure: str, width: int, top: float | None = None) -> str:
    return spark(store.shown.samples(f"gpu:{gpu.index}", figure), width, top)


def _trouble(gpu: GpuSample, others: list[str]) -> Line:
    if gpu.health != "ok":
        return ((f"✕ {gpu.health}" + (f": {gpu.reason}" if gpu.reason else ""), Tone.BAD),)
    if others:
        return (("▲ " + ", ".join(others), Tone.WARN),)
    return ()


def _model(name: str) -> str:
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ")


def _degrees(gpu: GpuSample) -> str:
    return "—" if gpu.temperature is None else f"{gpu.temperature:.0f}°C"


def _watts(gpu: GpuSample) -> str:
    return "—" if gpu.power is None else f"{gpu.power:.0f} W"


def _heat(gpu: GpuSample) -> Tone:
    """Data-centre cards slow down at 85-90 °C."""
    if gpu.temperature is None or gpu.temperature < 83:
        return Tone.MUTED
    return Tone.BAD if gpu.temperature >= 90 else Tone.WARN
