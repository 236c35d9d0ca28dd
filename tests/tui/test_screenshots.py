"""The pictures of the documentation show what the program draws. After a change: `make screenshots`."""

import asyncio
import re
from html import unescape
from pathlib import Path

import pytest

from tools.screenshots import SHOTS, picture, with_keys

DOCS = Path(__file__).parents[2] / "docs" / "tui"


def words(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_is_up_to_date(name: str) -> None:
    assert words(asyncio.run(picture(SHOTS[name]))) == words((DOCS / f"{name}.svg").read_text(encoding="utf-8"))


def test_the_document_has_the_keys_that_the_program_has() -> None:
    document = DOCS.with_name("tui.md").read_text(encoding="utf-8")
    assert document == with_keys(document)
