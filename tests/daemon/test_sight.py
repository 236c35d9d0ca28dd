"""What /proc shows of a worker from outside: whose socket listens, and whether its processes compute."""

import os
import signal
import socket
import subprocess
import sys
import time

from qvl.daemon.sight import Port, activity

from tests.support import wait_until

SPIN = """
import os, sys, time
for line in sys.stdin:
    # A compiler, say: it computes and is gone.
    if os.fork() == 0:
        begun = time.process_time()
        while time.process_time() - begun < 0.3:
            pass
        os._exit(0)
    os.wait()
    print("done", flush=True)
"""


def test_what_a_child_has_computed_counts_after_its_end_too() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as root:
        assert root.stdin is not None
        assert root.stdout is not None
        try:
            before = activity(root.pid)
            for _ in range(2):
                root.stdin.write(b"go\n")
                root.stdin.flush()
                assert root.stdout.readline() == b"done\n"
            after = activity(root.pid)
            assert 0.5 <= after.cpu - before.cpu <= 2
            assert after.share_since(before) > 0
            assert not after.halted
            os.kill(root.pid, signal.SIGSTOP)
            wait_until(lambda: activity(root.pid).halted, 5, "it is stopped")
        finally:
            root.kill()


def test_a_listener_is_ours_a_stranger_or_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        ours = Port(os.getpid(), number)
        assert ours.listener().is_ours
        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                theirs = Port(other.pid, number).listener()
                assert not theirs.is_ours
                assert f"port {number} is held by pid {os.getpid()} (" in (theirs.stranger or "")
            finally:
                other.kill()
    assert ours.listener().nobody == f"nothing listens on port {number}"


def test_a_process_that_is_gone_has_done_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    look = activity(process.pid)
    assert (look.cpu, look.halted) == (0.0, False)
    assert look.at <= time.monotonic()
