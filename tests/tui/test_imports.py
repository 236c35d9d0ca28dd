"""What decides and words things knows no screen, so that it can be tested, and reused, without one."""

import subprocess
import sys

import pytest

PURE = (
    *("arrange", "format", "link", "logbuffer", "paint", "sentences", "store", "wire", "remote", "web.guard"),
    *(f"logs.{name}" for name in ("desk", "goto", "save", "tags", "told")),
)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_no_textual(module: str) -> None:
    work = f"import sys, qvl_tui.{module}; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", work], check=False, timeout=60).returncode == 0


def test_the_interface_needs_no_http_library() -> None:
    """It would be a fifth of the time to the first live picture."""
    work = "import sys, qvl_tui.app, qvl_tui.wire; sys.exit(bool({'httpx', 'http.client'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", work], check=False, timeout=60).returncode == 0
