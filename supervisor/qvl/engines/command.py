"""Any command line as an engine: a container, a router, a server of one's own."""

import os
import shutil

from qvl.engines.base import Command, Place, Refusal, Surface
from qvl.model.spec import Launch
from qvl.model.worker import Cause

PLACEHOLDERS = ("port", "host", "gpus", "model", "api_key_file", "worker", "tmpdir")


class CommandDriver:
    def preflight(self, launch: Launch) -> Refusal | None:
        program = launch.engine.command[0]
        if "{" in program:
            return None
        if "/" in program and not os.path.exists(program):
            return Refusal(
                Cause.ENVIRONMENT,
                f"command {program} of engine {launch.engine.name} does not exist",
                f"install it, or mend engines.{launch.engine.name}.command",
                program,
            )
        path = {**os.environ, **launch.engine.env, **launch.env}.get("PATH")
        if shutil.which(program, path=path) is None:
            return Refusal(
                Cause.ENVIRONMENT,
                f"command {program} of engine {launch.engine.name} is not an executable file on the PATH",
                f"make it executable, or mend engines.{launch.engine.name}.command",
            )
        return None

    def command(self, launch: Launch, place: Place) -> Command:
        values = {
            "port": str(launch.port),
            "host": launch.host,
            "gpus": ",".join(place.devices),
            "model": launch.model,
            "api_key_file": launch.api_key_file,
            "worker": place.worker,
            "tmpdir": str(place.tmpdir),
        }
        argv = tuple(_filled(word, values) for word in (*launch.engine.command, *launch.raw_args))
        env = {"TMPDIR": str(place.tmpdir), "PORT": str(launch.port)}
        if place.devices:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(place.devices)
        return Command(argv, env)

    def surface(self, launch: Launch) -> Surface:
        ready = "" if launch.engine.ready == "started" else launch.engine.ready
        return Surface(alive=ready, ready=ready, smoke=launch.engine.smoke)

    def version(self, launch: Launch) -> str | None:
        return None

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        return None


def _filled(word: str, values: dict[str, str]) -> str:
    """Only our own placeholders are filled, so that a JSON argument keeps its braces."""
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word
