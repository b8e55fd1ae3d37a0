"""How much, how long and how many: the limits of heads, bodies, answers and connections, on raw sockets."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving.servers import (
    CLOSE,
    HOST,
    JAVA,
    LAST,
    POST,
    EchoServer,
    echo_server,
    in_bytes,
    is_echo,
    is_in_form,
    parsed,
    until_closed,
    wait_until,
    whole,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    with echo_server(tmp_path_factory.mktemp("echo")) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    """A server that waits for nobody."""
    deadlines: dict[str, Any] = {"head_seconds": 0.4, "body_seconds": 0.4, "write_seconds": 0.4, "keep_alive_seconds": 0.8}
    with echo_server(tmp_path_factory.mktemp("hasty"), **deadlines) as running:
        yield running


# --- how much a head may be

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
ENDLESS = {
    "header": (POST + b"X-A: ", b"a"),
    "name": (POST, b"a"),
    "headers": (POST, b"a: b\r\n"),
    "path": (b"GET /", b"a"),
    "method_less_lines": (b"", b"\r\n"),
    "trailer": (CHUNKED + b"0\r\nX-A: ", b"a"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "chunk_extension": (CHUNKED + b"3;", b"a"),
    "upgrade": (POST + JAVA, b"a: b\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_without_end_is_refused_and_costs_no_memory(name: str, server: EchoServer) -> None:
    start, more = ENDLESS[name]
    block = more * (2**20 // len(more))
    before = peak_bytes(server)
    with server.connect() as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it does not have to wait for all of this
            connection.sendall(start)
            for _ in range(12):
                connection.sendall(block)
            connection.shutdown(socket.SHUT_WR)
        (answer,) = parsed(until_closed(connection))
    assert is_in_form(answer, 431)
    assert peak_bytes(server) - before < 8 * 2**20


def peak_bytes(server: EchoServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize(("fields", "status"), [(98, 200), (99, 431)])
@pytest.mark.parametrize("where", ["head", "trailer"])
def test_a_request_has_100_fields_at_most(fields: int, status: int, where: str, server: EchoServer) -> None:
    more = b"a: b\r\n" * (fields - 1)
    head, trailer = (more, b"") if where == "head" else (b"", more)
    raw = POST + CLOSE + b"Transfer-Encoding: chunked\r\n" + head + b"\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n"
    (answer,) = server.say(raw)
    assert answer.status == status


@pytest.mark.parametrize(("size", "status"), [(65_000, 200), (65_600, 431)])
@pytest.mark.parametrize("segments", [whole, in_bytes])
def test_a_head_has_64_kib_at_most(size: int, status: int, segments: Callable[[bytes], list[bytes]], server: EchoServer) -> None:
    first = [
        b"GET /" + b"a" * (size // 2) + b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-A: ",
        b"a" * (size // 2),
        b"\r\n\r\n",
    ]
    (answer,) = server.say(*segments(b"".join(first)))
    assert answer.status == status


# --- deadlines


def test_a_silent_connection_is_closed_without_a_word(hasty: EchoServer) -> None:
    assert hasty.say() == []


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost", POST, POST + JAVA + b"Content-Length: 3\r\n"])
def test_a_head_that_stops_is_given_up(start: bytes, hasty: EchoServer) -> None:
    (answer,) = hasty.say(start)
    assert is_in_form(answer, 408)


def test_a_head_that_trickles_is_given_up_all_the_same(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        connection.settimeout(0.05)
        received = trickled(connection, POST + b"X-A: ", b"a", 0.05)
    assert is_in_form(parsed(received)[0], 408)


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 3\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A"]
)
@pytest.mark.parametrize("upgrade", [b"", JAVA])
def test_a_body_that_stops_is_given_up(rest: bytes, upgrade: bytes, hasty: EchoServer) -> None:
    (answer,) = hasty.say(POST + upgrade + rest)
    assert is_in_form(answer, 408)


def test_a_body_that_trickles_is_given_up(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        received = trickled(connection, POST + b"Content-Length: 100000\r\n\r\n", b"a", 0.05)
    assert is_in_form(parsed(received)[0], 408)


def test_a_body_that_was_fast_and_then_stops_is_given_up(hasty: EchoServer) -> None:
    (answer,) = hasty.say(POST + b"Content-Length: 2000000\r\n\r\n" + bytes(1_900_000))
    assert is_in_form(answer, 408)


def test_a_slow_body_that_is_fast_enough_is_served(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        connection.sendall(POST + CLOSE + b"Content-Length: 24000\r\n\r\n")
        for _ in range(24):  # for three times the deadline
            connection.sendall(bytes(1000))
            time.sleep(0.05)
        (answer,) = parsed(until_closed(connection))
    assert is_echo(answer, "/first", bytes(24_000))


def trickled(connection: socket.socket, start: bytes, more: bytes, pause: float) -> bytes:
    """What is answered to one who sends a little every now and then."""
    connection.sendall(start)
    connection.settimeout(pause)
    for _ in range(int(30 / pause)):
        try:
            if chunk := connection.recv(65536):
                return chunk
        except TimeoutError:
            connection.sendall(more)
    raise AssertionError("nothing was answered")


def test_an_idle_connection_is_kept_for_its_time_and_then_closed(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n")
        start = time.monotonic()
        (answer,) = parsed(until_closed(connection))
        assert time.monotonic() - start > 0.7
    assert is_echo(answer, "/first")


def test_one_who_does_not_read_is_cut(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until(lambda: '"status":null' in hasty.log.read_text())
        assert len(until_closed(connection)) < 50_000_000  # what the system had taken over


def test_one_who_reads_slowly_gets_it_all(hasty: EchoServer) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
        received = b""
        for _ in range(20):  # for several times the deadline
            received += connection.recv(1_000_000)
            time.sleep(0.1)
        (answer,) = parsed(received + until_closed(connection))
    assert len(answer.body) == 50_000_000


# --- much at once


@pytest.mark.parametrize("close", [b"", CLOSE])
@pytest.mark.parametrize("size", [10_000, 20_000_000])
def test_an_answer_that_comes_before_its_body_is_there_reaches_one_who_reads_it_after_all_is_sent(
    size: int, close: bytes, server: EchoServer
) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\n" + HOST + close + b"Content-Length: %d\r\n\r\n" % size)
        wait_until(lambda: connection.recv(17, socket.MSG_PEEK) == b"HTTP/1.1 200 OK\r\n")
        connection.sendall(bytes(size))  # where the connection was reset, this fails
        connection.shutdown(socket.SHUT_WR)
        (answer,) = parsed(until_closed(connection))
    assert answer.body == b"early"


def test_a_large_body_takes_its_memory_from_the_system_once(server: EchoServer) -> None:
    """The pieces of 50 MB are 12,000 pages: to have each of them anew for each copy is what the loop would wait for."""
    body = bytes(50_000_000)
    for limit in (None, 4000):
        before = page_faults(server)
        (answer,) = server.say(POST + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body), body)
        assert is_echo(answer, "/first", body)
        assert limit is None or page_faults(server) - before < limit


def page_faults(server: EchoServer) -> int:
    return int(Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[7])


# --- connections


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    with echo_server(tmp_path, connections=3) as server, ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in connections:
            connection.sendall(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        answer = server.get("/")
        assert is_in_form(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        connections[0].close()
        wait_until(lambda: server.get("/").status == 200)


# --- pipelines, and connections that end


def test_a_refused_request_waits_for_the_answers_before_it(server: EchoServer) -> None:
    broken = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz"
    *answers, refusal = server.say(
        b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n", (POST + b"Content-Length: 1\r\n\r\na") * 3, broken
    )
    assert [answer.json()["length"] for answer in answers] == [0, 1, 1, 1]
    assert is_in_form(refusal, 400)


def test_a_body_that_breaks_where_it_had_to_wait_is_refused_once(server: EchoServer) -> None:
    broken = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 1000 + b"xyz"
    first, refusal = server.say(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n" + broken)
    assert is_echo(first, "/first")
    assert is_in_form(refusal, 400)
    assert '"exception"' not in server.log.read_text()


def test_a_body_that_breaks_after_the_answer_ends_the_connection(server: EchoServer) -> None:
    (answer,) = server.say(b"POST /early HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz")
    assert answer.status in (200, 400)  # whichever was first, it is one answer


@pytest.mark.parametrize(
    "behind", [b"", b"GET /b HTTP/1.1\r\nHost: test\r\n\r\n", b"GET /b HTTP/1.1\r\nHost: test\r\n\r\n" * 7000]
)
def test_an_application_hears_that_its_client_has_left_whatever_is_behind_it(behind: bytes, server: EchoServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /waits-for-the-end HTTP/1.1\r\n" + HOST + b"\r\n" + behind)
        wait_until(lambda: server.get("/open").json() == ["/waits-for-the-end"])
    wait_until(lambda: server.get("/open").json() == [])


def test_a_burst_of_requests_is_answered_in_turn_and_little_of_it_kept(server: EchoServer) -> None:
    """9700 requests of 27 bytes behind one that waits: as many scopes and events would be 80 MiB."""
    before = peak_bytes(server)
    with server.connect() as other, server.connect() as connection:
        other.sendall(b"GET /waits-for-the-end HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until(lambda: server.get("/open").json() != [])
        connection.sendall(b"GET /waits-for-others HTTP/1.1\r\n" + HOST + b"\r\n")
        burst = b"".join(b"POST /%d HTTP/1.1\r\nHost:x\r\n\r\n" % i for i in range(6000)) + LAST
        connection.sendall(burst)
        assert server.get("/").status == 200
        assert peak_bytes(server) - before < 8 * 2**20
        other.close()
        first, *answers, last = parsed(until_closed(connection))
    assert first.json()["path"] == "/waits-for-others"
    assert [answer.json()["path"] for answer in answers] == [f"/{i}" for i in range(6000)]
    assert is_echo(last, "/last")


def test_more_than_is_kept_may_be_sent_behind_a_request_that_waits(server: EchoServer) -> None:
    with server.connect() as other, server.connect() as connection:
        other.sendall(b"GET /waits-for-the-end HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until(lambda: server.get("/open").json() != [])
        connection.sendall(b"GET /waits-for-others HTTP/1.1\r\n" + HOST + b"\r\n")
        connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n")
        connection.sendall(bytes(1_000_000))  # what is not read is in the system's buffers
        connection.sendall(LAST)
        other.close()
        _, second, last = parsed(until_closed(connection))
    assert is_echo(second, "/first", bytes(1_000_000))
    assert is_echo(last, "/last")


# --- the end of the server


@pytest.mark.parametrize("grace", [0, 1])
def test_a_request_that_is_half_there_when_the_server_ends_is_told_so(grace: int, tmp_path: Path) -> None:
    with echo_server(tmp_path, shutdown_seconds=grace) as server, server.connect() as half_body, server.connect() as half_head:
        half_head.sendall(b"GET / HTTP/1.1\r\nHo")
        half_body.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        assert half_body.recv(100).startswith(b"HTTP/1.1 100")  # so the application waits for it
        half_body.sendall(b"half")
        assert server.signal(signal.SIGTERM) == 0
        for half in (half_body, half_head):
            (answer,) = parsed(until_closed(half))
            assert is_in_form(answer, 503)
    assert '"exception"' not in server.log.read_text()
