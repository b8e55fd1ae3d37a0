"""Pictures instead of JSON, for the calls that have one: what the client asks for, and the answer drawn."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import orjson

from app.errors import Fault, InvalidInput, NotAcceptable
from app.serving.accept import EVENTS, JSON, preferred
from app.serving.content import Content
from app.serving.memory import unlimited
from app.wire.json import encode
from app.wire.pictures import png, svg

Theme: TypeAlias = Literal["light", "dark"]
Chart: TypeAlias = Callable[[Mapping[str, Any], Theme], dict[str, Any]]
"""From an answer, as a client reads it, to what is drawn of it: a definition in Vega-Lite. A function of a module."""

SVG, PNG, VEGA_LITE = "image/svg+xml", "image/png", "application/vnd.vegalite+json"
RENDERERS: Mapping[str, Callable[[dict[str, Any]], bytes]] = {SVG: svg, PNG: png}
ENDINGS = {".json": JSON, ".svg": SVG, ".png": PNG}
"""What an address may end with, instead of an Accept header."""
THEME = "theme"
"""The query parameter that every call with a picture takes."""


class Drawing(NamedTuple):
    """That an answer is to be drawn, as what, and in which colours."""

    chart: Chart
    media_type: str
    theme: Theme

    @property
    def rendered(self) -> bool:
        """Whether it takes more than a definition: that is for a process."""
        return self.media_type in RENDERERS


def drawing(chart: Chart, path: str, accept: str, theme: str, *, events: bool) -> Drawing | None:
    """What a client asks for of an answer that can be drawn; None for the answer itself, whole or, where it has them, as events.

    NotAcceptable where it takes none of this, InvalidInput for a theme that there is not.
    """
    if theme not in get_args(Theme):
        message = f"theme must be one of {', '.join(get_args(Theme))}; got {theme[:80]!r}"
        raise InvalidInput([Fault((THEME,), "choice", message)])
    offered = (JSON, SVG, PNG, VEGA_LITE, *((EVENTS,) if events else ()))
    step = path.rpartition("/")[2]
    ending = ENDINGS.get(step[step.find(".") :]) if "." in step else None
    found = ending or preferred(accept, offered)
    if found is None:
        raise NotAcceptable(f"this is answered as {', '.join(offered)}: Accept names none of these")
    return Drawing(chart, found, cast(Theme, theme)) if found in (SVG, PNG, VEGA_LITE) else None


def drawn(result: Any, wanted: Drawing) -> Content:
    """The picture of an answer."""
    definition = wanted.chart(orjson.loads(encode(result)), wanted.theme)
    if not wanted.rendered:
        return Content((encode(definition),), wanted.media_type)
    with unlimited():  # the renderer's engine ends the process where memory is refused; a chart holds few numbers
        return Content((RENDERERS[wanted.media_type](definition),), wanted.media_type)
