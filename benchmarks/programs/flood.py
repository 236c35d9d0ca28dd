"""flood.py BEACON PORT BYTES SECONDS LINES: write numbered lines of 64 bytes as fast as stdout takes them.

LINES 1 makes one write a line, as an unbuffered logger does; otherwise as many lines go with a write. The text comes
round again after ROUND bytes, so that making it costs nothing while the clock runs.
"""

import os
import sys
import time

ROUND = 1 << 20
beacon, port, limit, seconds, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
text = b"".join(b"%07d %s\n" % (number, b"x" * 55) for number in range(ROUND // 64))
piece = 64 * int(lines)
pieces = [text[at : at + piece] for at in range(0, ROUND, piece)]
fd = os.open(beacon, os.O_WRONLY)
os.write(fd, b"up %d %d 0\n" % (port, os.getpid()))
time.sleep(0.5)  # what the supervisor does for a start is over by then
os.write(fd, b"begin %d %d 0\n" % (port, os.getpid()))
written = 0
until = time.monotonic() + seconds
while written < limit and time.monotonic() < until:
    for part in pieces:
        while part:
            count = os.write(1, part)
            written += count
            part = part[count:]
os.write(fd, b"done %d %d %d\n" % (port, os.getpid(), written))
os.close(fd)
time.sleep(2**31 - 1)
