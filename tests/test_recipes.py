"""Every recipe is run as a reader runs it, and answers what its page shows."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from docs.pictures import FOLDER
from docs.recipe import PAGES, Shown, run
from tests.conftest import Server

INDEX = (Path(PAGES[0].parent) / "README.md").read_text()


def differs(shown: Any, made: Any) -> bool:
    """Whether an answer is not what is shown of it: numbers to the digits that are written."""
    if isinstance(shown, dict):
        return any(name not in made or differs(part, made[name]) for name, part in shown.items())
    if isinstance(shown, list):
        return len(shown) != len(made) or any(differs(*pair) for pair in zip(shown, made, strict=True))
    if isinstance(shown, Decimal):
        digits = int(shown.as_tuple().exponent)
        return abs(Decimal(made) - shown) > Decimal("0.5001") * Decimal(10) ** digits
    return type(shown) is not type(made) or shown != made


def words(picture: str) -> list[str]:
    """What a picture says: its title and description, or its texts where it has none."""
    root = ElementTree.fromstring(picture)
    found = [element.text or "" for element in root if re.search(r"\}(title|desc)$", element.tag)]
    return found or [element.text or "" for element in root.iter() if element.tag.endswith("}text")]


def mismatch(shown: Shown) -> str | None:
    if shown.name == "answer":
        page = json.loads(shown.text, parse_float=Decimal)
        return f"{shown.text} is shown, {shown.made} is answered" if differs(page, shown.made) else None
    file = (FOLDER / shown.name).read_text()
    return None if words(file) == words(shown.made) else f"{shown.name} shows something else: make pictures"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_is_what_its_page_shows(page: Path, server: Server) -> None:
    found = [*run(page, server.url)]
    assert [wrong for shown in found if (wrong := mismatch(shown))] == []
    assert {"answer", "picture"} <= {"answer" if shown.name == "answer" else "picture" for shown in found}


def test_what_is_not_answered_is_found_out() -> None:
    assert not differs(json.loads('{"a": [0.12, 1]}', parse_float=Decimal), {"a": [0.1249, 1], "b": 2})
    assert differs(json.loads('{"a": [0.12, 1]}', parse_float=Decimal), {"a": [0.126, 1]})
    assert differs(json.loads('{"a": [0.12]}', parse_float=Decimal), {"a": [0.12, 1]})
    assert differs({"a": None}, {"a": 1})


def test_the_index_has_every_recipe() -> None:
    assert sorted(re.findall(r"\(([\w-]+\.md)\)", INDEX)) == [page.name for page in PAGES]
    assert len(PAGES) == 6
