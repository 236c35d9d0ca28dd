"""`python -m qvl.simulator`."""

from qvl.simulator.main import main

main()
