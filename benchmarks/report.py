"""Rows of figures, and how they are told: a table for a terminal, one for a document, JSON for a program."""

import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.holders import systemd_version
from benchmarks.peers import CIRCUS, QVL, SUPERVISORD, SYSTEMD, VERSIONS

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
    sides: Sequence[str] = SIDES
    """Who has a column."""
    compared: Sequence[str] = (SUPERVISORD, CIRCUS)
    """With whom ratios are made."""


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
        **({SYSTEMD: version} if (version := systemd_version()) else {}),
    }


def describe(about: Mapping[str, object]) -> str:
    systemd = f", systemd {about[SYSTEMD]}" if SYSTEMD in about else ""
    return (
        f"{about['cores']} cores ({about['architecture']}), {about['memory_gib']} GiB of memory, "
        f"Linux {about['linux']}, Python {about['python']}; supervisord {about[SUPERVISORD]}, circus {about[CIRCUS]}"
        f"{systemd}"
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


def headings(section: Section) -> tuple[str, ...]:
    return ("figure", *section.sides, *(f"vs {peer}" for peer in section.compared))


def lines_of(section: Section) -> list[tuple[str, ...]]:
    return [
        (
            f"{row.figure}, {row.unit}",
            *(cell(row, side) for side in section.sides),
            *(ratio(row, peer) for peer in section.compared),
        )
        for row in section.rows
    ]


def text(sections: Iterable[Section]) -> str:
    """For a terminal: columns as wide as what they hold."""
    tables: dict[tuple[str, ...], list[Section]] = {}
    for section in sections:
        tables.setdefault(headings(section), []).append(section)
    return "\n\n".join("\n".join(_table(columns, those)) for columns, those in tables.items())


def _table(columns: tuple[str, ...], sections: Sequence[Section]) -> list[str]:
    table = [columns, *(line for section in sections for line in lines_of(section))]
    widths = [max(len(line[column]) for line in table) for column in range(len(columns))]

    def laid_out(line: Sequence[str]) -> str:
        first, *others = (
            word.ljust(width) if column == 0 else word.rjust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    out = [laid_out(columns)]
    for section in sections:
        out += ["", section.title, *(laid_out(line) for line in lines_of(section))]
        out += [f"  {note}" for note in notes_of(section)]
    return out


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
                "ratios": {peer: row.ratio(peer) for peer in section.compared},
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

which takes about ten minutes (`--quick`: three) and puts the other two into an environment of their own below
`.cache/`. Where whole trees are to be ended, systemd takes part too: started by root, the run boots one in namespaces.

Machine: {machine}.

Each cell is a median, with least..most in brackets. The last two columns say how many times better qvl is: below 1 it
is worse. Figures move with the machine and with what else runs on it, ratios much less. Nothing in the test suite
asserts them.

The terminal interface has peers of its own: a bare program of its library and, where they are installed, btop and
htop. Named alone, a measurement puts its section into the document that is there, and leaves the others as they are.
"""


def markdown(about: Mapping[str, object], sections: Iterable[Section]) -> str:
    return "\n".join([PREFACE.format(machine=describe(about)), *map(_chapter, sections)]).rstrip() + "\n"


def revised(document: str, sections: Iterable[Section]) -> str:
    """`document` with these sections anew, at their places; those that it has not yet come last."""
    preface, *chapters = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    known = {chapter.partition("\n")[0]: chapter.rstrip() + "\n" for chapter in chapters}
    for section in sections:
        known[f"## {section.title}"] = _chapter(section)
    return "\n".join([preface.rstrip() + "\n", *known.values()]).rstrip() + "\n"


def _chapter(section: Section) -> str:
    columns = headings(section)
    lines = [
        f"## {section.title}",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
        *("| " + " | ".join(line) + " |" for line in lines_of(section)),
        "",
        *(f"- {note}" for note in notes_of(section)),
    ]
    return "\n".join(lines).rstrip() + "\n"
