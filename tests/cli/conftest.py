"""The fixtures of this area; `tests.cli.run` says what they are."""

from tests.cli.run import control, daemon, home, lonely, qvlctl

__all__ = ["control", "daemon", "home", "lonely", "qvlctl"]
