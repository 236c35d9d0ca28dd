"""`python -m qvl.simulator`."""

from qvl.simulator.main import main

if __name__ == "__main__":
    main()
