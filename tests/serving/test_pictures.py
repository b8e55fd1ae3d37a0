"""Which form of an answer a client gets, by what it accepts: the whole table, and the headers that browsers and tools send."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import InvalidInput, NotAcceptable
from app.serving.accept import EVENTS, JSON, prefers
from app.serving.pictures import PNG, SVG, VEGA_LITE, drawing

CHROME_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
FIREFOX_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8"
SAFARI_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX_IMAGE = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
SAFARI_IMAGE = (
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
)

TABLE = [
    ("", JSON),
    (" ", JSON),
    ("*/*", JSON),
    (CHROME_PAGE, JSON),
    (FIREFOX_PAGE, JSON),
    (SAFARI_PAGE, JSON),
    (CHROME_IMAGE, SVG),
    (FIREFOX_IMAGE, PNG),
    (SAFARI_IMAGE, PNG),
    ("application/json", JSON),
    ("application/json, text/plain, */*", JSON),
    ("application/*", JSON),
    ("image/*", SVG),
    ("image/svg+xml", SVG),
    ("IMAGE/SVG+XML", SVG),
    ("image/png", PNG),
    ("Image/PNG;Q=0.9", PNG),
    ("application/vnd.vegalite+json", VEGA_LITE),
    ("application/vnd.vegalite+json;q=0.5, application/json;q=0.4", VEGA_LITE),
    ("image/svg+xml, application/json", SVG),
    ("application/json, image/svg+xml", JSON),
    ("image/png;q=0.4, image/svg+xml;q=0.6, application/json;q=0.5", SVG),
    ("image/png;q=0.7, image/svg+xml;q=0.6, application/json;q=0.5", PNG),
    ("image/svg+xml;q=0, image/*", PNG),
    ("application/json;q=0, */*", SVG),
    ("image/svg+xml;q=0.2, */*;q=0.1", SVG),
    ("image/png, text/html;q=0.5, */*;q=0.1", PNG),
    ("image/png, */*", PNG),
    ("text/html", None),
    ("text/csv", None),
    ("text/event-stream", None),
    ("image/gif", None),
    ("application/json;q=0", None),
    ("*/*;q=0", None),
    ("image/png;q=0.000", None),
]


def chart(answer: Mapping[str, Any], theme: str) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(("accept", "media_type"), TABLE)
def test_a_client_gets_what_it_likes_best(accept: str, media_type: str | None) -> None:
    if media_type is None:
        with pytest.raises(NotAcceptable, match=r"application/json, image/svg\+xml, image/png"):
            drawing(chart, "/v1/analyze", accept, "light", events=False)
        return
    found = drawing(chart, "/v1/analyze", accept, "dark", events=False)
    assert (found.media_type if found else JSON) == media_type
    assert found is None or (found.theme, found.rendered) == ("dark", media_type in (SVG, PNG))


def test_events_are_an_answer_where_there_are_any() -> None:
    assert drawing(chart, "/v1/train", EVENTS, "light", events=True) is None
    assert drawing(chart, "/v1/train", f"{EVENTS}, image/png;q=0.9", "light", events=True) is None
    found = drawing(chart, "/v1/train", f"{EVENTS};q=0.5, image/png", "light", events=True)
    assert found is not None
    assert found.media_type == PNG


@pytest.mark.parametrize(("ending", "media_type"), [(".svg", SVG), (".png", PNG), (".json", JSON)])
def test_an_ending_says_more_than_the_header(ending: str, media_type: str) -> None:
    for accept in ("", "text/html", "image/png", "application/json", "*/*;q=0"):
        for name in ("huber", "torch.nn.HuberLoss", "x.svg"):
            found = drawing(chart, f"/v1/losses/{name}/curve{ending}", accept, "light", events=False)
            assert (found.media_type if found else JSON) == media_type


def test_a_theme_is_one_of_two() -> None:
    with pytest.raises(InvalidInput, match="theme must be one of light, dark; got 'blue'"):
        drawing(chart, "/v1/train", "image/png", "blue", events=True)


def test_a_page_is_no_reason_against_csv() -> None:
    assert prefers("text/csv, text/html, */*;q=0.1", "text/csv")
    assert not prefers("text/html, */*", "text/csv")
