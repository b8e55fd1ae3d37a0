"""A7: packed or dull bodies that multiply once they are unpacked."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.abuse import bodies
from tests.abuse.conftest import SETTINGS, Watched
from tests.abuse.wire import JSON, ask, assert_answered_or_refused, assert_refused, at_once, post
from tests.conftest import Server

IN_TIME = SETTINGS["large_seconds"] + 3.0

WRONG = {"empty lists": "[]", "empty objects": "{}", "strings": '"a"', "booleans": "true", "nulls": "null", "nested": "[[0]]"}


@pytest.mark.parametrize("words", WRONG)
def test_sixty_kilobytes_of_wrong_elements(words: str, server: Server, watched: Watched) -> None:
    message = post("/v1/evaluate", bodies.packed_rows(WRONG[words]), JSON, "Content-Encoding: gzip")
    with watched(server):
        assert_refused(ask(server, message, IN_TIME))


def test_sixteen_million_rows_of_zero(server: Server, watched: Watched) -> None:
    message = post("/v1/evaluate", bodies.packed_zeros(), JSON, "Content-Encoding: gzip")
    with watched(server):
        given = ask(server, message, IN_TIME)
        assert_answered_or_refused(given)
        assert given.status != 200 or b'"value":0.0' in given.body[:1000]


CROWDS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "whitespace": ("gzip", bodies.packed_whitespace, 200),
    "gzip bombs": ("gzip", partial(bodies.bomb, "gzip"), 413),
    "deflate bombs": ("deflate", partial(bodies.bomb, "deflate"), 413),
}


@pytest.mark.parametrize("kind", CROWDS)
def test_eight_at_once(kind: str, server: Server, watched: Watched) -> None:
    coding, body, status = CROWDS[kind]
    message = post("/v1/evaluate", body(), JSON, f"Content-Encoding: {coding}")
    with watched(server):
        answers = at_once([partial(ask, server, message, 30)] * 8)
    for given in answers:
        assert_answered_or_refused(given, {503, status})
    assert status in {given.status for given in answers}
