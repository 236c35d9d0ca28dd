"""The daemon's socket of another host, brought here by the system's own ssh.

Nothing is imported here: only a command line with --host loads any of this. `tunnel` is what others use; `command` says
what ssh is run with, `probe` asks the other side where its sockets are, `connection` runs one ssh, and `keeper` is the
process that ends it with us, however we end.
"""
