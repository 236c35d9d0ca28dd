"""count.py BEACON PORT LINES PAUSE: write LINES numbered lines, PAUSE seconds apart, whoever listens.

A write that fails costs its line and no more, as with Python's own logging.
"""

import contextlib
import os
import sys
import time

beacon, port, lines, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
fd = os.open(beacon, os.O_WRONLY)
os.write(fd, b"up %d %d 0\n" % (port, os.getpid()))
for number in range(lines):
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b"line %07d of a worker that has something to say\n" % number)
    if pause:
        time.sleep(pause)
os.write(fd, b"done %d %d %d\n" % (port, os.getpid(), lines))
os.close(fd)
time.sleep(2**31 - 1)
