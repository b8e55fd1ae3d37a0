"""The recipes of docs/recipes, run as a reader runs them: the Python of a page, block by block, against a service."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGES = sorted(page for page in Path(__file__).with_name("recipes").glob("*.md") if page.name != "README.md")
ADDRESS = "http://localhost:8000"
"""Where the pages look for the service."""
PART = re.compile(r"```(python|json)\n(.*?)```|!\[[^]]*\]\(\.\./pictures/([\w-]+\.svg)\)", re.S)


class Shown(NamedTuple):
    """What a page shows of an answer, and what its code has made of it by then: `answer`, or `picture`."""

    name: str
    """The file of a picture; "answer"."""
    text: str
    """The JSON on the page; of a picture nothing."""
    made: Any


def run(page: Path, address: str) -> Iterator[Shown]:
    """Everything that a page shows, in its order."""
    names: dict[str, Any] = {}
    try:
        for kind, content, picture in PART.findall(page.read_text()):
            if kind == "python":
                exec(compile(content.replace(ADDRESS, address), page.name, "exec"), names)
            elif kind == "json":
                yield Shown("answer", content, names["answer"])
            else:
                yield Shown(picture, "", names["picture"])
    finally:
        if "service" in names:
            names["service"].close()
