"""Where the sockets of another host are: one POSIX shell script that is run there, and what its answer means.

It is handed over on stdin, so that no login shell of whatever kind has to quote it, and it stays as `cat` until the
connection ends. It leaves nothing behind and needs nothing of ours on the other side. The places are those of
`qvl.config.paths`, except what the configuration over there names: that is for --socket.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qvl.model.error import QvlError

MARK = "qvl-socket"
END = "qvl-end"
OPEN = "open"
SHUT = "shut"
ABSENT = "absent"
"""What a socket is to the user over there: may be connected to, is there but may not be, is not to be seen."""

_LOOK = f"""\
look() {{
  if [ ! -S "$1" ]; then is={ABSENT}; elif [ -w "$1" ]; then is={OPEN}; else is={SHUT}; fi
  printf '\\n%s %s %s\\n' {MARK} "$is" "$1"
}}
both() {{ look "$1"; look "${{1%/*}}/view.sock"; }}
"""
_SEARCH = """\
uid=$(id -u)
own="${XDG_RUNTIME_DIR:-/run/user/$uid}/qvl/supervisor.sock"
kept="${XDG_STATE_HOME:-$HOME/.local/state}/qvl/run/supervisor.sock"
if [ -n "${QVL_SOCKET:-}" ]; then both "$QVL_SOCKET"
elif [ "$uid" != 0 ] && [ -e "${XDG_CONFIG_HOME:-$HOME/.config}/qvl/qvl.toml" ]; then
  both "$own"; both "$kept"; both /run/qvl/supervisor.sock
else
  both /run/qvl/supervisor.sock; both "$own"; both "$kept"
fi
"""
_STAY = f"""\
printf '\\n%s\\n' {END}
exec cat >/dev/null
"""


class Found:
    """A socket over there and what it is to us. No NamedTuple: `typing` alone costs more than a status may."""

    __slots__ = ("path", "state")

    def __init__(self, state: str, path: str) -> None:
        self.state = state
        self.path = path


def script(socket: str | None) -> str:
    """`socket`: an absolute path over there; None: look in the usual places."""
    from shlex import quote

    return _LOOK + (_SEARCH if socket is None else f"both {quote(socket)}\n") + _STAY


def parse(lines: Iterable[str]) -> list[Found]:
    """What was found, in the order of preference. Lines of anybody else, such as a login script's, are passed over, and
    paths that can't be shown."""
    found = []
    for line in lines:
        mark, _, rest = line.partition(" ")
        state, _, path = rest.partition(" ")
        if mark == MARK and path and path.isprintable():
            found.append(Found(state, path))
    return found


def choose(host: str, found: Sequence[Found]) -> str:
    """The path to forward: the first socket that takes acts, else the first that answers reads.

    The choice is made there and not by trying, since a forwarded socket can be connected to in any case. Raises
    QvlError UNREACHABLE that says what was looked for.
    """
    usable = [one.path for one in found if one.state == OPEN]
    acting = [path for path in usable if not path.endswith("/view.sock")]
    if not usable:
        raise _refusal(host, found)
    return (acting or usable)[0]


def _refusal(host: str, found: Sequence[Found]) -> QvlError:
    shut = [one.path for one in found if one.state == SHUT]
    if shut:
        hint = f"join the operator group (to act) or the viewer group (to look) on {host}, or log in there as another"
        return unreachable(f"the user at {host} may not connect to {shut[0]}", hint)
    looked = dict.fromkeys(one.path for one in found if not one.path.endswith("/view.sock"))
    hint = f"start it there (systemctl start qvl-supervisor), or name its socket: --host {host} --socket PATH"
    return unreachable(f"no daemon is running on {host}: there is no socket {' or '.join(looked)}", hint)


def unreachable(message: str, hint: str | None = None) -> QvlError:
    from qvl.model.error import ErrorCode, QvlError

    return QvlError(ErrorCode.UNREACHABLE, message, hint)
