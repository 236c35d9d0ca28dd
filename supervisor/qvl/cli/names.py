"""Names that people type: what they mean, and the nearest one where they mean nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.client.documents import PoolDoc, StatusDoc, WorkerDoc
    from qvl.model.error import QvlError

ALL = "all"


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that `word` may have been meant to be, the likeliest first."""
    names = list(known)
    begun = [name for name in names if word and name.startswith(word)]
    from difflib import get_close_matches

    close = get_close_matches(word, names, n=3, cutoff=0.6)
    return list(dict.fromkeys([*close, *begun]))[:3]


def unknown(kind: str, word: str, known: Iterable[str]) -> QvlError:
    """The refusal of a name, with the nearest ones, or all of them where they are few."""
    from qvl.model.error import ErrorCode, QvlError

    names = sorted(known)
    close = nearest(word, names)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif names and len(names) <= 8:
        hint = f"there is {', '.join(names)}"
    else:
        hint = "see all names: qvlctl status"
    return QvlError(ErrorCode.NOT_FOUND, f"unknown {kind} {word!r}", hint)


class Target:
    """A name that an act is for, with the workers behind it."""

    __slots__ = ("gateways", "is_pool", "name", "workers")

    def __init__(self, name: str, *, is_pool: bool, workers: tuple[str, ...], gateways: tuple[str, ...] = ()) -> None:
        self.name = name
        self.is_pool = is_pool
        self.workers = workers
        """With the gateways."""
        self.gateways = gateways
        """Those of a pool that is meant as a whole."""


def targets(words: Iterable[str], doc: StatusDoc) -> list[Target]:
    """What the words name: a worker, a pool, or all. Raises QvlError for a word that names nothing."""
    pools = {pool["name"] for pool in doc["pools"]}
    fronts = {front["name"]: pool["name"] for pool in doc["pools"] if (front := pool.get("gateway"))}
    workers = {worker["name"]: worker["pool"] for worker in doc["workers"]} | fronts
    found = []
    for word in dict.fromkeys(words):
        if word == ALL:
            found.append(Target(word, is_pool=True, workers=tuple(workers), gateways=tuple(fronts)))
        elif word in workers:
            found.append(Target(word, is_pool=False, workers=(word,)))
        elif word in pools:
            members = tuple(name for name, pool in workers.items() if pool == word)
            own = tuple(name for name, pool in fronts.items() if pool == word)
            found.append(Target(word, is_pool=True, workers=members, gateways=own))
        else:
            raise unknown("worker or pool", word, [*pools, *workers, ALL])
    return found


def chosen_workers(words: Iterable[str], doc: StatusDoc) -> list[WorkerDoc]:
    """The workers that the words name, in the order of the status; all of them where there is no word."""
    wanted = {name for target in targets(words, doc) for name in target.workers}
    return [worker for worker in doc["workers"] if not words or worker["name"] in wanted]


def named_pools(words: Iterable[str], doc: StatusDoc) -> set[str]:
    """The pools that the words name, by their own names or by those of their gateways."""
    asked = set(words)
    found = {pool["name"]: pool.get("gateway") for pool in doc["pools"]}
    return {name for name, front in found.items() if name in asked or (front and front["name"] in asked)}


def one_pool(name: str | None, pools: list[PoolDoc], *, option: str) -> PoolDoc:
    """The named pool, or the only one there is."""
    from qvl.model.error import ErrorCode, QvlError

    names = [pool["name"] for pool in pools]
    if name is not None:
        match = next((pool for pool in pools if pool["name"] == name), None)
        if match is None:
            raise unknown("pool", name, names)
        return match
    if not pools:
        raise QvlError(ErrorCode.NOT_FOUND, "there is no pool", "add one to the configuration: qvlctl edit")
    if len(pools) > 1:
        message = f"there are {len(pools)} pools: {', '.join(names)}"
        raise QvlError(ErrorCode.BAD_REQUEST, message, f"say which one: {option} --pool {names[0]}")
    return pools[0]
