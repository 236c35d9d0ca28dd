"""The second line: the fleet in one sentence with what to press, or, without a daemon, that and since when."""

from qvl_tui.format import duration
from qvl_tui.paint import Line, Tone, clip, cut, length
from qvl_tui.sentences import verdict
from qvl_tui.store import LinkPhase, Store


def banner(store: Store, mono: float, width: int) -> Line:
    if store.link.phase is LinkPhase.DOWN:
        head = f" ↻ reconnecting for {duration(max(0.0, mono - store.link.since))}"
        return clip(((head, Tone.BAD), (f" · {store.link.reason}", Tone.MUTED)), width)
    found = verdict(store, store.now(mono))
    press = f" · {found.press}" if found.press else ""
    room = width - 3 - 1
    # What to do is worth more than the end of a long reason, as long as half of that stays.
    kept_text = cut(found.text, max(room - len(press), room * 11 // 20)) if press else found.text
    line: Line = ((f" {found.glyph} ", found.tone), (kept_text, found.tone))
    return clip((*line, (cut(press, room - length(line) + 3), Tone.MUTED)), width)
