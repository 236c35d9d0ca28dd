"""What a shim is told to do: `records.Bootstrap` as the shim sees it, which may not import msgspec."""

from __future__ import annotations

from qvl.shim import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.shim.wire import Json


class Order:
    """The bootstrap, checked. ValueError names the field that is wrong."""

    def __init__(self, message: Json) -> None:
        self.worker = wire.text(message, "worker")
        self.generation = wire.number(message, "generation")
        self.bundle = wire.text(message, "bundle")
        self.argv = _texts(message, "argv")
        self.cwd = wire.text(message, "cwd")
        self.log_dir = wire.text(message, "log_dir")
        self.max_size = wire.number(message, "max_size", least=1)
        self.keep = wire.number(message, "keep")
        self.cgroup = wire.text(message, "cgroup") if "cgroup" in message else ""  # older daemons know of none
        self.secrets = _texts(message, "secrets")
        env = message.get("env")
        if not isinstance(env, dict):
            raise ValueError("message lacks the table 'env'")
        self.env = {str(name): str(value) for name, value in env.items()}
        if not self.argv:
            raise ValueError("the command line is empty")


def _texts(message: Json, key: str) -> list[str]:
    value = message.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"message lacks the list of texts {key!r}")
    return value
