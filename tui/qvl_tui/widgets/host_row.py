"""A host among others: how fresh what it tells is, how much of it is ready, and what is wrong there."""

from qvl_tui.paint import Line, Span, Tone, clip, join, pad
from qvl_tui.sentences import verdict
from qvl_tui.session import Session
from qvl_tui.store import LinkPhase
from qvl_tui.widgets.header import link_state

_GAP: Span = ("   ", Tone.MUTED)


def host_row(session: Session, mono: float, width: int) -> Line:
    store = session.store
    parts: list[Line] = [((f" {session.name}", Tone.STRONG),), link_state(session, mono)]
    if store.supervisor is not None:
        ready, total = sum(pool.ready for pool in store.pools), sum(pool.total for pool in store.pools)
        parts.append(((f"{ready}/{total} ready", Tone.GOOD if ready == total and total else Tone.WARN),))
    found = verdict(store, store.now(mono))
    if store.link.phase is LinkPhase.DOWN:
        parts.append(((store.link.reason, Tone.MUTED),))
    elif found.tone in (Tone.BAD, Tone.WARN):
        parts.append(((f"{found.glyph} {found.text}", found.tone),))
    return pad(clip(join(parts, _GAP), width - 1), width)
