"""Where the engine of an interpreter is, and which version, without importing any of it.

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
import importlib.metadata, importlib.util, json, sys
name = sys.argv[1]
spec = importlib.util.find_spec(name)
try:
    version = importlib.metadata.version(name)
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps({"packages": list(spec.submodule_search_locations or ()) if spec else [], "version": version}))
"""


@dataclass(frozen=True, slots=True)
class Package:
    """An engine as something that is installed."""

    name: str
    """Of its distribution, and of the package that it puts there."""
    marker: str
    """A file of the package that only a whole server has."""


SGLANG = Package("sglang", "srt/server_args.py")
VLLM = Package("vllm", "engine/arg_utils.py")


@dataclass(frozen=True, slots=True)
class Installed:
    python: Path
    package: Path
    """The directory of the package, in which its marker exists."""
    version: str


class EngineNotFound(Exception):
    """`reason` goes on a sentence that begins with the interpreter: "does not exist"."""

    def __init__(self, python: Path, reason: str) -> None:
        super().__init__(f"{python} {reason}")
        self.python = python
        self.reason = reason


def find(package: Package, python: Path, timeout: float = PROBE_TIMEOUT) -> Installed:
    """Raises EngineNotFound. May block for `timeout` seconds, where the interpreter has to be run."""
    python = python.absolute()  # not resolved: an environment's python is a link out of it
    if not python.is_file():
        raise EngineNotFound(python, "does not exist" if not os.path.lexists(python) else "is not a file")
    if not os.access(python, os.X_OK):
        raise EngineNotFound(python, "is not executable")
    for site in _site_packages(python.parent.parent):
        installed = _in_site(package, python, site)
        if installed is not None:
            return installed
    return _ask(package, python, timeout)


def locate(package: Package, python: Path) -> Installed | None:
    """`find`, for whom the reason doesn't matter."""
    try:
        return find(package, python)
    except EngineNotFound:
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


def _in_site(package: Package, python: Path, site: Path) -> Installed | None:
    # More than one is what an interrupted upgrade leaves: then the interpreter has to say which one counts.
    metadata = list(site.glob(f"{package.name}-[0-9]*.dist-info/METADATA"))
    if len(metadata) != 1:
        return None
    version = metadata[0].parent.name.removeprefix(f"{package.name}-").removesuffix(".dist-info")
    return next(
        (
            Installed(python, root / package.name, version)
            for root in (site, *_paths_added_to(site))
            if (root / package.name / package.marker).is_file()
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


def _ask(package: Package, python: Path, timeout: float) -> Installed:
    try:
        # -I: neither the directory we happen to be in nor our own environment may decide what is found.
        answer = subprocess.run(
            [python, "-I", "-c", _PROBE, package.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=True,
        )
        found = json.loads(answer.stdout)
        packages, version = [Path(path) for path in found["packages"]], found["version"]
    except OSError as error:
        raise EngineNotFound(python, f"cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineNotFound(python, f"did not answer within {timeout:g} s") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineNotFound(python, f"ended with {error.returncode}: {last}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineNotFound(python, "did not answer as a Python does") from error
    for found_at in packages:
        if (found_at / package.marker).is_file():
            return Installed(python, found_at, version or UNKNOWN_VERSION)
    if packages:
        raise EngineNotFound(python, f"has a package {package.name} without a server in it: {packages[0]}")
    raise EngineNotFound(python, f"has no package {package.name}")
