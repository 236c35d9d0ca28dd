"""One small process per worker that outlives the daemon: it holds the worker's pipes, reaps it and records its end.

`main` and what it imports are the shim itself, standard library only; `client`, `records` and `logread` are the
daemon's side. Nothing is imported here, so that neither side pays for the other.
"""
