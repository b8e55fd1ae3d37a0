"""What a stranger may send: over raw sockets, to a server in its own process."""

import hashlib
import json
from collections.abc import Callable, Iterator

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
    whole,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    with echo_server(tmp_path_factory.mktemp("echo")) as running:
        yield running


# --- Upgrade

UPGRADES = [
    JAVA,
    b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
BODIES = {
    "length": (b"Content-Length: %d\r\n\r\n" % len(SMUGGLED), SMUGGLED),
    "chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"4\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (SMUGGLED[:4], len(SMUGGLED) - 4, SMUGGLED[4:]),
    ),
}


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("segments", [whole, in_bytes])
def test_an_upgrade_is_ignored_and_its_body_is_no_request(
    upgrade: bytes, framing: str, segments: Callable[[bytes], list[bytes]], server: EchoServer
) -> None:
    head, body = BODIES[framing]
    raw = POST + upgrade + head + body
    first, second, last = server.say(*segments(raw + raw + LAST))
    assert is_echo(first, "/first", SMUGGLED)
    assert is_echo(second, "/first", SMUGGLED)
    assert is_echo(last, "/last")


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", BODIES)
def test_the_body_behind_an_upgrade_may_come_long_after_the_head(upgrade: bytes, framing: str, server: EchoServer) -> None:
    head, body = BODIES[framing]
    with server.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\n" + upgrade + head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # so the head has been read, and alone
        connection.sendall(body + LAST)
        first, last = parsed(until_closed(connection))
    assert is_echo(first, "/first", SMUGGLED)
    assert is_echo(last, "/last")


def test_requests_without_a_body_may_all_ask_for_an_upgrade(server: EchoServer) -> None:
    get = b"GET /a?b=%20 HTTP/1.1\r\n" + HOST + JAVA + b"\r\n"
    *answers, last = server.say(get * 500 + LAST)
    assert len(answers) == 500
    assert all(is_echo(answer, "/a") for answer in answers)
    assert is_echo(last, "/last")


def test_an_upgrade_leaves_the_other_fields_and_the_close_alone(server: EchoServer) -> None:
    raw = b"PUT /first HTTP/1.1\r\nHost: test\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\nX-Other: a:  b\r\nX-Empty:\r\n\r\n"
    (answer,) = server.say(raw)
    assert answer.json()["method"] == "PUT"
    assert answer.json()["headers"] == [
        ["host", "test"],
        ["connection", "close, Upgrade"],
        ["x-other", "a:  b"],
        ["x-empty", ""],
    ]


# --- what is no request, or not surely one

