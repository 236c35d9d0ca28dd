"""What a profile comes to, and where each part of it comes from: a profile, the engine, the pool, or ourselves. For
`qvlctl profiles` and `show`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from qvl.config.fault import nearest
from qvl.config.settings import Config, Profile
from qvl.model.api import ArgOrigin, ProfileDetail, ProfileInfo
from qvl.model.error import ErrorCode, QvlError
from qvl.model.spec import Engine, EngineKind

HIDDEN: Final = "(hidden)"
OURS: Final = "qvl"
ANEW: Final = "a free one at each start"
_SECRET: Final = re.compile(r"(^|_)(TOKEN|(API)?KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTHORIZATION)(_|$)")
_HUMP: Final = re.compile(r"(?<=[a-z\d])(?=[A-Z])")
"""Where a word begins in `apiKey`."""


def names_a_secret(name: str) -> bool:
    """Whether it is the name of a secret: of a variable, a flag, a header or a field, however it is spelled."""
    return _SECRET.search(_HUMP.sub("_", name).upper().replace("-", "_")) is not None


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


class Around(msgspec.Struct, frozen=True):
    """What comes to a profile where it runs."""

    pool: str | None = None
    settings: dict[str, object] = {}
    """What the pool says of the place: host, port, gpus, api_key_file."""
    argv: tuple[str, ...] = ()
    """The command line of a worker, `raw_args` at its end."""
    env: dict[str, str] = {}
    """What we add to the environment."""


def origins(config: Config, name: str, around: Around | None = None) -> ProfileDetail:
    """QvlError: there is no such profile."""
    around = around or Around()
    profile = find_profile(config, name)
    engine = config.engines[profile.engine]
    args = [ArgOrigin(key, value, _origin(profile, f"args.{key}")) for key, value in profile.args.items()]
    if engine.kind is not EngineKind.COMMAND:
        args += _added(profile, around)
    return ProfileDetail(
        name=name,
        engine=profile.engine,
        model=profile.model,
        args=tuple(sorted(args, key=lambda arg: arg.key)),
        env=tuple(sorted(_environment(profile, engine, around), key=lambda variable: variable.key)),
        raw_args=profile.raw_args,
        command=_shown(around.argv),
        pool=around.pool,
        place=tuple(ArgOrigin(key, value, f"pool {around.pool}") for key, value in around.settings.items()),
    )


def _added(profile: Profile, around: Around) -> Iterator[ArgOrigin]:
    """The flags of the command line that no profile names."""
    flags = flags_in(around.argv[: len(around.argv) - len(profile.raw_args)])
    if profile.model in around.argv and not {"model", "model-path"} & flags.keys():
        flags["model"] = profile.model  # vLLM takes it without a flag
    for key, value in flags.items():
        if key in profile.args or key.removeprefix("no-") in profile.args:
            continue
        if key in ("model", "model-path"):
            yield ArgOrigin(key, value, _origin(profile, "model"))
        elif key in ("host", "port"):
            if around.pool is not None:
                yield ArgOrigin(key, around.settings.get(key, value), f"pool {around.pool}")
        elif key == "nccl-port":
            yield ArgOrigin(key, ANEW, OURS)
        else:
            yield ArgOrigin(key, value, OURS)


def flags_in(argv: Sequence[str]) -> dict[str, object]:
    """`--a 1 --b --c x y` as `{"a": 1, "b": true, "c": ["x", "y"]}`; what comes before the first flag is left out."""
    found: dict[str, list[object]] = {}
    values: list[object] | None = None
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            values = found.setdefault(word[2:], [])
        elif values is not None:
            values.append(_number(word))
    return {key: True if not many else many[0] if len(many) == 1 else many for key, many in found.items()}


def _number(word: str) -> object:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(word)
    return word


def _shown(argv: Sequence[str]) -> tuple[str, ...]:
    """With words in place of ports that are not known before a start."""
    unknown = {"--port": "PORT", "--nccl-port": "NCCL_PORT"}
    before = ["", *argv][: len(argv)]
    return tuple(unknown.get(flag, word) if word == "0" else word for flag, word in zip(before, argv, strict=True))


def _environment(profile: Profile, engine: Engine, around: Around) -> Iterator[ArgOrigin]:
    """Ours go over the user's, except for those that are a default only (see `qvl.daemon.launcher.environment`)."""
    users = {**engine.env, **profile.env}
    ours = {k: v for k, v in around.env.items() if k not in users or not (k == "PATH" or k.startswith("SGLANG_"))}
    for key, value in {**users, **ours}.items():
        if key in ours:
            of_pool = key == "CUDA_VISIBLE_DEVICES" and around.pool is not None
            origin = f"pool {around.pool}" if of_pool else OURS
        else:
            origin = _origin(profile, f"env.{key}") if key in profile.env else f"engine {engine.name}"
        yield _variable(key, ANEW if (key, value) == ("VLLM_PORT", "0") else value, origin)


def find_profile(config: Config, name: str) -> Profile:
    """QvlError with the nearest name where there is none."""
    if name in config.profiles:
        return config.profiles[name]
    hint = nearest(name, config.profiles) or f"known: {', '.join(config.profiles)}"
    raise QvlError(ErrorCode.NOT_FOUND, f'there is no profile "{name}"', hint)


def _origin(profile: Profile, key: str) -> str:
    return f"profile {profile.origins.get(key, profile.name)}"


def _variable(key: str, value: str, origin: str) -> ArgOrigin:
    return ArgOrigin(key, HIDDEN if value and names_a_secret(key) else value, origin)
