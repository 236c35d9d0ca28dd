"""Looks through a worker's log, in a process of its own.

A client chooses the regular expression, and one can be written that never ends; Python holds its interpreter lock all
the while. So the daemon starts `python -m qvl.search` for each search, with limits on what it may use, and ends it when
the client leaves.
"""
