"""Shows the figures that tests here have recorded; nothing is asserted of them."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = [
        value
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == "flag check"
    ]
    if figures:
        terminalreporter.section("reading the flags of published engines")
        for figure in sorted(str(figure) for figure in figures):
            terminalreporter.write_line(figure)
