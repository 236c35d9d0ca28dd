"""The boxes that tests share or have for themselves, and what happens on a machine that can't have one."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.systemd.box import Box, missing_prerequisite
from tests.systemd.service import remove

pytest.register_assert_rewrite("tests.systemd.daemon", "tests.systemd.observers", "tests.systemd.survival")

CHECKOUT = Path(__file__).parents[2]

Tell = Callable[[Mapping[str, str]], None]

FIGURES = "figures"
"""The property of a test's report that holds what it has measured, column by column."""


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
def tell(request: pytest.FixtureRequest) -> Tell:
    """Have a test's figures shown in the table at the end of the run, and kept in its JUnit file."""
    properties: list[tuple[str, object]] = request.node.user_properties
    return lambda figures: properties.append((FIGURES, dict(figures)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, for people: no test holds a speed against anybody."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = [value for report in reports for name, value in report.user_properties if name == FIGURES]
    if rows:
        terminalreporter.section("figures")
        terminalreporter.write_line(table(rows))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows below the names of their columns, the first one to the left. What a row hasn't is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip() for name, *cells in lines)


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
