"""Charts as pictures: from a definition in Vega-Lite to SVG and PNG, with nothing fetched.

The renderer is a JavaScript engine of some 100 MB that does not survive a fork: only a process of the pool loads it, when a
picture is first asked for.
"""

import re
from html import escape
from typing import Any

CLIP = re.compile(r'(id="clip|="url\(#clip)(\d+)')
PIXELS = 1.5
"""Of a PNG, for each unit of the chart: sharp enough, and drawn in half of the time that twice as many take."""


def svg(definition: dict[str, Any]) -> bytes:
    """The chart as an SVG whose title and description say what is seen."""
    import vl_convert

    picture = vl_convert.vegalite_to_svg(definition, allowed_base_urls=[])
    head, body = _renumbered(picture).split(">", 1)
    title, description = (escape(text, quote=False) for text in texts(definition))
    return f'{head} role="img"><title>{title}</title><desc>{description}</desc>{body}'.encode()


def _renumbered(picture: str) -> str:
    """With its own ids counted from 0: the engine counts on from picture to picture, and the same chart is the same bytes."""
    numbers: dict[str, int] = {}
    return CLIP.sub(lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}", picture)


def png(definition: dict[str, Any]) -> bytes:
    """The chart as a PNG."""
    import vl_convert

    return vl_convert.vegalite_to_png(definition, scale=PIXELS, allowed_base_urls=[])


def texts(definition: dict[str, Any]) -> tuple[str, str]:
    """What the chart is called, and what it shows in words."""
    return definition["title"]["text"], definition["description"]
