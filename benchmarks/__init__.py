"""qvl beside supervisord and circus, in one run on one machine: `python -m benchmarks`.

A figure alone says more about the machine than about the program, so whatever is measured is measured for all three,
in turns, and told as a ratio. Nothing here asserts: figures are for people.
"""
