"""LoRA adapters that come and go while the engine runs, with the words and habits of SGLang 0.5.18.

They have no weights here: only whether they are there, their rank and modules are looked at. One that was unloaded is
remembered and comes back with the first request that names it; one too many unloads the least used.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from qvl.simulator.arguments import Settings

_DISABLED = "LoRA is not enabled. Please set `--enable-lora` to enable LoRA."


class Adapters:
    def __init__(self, settings: Settings, log: Callable[[str], None]) -> None:
        self._settings = settings
        self._log = log
        self._loaded: OrderedDict[str, str] = OrderedDict()
        """Path by name, the least used first."""
        self._known: dict[str, str] = {}
        """All that were ever loaded."""

    @property
    def enabled(self) -> bool:
        return self._settings.on("enable_lora") or bool(self._settings.server_args["lora_paths"])

    def start(self) -> str | None:
        """Load those of the command line; what went wrong, None if nothing."""
        given = self._settings.server_args["lora_paths"]
        for word in given if isinstance(given, list) else []:
            name, path = _named(str(word))
            if (wrong := self._fault(name, path)) is not None:
                return f"Failed to load LoRA adapter {name}: {wrong}"
            self._loaded[name] = self._known[name] = path
        return None

    def cards(self, parent: str) -> Iterator[Mapping[str, object]]:
        """As `/v1/models` lists them."""
        for name, path in self._loaded.items():
            yield {"id": name, "root": path, "parent": parent, "max_model_len": None}

    def load(self, name: str, path: str) -> tuple[Mapping[str, object], int]:
        """The answer to a load, and its status."""
        if not self.enabled:
            return self._answer(_DISABLED)
        self._log(f"Start load Lora adapter. Lora name={name}, path={path}")
        self._log(f"LoRA adapter loading starts: LoRARef(lora_name={name}, lora_path={path}, pinned=False).")
        wrong = self._fault(name, path)
        self._log(f"LoRA adapter loading completes: LoRARef(lora_name={name}, lora_path={path}, pinned=False).")
        if wrong is not None:
            return self._answer(wrong)
        self._loaded[name] = self._known[name] = path
        most = self._settings.number("max_loaded_loras")
        while most and len(self._loaded) > most:
            oldest = next(iter(self._loaded))
            self._log(
                f"Unloading least recently used LoRA adapter '{oldest}' "
                f"(current number of adapters: {len(self._loaded)}, max allowed: {most:.0f})"
            )
            del self._loaded[oldest]
        return self._answer(None)

    def unload(self, name: str) -> tuple[Mapping[str, object], int]:
        if not self.enabled:
            return self._answer(_DISABLED)
        self._log(f"Start unload Lora adapter. Lora name={name}")
        if name not in self._loaded:
            return self._answer(f"LoRA with name {name} does not exist. Loaded LoRAs: odict_keys({list(self._loaded)})")
        del self._loaded[name]
        return self._answer(None)

    def use(self, name: str) -> str | None:
        """A request names it: why that can't be, None where it can."""
        if not self.enabled:
            return f"LoRA adapter '{name}' was requested, but LoRA is not enabled."
        if name not in self._loaded:
            if name not in self._known:
                known = f"dict_keys({list(self._known)})"
                return f"Got LoRA adapter that has never been loaded: {name}\nAll loaded adapters: {known}."
            self._log(f"Reloading evicted adapter: {name}")
            self.load(name, self._known[name])
        if name in self._loaded:
            self._loaded.move_to_end(name)
        return None

    def _answer(self, error: str | None) -> tuple[Mapping[str, object], int]:
        body = {
            "rid": None,
            "http_worker_ipc": None,
            "success": error is None,
            "error_message": error or "",
            "loaded_adapters": dict(self._loaded),
        }
        return body, 200 if error is None else 400

    def _fault(self, name: str, path: str) -> str | None:
        if path.startswith("/") and not os.path.isdir(path):
            return (
                f"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{path}'. "
                "Use `repo_type` argument if needed."
            )
        if name in self._loaded:
            return f"Failed to load LoRA adapter {name} because it is already loaded"
        rank, modules = _shape(path)
        limit, targets = self._settings.number("max_lora_rank"), self._settings.server_args["lora_target_modules"]
        allowed = targets if isinstance(targets, list) and "all" not in targets else modules
        if (limit and rank > limit) or not set(modules) <= set(allowed):
            return (
                f"LoRA adapter {name} with rank {rank} is incompatible with the current LoRA memory pool "
                "configuration. Please ensure that the LoRA adapter's rank is within the configured `--max-lora-rank` "
                "and that the target modules are included in `--lora-target-modules`."
            )
        return None


def _named(word: str) -> tuple[str, str]:
    """`PATH`, `NAME=PATH`, or JSON."""
    if word.startswith("{"):
        given = json.loads(word)
        return str(given["lora_name"]), str(given["lora_path"])
    name, equals, path = word.partition("=")
    return (name, path) if equals else (word, word)


def _shape(path: str) -> tuple[int, list[str]]:
    """Rank and modules of PEFT's adapter_config.json; nothing where there is none to read."""
    try:
        with open(os.path.join(path, "adapter_config.json"), encoding="utf-8") as file:
            config = json.load(file)
        return int(config["r"]), [str(module) for module in config["target_modules"]]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, []
