"""What a profile comes to, and which profile or engine each part of it comes from: for `qvlctl profiles` and `show`."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from qvl.config.fault import nearest
from qvl.config.settings import Config, Profile
from qvl.model.api import ArgOrigin, ProfileDetail, ProfileInfo
from qvl.model.error import ErrorCode, QvlError

HIDDEN: Final = "(hidden)"
SECRET_NAME: Final = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)")
"""Environment variables that are secrets by their names."""


def profile_infos(config: Config, running: Mapping[str, str] | None = None) -> tuple[ProfileInfo, ...]:
    """`running`: pool -> the profile it runs, where that isn't the file's."""
    runs = {name: (running or {}).get(name, pool.profile) for name, pool in config.pools.items()}
    return tuple(
        ProfileInfo(
            name=profile.name,
            engine=profile.engine,
            model=profile.model,
            extends=profile.extends,
            used_by=tuple(pool for pool, name in runs.items() if name == profile.name),
        )
        for profile in config.profiles.values()
    )


def origins(
    config: Config, name: str, *, ours: Mapping[str, object] | None = None, command: Sequence[str] = ()
) -> ProfileDetail:
    """`ours`: arguments that we set ourselves; `command`: the line that a worker would get. QvlError: not found."""
    profile = find_profile(config, name)
    engine = config.engines[profile.engine]
    args = [ArgOrigin(key, value, "qvl") for key, value in (ours or {}).items() if key not in profile.args]
    args += [ArgOrigin(key, value, _origin(profile, f"args.{key}")) for key, value in profile.args.items()]
    env = [_variable(key, engine.env[key], f"engine {engine.name}") for key in engine.env if key not in profile.env]
    env += [_variable(key, value, _origin(profile, f"env.{key}")) for key, value in profile.env.items()]
    return ProfileDetail(
        name=name,
        engine=profile.engine,
        model=profile.model,
        args=tuple(sorted(args, key=lambda arg: arg.key)),
        env=tuple(sorted(env, key=lambda variable: variable.key)),
        raw_args=profile.raw_args,
        command=tuple(command),
    )


def find_profile(config: Config, name: str) -> Profile:
    """QvlError with the nearest name where there is none."""
    if name in config.profiles:
        return config.profiles[name]
    hint = nearest(name, config.profiles) or f"known: {', '.join(config.profiles)}"
    raise QvlError(ErrorCode.NOT_FOUND, f'there is no profile "{name}"', hint)


def _origin(profile: Profile, key: str) -> str:
    return f"profile {profile.origins.get(key, profile.name)}"


def _variable(key: str, value: str, origin: str) -> ArgOrigin:
    return ArgOrigin(key, HIDDEN if value and SECRET_NAME.search(key) else value, origin)
