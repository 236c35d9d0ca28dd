"""The unit of this checkout, installed in a box, what a test asks of it, and how it is taken away again."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support import wait_until
from tests.systemd.box import Box

FOLDER = Path(__file__).parents[2] / "systemd"
NAME = "qvl-supervisor.service"
INSTALLED = f"/etc/systemd/system/{NAME}"
GROUP = f"/sys/fs/cgroup/system.slice/{NAME}"

# A stop by KillMode=process would be the daemon's own affair, and may leave workers. The kernel ends whatever is in the
# service's group of this box, and then what a start that was scheduled meanwhile has brought.
_REMOVE = """
end() { [ ! -e "$2/cgroup.kill" ] || echo 1 >"$2/cgroup.kill"; }
end "$@"
systemctl stop "$1" 2>/dev/null || true
end "$@"
rm -rf "/etc/systemd/system/$1" "/etc/systemd/system/$1.d" /etc/qvl /run/qvl /var/lib/qvl /var/log/qvl
systemctl daemon-reload
systemctl reset-failed "$1" 2>/dev/null || true
"""


def remove(box: Box) -> None:
    """End the service and its workers at once, and forget its settings and all that it wrote."""
    box.exec("sh", "-ec", _REMOVE, "remove", NAME, GROUP)
    wait_until(lambda: not processes(box), what="the service's processes are gone")


def processes(box: Box) -> set[int]:
    """Pids in the unit's control group and every group below it."""
    script = 'find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true'
    return {int(pid) for pid in box.read("sh", "-c", script, "find", GROUP).split()}


class Service:
    """qvl-supervisor.service as shipped, but for what the test adds in a drop-in."""

    def __init__(self, box: Box, command: Sequence[str | Path] = (), settings: str = "") -> None:
        """`command` takes the daemon's place; `settings`: more lines for [Service]."""
        self.box = box
        self._since = time.time()
        box.put(FOLDER / NAME, INSTALLED)
        instead = f"ExecStart=\nExecStart={' '.join(map(str, command))}\n" if command else ""
        self.drop_in("test", f"[Service]\n{instead}{settings}\n")

    def drop_in(self, name: str, content: Path | str) -> None:
        """Add an override, as `systemctl edit` does; in force from the next start on."""
        self.box.put(content, f"{INSTALLED}.d/{name}.conf")
        self.box.exec("systemctl", "daemon-reload")

    def become_service_user(self) -> None:
        """Run as the user `qvl`, by the drop-in as shipped. To be called before the first start."""
        self.box.put(FOLDER / "qvl.sysusers", "/etc/sysusers.d/qvl.conf")
        self.box.exec("systemd-sysusers")
        self.drop_in("service-user", FOLDER / "service-user.conf")
        # A test's interpreter often lies under /root. Opened in the box alone; the machine's folder stays closed.
        folders = {folder for path in (sys.executable, sys.prefix) for folder in Path(path).resolve().parents}
        self.box.exec("chmod", "--quiet", "o+x", *folders, check=False)

    def systemctl(self, *verb: str) -> None:
        """`systemctl VERB… qvl-supervisor`."""
        self.box.exec("systemctl", *verb, NAME)

    def signal(self, name: str) -> None:
        """Send the daemon a signal, as somebody's `kill` would."""
        self.systemctl("kill", f"--signal={name}", "--kill-who=main")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.box.show(NAME, name)[name]

    @property
    def state(self) -> str:
        """`active`, `reloading`, `failed` …"""
        return self.show("ActiveState")

    @property
    def main_pid(self) -> int:
        """The daemon's pid; 0 while there is none."""
        return int(self.show("MainPID"))

    def wait_for_another_main_pid(self, before: int) -> int:
        """The pid of the daemon that follows `before`, once it is ready."""

        def successor() -> int:
            now = self.box.show(NAME, "MainPID", "ActiveState")
            return int(now["MainPID"]) if now["ActiveState"] == "active" and now["MainPID"] != str(before) else 0

        try:
            return wait_until(successor, 30, f"a daemon other than {before} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None

    def processes(self) -> set[int]:
        """Pids in the unit's control group and every group below it."""
        return processes(self.box)

    def journal(self, *options: str) -> str:
        """What the daemon logged, and systemd about it, since this test has it: others had the box before."""
        return self.box.journal(NAME, f"--since=@{self._since:.6f}", *options)
