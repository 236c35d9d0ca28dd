"""Every key, once. The bindings, the footer, the help screen, the command palette and the README table are all made
from this table, so they can't disagree. Each has an id, by which a user's keymap can give it another key."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding


class Where(StrEnum):
    """Where a key works; but for REPLAY and EVERYWHERE these are the screens, in the order of their digits."""

    FLEET = "fleet"
    WORKER = "worker"
    LOG = "logs"
    METRICS = "metrics"
    SWITCH = "switch"
    CONFIG = "config"
    REPLAY = "replay"
    """On every screen of a recording."""
    EVERYWHERE = "everywhere"


SCREENS = tuple(where for where in Where if where not in (Where.REPLAY, Where.EVERYWHERE))


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    keys: str
    """Textual's names, comma-separated."""
    shown: str
    """What people are told to press."""
    action: str
    label: str
    """One word for the footer; empty: not in the footer."""
    tooltip: str
    where: Where
    acts: bool = False
    """Changes something: needs an operator."""


_FLEET = (
    Key("fleet.open", "enter", "⏎", "go('worker')", "worker", "all about the worker", Where.FLEET),
    Key("fleet.log", "l", "l", "go('logs')", "log", "its live log", Where.FLEET),
    Key("fleet.start", "s", "s", "act('start')", "start", "start", Where.FLEET, acts=True),
    Key("fleet.stop", "S", "S", "act('stop')", "stop", "stop; asks first", Where.FLEET, acts=True),
    Key("fleet.restart", "r", "r", "act('restart')", "restart", "restart; asks first", Where.FLEET, acts=True),
    Key("fleet.switch", "p", "p", "go('switch')", "profile", "profiles of its pool", Where.FLEET),
    Key("fleet.filter", "slash", "/", "filter", "filter", "only workers that match", Where.FLEET),
    Key("fleet.clear", "escape", "Esc", "escape", "", "drop the filter", Where.FLEET),
    Key("fleet.down", "down,j", "↓ j", "move(1)", "", "next worker", Where.FLEET),
    Key("fleet.up", "up,k", "↑ k", "move(-1)", "", "previous worker", Where.FLEET),
    Key("fleet.first", "g,home", "g", "edge(-1)", "", "first worker", Where.FLEET),
    Key("fleet.last", "G,end", "G", "edge(1)", "", "last worker", Where.FLEET),
    Key("fleet.older", "pageup", "PgUp", "events(-1)", "", "older events", Where.FLEET),
    Key("fleet.newer", "pagedown", "PgDn", "events(1)", "", "newer events", Where.FLEET),
    Key("fleet.copy", "y", "y", "copy", "", "copy its endpoint", Where.FLEET),
)
_WORKER = (
    Key("worker.log", "l,enter", "l", "go('logs')", "log", "its live log", Where.WORKER),
    Key("worker.start", "s", "s", "act('start')", "start", "start it", Where.WORKER, acts=True),
    Key("worker.stop", "S", "S", "act('stop')", "stop", "stop it; asks first", Where.WORKER, acts=True),
    Key("worker.restart", "r", "r", "act('restart')", "restart", "restart it; asks first", Where.WORKER, acts=True),
    Key("worker.switch", "p", "p", "go('switch')", "profile", "profiles of its pool", Where.WORKER),
    Key("worker.section", "tab", "Tab", "section(1)", "section", "next section", Where.WORKER),
    Key("worker.back", "shift+tab", "⇧Tab", "section(-1)", "", "section before", Where.WORKER),
    Key("worker.expand", "e", "e", "expand", "all args", "all arguments, or few", Where.WORKER),
    Key("worker.ask", "a", "a", "ask", "", "ask for its arguments again", Where.WORKER),
    Key("worker.copy", "y", "y", "copy", "copy", "copy endpoint or section", Where.WORKER),
    Key("worker.down", "down,j", "↓ j", "scroll(1)", "", "a line down", Where.WORKER),
    Key("worker.up", "up,k", "↑ k", "scroll(-1)", "", "a line up", Where.WORKER),
    Key("worker.page_down", "pagedown,ctrl+d,space", "PgDn", "page(1)", "", "a page down", Where.WORKER),
    Key("worker.page_up", "pageup,ctrl+u", "PgUp", "page(-1)", "", "a page up", Where.WORKER),
    Key("worker.first", "g,home", "g", "edge(-1)", "", "to the top", Where.WORKER),
    Key("worker.last", "G,end", "G", "edge(1)", "", "to the end", Where.WORKER),
)
_LOG = (
    Key("log.search", "slash", "/", "search", "search", "search; regular expressions", Where.LOG),
    Key("log.match", "n", "n", "found(1)", "", "next match", Where.LOG),
    Key("log.match_back", "N", "N", "found(-1)", "", "match before", Where.LOG),
    Key("log.error", "e", "e", "error(-1)", "error", "error before", Where.LOG),
    Key("log.next", "E", "E", "error(1)", "", "error after", Where.LOG),
    Key("log.follow", "f,G,end", "f", "follow", "follow", "to the end, and follow", Where.LOG),
    Key("log.pause", "space", "Space", "pause", "pause", "hold still, or follow", Where.LOG),
    Key("log.level", "l", "l", "level", "level", "all, from warnings, errors", Where.LOG),
    Key("log.all", "a", "a", "all", "all", "all workers in one, or one", Where.LOG),
    Key("log.only", "o", "o", "only", "", "only this line's worker", Where.LOG),
    Key("log.hide", "x", "x", "hide", "", "hide this line's worker", Where.LOG),
    Key("log.unhide", "X", "X", "unhide", "", "show hidden workers again", Where.LOG),
    Key("log.fold", "enter,t", "⏎ t", "fold", "", "unfold or fold a traceback", Where.LOG),
    Key("log.folds", "z", "z", "folds", "", "unfold or fold all of them", Where.LOG),
    Key("log.wrap", "w", "w", "wrap", "wrap", "wrap long lines, or not", Where.LOG),
    Key("log.stamps", "T", "T", "stamps", "times", "times: own, since start, off", Where.LOG),
    Key("log.goto", "percent_sign", "%", "goto", "go to", "go to a share, time or byte", Where.LOG),
    Key("log.run_back", "left_curly_bracket", "{", "run(-1)", "", "the run before", Where.LOG),
    Key("log.run_next", "right_curly_bracket", "}", "run(1)", "", "the run after", Where.LOG),
    Key("log.copy", "y", "y", "copy", "copy", "copy line, or marked ones", Where.LOG),
    Key("log.copy_view", "Y", "Y", "copy_view", "", "copy what is in view", Where.LOG),
    Key("log.mark", "m", "m", "mark", "", "mark lines from here", Where.LOG),
    Key("log.save", "s", "s", "save", "save", "save to a file", Where.LOG),
    Key("log.down", "down,j", "↓ j", "scroll(1)", "", "a line down", Where.LOG),
    Key("log.up", "up,k", "↑ k", "scroll(-1)", "", "a line up; pauses", Where.LOG),
    Key("log.page_down", "pagedown,ctrl+f", "PgDn", "page(1)", "", "a page down", Where.LOG),
    Key("log.page_up", "pageup,ctrl+b", "PgUp", "page(-1)", "", "a page up; pauses", Where.LOG),
    Key("log.half_down", "ctrl+d", "Ctrl+D", "half(1)", "", "half a page down", Where.LOG),
    Key("log.half_up", "ctrl+u", "Ctrl+U", "half(-1)", "", "half a page up", Where.LOG),
    Key("log.first", "g,home", "g", "top", "", "first line that is left", Where.LOG),
    Key("log.right", "right", "→", "sideways(1)", "", "right in long lines", Where.LOG),
    Key("log.left", "left", "←", "sideways(-1)", "", "back left", Where.LOG),
    Key("log.begin", "0", "0", "sideways(0)", "", "to the begin of lines", Where.LOG),
    Key("log.escape", "escape", "Esc", "escape", "", "end search, mark or saving", Where.LOG),
)
_METRICS = (
    Key("metrics.shorter", "plus,equals_sign", "+", "zoom(-1)", "shorter", "a shorter time", Where.METRICS),
    Key("metrics.longer", "minus", "-", "zoom(1)", "longer", "a longer time, up to a day", Where.METRICS),
    Key("metrics.scope", "a", "a", "reach", "whose", "the worker, its pool, or all", Where.METRICS),
    Key("metrics.left", "left,h", "← h", "cursor(-1)", "read", "read out an earlier time", Where.METRICS),
    Key("metrics.right", "right,l", "→ l", "cursor(1)", "", "of a later time", Where.METRICS),
    Key("metrics.far_left", "shift+left,H", "H", "cursor(-10)", "", "ten columns earlier", Where.METRICS),
    Key("metrics.far_right", "shift+right,L", "L", "cursor(10)", "", "ten columns later", Where.METRICS),
    Key("metrics.event", "e", "e", "event(-1)", "event", "what happened before", Where.METRICS),
    Key("metrics.next_event", "E", "E", "event(1)", "", "what happened after", Where.METRICS),
    Key("metrics.live", "escape", "Esc", "live", "", "back to now", Where.METRICS),
    Key("metrics.compare", "c", "c", "compare", "compare", "two profiles, or the plots", Where.METRICS),
    Key("metrics.first", "less_than_sign,comma", "<", "other(0)", "", "another first profile", Where.METRICS),
    Key("metrics.second", "greater_than_sign,full_stop", ">", "other(1)", "", "another second profile", Where.METRICS),
    Key("metrics.more", "pagedown,j,down", "PgDn j", "page(1)", "more", "the next plots", Where.METRICS),
    Key("metrics.back", "pageup,k,up", "PgUp k", "page(-1)", "", "the plots before", Where.METRICS),
)
_SWITCH = (
    Key("switch.confirm", "enter", "⏎", "confirm", "switch", "do as planned; asks first", Where.SWITCH, acts=True),
    Key("switch.cancel", "c", "c", "cancel", "take back", "take the change back; asks", Where.SWITCH, acts=True),
    Key("switch.reset", "x", "x", "reset", "reset", "to the file's profile", Where.SWITCH, acts=True),
    Key("switch.again", "R", "R", "again", "plan again", "ask for the plan again", Where.SWITCH),
    Key("switch.down", "down,j", "↓ j", "move(1)", "", "next profile", Where.SWITCH),
    Key("switch.up", "up,k", "↑ k", "move(-1)", "", "previous profile", Where.SWITCH),
    Key("switch.first", "g,home", "g", "edge(-1)", "", "first profile", Where.SWITCH),
    Key("switch.last", "G,end", "G", "edge(1)", "", "last profile", Where.SWITCH),
    Key("switch.next_pool", "right,l", "→ l", "pool(1)", "", "next pool", Where.SWITCH),
    Key("switch.previous_pool", "left,h", "← h", "pool(-1)", "", "previous pool", Where.SWITCH),
    Key("switch.page_down", "pagedown,ctrl+d", "PgDn", "page(1)", "", "on in a long plan", Where.SWITCH),
    Key("switch.page_up", "pageup,ctrl+u", "PgUp", "page(-1)", "", "back in it", Where.SWITCH),
)
_CONFIG = (
    Key("config.apply", "A", "A", "apply", "apply", "apply the edit; asks first", Where.CONFIG, acts=True),
    Key("config.again", "R", "R", "again", "plan again", "read and plan again", Where.CONFIG),
    Key("config.next", "n", "n", "find(1)", "next", "next fault, or hit", Where.CONFIG),
    Key("config.previous", "N", "N", "find(-1)", "", "fault or hit before", Where.CONFIG),
    Key("config.search", "slash", "/", "search", "search", "search in the text", Where.CONFIG),
    Key("config.edit", "o,E", "o", "edit", "edit", "open it in $EDITOR", Where.CONFIG),
    Key("config.file", "tab", "Tab", "turn(1)", "", "next file", Where.CONFIG),
    Key("config.file_before", "shift+tab", "⇧Tab", "turn(-1)", "", "file before", Where.CONFIG),
    Key("config.clear", "escape", "Esc", "escape", "", "drop the search", Where.CONFIG),
    Key("config.down", "down,j", "↓ j", "scroll(1)", "", "a line down", Where.CONFIG),
    Key("config.up", "up,k", "↑ k", "scroll(-1)", "", "a line up", Where.CONFIG),
    Key("config.page_down", "pagedown,ctrl+d", "PgDn", "page(1)", "", "a page down", Where.CONFIG),
    Key("config.page_up", "pageup,ctrl+u", "PgUp", "page(-1)", "", "a page up", Where.CONFIG),
    Key("config.first", "g,home", "g", "edge(-1)", "", "first line", Where.CONFIG),
    Key("config.last", "G,end", "G", "edge(1)", "", "last line", Where.CONFIG),
    Key("config.plan_down", "J", "J", "plan(1)", "", "on in a long plan", Where.CONFIG),
    Key("config.plan_up", "K", "K", "plan(-1)", "", "back in it", Where.CONFIG),
)
_REPLAY = (
    Key("replay.pause", "P,space", "P", "app.replay_toggle", "pause", "play or pause; Space too", Where.REPLAY),
    Key("replay.back", "u,ctrl+left", "u", "app.replay_move(-10)", "", "10 s back; also Ctrl+←", Where.REPLAY),
    Key("replay.on", "i,ctrl+right", "i", "app.replay_move(10)", "", "10 s on; also Ctrl+→", Where.REPLAY),
    Key("replay.minute_back", "U", "U", "app.replay_move(-60)", "", "1 min back", Where.REPLAY),
    Key("replay.minute_on", "I", "I", "app.replay_move(60)", "", "1 min on", Where.REPLAY),
    Key("replay.long_back", "left_parenthesis", "(", "app.replay_move(-600)", "", "10 min back", Where.REPLAY),
    Key("replay.long_on", "right_parenthesis", ")", "app.replay_move(600)", "", "10 min on", Where.REPLAY),
    Key("replay.event_back", "v", "v", "app.replay_jump(-1, 'event')", "", "event before", Where.REPLAY),
    Key("replay.event_on", "b", "b", "app.replay_jump(1, 'event')", "", "next event", Where.REPLAY),
    Key("replay.exit_back", "V", "V", "app.replay_jump(-1, 'exit')", "", "exit before", Where.REPLAY),
    Key("replay.exit_on", "B", "B", "app.replay_jump(1, 'exit')", "", "next unrequested exit", Where.REPLAY),
    Key("replay.slower", "semicolon", ";", "app.replay_pace(-1)", "", "slower, down to 1/8", Where.REPLAY),
    Key("replay.faster", "apostrophe", "'", "app.replay_pace(1)", "", "faster, up to 64 times", Where.REPLAY),
    Key("replay.begin", "circumflex_accent", "^", "app.replay_edge(-1)", "", "to the beginning", Where.REPLAY),
    Key("replay.end", "dollar_sign", "$", "app.replay_edge(1)", "", "to the end", Where.REPLAY),
    Key("replay.goto", "at", "@", "app.replay_goto", "go to", "to a time, such as 03:12", Where.REPLAY),
)
_SHOW = {
    Where.FLEET: "the fleet",
    Where.WORKER: "all about a worker",
    Where.LOG: "logs",
    Where.METRICS: "plots over time",
    Where.SWITCH: "profiles, and switching",
    Where.CONFIG: "the file and its plan",
}
_EVERYWHERE = (
    *(
        Key(f"app.{where}", f"{digit}", f"{digit}", f"app.show('{where}')", "", told, Where.EVERYWHERE)
        for digit, (where, told) in enumerate(_SHOW.items(), start=1)
    ),
    Key("app.back", "escape", "Esc", "app.back", "", "back to the fleet", Where.EVERYWHERE),
    Key("app.previous", "left_square_bracket", "[", "app.step(-1)", "", "previous worker", Where.EVERYWHERE),
    Key("app.next", "right_square_bracket", "]", "app.step(1)", "", "next worker", Where.EVERYWHERE),
    Key("app.help", "question_mark,f1", "?", "app.help", "help", "all keys", Where.EVERYWHERE),
    Key("app.palette", "colon,ctrl+p", ":", "app.command_palette", "", "commands; also Ctrl+P", Where.EVERYWHERE),
    Key("app.redraw", "ctrl+l", "Ctrl+L", "app.redraw", "", "draw the screen anew", Where.EVERYWHERE),
    Key("app.theme", "ctrl+t", "Ctrl+T", "app.theme", "", "next theme", Where.EVERYWHERE),
    Key("app.suspend", "ctrl+z", "Ctrl+Z", "app.suspend_process", "", "to the shell; fg comes back", Where.EVERYWHERE),
    Key("app.quit", "q", "q", "app.leave", "quit", "leave; workers go on", Where.EVERYWHERE),
)
KEYS: tuple[Key, ...] = (*_FLEET, *_WORKER, *_LOG, *_METRICS, *_SWITCH, *_CONFIG, *_REPLAY, *_EVERYWHERE)


def keys(*where: Where) -> Iterator[Key]:
    return (key for key in KEYS if key.where in where)


Bindings = list[Binding | tuple[str, str] | tuple[str, str, str]]


def bindings(where: Where) -> Bindings:
    return [
        Binding(key.keys, key.action, key.label or key.tooltip, id=key.id, key_display=key.shown, tooltip=key.tooltip)
        for key in keys(where)
    ]


def footer(*where: Where) -> list[Key]:
    return [key for key in keys(*where, Where.EVERYWHERE) if key.label]


def table() -> str:
    """The keys as a Markdown table, for the documentation."""
    rows = ["| screen | key | does | id |", "|---|---|---|---|"]
    for key in KEYS:
        note = " (operators)" if key.acts else ""
        shown = key.shown.replace("|", "\\|").replace("`", "\\`")
        rows.append(f"| {key.where} | `{shown}` | {key.tooltip}{note} | `{key.id}` |")
    return "\n".join(rows)
