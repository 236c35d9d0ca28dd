"""Small config files for the tests of this folder."""

from pathlib import Path

from qvl.config.load import Loaded, load
from qvl.config.settings import Config
from qvl.model.gpu import Gpu

GOOD = """\
[engines.sim]
kind = "simulated"
[profiles.standard]
engine = "sim"
model = "m"
[pools.p]
profile = "standard"
"""


def write(folder: Path, text: str | bytes, name: str = "qvl.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str) -> Loaded:
    return load(write(folder, text))


def config_of(folder: Path, text: str) -> Config:
    loaded = read(folder, text)
    assert loaded.config is not None, "\n".join(map(str, loaded.faults))
    return loaded.config


def said(folder: Path, text: str) -> list[str]:
    """What the loader says about `GOOD` with this after it, as `LINE: key: …` with lines counted from its first."""
    own = GOOD.count("\n")
    loaded = read(folder, GOOD + text)
    lines = []
    for fault in loaded.faults:
        line, _, rest = str(fault).removeprefix(f"{folder}/qvl.toml:").partition(":")
        lines.append(f"{int(line) - own}:{rest}")
    return lines


def host(count: int) -> list[Gpu]:
    return [Gpu(index, f"GPU-{index}", "L40S") for index in range(count)]
