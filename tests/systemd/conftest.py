"""The fixture `box`, and what happens on a machine that can't have one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box, missing_prerequisite

CHECKOUT = Path(__file__).parents[2]


def require(there: bool, missing: str) -> None:
    """Skip what can't run here, but fail it in a run that was set up for it: that must not pass by skipping."""
    if not there:
        (pytest.fail if os.environ.get("QVL_REQUIRE_SYSTEMD") == "1" else pytest.skip)(missing)


def boot(folder: Path) -> Box:
    """A box that sees this checkout and this interpreter, not started yet; skips where the machine can't have one."""
    missing = missing_prerequisite()
    require(missing is None, missing or "")
    return Box(folder, visible=[CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)])


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A freshly booted systemd."""
    with boot(tmp_path / "box") as box:
        yield box
