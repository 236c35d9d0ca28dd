"""The real SGLang on this machine's CPU, under a daemon, once for each file here: a start takes some 20 s.

A test may hand in `Row`s: what was done to the worker and what came of it. They are printed once all tests are over.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.blackbox.harness import BRISK, Daemon, Table
from tests.sglang.tree import Tree
from tools.sglang_cpu import demo, make_model

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".sglang" / "bin" / "python"
KEY = "sk-never-to-be-seen-4711"


class Row(NamedTuple):
    """One line of the table at the end of the run."""

    event: str
    cause: str
    left: str
    again: str
    """Seconds until the worker answered requests again, or why it didn't have to."""


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Takes a row. It travels in the test's report, so that it is printed though the test fails later."""
    properties: list[tuple[str, object]] = request.node.user_properties
    return lambda row: properties.append(("end", tuple(row)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind) if r.when == "call"]
    reports.sort(key=lambda report: report.start)
    rows = [value for report in reports for name, value in report.user_properties if name == "end"]
    if not rows:
        return
    table = [("event", "cause named", "left", "seconds until serving again"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    terminalreporter.section("ends of the real SGLang, as its supervisor tells them")
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        terminalreporter.write_line("  ".join([*cells, row[3]]))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Not started. Pool `chat` with one worker, profile `standard`, and a second good profile and a bad one."""
    if not PYTHON.exists():
        if os.environ.get("QVL_REQUIRE_SGLANG"):
            pytest.fail(f"{PYTHON} is missing: make sglang")
        pytest.skip(f"{PYTHON} is missing: make sglang")
    root = tmp_path_factory.mktemp("sglang")
    make_model.make(root / "model")
    key_file = root / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY + "\n")
    config: list[Table] = [
        {
            "supervisor": {"gpus": "none"},
            "engines": {"sim": None, "cpu": {"kind": "sglang", "python": str(PYTHON), "env": dict(demo.ENVIRONMENT)}},
            "profiles": {
                "standard": {"engine": "cpu", "model": str(root / "model"), "args": None},
                "wide": {"extends": "standard", "args": {"max-total-tokens": 4096}},
                "broken": {"extends": "standard", "raw_args": ["--no-such-flag"]},
                "absent": {"extends": "standard", "model": str(root / "nowhere")},
            },
            "pools": {"chat": {"gpus": "none", "workers": 1, "api_key_file": str(key_file), **BRISK}},
        },
        {"pools": {"chat": {"stop": {"drain": "10s", "term": "30s"}}}},
        {"profiles": {"standard": {"args": dict(demo.ARGS)}}},
    ]
    with leaving_nothing() as trees, Daemon(root, *config) as it:
        yield it
        trees += [Tree(pid) for pid in it.processes()]


@contextlib.contextmanager
def leaving_nothing() -> Iterator[list[Tree]]:
    """Nothing of these trees may be left, nor is it afterwards. The daemon's own proof goes by a mark in the
    environment, which SGLang's processes don't keep."""
    trees: list[Tree] = []
    try:
        yield trees
    finally:
        left = [member for tree in trees for member in tree.left()]
        for tree in trees:
            tree.kill()
    assert not left, f"outlived the daemon: {left}"
