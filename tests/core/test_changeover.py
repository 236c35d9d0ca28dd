"""How far a transaction is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qvl.core.changeover import UNDER_WAY, percent, share
from qvl.model.worker import Phase, Progress

COURSE: list[tuple[str, Phase, int | None, bool]] = [
    ("restarting", Phase.RUNNING, None, False),
    ("restarting", Phase.DRAINING, None, False),
    ("restarting", Phase.STOPPING, None, False),
    ("restarting", Phase.RELEASING, None, False),
    ("restarting", Phase.STARTING, None, True),
    ("restarting", Phase.STARTING, 0, True),
    ("restarting", Phase.STARTING, 40, True),
    ("restarting", Phase.STARTING, 100, True),
    ("restarting", Phase.RUNNING, None, True),
    ("smoke test", Phase.RUNNING, None, True),
    ("routing", Phase.RUNNING, None, True),
]
"""What one worker goes through, in this order."""


def shares() -> list[float]:
    return [
        share(step, phase, Progress("weights", at) if at is not None else None, restarted=restarted)
        for step, phase, at, restarted in COURSE
    ]


def test_a_worker_goes_forward_from_step_to_step() -> None:
    found = shares()
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] < 1
    assert found[6] == pytest.approx(0.4, abs=0.05)  # the start is what takes long


@given(total=st.integers(1, 16), at=st.lists(st.integers(0, len(COURSE) - 1), max_size=20))
def test_all_of_them_do(total: int, at: list[int]) -> None:
    """Whatever is looked at and when, in the order in which it happens."""
    moments = sorted((index % total, course) for index, course in enumerate(at))
    course = shares()
    told = [percent(done, total, course[moment]) for done, moment in moments]
    assert told == sorted(told)
    assert all(0 <= each <= UNDER_WAY for each in told)


def test_it_is_over_only_when_it_is_over() -> None:
    assert percent(2, 2, 0) == UNDER_WAY
    assert percent(1, 2, 0) == 50
    assert percent(0, 0, 0) == 0
