"""The second line: the fleet in one sentence with what to press, or, without a daemon, that and since when."""

from qvl_tui.context import Context
from qvl_tui.format import duration
from qvl_tui.keys import SCREENS, Where
from qvl_tui.paint import Line, Tone, clip, cut, length
from qvl_tui.sentences import Verdict, verdict
from qvl_tui.session import Session
from qvl_tui.store import LinkPhase

_WORST = (Tone.BAD, Tone.WARN, Tone.ACCENT, Tone.GOOD, Tone.MUTED)


def banner(context: Context, where: Where, width: int) -> Line:
    """Of several hosts the one that needs a look most."""
    mono = context.clock()
    found = {session.name: _of(session, mono) for session in context.sessions}
    name, worst = min(found.items(), key=lambda item: _WORST.index(item[1].tone))
    worst = worst._replace(press=possible(worst.press, where))
    if not context.several:
        return verdict_line(worst, width)
    if worst.tone is Tone.GOOD:
        return verdict_line(Verdict("●", Tone.GOOD, f"well: all that is wanted on {len(found)} hosts is ready"), width)
    return verdict_line(worst._replace(text=f"{name}: {worst.text}"), width)


def _of(session: Session, mono: float) -> Verdict:
    store = session.store
    if store.link.phase is LinkPhase.DOWN:
        text = f"reconnecting for {duration(max(0.0, mono - store.link.since))} · {store.link.reason}"
        return Verdict("↻", Tone.BAD, text)
    return verdict(store, store.now(mono))


def possible(press: str, where: Where) -> str:
    """What of it leads on from this screen: a key of the fleet's means something else elsewhere."""
    parts = press.split("; ")
    if where is not Where.FLEET:
        parts = [part for part in parts if not part.startswith("s starts")]
    here = SCREENS.index(where) + 1 if where in SCREENS else 0
    return "; ".join(part for part in parts if part != f"{here} shows it")


def verdict_line(found: Verdict, width: int) -> Line:
    press = f" · {found.press}" if found.press else ""
    room = width - 3 - 1
    # What to do is worth more than the end of a long reason, as long as half of that stays.
    kept_text = cut(found.text, max(room - len(press), room * 11 // 20)) if press else found.text
    line: Line = ((f" {found.glyph} ", found.tone), (kept_text, found.tone))
    return clip((*line, (cut(press, room - length(line) + 3), Tone.MUTED)), width)
