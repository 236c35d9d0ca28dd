"""ask.py PORT: print what a server on this host answers to one GET; exit 1 where nobody answers within a second."""

import socket
import sys

try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=1) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
except OSError:
    sys.exit(1)
if b" 200 " not in head.splitlines()[0]:
    sys.exit(1)
print(body.decode())
