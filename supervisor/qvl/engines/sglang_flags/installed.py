"""Where the SGLang of an interpreter is, and which version, without importing any of it.

A virtual environment is read from the file system, in about a millisecond. The interpreter itself is asked only where
that doesn't tell (a system Python, conda, an editable install by an import hook); it looks for the package and doesn't
load it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT = 10.0
"""Seconds. A bare interpreter answers in 50 ms; a cold network disk has needed seconds."""

UNKNOWN_VERSION = "0+unknown"

_PROBE = """
import importlib.metadata, importlib.util, json
spec = importlib.util.find_spec("sglang")
try:
    version = importlib.metadata.version("sglang")
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps({"packages": list(spec.submodule_search_locations or ()) if spec else [], "version": version}))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    python: Path
    package: Path
    """The directory `sglang`, whose `srt/server_args.py` exists."""
    version: str


class SglangNotFound(Exception):
    """`reason` goes on a sentence that begins with the interpreter: "does not exist"."""

    def __init__(self, python: Path, reason: str) -> None:
        super().__init__(f"{python} {reason}")
        self.python = python
        self.reason = reason


def find(python: Path, timeout: float = PROBE_TIMEOUT) -> Installed:
    """Raises SglangNotFound. May block for `timeout` seconds, where the interpreter has to be run."""
    python = python.absolute()  # not resolved: an environment's python is a link out of it
    if not python.is_file():
        raise SglangNotFound(python, "does not exist" if not os.path.lexists(python) else "is not a file")
    if not os.access(python, os.X_OK):
        raise SglangNotFound(python, "is not executable")
    for site in _site_packages(python.parent.parent):
        installed = _in_site(python, site)
        if installed is not None:
            return installed
    return _ask(python, timeout)


def locate(python: Path) -> Installed | None:
    """`find`, for whom the reason doesn't matter."""
    try:
        return find(python)
    except SglangNotFound:
        return None


def _site_packages(environment: Path) -> Iterator[Path]:
    """Those of a virtual environment; nothing where `environment` isn't one, since only its python knows its paths."""
    try:
        settings = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    # `venv` writes `version`, `uv` and `virtualenv` write `version_info`. Directories of other versions are leftovers.
    pairs = (line.partition("=")[::2] for line in settings.splitlines())
    versions = [value.strip() for key, value in pairs if key.strip() in ("version", "version_info")]
    minor = ".".join(versions[0].split(".")[:2]) if versions else "*"
    for library in ("lib", "lib64"):
        yield from sorted(environment.glob(f"{library}/python{minor}/site-packages"))


def _in_site(python: Path, site: Path) -> Installed | None:
    # More than one is what an interrupted upgrade leaves: then the interpreter has to say which one counts.
    metadata = list(site.glob("sglang-[0-9]*.dist-info/METADATA"))
    if len(metadata) != 1:
        return None
    version = metadata[0].parent.name.removeprefix("sglang-").removesuffix(".dist-info")
    return next(
        (
            Installed(python, package, version)
            for package in (root / "sglang" for root in (site, *_paths_added_to(site)))
            if _declares_flags(package)
        ),
        None,
    )


def _paths_added_to(site: Path) -> Iterator[Path]:
    """Directories that `.pth` files name, as editable installs do. Their lines of code are not followed."""
    for file in sorted(site.glob("*.pth")):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        yield from (site / line.strip() for line in lines if line.strip() and not line.startswith(("import ", "#")))


def _ask(python: Path, timeout: float) -> Installed:
    try:
        # -I: neither the directory we happen to be in nor our own environment may decide what is found.
        answer = subprocess.run(
            [python, "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=True,
        )
        found = json.loads(answer.stdout)
        packages, version = [Path(path) for path in found["packages"]], found["version"]
    except OSError as error:
        raise SglangNotFound(python, f"cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SglangNotFound(python, f"did not answer within {timeout:g} s") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SglangNotFound(python, f"ended with {error.returncode}: {last}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SglangNotFound(python, "did not answer as a Python does") from error
    for package in packages:
        if _declares_flags(package):
            return Installed(python, package, version or UNKNOWN_VERSION)
    if packages:
        raise SglangNotFound(python, f"has a package sglang without a server in it: {packages[0]}")
    raise SglangNotFound(python, "has no package sglang")


def _declares_flags(package: Path) -> bool:
    return (package / "srt" / "server_args.py").is_file()
