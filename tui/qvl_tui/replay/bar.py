"""The line that says which moment of a recording shows, and what lies before and after it. Pure."""

from collections.abc import Sequence
from datetime import datetime

from qvl.recording.block import Mark

from qvl_tui.format import count
from qvl_tui.paint import Line, Span, Tone, clip, length
from qvl_tui.replay.player import Player
from qvl_tui.replay.tape import Moment

_EXIT = int(Mark.EXIT)
_SIGNS = (
    (_EXIT, ("✕", Tone.BAD)),
    (int(Mark.AWAY), ("╳", Tone.WARN)),
    (int(Mark.ERROR), ("▲", Tone.BAD)),
    (int(Mark.WARNING), ("▲", Tone.WARN)),
    (int(Mark.EVENT), ("┴", Tone.MUTED)),
)
"""The gravest thing that happened in a cell is the one that shows."""
_NARROWEST = 10


def replay_bar(player: Player, now: float, moments: Sequence[Moment], width: int, *, cut: bool) -> Line:
    """`▶ 03:12:41  ×4  ━━✕━━●──▲──  02:00–04:00 · 3 exits ahead`. `cut`: the recording has no end of its own."""
    place = player.position(now)
    sign: Span = ("▶", Tone.ACCENT) if player.playing else ("⏸", Tone.WARN)
    start: Line = (
        (" ", Tone.TEXT),
        sign,
        (f" {_when(place, player)}", Tone.STRONG),
        (f"  {_speed(player.speed):<4} ", Tone.MUTED),
    )
    end = _end(player, place, moments, cut=cut)
    room = width - length(start) - length(end)
    if room < _NARROWEST:
        end = ()
        room = width - length(start) - 1
    return clip((*start, *track(player, place, moments, room), *end), width)


def track(player: Player, place: float, moments: Sequence[Moment], width: int) -> Line:
    """What was, thick; what comes, thin; and on it what happened when."""
    if width <= 0:
        return ()
    span = max(player.end - player.begin, 0.001)

    def cell(at: float) -> int:
        return min(width - 1, max(0, int((at - player.begin) / span * width)))

    marks: dict[int, int] = {}
    for moment in moments:
        x = cell(moment.at)
        marks[x] = marks.get(x, 0) | moment.mark
    here = cell(place)
    spans: list[Span] = []
    for x in range(width):
        sign = next((sign for mark, sign in _SIGNS if mark & marks.get(x, 0)), None)
        if x == here:
            spans.append(("●", Tone.ACCENT))
        elif sign is not None:
            spans.append(sign)
        else:
            spans.append(("━", Tone.CHART) if x < here else ("─", Tone.FAINT))
    return tuple(spans)


def _end(player: Player, place: float, moments: Sequence[Moment], *, cut: bool) -> Line:
    short = player.end - player.begin < 600
    line: Line = ((f"  {_when(player.begin, player, seconds=short)}–", Tone.MUTED),)
    line += ((_when(player.end, player, seconds=short), Tone.MUTED),)
    if cut:
        line += ((" cut off", Tone.WARN),)
    exits = sum(bool(each.mark & _EXIT) for each in moments if each.at > place)
    if exits:
        line += ((f" · {count(exits, 'exit')} ahead", Tone.MUTED),)
    return (*line, (" ", Tone.TEXT))


def _when(at: float, player: Player, *, seconds: bool = True) -> str:
    """The time of day; with the date where the recording has several."""
    begin, end, moment = (datetime.fromtimestamp(each).astimezone() for each in (player.begin, player.end, at))
    form = "%H:%M:%S" if seconds else "%H:%M"
    return f"{moment:{form}}" if begin.date() == end.date() else f"{moment:%b %d {form}}"


def _speed(speed: float) -> str:
    return f"×{speed:.0f}" if speed >= 1 else f"×1/{1 / speed:.0f}"
