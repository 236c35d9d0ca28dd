"""What decides and words things knows no screen, so that it can be tested, and reused, without one."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["arrange", "format", "link", "logbuffer", "paint", "sentences", "store", "wire"])
def test_pure_modules_import_no_textual(module: str) -> None:
    work = f"import sys, qvl_tui.{module}; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", work], check=False, timeout=60).returncode == 0


def test_the_first_picture_needs_no_http() -> None:
    work = "import sys, qvl_tui.app, qvl_tui.wire; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", work], check=False, timeout=60).returncode == 0
