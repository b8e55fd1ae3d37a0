"""B: what is refused, and in which form."""

import time
from collections.abc import Callable

import pytest

from tests.abuse import bodies, processes
from tests.abuse.wire import (
    JSON,
    SECURITY_HEADERS,
    Answer,
    answer,
    ask,
    assert_answered_or_refused,
    assert_protocol_refused,
    assert_refused,
    post,
    request,
    until_closed,
)
from tests.conftest import Server

TINY = len(bodies.TINY)


def raw(server: Server, message: bytes) -> Answer:
    """The answer to bytes that may be no request."""
    with server.connect() as connection:
        connection.sendall(message)
        return answer(connection, 10, message.partition(b" ")[0].decode(errors="replace"))


# --- B1 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/train", "/v1/train/compare"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_page_of_another_origin_is_refused(path: str, origin: str, server: Server) -> None:
    body = bodies.TINY if path == "/v1/evaluate" else bodies.short_training()
    given = ask(server, post(path, body, f"Origin: {origin}", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"))
    assert given.status == 403
    assert_refused(given, (403,))


def test_a_protocol_request_of_another_origin_is_refused(server: Server) -> None:
    body, header = bodies.squares(10)
    given = ask(server, post("/v2/models/mean_squared_error/infer", body, header, "Sec-Fetch-Site: cross-site"))
    assert given.status == 403
    assert_protocol_refused(given, (403,))


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_pages_of_this_origin_and_tools_are_answered(site: str, server: Server) -> None:
    given = ask(server, post("/v1/evaluate", bodies.TINY, JSON, f"Sec-Fetch-Site: {site}"))
    assert given.document["value"] == bodies.TINY_VALUE


# --- B2 -------------------------------------------------------------------------------------------------------------------

LINE = b"POST /v1/evaluate HTTP/1.1\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (TINY, bodies.TINY)
UNCLEAR = {
    "no host": LINE + b"Content-Length: %d\r\n\r\n%s" % (TINY, bodies.TINY),
    "two hosts": LINE + b"Host: a\r\nHost: b\r\nContent-Length: %d\r\n\r\n%s" % (TINY, bodies.TINY),
    "gzip, chunked": LINE + b"Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "identity, chunked": LINE + b"Host: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n" + CHUNKED,
    "gzip": LINE + b"Host: a\r\nTransfer-Encoding: gzip\r\n\r\n" + CHUNKED,
    "length and chunked": LINE + b"Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "two lengths": LINE + b"Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "a negative length": LINE + b"Host: a\r\nContent-Length: -1\r\n\r\n",
    "connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_a_request_that_is_unclear_is_refused(what: str, server: Server) -> None:
    given = raw(server, UNCLEAR[what])
    assert given.status in ((400, 404, 405, 501) if what == "connect" else (400,)), given
    assert_refused(given, (400, 404, 405, 501))
    assert_has_our_headers(given)


# --- B3 -------------------------------------------------------------------------------------------------------------------

WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
REFUSED: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "no json": (post("/v1/evaluate", b"{"), (400,)),
    "a wrong field": (post("/v1/evaluate", b'{"loss":1}'), (422,)),
    "no such address": (request("GET", "/none"), (404,)),
    "no such method": (request("PUT", "/v1/evaluate"), (405,)),
    "a strange method": (request("BREW", "/v1/evaluate"), (400, 405, 501)),
    "another type": (post("/v1/evaluate", b"a", "Content-Type: application/xml"), (415,)),
    "another coding": (post("/v1/evaluate", b"a", JSON, "Content-Encoding: br"), (415,)),
    "a range that runs backwards": (request("GET", "/docs/static/swagger-ui.css", b"", "Range: bytes=9-1"), (200, 400, 404, 416)),
    "a range past the end": (request("GET", "/docs/static/swagger-ui.css", b"", "Range: bytes=99999999-"), (200, 404, 416)),
    "a query that is not known": (request("GET", "/v1/losses?serach=huber"), (422,)),
    "a run of no epochs": (post("/v1/train", bodies.training(0)), (422,)),
    "a stream of no epochs": (post("/v1/train", bodies.training(0), JSON, "Accept: text/event-stream"), (422,)),
    "too large": (LINE + b"Host: a\r\nContent-Length: 999999999999\r\n\r\n", (413,)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_refusal_is_a_problem(what: str, server: Server) -> None:
    message, statuses = REFUSED[what]
    given = ask(server, message)
    assert given.status in statuses
    if given.status != 200:
        assert_refused(given, statuses)
    assert_has_our_headers(given)


def test_a_websocket_is_declined(server: Server) -> None:
    """RFC 9110 §7.8: who does not speak the other protocol answers the request as it stands, or refuses it in form."""
    given = ask(server, request("GET", "/health/live", b"", *WEBSOCKET))
    assert given.status
    assert_answered_or_refused(given, (400, 403, 404, 426))
    assert_has_our_headers(given)


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/losses", "/health/live", "/docs", "/openapi.json", "/none"])
def test_every_answer_has_our_headers(path: str, server: Server) -> None:
    assert_has_our_headers(ask(server, request("GET", path)))


def assert_has_our_headers(given: Answer) -> None:
    assert given.status
    assert not set(SECURITY_HEADERS) - set(given.headers)


@pytest.mark.parametrize("path", ["/v1/evaluate", "/none", "/docs"])
def test_no_answer_says_what_it_is_served_by(path: str, server: Server) -> None:
    assert "server" not in ask(server, request("GET", path)).headers


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/losses", "/docs", "/openapi.json"])
def test_answers_say_whether_they_may_be_kept(path: str, server: Server) -> None:
    assert "cache-control" in ask(server, request("GET", path)).headers


# --- B8 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/huber", "/v2/models/huber/ready"])
def test_another_method_of_the_protocol(path: str, server: Server) -> None:
    given = ask(server, post(path, b"{}"))
    assert given.status == 405
    assert "GET" in given.headers["allow"]
    assert_protocol_refused(given, (405,))


# --- Upgrade --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upgrade", ["h2c", "TLS/1.2", "websocket"])
def test_a_body_is_never_the_next_request(upgrade: str, server: Server) -> None:
    """Head and body in two segments; the body looks like a request, and is none."""
    body = b"GET /v1/losses/mse HTTP/1.1\r\nHost: x\r\n\r\n"
    head = post(
        "/v1/evaluate",
        body,
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {upgrade}",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        JSON,
    )
    with server.connect() as connection:
        connection.sendall(head[: -len(body)])
        time.sleep(0.2)  # so that they come as two
        connection.sendall(body)
        first = answer(connection, 5)
        assert first.status == 400
        assert_refused(first, (400,))
        assert "empty" not in first.document["detail"]
        if first.headers.get("connection") != "close":
            connection.sendall(request("GET", "/health/live", b"", "Connection: close"))
            second = answer(connection, method="GET")
            assert second.document == {"status": "ok"}
        assert until_closed(connection) == b""


def test_requests_pipelined_with_an_upgrade_are_all_answered(server: Server) -> None:
    one = request("GET", "/health/live", b"", "Connection: Upgrade", "Upgrade: h2c")
    with server.connect() as connection:
        connection.sendall(one + request("GET", "/health/live", b"", "Connection: close"))
        assert until_closed(connection).count(b'{"status":"ok"}') == 2


# --- nothing is left ------------------------------------------------------------------------------------------------------

LEAVING: dict[str, Callable[[], bytes]] = {
    "cross-site training": lambda: post("/v1/train", bodies.long_training(), JSON, "Sec-Fetch-Site: cross-site"),
    "wrong training": lambda: post("/v1/train", bodies.training(5, surplus=1)),
    "wrong evaluate": lambda: post("/v1/evaluate", bodies.large().replace(b'"mae"', b'"none"')),
    "too large": lambda: LINE + b"Host: a\r\nContent-Length: 999999999999\r\n\r\n",
}


@pytest.mark.parametrize("what", LEAVING)
def test_what_is_refused_leaves_nothing(what: str, server: Server) -> None:
    message = LEAVING[what]()
    for body, path in ((bodies.large(), "/v1/evaluate"), (bodies.short_training(), "/v1/train")):
        assert ask(server, post(path, body)).status == 200
    before = len(processes.members(server.port)), processes.descriptors(server), processes.pss(server.port)
    for _ in range(20):
        assert ask(server, message).status in (403, 413, 422)
    members, descriptors, memory = before
    assert len(processes.members(server.port)) <= members
    assert processes.descriptors(server) <= descriptors + 1
    assert processes.pss(server.port) < memory + 30_000_000
    assert processes.busy(server.port, 0.5) < 0.3
    assert '"exception"' not in server.log.read_text()
