"""Published wheels of SGLang as installed environments, fetched once into a directory that git ignores.

Only their Python sources are unpacked, and nothing of them is run: no torch is there that an import could find.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "wheels"
FETCH_TIMEOUT = 300.0
"""Seconds for one wheel of at most 40 MB."""


def environment(root: Path, version: str, package: str = "sglang") -> Path:
    """A virtual environment of this Python with the sources of that version. Returns its python."""
    unpacked = fetch(version, package)
    site = bare_environment(root)
    for entry in unpacked.iterdir():
        (site / entry.name).symlink_to(entry)
    return root / "bin" / "python"


def bare_environment(root: Path) -> Path:
    """A virtual environment of this Python that runs, with nothing in it. Returns where its packages go."""
    site = root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (root / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    base = Path(sys.executable).resolve()
    (root / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\nversion = 3.{sys.version_info.minor}.0\n"
    )
    (root / "bin" / "python").symlink_to(base)
    return site


def fetch(version: str, package: str = "sglang") -> Path:
    """The unpacked wheel. Skips the test where there is no network, and fails it on the integration, which has one."""
    target = CACHE / f"{package}-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                wheel = _download(Path(folder), version, package)
                _unpack(wheel, Path(folder, "unpacked"))
                shutil.move(Path(folder, "unpacked"), target)
    return target


def _download(folder: Path, version: str, package: str) -> Path:
    # Newer wheels are built for one Python and one platform: those that most have, whatever runs here.
    where = ["--only-binary=:all:", "--python-version=3.12", "--platform=manylinux_2_34_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *where, f"{package}=={version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False)
    if done.returncode:
        sentence = f"{package} {version} could not be fetched, so its flags were NOT checked: {done.stderr[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    [wheel] = folder.glob("*.whl")
    return wheel


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name.endswith((".py", "/METADATA"))]
        archive.extractall(folder, wanted)
