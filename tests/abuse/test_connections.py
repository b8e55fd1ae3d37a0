"""A5, A6: heads without end, and clients that are slow, silent, or do not read."""

import selectors
import socket
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.abuse import bodies, processes
from tests.abuse.conftest import LEAN, MIB, SETTINGS, Serve, Watched, memory_of
from tests.abuse.wire import CLOSED, JSON, STREAM, Answer, answer, ask, assert_answered_or_refused, assert_refused, post, request
from tests.conftest import Server

SLACK = 4.0
"""Seconds beyond a deadline within which it has to have been kept."""
PIECE = 1 << 18


# --- A5 -------------------------------------------------------------------------------------------------------------------

HEAD = b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\n"
ENDLESS = {
    "header": (HEAD + b"X-Endless: ", b"a" * PIECE, 300),
    "short headers": (HEAD, b"a: b\r\n" * (PIECE // 6), 100),
    "path": (b"GET /", b"a" * PIECE, 100),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Endless: ", b"a" * PIECE, 100),
    "short trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n" * (PIECE // 6), 100),
    "chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a" * PIECE, 100),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_head_without_end_is_cut(what: str, server: Server, watched: Watched) -> None:
    start, piece, megabytes = ENDLESS[what]
    with watched(server):
        sent, given = _send_until_cut(server, start, piece, megabytes * 1_000_000)
        assert sent < 16_000_000, f"{sent / 1e6:.0f} MB were taken"
        assert_refused(given, (400, 413, 414, 422, 431))


def _send_until_cut(server: Server, start: bytes, piece: bytes, most: int) -> tuple[int, Answer]:
    """Bytes that went out until the server answered or closed, within 15 seconds; and its answer."""
    sent, deadline = 0, time.monotonic() + 15
    with server.connect() as connection, selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        connection.settimeout(15)
        try:
            connection.sendall(start)
            while sent < most and time.monotonic() < deadline:
                if selector.select(0):
                    return sent, answer(connection, 5)
                connection.sendall(piece)
                sent += len(piece)
        except (ConnectionError, TimeoutError):
            return sent, CLOSED
    return sent, CLOSED


@pytest.mark.parametrize("head", ["X-Long: " + "a" * 100_000, "\r\n".join(f"X-{number}: a" for number in range(1000))])
def test_a_head_that_is_too_large_is_refused_in_form(head: str, server: Server) -> None:
    given = ask(server, post("/v1/evaluate", bodies.TINY, JSON, head))
    assert given.status == 431
    assert_refused(given, (431,))
    assert given.headers["connection"] == "close"


# --- A6 -------------------------------------------------------------------------------------------------------------------


@contextmanager
def connections(server: Server, count: int, receive_buffer: int = 0) -> Generator[list[socket.socket]]:
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(20)
            connection.connect((server.host, server.port))
            opened.append(connection)
        yield opened


def still_open(given: Iterable[socket.socket], seconds: float, trickle: Callable[[], None] = lambda: None) -> int:
    """How many the server has not cut within so many seconds."""
    left, deadline = list(given), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        trickle()
        time.sleep(0.25)
        left = [connection for connection in left if not _is_cut(connection)]
    return len(left)


def _is_cut(connection: socket.socket) -> bool:
    """Whether what can be read, an answer or nothing, ends in a close. From here on the connection does not block."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_slow_heads_and_silent_connections_are_closed(server: Server, watched: Watched) -> None:
    with connections(server, 100) as slow, connections(server, 500) as silent, watched(server):
        for connection in slow:
            connection.sendall(HEAD)
        left = still_open([*slow, *silent], SETTINGS["head_seconds"] + SLACK, lambda: _send_to_all(slow, b"X"))
        assert left == 0, f"{left} of 600 are still open"


def _send_to_all(given: Iterable[socket.socket], piece: bytes) -> None:
    for connection in given:
        with suppress(ConnectionError, BlockingIOError):
            connection.sendall(piece)


def test_bodies_that_stall_are_refused_or_cut(serve: Serve, watched: Watched) -> None:
    server, announced, part = serve(**LEAN), 60_000_000, b" " * 5_000_000
    with watched(server, memory_of({**SETTINGS, **LEAN})), connections(server, 200) as stalled:
        for connection in stalled:
            try:
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % announced)
                connection.sendall(part)
            except (ConnectionError, TimeoutError):
                pass
        left = still_open(stalled, 2 * SETTINGS["body_seconds"] + SLACK)
        assert left == 0, f"{left} of 200 are still open"
        assert ask(server, post("/v1/evaluate", bodies.large())).document["value"] == 1.0


def test_a_body_that_stalls_is_told_so(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        given = answer(connection, 2 * SETTINGS["body_seconds"] + SLACK)
    assert_refused(given, (408,))


def test_answers_that_nobody_reads_are_dropped(server: Server, watched: Watched) -> None:
    memory, descriptors = processes.pss(server.port), processes.descriptors(server)
    with watched(server), connections(server, 25, receive_buffer=4096) as deaf:
        message = post("/v1/evaluate", bodies.long_answer())
        for connection in deaf:
            connection.sendall(message)
        # they are worked on one after another, and the deadline of the last begins with its answer
        deadline = time.monotonic() + 5 + SETTINGS["write_seconds"] + SLACK
        while processes.descriptors(server) > descriptors + 1 + _refused(deaf) and time.monotonic() < deadline:
            time.sleep(0.25)  # what is in the system's buffers does not tell whether more is to come
        assert processes.pss(server.port) - memory < 200 * MIB
        held = sum(_is_whole(connection) for connection in deaf)
        assert held == 0, f"{held} of 25 answers were held for somebody who did not read"


def _refused(given: Iterable[socket.socket]) -> int:
    return sum(_begins(connection).startswith(b"HTTP/1.1 503") for connection in given)


def _begins(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    try:
        return connection.recv(12, socket.MSG_PEEK)
    except (BlockingIOError, ConnectionError):
        return b""


def _is_whole(connection: socket.socket) -> bool:
    """Whether a long answer can still be read to its end."""
    return answer(connection, 10).status == 200


def test_streams_that_nobody_reads_hold_up_other_runs_no_longer_than_their_time(serve: Serve, watched: Watched) -> None:
    server = serve(training_seconds=1)
    assert ask(server, post("/v1/train", bodies.short_training())).status == 200
    with watched(server), connections(server, 9, receive_buffer=4096) as deaf:
        for connection in deaf:
            connection.sendall(post("/v1/train", bodies.training(10_000), JSON, STREAM))
        deadline = time.monotonic() + 9 * 2.0 + SLACK
        while (
            given := ask(server, post("/v1/train", bodies.short_training()), 60)
        ).status == 503 and time.monotonic() < deadline:
            assert_refused(given, (503,))
            time.sleep(0.2)
        assert given.status == 200
        assert time.monotonic() < deadline


def test_requests_pipelined_behind_a_training_wait_outside(server: Server, watched: Watched) -> None:
    assert ask(server, post("/v1/train", bodies.short_training())).status == 200
    one = request("GET", "/")
    message = post("/v1/train", bodies.long_training()) + one * (252_000 // len(one))
    before = processes.pss(server.port)
    with watched(server), connections(server, 9) as piped:
        for connection in piped:
            connection.sendall(message)
        time.sleep(2)
        assert processes.pss(server.port) - before < 100 * MIB


def test_a_hundred_clients_that_leave_at_any_point_leave_nothing(server: Server, watched: Watched) -> None:
    assert_answered_or_refused(ask(server, post("/v1/evaluate", bodies.large())))
    message, before = post("/v1/evaluate", bodies.large()), processes.descriptors(server)
    with watched(server):
        for number in range(100):
            with server.connect() as connection:
                connection.sendall(message[: number * len(message) // 99])
    deadline = time.monotonic() + 10
    while (left := processes.descriptors(server)) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left <= before
    assert '"exception"' not in server.log.read_text()
