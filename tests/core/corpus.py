"""Logs of real engines, as the daemon reads them: bars split into their redraws, empty lines left out."""

import re
from pathlib import Path

LOGS = Path(__file__).parents[1] / "data" / "logs"


def path_of(name: str) -> Path:
    """Of SGLang, unless the name begins with another engine's."""
    return LOGS / (f"{name}.log" if name.startswith("vllm-") else f"sglang-{name}.log")


def lines(name: str) -> list[str]:
    text = path_of(name).read_bytes().decode()
    return [line for line in re.split(r"[\r\n]", text) if line.strip()]
