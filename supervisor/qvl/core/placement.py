"""Which GPUs and which port each worker of each pool takes.

Pure: what the pools ask for and the cards of the host come in, slots and clashes go out. A card that the host lacks is
no clash: its worker exists and waits for it, so that a card that fell off the bus doesn't take its worker along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from qvl.model.aliases import PLACEMENT_ALIASES
from qvl.model.gpu import Gpu

Card: TypeAlias = int | str
"""An index or a UUID."""
Value = TypeVar("Value")

MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pool asks for."""

    pool: str
    gpus: str | int | Sequence[Card]
    """`all`, `none`, how many cards, or which."""
    workers: int
    """How many, where `gpus` is `none`."""
    group: int
    """Cards of one worker."""
    port: int
    gateway: bool = False
    """Whether `port` is that of a gateway, and its workers' follow it."""

    @property
    def first_port(self) -> int:
        """The port of the first worker."""
        return self.port + 1 if self.gateway else self.port


@dataclass(frozen=True, slots=True)
class Slot:
    """What one worker takes."""

    index: int
    gpus: tuple[Card, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Clash:
    """Why a pool can't have what it asks for. `key` is the key of the pool that is to be changed."""

    pool: str
    key: str
    message: str


@dataclass(slots=True)
class Placement:
    slots: dict[str, tuple[Slot, ...]] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)
    notes: list[Clash] = field(default_factory=list)
    """Worth saying, and no reason to refuse."""


def canonical(args: Mapping[str, Value]) -> dict[str, Value]:
    """One name for each flag; where two spellings meet, the later one counts, as on a command line."""
    return {PLACEMENT_ALIASES.get(name, name): value for name, value in args.items()}


def group_size(args: Mapping[str, object]) -> int:
    """Cards of one server: tensor × pipeline × data parallel, and vLLM's prefill-context parallel. With data-parallel
    attention the data-parallel ranks share the tensor-parallel ones (SGLang's `launch_dp_attention_schedulers`), so
    that dp doesn't multiply."""
    known = canonical(args)
    sizes = ["tp-size", "pp-size", "prefill-context-parallel-size"]
    if known.get("enable-dp-attention") is not True:
        sizes.append("dp-size")
    size = 1
    for name in sizes:
        value = known.get(name, 1)
        size *= value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
    return size


def place(asks: Sequence[Ask], inventory: Sequence[Gpu] | None) -> Placement:
    """Cards that are named go first, then counts take the lowest that are free, in the order of the pools.

    `inventory` None is a host that isn't known: names are checked against each other all the same, and a pool with
    `all` gets no slots.
    """
    made = Placement()
    cards = _Cards(made, inventory)
    taken: dict[str, tuple[Card, ...] | None] = {}
    for ask in asks:
        if not isinstance(ask.gpus, str | int):
            taken[ask.pool] = cards.named(ask, ask.gpus)
    for ask in asks:
        if isinstance(ask.gpus, int):
            taken[ask.pool] = cards.counted(ask, ask.gpus)
    _only_all(asks, made)
    for ask in asks:
        if ask.gpus == "all":
            taken[ask.pool] = cards.all(ask)
        made.slots[ask.pool] = _slots(ask, taken.get(ask.pool))
    _ports(asks, made)
    return made


class _Cards:
    """Who has which card."""

    def __init__(self, made: Placement, inventory: Sequence[Gpu] | None) -> None:
        self._made = made
        self._inventory = inventory
        self._index_of = {gpu.uuid: gpu.index for gpu in inventory or ()}
        self._owners: dict[Card, str] = {}

    def named(self, ask: Ask, listed: Sequence[Card]) -> tuple[Card, ...]:
        seen: dict[Card, Card] = {}
        for card in listed:
            same = self._index_of.get(card, card) if isinstance(card, str) else card
            if same in seen:
                self._clash(ask, f"lists one GPU twice, as {seen[same]} and as {card}")
            seen[same] = card
            owner = self._owners.setdefault(same, ask.pool)
            if owner != ask.pool:
                self._clash(ask, f"takes GPU {card}, which pool {owner} has")
        self._divides(ask, len(listed))
        return tuple(listed)

    def counted(self, ask: Ask, count: int) -> tuple[Card, ...]:
        self._divides(ask, count)
        known = sorted(gpu.index for gpu in self._inventory or ())
        # Past the last card the numbering goes on, so that the worker waits for a card that has a name.
        first = known[-1] + 1 if known else 0
        beyond = range(first, first + len(self._owners) + count)
        free = [index for index in (*known, *beyond) if index not in self._owners][:count]
        self._owners.update(dict.fromkeys(free, ask.pool))
        return tuple(free)

    def all(self, ask: Ask) -> tuple[Card, ...] | None:
        if self._inventory is None:
            return None
        known = sorted(gpu.index for gpu in self._inventory)
        if len(known) < ask.group:
            return tuple(sorted((*known, *_missing(known, ask.group - len(known)))))
        left = len(known) % ask.group
        if left:
            text = f"leaves {left} of {len(known)} GPUs idle, since a worker takes {ask.group}"
            self._made.notes.append(Clash(ask.pool, "gpus", text))
        return tuple(known[: len(known) - left])

    def _divides(self, ask: Ask, count: int) -> None:
        if count % ask.group:
            self._clash(ask, f"has {count} GPUs, and its profile's parallel sizes take {ask.group} for a worker")

    def _clash(self, ask: Ask, message: str) -> None:
        self._made.clashes.append(Clash(ask.pool, "gpus", message))


def _missing(known: Sequence[int], count: int) -> tuple[int, ...]:
    """The lowest indexes that the host lacks."""
    return tuple(index for index in range(len(known) + count) if index not in known)[:count]


def _only_all(asks: Sequence[Ask], made: Placement) -> None:
    """A pool with all GPUs leaves none to the others."""
    whole = [ask.pool for ask in asks if ask.gpus == "all"]
    for ask in asks:
        if whole and ask.pool != whole[0] and ask.gpus != "none":
            text = f"takes GPUs, and pool {whole[0]} has all of them"
            made.clashes.append(Clash(ask.pool, "gpus", text))


def _slots(ask: Ask, cards: tuple[Card, ...] | None) -> tuple[Slot, ...]:
    if ask.gpus == "none":
        return tuple(Slot(index, (), ask.first_port + index) for index in range(ask.workers))
    if cards is None:
        return ()
    groups = [cards[at : at + ask.group] for at in range(0, len(cards), ask.group)]
    return tuple(Slot(index, group, ask.first_port + index) for index, group in enumerate(groups))


def _ports(asks: Sequence[Ask], made: Placement) -> None:
    """One port has one worker, whatever addresses they listen on: the port is how people tell workers apart."""
    before: list[tuple[Ask, int]] = []
    for ask in asks:
        last = ask.first_port + max(1, len(made.slots[ask.pool])) - 1
        if last > MAX_PORT:
            made.clashes.append(
                Clash(ask.pool, "port", f"needs ports {ask.port} to {last}, and {MAX_PORT} is the last")
            )
        for other, other_last in before:
            first, end = max(ask.port, other.port), min(last, other_last)
            if first <= end:
                ports = f"port {first}" if first == end else f"ports {first} to {end}"
                made.clashes.append(Clash(ask.pool, "port", f"takes {ports}, which pool {other.pool} has"))
        before.append((ask, last))