MALFORMED = {
    "words": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http2_as_text": b"GET / HTTP/2.0\r\nHost: test\r\n\r\n",
    "http0.9": b"GET /\r\n\r\n",
    "connect": b"CONNECT test:443 HTTP/1.1\r\nHost: test\r\n\r\n",
    "connect_upgrade": b"CONNECT test:443 HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "path_not_ascii": b"GET /\xff HTTP/1.1\r\nHost: test\r\n\r\n",
    "no_path": b"GET  HTTP/1.1\r\nHost: test\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "no_host_upgrade": b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n",
    "two_hosts_1.0": b"GET / HTTP/1.0\r\nHost: test\r\nHost: test\r\n\r\n",
    "length_and_chunked": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_and_length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two_lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "same_length_twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list_of_lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed_length": POST + b"Content-Length: +3\r\n\r\nabc",
    "negative_length": POST + b"Content-Length: -3\r\n\r\nabc",
    "hex_length": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "underscored_length": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "empty_length": POST + b"Content-Length:\r\n\r\n",
    "length_beyond_64_bits": POST + b"Content-Length: 18446744073709551619\r\n\r\nabc",
    "gzip_chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity_chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked_identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked_twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked_1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded": POST + b"X-A: a\r\n b\r\n\r\n",
    "folded_encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare_cr": POST + b"X-A: a\rContent-Length: 3\r\n\r\n",
    "bare_lf": b"GET / HTTP/1.1\nHost: test\n\n",
    "nul": POST + b"X-A: a\x00b\r\n\r\n",
    "space_before_colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "space_in_name": POST + b"Content Length: 3\r\n\r\nabc",
    "no_colon": POST + b"Content-Length\r\n\r\n",
    "empty_name": POST + b": 3\r\n\r\n",
    "chunk_of_no_number": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "chunk_of_hex_prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "signed_chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "chunk_beyond_64_bits": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    "chunk_longer_than_said": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "chunk_bare_lf": POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "length_as_trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
    "chunk_space": POST + b"Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_answered_once_in_form_and_nothing_behind_it_is_heard(name: str, server: EchoServer) -> None:
    (answer,) = server.say(MALFORMED[name] + SMUGGLED)
    assert is_in_form(answer, 400)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_refusal_is_never_taken_for_the_answer_of_the_request_before(name: str, server: EchoServer) -> None:
    first, refusal = server.say(b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n" + MALFORMED[name] + SMUGGLED)
    assert is_echo(first, "/first")
    assert is_in_form(refusal, 400)


ONE_REQUEST = {
    "chunk_extension": (b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", b"abc"),
    "chunk_leading_zeros": (b"Transfer-Encoding: chunked\r\n\r\n000003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "chunked_in_capitals": (b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "leading_zeros": (b"Content-Length: 0003\r\n\r\nabc", b"abc"),
    "trailers": (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\nHost: evil\r\n\r\n", b"abc"),
    "blank_lines_after": (b"Content-Length: 3\r\n\r\nabc\r\n\r\n", b"abc"),
    "large": (b"Content-Length: 3000000\r\n\r\n" + bytes(3_000_000), bytes(3_000_000)),
    "many_chunks": (b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n", b"a" * 50_000),
}


@pytest.mark.parametrize("name", ONE_REQUEST)
def test_odd_but_plain_framing_is_one_request(name: str, server: EchoServer) -> None:
    rest, body = ONE_REQUEST[name]
    answer, last = server.say(POST + rest + LAST)
    assert is_echo(answer, "/first", body)
    assert is_echo(last, "/last")
    assert not {"x-a", "evil"} & {word for field in answer.json()["headers"] for word in field}


def test_http_1_0_needs_no_host(server: EchoServer) -> None:
    (answer,) = server.say(b"GET /old HTTP/1.0\r\n\r\n")
    assert is_echo(answer, "/old")


def test_an_absolute_address_is_taken(server: EchoServer) -> None:
    (answer,) = server.say(b"GET http://test HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    assert is_echo(answer, "/")


# --- answers in form


def test_a_refusal_is_one_line_of_the_log_with_client_and_id(server: EchoServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"hello\r\n\r\n")
        (answer,) = parsed(until_closed(connection))
    (line,) = (line for line in server.log.read_text().splitlines() if answer.headers["x-request-id"] in line)
    told = json.loads(line)
    assert (told["event"], told["client"], told["status"]) == ("connection", "127.0.0.1", 400)


@pytest.mark.parametrize("path", ["/fails", "/says-nothing"])
def test_an_application_that_fails_is_answered_in_form(path: str, server: EchoServer) -> None:
    answer = server.get(path)
    assert is_in_form(answer, 500)
    assert b"secret" not in answer.body


def test_an_answer_that_fails_midway_is_cut(server: EchoServer) -> None:
    assert server.get("/fails-midway").body == b"4\r\nhalf\r\n"  # and not the chunk that ends it


def test_a_head_and_the_first_of_its_body_are_one_write(server: EchoServer) -> None:
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            (answer,) = parsed(connection.recv(1 << 16))
            assert answer.status == 200


def test_answers_have_a_date_and_no_server(server: EchoServer) -> None:
    answer = server.get("/")
    assert "date" in answer.headers
    assert "server" not in answer.headers


def test_the_echo_is_what_it_is_taken_for(server: EchoServer) -> None:
    """The helper's own test: it tells bodies apart."""
    (answer,) = server.say(POST + CLOSE + b"Content-Length: 3\r\n\r\nabc")
    assert answer.json()["sha256"] == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(AssertionError):
        is_echo(answer, "/first", b"abd")
