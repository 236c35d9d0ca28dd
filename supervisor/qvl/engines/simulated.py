"""The simulated engine: our own `qvl.simulator`, which takes SGLang's flags, logs and answers as SGLang does."""

import sys
from pathlib import Path

import qvl
from qvl.engines.advice import advice_of
from qvl.engines.base import Command, Place, Refusal, Surface, flags_of, surroundings
from qvl.engines.flags import Flag, FlagTable
from qvl.engines.sglang import key_file, serving_flags, surface_of
from qvl.engines.sglang_flags.source import table_of
from qvl.model.spec import Launch
from qvl.model.worker import Cause
from qvl.simulator.flags import FLAGS

SIMULATED_VERSION = "0.5.18 (simulated)"


class SimulatedDriver:
    def preflight(self, launch: Launch) -> Refusal | None:
        return None

    def command(self, launch: Launch, place: Place) -> Command:
        files = {"sglang.yaml": key_file(place.api_key)} if place.api_key else {}
        defaults = {} if "enable-metrics" in launch.args else {"enable-metrics": True}
        argv = [
            *(sys.executable, "-I", "-S", "-c", BOOT, str(Path(qvl.__file__).parent.parent)),
            *serving_flags(launch, place, bool(files)),
            *flags_of(defaults),
            *flags_of(launch.args),
            *launch.raw_args,
        ]
        env = surroundings(place)
        if place.simulated_gpus is not None:
            env["QVL_SIMULATED_GPUS"] = str(place.simulated_gpus)
        return Command(tuple(argv), env, ("PROMETHEUS_MULTIPROC_DIR",), files)

    def surface(self, launch: Launch) -> Surface:
        return surface_of(launch)

    def version(self, launch: Launch) -> str | None:
        return qvl.__version__

    def advice(self, launch: Launch, cause: Cause, evidence: str) -> str | None:
        return advice_of(simulated_table(), launch, cause, evidence)


def simulated_table() -> FlagTable:
    return table_of(
        SIMULATED_VERSION,
        [
            Flag(
                name=flag.name,
                spellings=(flag.name, *flag.aliases),
                choices=flag.choices or None,
                takes_value=not flag.type.startswith("bool"),
                repeated=flag.nargs in ("+", "*"),
                boolean_optional=flag.type == "bool-optional",
            )
            for flag in FLAGS
        ],
    )


BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from qvl.simulator.__main__ import main; main()"
"""Without `site`, which would cost each worker 30 ms: the simulator needs the standard library only."""
