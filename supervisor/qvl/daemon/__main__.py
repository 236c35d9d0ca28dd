"""`qvl-supervisor`, and `python -m qvl.daemon`."""

import gc


def main() -> None:
    # Imports make no garbage: looking for it among them only takes time until the socket answers.
    gc.disable()
    from qvl.daemon import main as daemon

    gc.freeze()
    gc.enable()
    daemon.main()


if __name__ == "__main__":
    main()
