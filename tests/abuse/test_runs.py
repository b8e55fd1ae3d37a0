"""A8: training runs whose clients leave; streams as their readers need them."""

import time
from typing import Any

from tests.abuse import bodies, processes
from tests.abuse.conftest import SETTINGS, Watched
from tests.abuse.wire import JSON, STREAM, Answer, ask, at_once, post, request
from tests.conftest import Server

LINE = 65_536
"""Bytes that the readers of some languages take in a line at most."""


def test_a_run_ends_with_its_client_whatever_else_it_has_sent(server: Server, watched: Watched) -> None:
    assert ask(server, post("/v1/train", bodies.short_training())).status == 200
    with watched(server):
        with server.connect() as connection:
            connection.sendall(post("/v1/train", bodies.long_training()) + request("GET", "/health/live"))
            time.sleep(1.5)
        began = time.monotonic()
        assert ask(server, post("/v1/train", bodies.short_training())).status == 200
        assert time.monotonic() - began < SETTINGS["training_seconds"] / 2
    assert processes.busy(server.port) < 0.3
    assert '"exception"' not in server.log.read_text()


def test_streams_that_are_left_at_once_cost_the_next_run_little(server: Server, watched: Watched) -> None:
    assert ask(server, post("/v1/train", bodies.short_training())).status == 200
    with watched(server):
        for _ in range(9):
            with server.connect() as connection:
                connection.sendall(post("/v1/train", bodies.long_training(), JSON, STREAM))
                time.sleep(0.15)
        began = time.monotonic()
        given = ask(server, post("/v1/train", bodies.short_training()))
        assert given.status == 200, given
        assert time.monotonic() - began < 2.0
    assert processes.busy(server.port) < 0.3


# --- streams --------------------------------------------------------------------------------------------------------------


class Event(dict[str, str]):
    """The fields of one event, `data` put together from its lines as the standard says."""


def events(body: bytes) -> list[Event]:
    found: list[Event] = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        event = Event()
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                event[name] = (event[name] + "\n" if name in event else "") + value.removeprefix(" ")
        if "data" in event:
            found.append(event)
    return found


def stream(server: Server, body: bytes, *headers: str) -> Answer:
    return ask(server, post("/v1/train", body, JSON, STREAM, *headers), 60)


def test_no_line_of_a_long_stream_is_too_long(serve: Any) -> None:
    server = serve(training_seconds=30)
    given = stream(server, bodies.training(5000, rows=40, hidden=2))
    assert given.status == 200
    assert max(map(len, given.body.split(b"\n"))) <= LINE
    assert sum(event["event"] == "epoch" for event in events(given.body)) == 5000


def test_a_reader_that_connects_again_after_the_end_is_told_to_stop(server: Server) -> None:
    body = bodies.training(10)
    *_, end = events(stream(server, body).body)
    assert end["event"] == "end"
    given = stream(server, body, f"Last-Event-ID: {end['id']}")
    assert (given.status, given.body) == (204, b"")


def test_a_reader_that_connects_again_within_a_run_gets_the_rest(server: Server) -> None:
    body = bodies.training(30)
    whole = events(stream(server, body).body)
    tenth = next(event for event in whole if event["event"] == "epoch" and '"epoch":10,' in event["data"].replace(" ", ""))
    rest = events(stream(server, body, f"Last-Event-ID: {tenth['id']}").body)
    assert _untimed(rest) == _untimed(whole[whole.index(tenth) + 1 :])


def _untimed(given: list[Event]) -> list[tuple[str, str, Any]]:
    """Events but for the seconds they took, which differ from run to run."""
    import json

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items() if name != "seconds"}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return [(event["event"], event["id"], plain(json.loads(event["data"]))) for event in given]


def test_a_crowd_of_trainings_is_answered_or_refused(server: Server, watched: Watched) -> None:
    body = post("/v1/train", bodies.training(200))
    with watched(server):
        answers = at_once([lambda: ask(server, body, 60)] * 30)
    assert {given.status for given in answers} <= {200, 503}
    assert 200 in {given.status for given in answers}
