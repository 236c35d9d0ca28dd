"""Takes secrets out of a stream of bytes before they reach a disk, also where a secret is cut by two reads.

Known values are replaced in the spellings that programs print: as they are, escaped for JSON or by Python's repr,
percent-encoded, and in base64 at any position of a longer text. Of values that nobody told us, those are taken out that
stand under a key's own name; what else may look like a secret is not guessed at.
"""

from __future__ import annotations

import binascii
import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = b"[redacted]"
SHORTEST = 4
"""Fewer characters than this are no secret: they occur in any text."""
SHORTEST_IN_BASE64 = 8
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


# As SGLang prints its arguments: `api_key='x'` up to 0.5.18, `'api_key': 'x'` since; and as a command line has them.
_NAMED = re.compile(
    rb"""((?:api_key|ssl_keyfile_password)['"]?\s*[:=]\s*)(['"])(?:(?!\2).)+\2"""
    rb"""|(--(?:(?:admin-)?api-key|ssl-keyfile-password)(?:=|\s+|['"],\s*['"]))[^\s'",]+"""
)
_NAMES = (b"api_key", b"api-key", b"keyfile_password", b"keyfile-password")


def redact_named(text: bytes) -> bytes:
    """`text`, whole lines, without what stands under the name of one of SGLang's keys: a key of which only the engine's
    own files know."""
    if not any(name in text for name in _NAMES):
        return text
    return _NAMED.sub(lambda found: _masked(found[1], found[2], found[3]), text)


def _masked(field: bytes | None, quote: bytes | None, flag: bytes | None) -> bytes:
    return (flag or b"") + MARK if field is None else field + (quote or b"") + MARK + (quote or b"")


class Redactor:
    """Redacts one stream. `feed` gives back what may be shown now; a tail that may begin a secret waits."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = sorted(spellings(secrets), key=len, reverse=True)
        # The longest first: alternatives are tried in order, and one secret may begin with another.
        self._pattern = re.compile(b"|".join(map(re.escape, self._needles))) if self._needles else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return all that no later byte can turn into part of a secret."""
        if self._pattern is None:
            return data
        if self._held:
            data = self._held + data
        hold = self._hold_from(data, 0)
        if any(needle in data for needle in self._needles):
            shown = []
            done = 0
            for match in self._pattern.finditer(data):
                if match.start() >= hold:
                    break
                shown += [data[done : match.start()], MARK]
                done = match.end()
                if done > hold:
                    hold = self._hold_from(data, done)
            shown.append(data[done:hold])
            self._held = data[hold:]
            return b"".join(shown)
        self._held = data[hold:]
        return data[:hold] if self._held else data

    def finish(self) -> bytes:
        """What was still held back; nothing follows, so the beginning of a secret is no secret."""
        rest, self._held = self._held, b""
        return self._pattern.sub(MARK, rest) if self._pattern else rest

    def _hold_from(self, data: bytes, begin: int) -> int:
        """Where the longest end of `data` starts, not before `begin`, that is the beginning of a secret but not all."""
        hold = len(data)
        for needle in self._needles:
            at = data.find(needle[:1], max(begin, len(data) - len(needle) + 1))
            while 0 <= at < hold:
                if needle.startswith(data[at:]):
                    hold = at
                at = data.find(needle[:1], at + 1)
        return hold


def spellings(secrets: Iterable[str]) -> set[bytes]:
    """Every byte sequence in which one of these values may be printed."""
    found: set[bytes] = set()
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        raw = secret.encode("utf-8", "surrogateescape")
        texts = {
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            repr(raw)[2:-1],
        }
        found.add(raw)
        found.update(text.encode("utf-8", "surrogateescape") for text in texts)
        found.update(_percent(raw))
        found.update(_base64(raw))
    return found


def _percent(raw: bytes) -> set[bytes]:
    """As in a path, in a query and in a form, with digits in either case."""
    found = set()
    for safe in (_UNRESERVED, _UNRESERVED | {ord("/")}):
        for form in ("%{:02X}", "%{:02x}"):
            quoted = "".join(chr(byte) if byte in safe else form.format(byte) for byte in raw)
            found |= {quoted.encode("ascii"), quoted.replace("%20", "+").encode("ascii")}
    return found


def _base64(raw: bytes) -> set[bytes]:
    """The characters that depend on the secret alone, for each of its three positions in a longer text."""
    if len(raw) < SHORTEST_IN_BASE64:
        return set()
    found = set()
    for before in range(3):
        text = binascii.b2a_base64(b"\0" * before + raw, newline=False)
        first = (8 * before + 5) // 6
        last = 8 * (before + len(raw)) // 6
        core = text[first:last]
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found
