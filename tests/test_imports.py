"""What may be imported where, proven in processes of their own: what static analysis can't see is lazy imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import FakeControl, serve

HEAVY = {"textual", "starlette", "uvicorn", "httpx", "asyncio", "pynvml", "msgspec", "ssl", "email", "http", "typing"}
"""What the common verbs have no time for. `typing` stands for what drags it in."""
PURE = {"asyncio", "socket", "subprocess", "threading", "logging", "selectors", "httpx", "shutil", "tempfile"}
"""What would let the model or the core do something rather than decide it."""

REPORT = "import sys, json; {work}; print(json.dumps(sorted(m for m in sys.modules)), file=sys.stderr)"


def modules_after(work: str, *flags: str) -> set[str]:
    """All modules that are loaded once `work` has run in a fresh interpreter."""
    command = [sys.executable, *flags, "-c", REPORT.format(work=work)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(ran.stderr.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["top"], ["events"], ["profiles"], ["--version"]])
def test_common_verbs_load_little(words: list[str], tmp_path: Path) -> None:
    with serve(FakeControl(), tmp_path / "s.sock") as served:
        words = words if words == ["--version"] else ["--socket", str(served.socket), *words]
        loaded = modules_after(f"from qvl.cli.main import main; assert main({words!r}) == 0")
    assert roots(loaded) & HEAVY == set()


def test_usage_errors_load_no_more_than_what_names_the_nearest_verb() -> None:
    loaded = modules_after("from qvl.cli.main import main; assert main(['stauts']) == 2")
    assert roots(loaded) & (HEAVY - {"typing"}) == set()


@pytest.mark.parametrize("package", ["model", "core"])
def test_nouns_and_decisions_can_do_nothing(package: str) -> None:
    folder = Path(__file__).parent.parent / "supervisor" / "qvl" / package
    names = [f"qvl.{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    assert names
    alone = modules_after("import msgspec")
    loaded = modules_after("import msgspec, " + ", ".join(names)) - alone
    assert roots(loaded) & PURE == set()
    ours = {name for name in loaded if name.startswith("qvl.")}
    allowed = ("qvl.model",) if package == "model" else ("qvl.model", "qvl.core")
    assert {name for name in ours if not name.startswith(allowed)} == set()


def test_the_shim_lives_by_the_standard_library_alone() -> None:
    """It outlives an upgrade of the environment, so nothing of that may be in it. -I -S: no site-packages to find."""
    source = Path(__file__).parent.parent / "supervisor"
    loaded = modules_after(f"sys.path.append({str(source)!r}); import qvl.shim.main", "-I", "-S")
    foreign = {name for name in roots(loaded) if name not in sys.stdlib_module_names} - {"qvl", "__main__"}
    assert foreign == set()
    assert {name for name in loaded if name.startswith("qvl.") and not name.startswith("qvl.shim")} == set()
    assert roots(loaded) & {"asyncio", "subprocess", "logging", "dataclasses", "typing"} == set()


def test_the_keeper_of_an_ssh_stands_alone_and_small() -> None:
    """Every command with --host waits for its start. -I -S: no site-packages to find."""
    source = Path(__file__).parent.parent / "supervisor/qvl/client/ssh"
    loaded = modules_after(f"sys.path.append({str(source)!r}); import keeper", "-I", "-S")
    assert {name for name in roots(loaded) if name not in sys.stdlib_module_names} - {"keeper", "__main__"} == set()
    assert roots(loaded) & {"asyncio", "subprocess", "logging", "tempfile", "threading", "typing"} == set()


def test_a_host_costs_nothing_where_none_is_named(tmp_path: Path) -> None:
    with serve(FakeControl(), tmp_path / "s.sock") as served:
        loaded = modules_after(
            f"from qvl.cli.main import main; assert main(['--socket', {str(served.socket)!r}, 'status']) == 0"
        )
    assert not [name for name in loaded if name.startswith("qvl.client.ssh")]
    assert "subprocess" not in loaded
