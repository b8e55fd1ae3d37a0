"""Processes that are killed or stopped in the middle of work: only their own requests fail, and all is well afterwards."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.abuse import bodies, processes
from tests.abuse.conftest import SETTINGS, Serve, Watched
from tests.abuse.test_runs import events
from tests.abuse.test_work import assert_all_well
from tests.abuse.wire import JSON, STREAM, Answer, ask, assert_protocol_refused, assert_refused, post
from tests.conftest import Server

DEADLINE = SETTINGS["large_seconds"] + 3.0
RUN_DEADLINE = SETTINGS["training_seconds"] + 5.0


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
def test_a_lost_process_costs_its_own_request(fault: signal.Signals, serve: Serve, watched: Watched) -> None:
    server = serve()
    assert_all_well(server)
    count = len(processes.children(server))
    assert count
    with watched(server):
        for index in range(count):
            members = processes.children(server)
            victim = members[min(index, len(members) - 1)]
            _busy_while(server, lambda victim=victim: processes.send(victim, fault))
            assert_all_well(server)


def _busy_while(server: Server, fault: Callable[[], None]) -> None:
    """Large requests of both kinds one after another, and a streamed run; the fault comes in their midst."""
    over = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        evaluated = pool.submit(_one_after_another, lambda: _evaluate(server), over)
        inferred = pool.submit(_one_after_another, lambda: _infer(server), over)
        run = pool.submit(_train, server)
        time.sleep(0.7)
        fault()
        time.sleep(1.0)
        over.set()
        lost = sum([*evaluated.result(), *inferred.result(), run.result()])
    assert lost <= 1, f"{lost} requests were lost to one process"


def _one_after_another(call: Callable[[], bool], over: threading.Event) -> list[bool]:
    lost: list[bool] = []
    while not over.is_set():
        lost.append(call())
    return lost


def _timed(server: Server, message: bytes, deadline: float) -> Answer:
    began = time.monotonic()
    given = ask(server, message, deadline + 20)
    assert time.monotonic() - began < deadline
    return given


def _evaluate(server: Server) -> bool:
    """Whether the request was lost."""
    given = _timed(server, post("/v1/evaluate", bodies.mae(1_000_000)), DEADLINE)
    if given.status == 200:
        assert b'"value":1.0' in given.body[:1000]
        return False
    assert given.status == 503
    assert_refused(given, (503,))
    return True


def _infer(server: Server) -> bool:
    body, header = bodies.squares()
    given = _timed(server, post("/v2/models/mean_squared_error/infer", body, header), DEADLINE)
    if given.status != 200:
        assert given.status == 503
        assert_protocol_refused(given, (503,))
    return given.status != 200


def _train(server: Server) -> bool:
    """A stream that has begun cannot change its status any more: it ends with an event."""
    given = _timed(server, post("/v1/train", bodies.training(3000), JSON, STREAM), RUN_DEADLINE)
    if given.status != 200:
        assert given.status == 503
        assert_refused(given, (503,))
        return True
    last = events(given.body)[-1]
    assert last["event"] in ("end", "error")
    return last["event"] == "error"
