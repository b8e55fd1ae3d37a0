"""A1 to A4: requests of ordinary size that crash, cost without bound, or go on for a client that has left."""

import gzip
import signal
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from tests.abuse import bodies, processes
from tests.abuse.conftest import LEAN, SETTINGS, Serve, Watched, memory_of
from tests.abuse.wire import (
    JSON,
    Answer,
    ask,
    assert_answered_or_refused,
    assert_protocol_refused,
    at_once,
    post,
)
from tests.conftest import Server

IN_TIME = SETTINGS["large_seconds"] + 3.0
"""Seconds until a request that takes too long is given up, and its process replaced."""


def assert_all_well(server: Server) -> None:
    """Every kind of call is answered, and rightly."""
    assert ask(server, post("/v1/evaluate", bodies.TINY), 5).document["value"] == bodies.TINY_VALUE
    assert ask(server, post("/v1/evaluate", bodies.large()), IN_TIME).document["value"] == 1.0
    body, header = bodies.squares(100_000)
    assert ask(server, post("/v2/models/mean_squared_error/infer", body, header), IN_TIME).status == 200
    assert ask(server, post("/v1/train", bodies.short_training()), 10).status == 200


# --- A1 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [18_034, 35_840, 71_713])
def test_answers_of_long_negative_gradients_end_no_process(n: int, server: Server, watched: Watched) -> None:
    before = processes.members(server.port)
    with watched(server):
        document = ask(server, post("/v1/evaluate", bodies.mae(n))).document
        assert document["value"] == 1.0
        assert document["per_sample"] == [1.0] * n
        assert document["gradient"] == [-1 / n] * n
    assert set(before) <= set(processes.members(server.port))


# --- A2 -------------------------------------------------------------------------------------------------------------------

COSTLY: dict[str, Callable[[], bytes]] = {
    "ctc, 10 KB": lambda: bodies.ctc(1, 1450),
    "ctc, 25 KB": lambda: bodies.ctc(1, 3620),
    "ctc, 50 KB": lambda: bodies.ctc(1, 7250),
    "ctc, 400 KB": lambda: bodies.ctc(1, 58_000),
    "ctc, 7 sequences": lambda: bodies.ctc(7, 1000),
    "ctc, 14 sequences": lambda: bodies.ctc(14, 1000),
    "circle, 10 KB": lambda: bodies.circle(1660),
    "circle, 25 KB": lambda: bodies.circle(4160),
    "circle, 50 KB": lambda: bodies.circle(8325),
    "circle, 100 KB": lambda: bodies.circle(16_660),
    "circle, 150 KB": lambda: bodies.circle(24_990),
    "multilabel_margin, 55 KB": lambda: bodies.half_true(bodies.MULTILABEL_MARGIN, 13_700),
    "multilabel_margin, 114 KB": lambda: bodies.half_true(bodies.MULTILABEL_MARGIN, 28_500),
    "multilabel_margin, 400 KB": lambda: bodies.half_true(bodies.MULTILABEL_MARGIN, 100_000),
    "label_ranking_loss, 200 KB": lambda: bodies.half_true(bodies.LABEL_RANKING, 50_000),
    "label_ranking_loss, 400 KB": lambda: bodies.half_true(bodies.LABEL_RANKING, 100_000),
}


@pytest.mark.parametrize("costly", COSTLY)
def test_a_small_request_of_great_cost(costly: str, server: Server, watched: Watched) -> None:
    with watched(server):
        given = ask(server, post("/v1/evaluate", COSTLY[costly]()), IN_TIME)
        assert_answered_or_refused(given, (422, 503))


# --- A3 -------------------------------------------------------------------------------------------------------------------


def leave(server: Server, message: bytes, seconds: float) -> None:
    """Send a request, stay so long, and go without its answer."""
    with server.connect() as connection:
        connection.sendall(message)
        time.sleep(seconds)


def test_work_ends_with_the_client_that_asked_for_it(server: Server, watched: Watched) -> None:
    with watched(server):
        leave(server, post("/v1/evaluate", bodies.circle(110_000)), 1.0)
        assert ask(server, post("/v1/evaluate", bodies.large()), 3.0).document["value"] == 1.0
    assert processes.busy(server.port) < 0.5


def test_processes_that_hang_are_given_up_and_replaced(serve: Serve, watched: Watched) -> None:
    server = serve()
    assert_all_well(server)
    body, header = bodies.squares()
    with watched(server):
        stopped = processes.children(server)
        for pid in stopped:
            processes.send(pid, signal.SIGSTOP)
        began = time.monotonic()
        evaluated, inferred, trained = at_once(
            [
                partial(ask, server, post("/v1/evaluate", bodies.large()), IN_TIME),
                partial(ask, server, post("/v2/models/mean_squared_error/infer", body, header), IN_TIME),
                partial(ask, server, post("/v1/train", bodies.short_training()), SETTINGS["training_seconds"] + 8.0),
            ]
        )
        assert_answered_or_refused(evaluated, (503,))
        assert inferred.status == 200 or not assert_protocol_refused(inferred, (503,))
        assert_answered_or_refused(trained, (503,))
        assert time.monotonic() - began < SETTINGS["training_seconds"] + 8.0
        assert_all_well(server)


# --- A4 -------------------------------------------------------------------------------------------------------------------


def test_many_large_binary_requests_at_once(serve: Serve, watched: Watched) -> None:
    server = serve(**LEAN)
    body, header = bodies.squares()
    message = post("/v2/models/mean_squared_error/infer", body, header)
    with watched(server, memory_of({**SETTINGS, **LEAN})):
        answers = at_once([lambda: _first_value(ask(server, message, 60))] * 40)
    for given in answers:
        if given.status == 200:
            assert float(given.headers["value"]) == 1.0
        else:
            assert_protocol_refused(given, (503,))
    assert any(given.status == 200 for given in answers)


def _first_value(given: Answer) -> Answer:
    """An answer without its 20 MB: of the tensors only the first, which is the value."""
    if given.status != 200:
        return given
    start = int(given.headers["inference-header-content-length"])
    value = float(np.frombuffer(given.body[start : start + 8], "<f8")[0])
    return Answer(200, {"value": repr(value)}, b"")


def test_costly_binary_requests_whose_clients_leave_hold_up_nobody(server: Server, watched: Watched) -> None:
    body, header = bodies.ranking()
    costly = post("/v2/models/label_ranking_loss/infer", body, header)
    packed = post("/v1/evaluate", gzip.compress(bodies.TINY), JSON, "Content-Encoding: gzip")
    with watched(server):
        for _ in range(8):
            leave(server, costly, 0.05)
        assert ask(server, packed, 5).document["value"] == bodies.TINY_VALUE
        assert ask(server, post("/v1/evaluate", bodies.large()), 5).document["value"] == 1.0
    assert processes.busy(server.port) < 0.5
