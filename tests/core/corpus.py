"""Logs of real engines, as the daemon reads them: bars split into their redraws, empty lines left out."""

import re
from pathlib import Path

LOGS = Path(__file__).parents[1] / "data" / "logs"


def lines(name: str) -> list[str]:
    text = (LOGS / f"sglang-{name}.log").read_bytes().decode()
    return [line for line in re.split(r"[\r\n]", text) if line.strip()]
