"""GET /: the page on which one sees a loss, feeds it data, and watches it train. All it asks for are the public calls."""

from pathlib import Path
from typing import Annotated

from app.api.assets import Assets, page
from app.serving.address import Path as InPath
from app.serving.call import Call
from app.serving.content import Content

FOLDER = Path(__file__).parents[1] / "playground"
PAGE = "page.html"
CHARTS = FOLDER / "vega.js.gz"
"""What draws charts: vl-convert's bundle of Vega and vega-embed, as `make vega` writes it."""
ASSETS = Assets([CHARTS, *(path for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".svg"))])


def playground() -> Content:
    return page((FOLDER / PAGE).read_text(encoding="utf-8").replace("{version}", ASSETS.version))


def playground_file(version: Annotated[str, InPath()], name: Annotated[str, InPath()]) -> Content:
    return ASSETS.get(version, name)


CALLS = (
    Call(method="GET", path="/", function=playground, summary="The page", constant=True),
    Call(
        method="GET",
        path="/playground/{version}/{name}",
        function=playground_file,
        summary="A file of the page",
        constant=True,
    ),
)
