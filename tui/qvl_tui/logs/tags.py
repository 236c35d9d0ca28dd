"""Short names that tell workers apart at the beginning of each line. Pure."""

from collections.abc import Sequence

from qvl_tui.paint import left

LONGEST = 14


def tags(workers: Sequence[str]) -> dict[int, str]:
    """Number of the log -> tag, all of one width: the names without what they all begin with but its last part, so that
    `qwen3-vl-0` and `qwen3-vl-1` are `vl-0` and `vl-1`."""
    parts = [name.split("-") for name in workers]
    same = 0
    while all(len(name) > same + 1 for name in parts) and len({name[same] for name in parts}) == 1:
        same += 1
    found = ["-".join(name[max(same - 1, 0) :]) for name in parts]
    width = min(max(map(len, found), default=0), LONGEST)
    return {number: left(name, width) for number, name in enumerate(found)}
