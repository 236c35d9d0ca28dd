"""A service of a few lines over the daemon's own line to systemd, to test box, unit and that line without the daemon.

SIGHUP: reload. SIGUSR1: hang (no more pings). SIGTERM: ask systemd why, say it in the journal, and stop. Starts one
child that nobody stops, as a worker would be, in a control group of its own.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from qvl.daemon.notify import Notifier, clean_environment
from qvl.daemon.systemd_job import job_type, stop_is_restart

SIGNALS = {signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1}
LOADING = Path("/run/qvl/loading")
"""While this file is there, the demo isn't ready."""


def main() -> None:
    """Serve until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    notifier = Notifier()
    start_worker()
    while LOADING.exists():
        time.sleep(0.01)
    notifier.ready("1 of 1 ready · demo")
    hung = False
    while True:
        got = signal.sigtimedwait(SIGNALS, notifier.watchdog_interval or 60)
        if got is None and not hung:
            notifier.watchdog()
        elif got is not None and got.si_signo == signal.SIGHUP:
            notifier.reloading()
            notifier.ready("reloaded")
        elif got is not None and got.si_signo == signal.SIGUSR1:
            hung = True
        elif got is not None and got.si_signo == signal.SIGTERM:
            notifier.stopping("asking")
            begun = time.monotonic()
            restart = stop_is_restart()
            seconds = time.monotonic() - begun
            print(f"asked: job={job_type()!r} restart={restart} uid={os.getuid()} seconds={seconds:.3f}", flush=True)
            return


def start_worker() -> None:
    """Start the process that outlives us, unless the one of an earlier run still does."""
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    service = Path("/sys/fs/cgroup") / own.removeprefix("0::/")
    for name in ("daemon", "worker"):
        (service / name).mkdir(exist_ok=True)
    (service / "daemon/cgroup.procs").write_text(str(os.getpid()))
    if not (service / "worker/cgroup.procs").read_text():
        code = "import signal; signal.sigwait({signal.SIGUSR2})"
        worker = subprocess.Popen([sys.executable, "-c", code], env=clean_environment(os.environ))
        (service / "worker/cgroup.procs").write_text(str(worker.pid))


if __name__ == "__main__":
    main()
