"""The first line: which host, what it runs, which screen this is, how much is ready, and how fresh the figures are."""

from qvl_tui.context import Context
from qvl_tui.format import count, duration
from qvl_tui.keys import SCREENS, Where
from qvl_tui.paint import Line, Span, Tone, clip, join, length, spread
from qvl_tui.sentences import state
from qvl_tui.session import Session
from qvl_tui.store import LinkPhase, Store

_GAP: Span = ("   ", Tone.MUTED)
_TABBED = 112
"""Cells from which on the screens are named."""
_END = 28
"""Cells that the right end has at least: an age that grows must not move the screens' names."""
STALE = 8.0
"""Seconds without a word after which the age is shown: the daemon says something every 5."""


def header(context: Context, where: Where, width: int) -> Line:
    end = _end(context)
    if width >= _TABBED:
        tabs = _tabs(where)
        room = width - _room(end) - length(tabs) - 4
        start = clip(_start(context, where, width), room)
        return spread((*start, (" " * (room - length(start) + 2), Tone.MUTED), *tabs), end, width)
    return spread(_start(context, where, width), end, width)


def tab_at(context: Context, where: Where, width: int, x: int) -> Where | None:
    """The screen whose name lies at cell `x`, for a click."""
    if width < _TABBED:
        return None
    place = width - _room(_end(context)) - length(_tabs(where)) - 2
    for each in SCREENS:
        size = len(each) + 4
        if place <= x < place + size:
            return each
        place += size
    return None


def _room(end: Line) -> int:
    return max(length(end), _END)


def _tabs(where: Where) -> Line:
    spans: Line = ()
    for digit, each in enumerate(SCREENS, start=1):
        here = each is where
        spans += (
            (f" {digit} ", Tone.ACCENT if here else Tone.FAINT),
            (each.value, Tone.STRONG if here else Tone.MUTED),
        )
        spans += ((" ", Tone.MUTED),)
    return spans


def _start(context: Context, where: Where, width: int) -> Line:
    """Where one is: the host and what it runs, or the worker that the screen is about."""
    parts: list[Line] = [((" qvl" if where is Where.FLEET else " ‹", Tone.ACCENT),)]
    if context.several and where is Where.FLEET:
        return join([*parts, ((count(len(context.sessions), "host"), Tone.STRONG),)], _GAP)
    store = context.store
    if store.supervisor is not None and (context.several or where in (Where.FLEET, Where.CONFIG)):
        parts.append(((context.session.name, Tone.STRONG),))
    if where in (Where.WORKER, Where.LOG, Where.METRICS):
        parts.append(_worker(context))
    elif where is Where.SWITCH:
        parts.append(((context.pool.name if context.pool else "no pool", Tone.STRONG),))
    else:
        parts.append(_profiles(store, width))
    if width < _TABBED and where is not Where.FLEET:
        parts.append(((where.value, Tone.MUTED),))
    return join(filter(None, parts), _GAP)


def _worker(context: Context) -> Line:
    status = context.status
    if status is None:
        gone = f"{context.worker}, no longer configured" if context.worker else "no worker"
        return ((gone, Tone.WARN if context.worker else Tone.MUTED),)
    known = state(status)
    return (status.name, Tone.STRONG), ("  ", Tone.TEXT), (f"{known.glyph} {known.word}", known.tone)


def _end(context: Context) -> Line:
    end: list[Line] = []
    stores = [session.store for session in context.sessions]
    if any(store.supervisor is not None for store in stores):
        pools = [pool for store in stores for pool in store.pools]
        ready, total = sum(pool.ready for pool in pools), sum(pool.total for pool in pools)
        tone = Tone.GOOD if ready == total and total else Tone.WARN if total else Tone.MUTED
        end.append(((f"{ready}/{total}", tone), (" ready", Tone.MUTED)))
    if lost := sum(store.lost for store in stores):
        end.append(((f"▲ {lost:,} events lost", Tone.WARN),))
    if context.replay is not None:
        end.append((("recording", Tone.ACCENT),))
    elif not context.store.may_act:
        end.append((("view only", Tone.MUTED),))
    if context.replay is None or not context.live:
        end.append(_links(context) if context.several else link_state(context.session, context.clock()))
    return (*join(end, _GAP), (" ", Tone.MUTED))


def _links(context: Context) -> Line:
    live = sum(session.store.live for session in context.sessions)
    down = len(context.sessions) - live
    line: Line = ((f"● {live} live", Tone.GOOD if live else Tone.MUTED),)
    return (*line, (f"  ✕ {down} away", Tone.BAD)) if down else line


def _profiles(store: Store, width: int) -> Line:
    """`standard`, or pool by pool where they differ; an override is marked, since the file says otherwise."""
    names = {pool.profile + ("*" if pool.override else "") for pool in store.pools}
    if len(names) == 1:
        return ((names.pop(), Tone.MUTED),)
    if width < 150:
        return ((f"{len(names)} profiles", Tone.MUTED),) if names else ()
    pools = (f"{pool.name}: {pool.profile}{'*' if pool.override else ''}" for pool in store.pools)
    return ((" · ".join(pools), Tone.MUTED),)


def link_state(session: Session, mono: float) -> Line:
    age = session.store.age(mono)
    match session.store.link.phase:
        case LinkPhase.UP if age is not None and age > STALE:
            return ((f"▲ silent for {duration(age)}", Tone.WARN),)
        case LinkPhase.UP:
            return (("● live", Tone.GOOD),)
        case LinkPhase.CONNECTING:
            return (("◌ connecting", Tone.MUTED),)
        case LinkPhase.DOWN:
            # Of a host that was never reached nobody knows whether a daemon runs there.
            never = "away" if session.link.name else "no daemon"
            return ((f"✕ {never}" if age is None else f"✕ {duration(age)} old", Tone.BAD),)
