"""The loader on whole files: what is accepted, and that every fault is told at once with its file, line and key."""

from pathlib import Path

from qvl.config.fleet import fleet
from qvl.config.load import Loaded, load
from qvl.model.gpu import Gpu

GOOD = """
[engines.sim]
kind = "simulated"
[profiles.standard]
engine = "sim"
model = "m"
[pools.p]
profile = "standard"
gpus = "all"
"""


def write(tmp_path: Path, text: str, name: str = "qvl.toml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def said(loaded: Loaded) -> list[str]:
    return [str(fault).partition("qvl.toml")[2] for fault in loaded.faults]


def host(count: int) -> list[Gpu]:
    return [Gpu(index, f"GPU-{index}", "L40S") for index in range(count)]


def test_a_small_file_makes_a_worker_for_each_gpu(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, GOOD))
    assert loaded.faults == ()
    assert loaded.config is not None
    made = fleet(loaded.config, host(2))
    assert [(worker.name, worker.launch.gpus, worker.launch.port) for worker in made.workers] == [
        ("p-0", (0,), 8000),
        ("p-1", (1,), 8001),
    ]
    assert made.pools[0].endpoint is None


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = GOOD + 'prot = 1\nhost = "a b"\n[supervisor]\ngpu = "nvml"\n'
    assert said(load(write(tmp_path, text))) == [
        ':10: pools.p.prot: unknown key (did you mean "port"?)',
        ':11: pools.p.host: "a b" is neither an address nor a host name ("127.0.0.1" or "0.0.0.0")',
        ':13: supervisor.gpu: unknown key (did you mean "gpus"?)',
    ]
