"""serve.py BEACON PORT: the least that serves HTTP; says so once it listens."""

import os
import socket
import sys

beacon, port = sys.argv[1], int(sys.argv[2])
listener = socket.create_server(("127.0.0.1", port))
fd = os.open(beacon, os.O_WRONLY)
os.write(fd, b"up %d %d 0\n" % (port, os.getpid()))
os.close(fd)
while True:
    client, _ = listener.accept()
    with client:
        client.recv(65536)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
