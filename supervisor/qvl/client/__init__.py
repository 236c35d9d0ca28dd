"""Ways to the daemon's sockets. Nothing is imported here: each program takes the one that it can afford."""
