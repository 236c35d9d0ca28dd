"""The first line: which host, what it runs, how much of it is ready, and how fresh the figures are."""

from qvl_tui.format import duration
from qvl_tui.paint import Line, Span, Tone, join, spread
from qvl_tui.store import LinkPhase, Store

_GAP: Span = ("   ", Tone.MUTED)
STALE = 8.0
"""Seconds without a word after which the age is shown: the daemon says something every 5."""


def header(store: Store, mono: float, width: int) -> Line:
    start: list[Line] = [((" qvl", Tone.ACCENT),)]
    if store.supervisor is not None:
        start.append(((store.supervisor.host or "this host", Tone.STRONG),))
    start.append(_profiles(store, width))
    end: list[Line] = []
    if store.supervisor is not None:
        ready, total = sum(pool.ready for pool in store.pools), sum(pool.total for pool in store.pools)
        tone = Tone.GOOD if ready == total and total else Tone.WARN if total else Tone.MUTED
        end.append(((f"{ready}/{total}", tone), (" ready", Tone.MUTED)))
    if store.lost:
        end.append(((f"▲ {store.lost:,} events lost", Tone.WARN),))
    if not store.may_act:
        end.append((("view only", Tone.MUTED),))
    end.append(_link(store, mono))
    return spread(join(filter(None, start), _GAP), (*join(end, _GAP), (" ", Tone.MUTED)), width)


def _profiles(store: Store, width: int) -> Line:
    """`standard`, or pool by pool where they differ; an override is marked, since the file says otherwise."""
    names = {pool.profile + ("*" if pool.override else "") for pool in store.pools}
    if len(names) == 1:
        return ((names.pop(), Tone.MUTED),)
    if width < 100:
        return ((f"{len(names)} profiles", Tone.MUTED),) if names else ()
    pools = (f"{pool.name}: {pool.profile}{'*' if pool.override else ''}" for pool in store.pools)
    return ((" · ".join(pools), Tone.MUTED),)


def _link(store: Store, mono: float) -> Line:
    age = store.age(mono)
    match store.link.phase:
        case LinkPhase.UP if age is not None and age > STALE:
            return ((f"▲ silent for {duration(age)}", Tone.WARN),)
        case LinkPhase.UP:
            return (("● live", Tone.GOOD),)
        case LinkPhase.CONNECTING:
            return (("◌ connecting", Tone.MUTED),)
        case LinkPhase.DOWN:
            return (("✕ no daemon" if age is None else f"✕ {duration(age)} old", Tone.BAD),)
