"""Reads the config file and its drop-ins: bytes in, marked tables out, and a sentence for every way a file can be bad.

Nothing here knows what the keys mean. A file is read once, so that its text and its revision can't disagree.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import toml_rs

from qvl.config.fault import Mark, Report
from qvl.config.paths import drop_ins_of, is_drop_in
from qvl.config.tree import Table, leaves, merge, parse

MAX_BYTES: Final = 1 << 20
MAX_NESTING: Final = 32
"""The parser recurses on the C stack and dies with the process at some thousand levels; nobody writes ten."""
MAX_DOTS: Final = 16
INT64: Final = 1 << 63

# Always a match, also where a string is never closed: to try each quote in vain would take minutes.
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|\'\'\'.*?(?:\'\'\'|\Z)'
    r'|"(?:\\[^\n]|[^"\\\n])*"?|\'[^\'\n]*\'?|#[^\n]*',
    re.DOTALL,
)
_DOTTED: Final = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MAX_DOTS + 1}}}")


@dataclass(frozen=True, slots=True)
class Sources:
    """What lies on disk, merged."""

    table: Table
    revision: str
    """12 hex digits of a SHA-256 over the names and bytes of all files; empty where there is none to read."""
    paths: tuple[Path, ...]
    """The files that were read, or could not be; the main file first."""
    contents: Mapping[Path, bytes]
    """Of those that could be read."""


def read_sources(main: Path, report: Report) -> Sources:
    """The main file, then its drop-ins in name order. What can't be read or parsed is reported and left out."""
    paths = (main, *_drop_ins(main, report))
    digest = hashlib.sha256()
    merged = Table(Mark(main, 0))
    contents: dict[Path, bytes] = {}
    for path in paths:
        data = _read(path, report)
        if data is None:
            continue
        contents[path] = data
        digest.update(f"{path.name}\0{len(data)}\0".encode(errors="surrogateescape") + data)
        table = _parse(path, data, report)
        if path == main and not data.strip():
            report.fault(
                Mark(main, 0), "", "is empty: nothing is configured", "a save cut short? for no pools, write a comment"
            )
        if table:
            merged = merge(merged, table)
    return Sources(merged, digest.hexdigest()[:12] if contents else "", paths, contents)


def _drop_ins(main: Path, report: Report) -> Sequence[Path]:
    folder = drop_ins_of(main)
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, ValueError):
        return ()
    except OSError as error:
        report.fault(Mark(folder, 0), "", f"the drop-ins can't be listed: {_why(error)}")
        return ()
    return tuple(folder / name for name in names if is_drop_in(name))


def _read(path: Path, report: Report) -> bytes | None:
    """Non-blocking, since the open of a named pipe would wait for its writer for ever."""
    here = Mark(path, 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        report.fault(here, "", *_unreadable(path, error))
        return None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            report.fault(here, "", f"is {_file_type(mode)}, not a file")
            return None
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        report.fault(here, "", *_unreadable(path, error))
        return None
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        report.fault(here, "", "is larger than 1 MiB, which no configuration is: it was not read")
        return None
    return data


def _parse(path: Path, data: bytes, report: Report) -> Table | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        report.fault(Mark(path, line), "", f"is not text in UTF-8: byte 0x{data[error.start]:02x} at {error.start}")
        return None
    if "\0" in text:
        report.fault(Mark(path, text.count("\n", 0, text.index("\0")) + 1), "", "is not text: it holds NUL bytes")
        return None
    if line := _too_deep(text):
        report.fault(Mark(path, line), "", f"is nested deeper than {MAX_NESTING} levels")
        return None
    try:
        table = parse(path, text)
    except toml_rs.TOMLDecodeError as error:
        # The parser draws the line with a caret under it; its last line is the sentence.
        sentence = error.msg.rstrip().rpartition("\n")[2]
        report.fault(Mark(path, error.lineno), "", f"is not TOML: {sentence}")
        return None
    for key, leaf in leaves(table):
        if _overflows(leaf.value):
            report.fault(leaf.mark, key, "is too large a number")
    return table


def _overflows(value: object) -> bool:
    """TOML has integers of 64 bits; the parser reads any, and Python itself refuses to print very long ones."""
    match value:
        case int():
            return not -INT64 <= value < INT64
        case list():
            return any(_overflows(item) for item in value)
        case dict():
            return any(_overflows(item) for item in value.values())
    return False


def _too_deep(text: str) -> int:
    """The line at which the text goes deeper than the parser is trusted with, or 0."""
    bare = _STRING.sub(lambda match: "s" + "\n" * match[0].count("\n"), text)
    depth = 0
    for match in re.finditer(r"[\[\]{}]", bare):
        depth = depth + 1 if match[0] in "[{" else max(0, depth - 1)
        if depth > MAX_NESTING:
            return bare.count("\n", 0, match.start()) + 1
    dotted = _DOTTED.search(bare)
    return bare.count("\n", 0, dotted.start()) + 1 if dotted else 0


def _unreadable(path: Path, error: OSError | ValueError) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    if isinstance(error, ValueError):
        return "is no file name", ""
    match error.errno:
        case errno.ENOENT if path.is_symlink():
            return f"is a link to {os.readlink(path)}, which is not there", ""
        case errno.ENOENT:
            return "is not there", "write it, or name another with --config"
        case errno.ELOOP:
            return "is a link that leads back to itself", ""
        case errno.EACCES | errno.EPERM:
            return f"can't be read by user {os.getuid()}: permission denied", ""
        case errno.ENXIO:
            return "is a socket, not a file", ""
    return f"can't be read: {_why(error)}", ""


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _file_type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a device"
