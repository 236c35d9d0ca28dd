"""check: whether a configuration would be taken, with every fault at its line. Needs no daemon and touches nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from qvl.cli.context import Context
from qvl.cli.terminal import Paint
from qvl.cli.units import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.config.fault import Fault
    from qvl.config.load import Loaded
    from qvl.config.settings import Config, Profile
    from qvl.model.spec import Launch

EXAMPLES = """examples:
  qvlctl check                     the configuration of this host
  qvlctl check ./new.toml && sudo cp ./new.toml /etc/qvl/qvl.toml"""


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    parser.add_argument("file", nargs="?", metavar="FILE", help="the file; its drop-ins are looked for beside it")
    return check


def check(context: Context, args: argparse.Namespace) -> int:
    """Faults and warnings are what was asked for, so they go to stdout, as a linter's do."""
    path = Path(args.file).expanduser().absolute() if args.file else context.places.paths.config
    loaded = load_with_flags(path)
    loaded = replace(loaded, warnings=(*loaded.warnings, *about_models(path, loaded.config)))
    if context.json:
        context.print_json(document(path, loaded))
    else:
        print_faults(loaded, context.paint)
    if loaded.faults:
        return refused(path, loaded)
    if not context.json:
        config = loaded.config
        pools, profiles = (len(config.pools), len(config.profiles)) if config else (0, 0)
        print(f"{path} is valid: {count(pools, 'pool')}, {count(profiles, 'profile')}")
    return 0


def load_with_flags(path: Path) -> Loaded:
    """As the daemon loads it: with the flags of the engines that are installed here."""
    from qvl.config.flags import installed_check
    from qvl.config.load import load

    return load(path, flag_check=installed_check())


def about_models(path: Path, config: Config | None) -> list[Fault]:
    """What this host has to say of the models that pools run: another one may have them, so they are warnings."""
    from qvl.config.fault import Fault
    from qvl.host.carrying import environment_of, look

    found: list[Fault] = []
    if config is None:
        return found
    for name in sorted({pool.profile for pool in config.pools.values()}):
        launch = launch_of(config, config.profiles[name])
        for concern in look(launch, (), environment_of(launch), shm=None).concerns:
            found.append(Fault(path, 0, f"profiles.{name}", concern.message, concern.hint or ""))
    return found


def launch_of(config: Config, profile: Profile) -> Launch:
    """A worker of a profile, wherever it may be placed."""
    from qvl.config.fleet import launch_args
    from qvl.model.spec import Launch

    engine = config.engines[profile.engine]
    args = launch_args(engine, profile.args)
    return Launch(engine=engine, model=profile.model, args=args, raw_args=profile.raw_args, env=profile.env)


def print_faults(loaded: Loaded, paint: Paint, said: Callable[[str], str] = str) -> None:
    for fault in loaded.faults:
        print(said(str(fault)))
    for warning in loaded.warnings:
        print(paint("warning:", "warn"), said(str(warning)))


def refused(path: Path, loaded: Loaded) -> int:
    print(f"error: {path} is refused: {count(len(loaded.faults), 'fault')}", file=sys.stderr)
    print("hint: mend the lines above; nothing that runs is touched by them", file=sys.stderr)
    return 1


def document(path: Path, loaded: Loaded) -> dict[str, object]:
    return {
        "version": 1,
        "path": str(path),
        "valid": not loaded.faults,
        "revision": loaded.revision,
        "files": [str(source) for source in loaded.sources],
        "faults": documents(loaded.faults),
        "warnings": documents(loaded.warnings),
    }


def documents(faults: Iterable[Fault]) -> list[dict[str, object]]:
    return [
        {
            "file": str(fault.file),
            "line": fault.line,
            "key": fault.key,
            "message": fault.message,
            "nearest": fault.nearest,
            "text": str(fault),
        }
        for fault in faults
    ]
