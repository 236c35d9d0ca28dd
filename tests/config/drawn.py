"""Random configuration files, most of which a host with four cards can run."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st

Table = dict[str, Any]

ALIASES = ("tp", "tp-size", "tensor-parallel-size")
POLICY_KEYS = {"restart", "health", "stop", "logs"}

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [True, 1, 1.0, "a", "1", ["a", 1], {"k": {"m": 1}}, {"k": {"m": 2, "n": 3}}]
)
ARGS = st.dictionaries(st.sampled_from(["x", "y", "json"]), VALUES, max_size=2)
ENVS = st.dictionaries(st.sampled_from(["E", "F"]), st.sampled_from(["1", "2"]), max_size=2)


def policies() -> st.SearchStrategy[Table]:
    return st.fixed_dictionaries(
        {},
        optional={
            "restart": st.fixed_dictionaries(
                {},
                optional={
                    "mode": st.sampled_from(["always", "on-failure", "never"]),
                    "backoff": st.sampled_from(["1s", 2, "1m"]),
                    "max_restarts": st.integers(0, 3),
                    "causes": st.sampled_from([{}, {"hang": "never"}]),
                },
            ),
            "health": st.fixed_dictionaries({}, optional={"interval": st.sampled_from([5, "5s", "7s"])}),
            "stop": st.fixed_dictionaries({}, optional={"drain": st.sampled_from([0, "60s", "1m"])}),
            "logs": st.fixed_dictionaries({}, optional={"keep": st.integers(0, 5), "max_size": st.just("1MB")}),
        },
    )


@st.composite
def engines(draw: st.DrawFn) -> Table:
    own: Table = {"kind": "command", "command": ["/bin/serve", draw(st.sampled_from(["{port}", "{model}"]))]}
    own["smoke"] = draw(st.sampled_from(["", "/smoke"]))
    own["ready"] = draw(st.sampled_from(["/health", "started"]))
    return {"sim": {"kind": "simulated", "env": draw(ENVS)}, "own": own}


@st.composite
def profiles(draw: st.DrawFn) -> Table:
    def flags(sizes: list[int]) -> Table:
        size = draw(st.sampled_from([None, *sizes]))
        return {**draw(ARGS), **({} if size is None else {draw(st.sampled_from(ALIASES)): size})}

    model = st.sampled_from(["m", "n"])
    unset = st.lists(st.sampled_from(["args.x", "args.tp", "env.E"]), max_size=2, unique=True)
    return {
        "base": {"engine": "sim", "model": draw(model), "args": flags([1, 2]), "env": draw(ENVS), "unset": []},
        "more": {
            "extends": "base",
            "args": flags([1, 2]),
            "unset": draw(unset),
            **draw(st.fixed_dictionaries({}, optional={"model": model, "raw_args": st.just(["--more"])})),
        },
        "own": {
            "engine": "own",
            "model": draw(model),
            "args": flags([1, 2]),
            "raw_args": draw(st.sampled_from([[], ["{gpus}"]])),
            "unset": [],
        },
    }


GPUS: dict[str, list[Any]] = {
    "a": [1, 2, [0], [0, 1], [1, 0], ["GPU-0", "GPU-1"], "all", "none"],
    "b": [1, 2, [2], [2, 3], [3, 2], "none", "none"],
    "c": [2, [1], [0, 1], "none", "none", "none"],
}
"""By pool, so that most draws have a place for all."""


SERVERS = [[], ["http://10.0.0.2:8000"]]
GATEWAYS: st.SearchStrategy[Table] = st.one_of(
    st.just({}),
    st.just({"gateway": "none"}),
    st.fixed_dictionaries(
        {"gateway": st.just("sglang-router")},
        optional={
            "gateway_args": st.sampled_from([{}, {"policy": "random"}]),
            "external_workers": st.sampled_from(SERVERS),
        },
    ),
)


@st.composite
def pools(draw: st.DrawFn) -> Table:
    found: Table = {}
    for name, port in (("a", 8000), ("b", 8100), ("c", 8200)):
        if draw(st.integers(0, 5)) == 0:
            continue
        gpus = draw(st.sampled_from(GPUS[name]))
        if any(pool["gpus"] == "all" for pool in found.values()):
            gpus = "none"
        found[name] = {
            "profile": draw(st.sampled_from(["base", "base", "more", "own"])),
            "gpus": gpus,
            "port": port + draw(st.sampled_from([0, 0, 10])),
            **({"workers": draw(st.integers(1, 3))} if gpus == "none" else {}),
            **draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "host": st.sampled_from(["127.0.0.1", "0.0.0.0"]),
                        "autostart": st.booleans(),
                        "api_key_file": st.sampled_from(["", "/etc/qvl/key"]),
                    },
                )
            ),
            **draw(policies()),
            **draw(GATEWAYS),
        }
    return found


def files() -> st.SearchStrategy[Table]:
    return st.fixed_dictionaries({"engines": engines(), "profiles": profiles(), "pools": pools()})


def edits(before: Table, other: Table, several: int) -> Iterator[Table]:
    """What becomes of one file: each key of another one that differs takes its place by itself, then a few of them at
    once, `several` times, then all."""
    paths = sorted(_differing(before, other))
    draw = random.Random(len(paths))
    few = [draw.sample(paths, min(len(paths), draw.randint(2, 5))) for _ in range(several)]
    for chosen in [*([path] for path in paths), *few, paths]:
        after = copy.deepcopy(before)
        for path in chosen:
            _copy(other, after, path)
            if path[-1] == "gpus":  # the two go together
                _copy(other, after, (*path[:-1], "workers"))
        yield after


def _differing(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where two tables differ: whole pools that only one of them has, else the innermost keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key != "workers":
                yield from _differing(one.get(key), other.get(key), (*path, key))
    elif repr(one) != repr(other):  # to Python True equals 1
        yield path


def _copy(source: Table, target: Table, path: tuple[str, ...]) -> None:
    *tables, key = path
    for name in tables:
        source, target = source.get(name, {}), target.setdefault(name, {})
    if key in source:
        target[key] = copy.deepcopy(source[key])
    else:
        target.pop(key, None)
