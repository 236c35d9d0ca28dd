"""The boxes that tests share or have for themselves, and what happens on a machine that can't have one."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box, missing_prerequisite
from tests.systemd.service import remove

CHECKOUT = Path(__file__).parents[2]


def require(there: bool, missing: str) -> None:
    """Skip what can't run here, but fail it in a run that was set up for it: that must not pass by skipping."""
    if not there:
        (pytest.fail if os.environ.get("QVL_REQUIRE_SYSTEMD") == "1" else pytest.skip)(missing)


def boot(folder: Path, kept: Iterable[str] = ()) -> Box:
    """A box that sees this checkout and this interpreter, not started yet; skips where the machine can't have one."""
    missing = missing_prerequisite()
    require(missing is None, missing or "")
    return Box(folder, visible=[CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)], kept=kept)


@pytest.fixture
def fresh_box(tmp_path: Path) -> Iterator[Box]:
    """A systemd of the test's own, for what can't be undone."""
    with boot(tmp_path / "box") as box:
        yield box


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with boot(tmp_path_factory.mktemp("systemd") / "box") as box:
        yield box


@pytest.fixture
def box(module_box: Box) -> Iterator[Box]:
    """A booted systemd without our service; the module's tests have it one after the other."""
    yield module_box
    remove(module_box)
