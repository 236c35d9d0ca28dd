"""Rows of figures, and how they are told: a table for a terminal, one for a document, JSON for a program."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.peers import CIRCUS, QVL, SUPERVISORD, VERSIONS

SIDES = (QVL, SUPERVISORD, CIRCUS)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. A side that has no such thing, or was not measured, has no samples."""

    figure: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    better: Literal["less", "more", ""] = "less"
    note: str = ""

    def median(self, side: str) -> float | None:
        values = self.samples.get(side)
        return statistics.median(values) if values else None

    def ratio(self, peer: str) -> float | None:
        """How many times better than `peer` qvl is: below 1 it is worse. None where one of them is zero or absent."""
        ours, theirs = self.median(QVL), self.median(peer)
        if not ours or not theirs or not self.better:
            return None
        return theirs / ours if self.better == "less" else ours / theirs


@dataclass(frozen=True, slots=True)
class Section:
    """What one measurement found."""

    name: str
    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())


def machine() -> dict[str, object]:
    """What the figures depend on, in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "architecture": platform.machine(),
        "linux": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        **VERSIONS,
    }


def describe(about: Mapping[str, object]) -> str:
    return (
        f"{about['cores']} cores ({about['architecture']}), {about['memory_gib']} GiB of memory, "
        f"Linux {about['linux']}, Python {about['python']}; supervisord {about[SUPERVISORD]}, circus {about[CIRCUS]}"
    )


def number(value: float) -> str:
    """Three digits that count; a count stays whole."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(row: Row, side: str) -> str:
    """The median, and least..most where they differ."""
    values = row.samples.get(side)
    if not values:
        return "–"
    median, least, most = (number(value) for value in (statistics.median(values), min(values), max(values)))
    return median if least == most else f"{median} ({least}..{most})"


def ratio(row: Row, peer: str) -> str:
    value = row.ratio(peer)
    return "–" if value is None else f"{number(value)}×"


HEADINGS = ("figure", *SIDES, "vs supervisord", "vs circus")


def lines_of(section: Section) -> list[tuple[str, ...]]:
    return [
        (f"{row.figure}, {row.unit}", *(cell(row, side) for side in SIDES), ratio(row, SUPERVISORD), ratio(row, CIRCUS))
        for row in section.rows
    ]


def text(sections: Iterable[Section]) -> str:
    """For a terminal: columns as wide as what they hold."""
    sections = list(sections)
    table = [HEADINGS, *(line for section in sections for line in lines_of(section))]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]

    def laid_out(line: Sequence[str]) -> str:
        first, *others = (
            word.ljust(width) if column == 0 else word.rjust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    out = [laid_out(HEADINGS)]
    for section in sections:
        out += ["", section.title, *(laid_out(line) for line in lines_of(section))]
        out += [f"  {note}" for note in notes_of(section)]
    return "\n".join(out)


def notes_of(section: Section) -> list[str]:
    return [*section.notes, *(f"{row.figure}: {row.note}" for row in section.rows if row.note)]


def as_json(about: Mapping[str, object], scale: str, sections: Iterable[Section]) -> dict[str, object]:
    return {
        "version": 1,
        "scale": scale,
        "machine": dict(about),
        "figures": [
            {
                "measurement": section.name,
                "figure": row.figure,
                "unit": row.unit,
                "better": row.better or None,
                "note": row.note or None,
                "sides": {
                    side: {"median": row.median(side), "min": min(values), "max": max(values), "samples": list(values)}
                    for side, values in row.samples.items()
                    if values
                },
                "ratios": {peer: row.ratio(peer) for peer in (SUPERVISORD, CIRCUS)},
            }
            for section in sections
            for row in section.rows
        ],
    }


PREFACE = """\
# Benchmarks

qvl beside [supervisord](https://supervisord.org) and [circus](https://circus.readthedocs.io), measured in turns in one
run on one machine. Generated by

    python -m benchmarks --markdown docs/benchmarks.md

which takes about six minutes (`--quick`: one and a half) and puts the other two into an environment of their own
below `.cache/`.

Machine: {machine}.

Each cell is a median, with least..most in brackets. The last two columns say how many times better qvl is: below 1 it
is worse. Figures move with the machine and with what else runs on it, ratios much less. Nothing in the test suite
asserts them.
"""


def markdown(about: Mapping[str, object], sections: Iterable[Section]) -> str:
    out = [PREFACE.format(machine=describe(about))]
    for section in sections:
        out += [f"## {section.title}", ""]
        out += ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
        out += ["| " + " | ".join(line) + " |" for line in lines_of(section)]
        out += ["", *(f"- {note}" for note in notes_of(section)), ""]
    return "\n".join(out).rstrip() + "\n"
