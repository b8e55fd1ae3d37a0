"""Several server processes on one address, and how servers start and end."""

import json
import os
import resource
import signal
import socket
import subprocess
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.serving.servers import (
    CLOSE,
    HOST,
    PATIENCE,
    EchoServer,
    echo_server,
    free_port,
    is_in_form,
    is_up,
    parsed,
    start,
    until_closed,
    wait_until,
)

GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def process_of(server: EchoServer) -> int:
    process = server.get("/").json()["process"]
    assert isinstance(process, int)
    return process


def wait_for_processes(server: EchoServer, number: int) -> None:
    seen: set[int] = set()

    def all_take_part() -> bool:
        seen.add(process_of(server))
        return len(seen) == number

    wait_until(all_take_part)


def test_every_process_gets_its_share_of_the_connections(tmp_path: Path) -> None:
    with echo_server(tmp_path, workers=3) as server:
        wait_for_processes(server, 3)
        with ExitStack() as stack:
            connections = [stack.enter_context(server.connect()) for _ in range(64)]
            for connection in connections:
                connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
            answers = [parsed(until_closed(connection))[0] for connection in connections]
        shares = Counter(answer.json()["process"] for answer in answers)
        assert len(shares) == 3  # by chance alone, one of three stays empty in one of 60 billion runs
        assert server.signal(signal.SIGTERM) == 0
        assert '"exception"' not in server.log.read_text()


def test_a_process_that_dies_is_replaced_and_the_others_do_not_notice(tmp_path: Path) -> None:
    with echo_server(tmp_path, workers=2) as server, ExitStack() as stack:
        wait_for_processes(server, 2)
        held: dict[int, socket.socket] = {}
        while len(held) < 2:
            connection = stack.enter_context(server.connect())
            held[asked(connection)] = connection
        victim, survivor = held
        os.kill(victim, signal.SIGKILL)
        assert until_closed_or_reset(held[victim]) == b""
        seen: set[int] = set()

        def is_replaced() -> bool:
            assert asked(held[survivor]) == survivor
            with suppress(OSError):  # the dead process may still have taken this connection
                seen.add(process_of(server))
            return len(seen - {victim}) == 2

        wait_until(is_replaced)


def asked(connection: socket.socket) -> int:
    """The process that a connection belongs to."""
    connection.sendall(GET)
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(65536)
    process = parsed(received)[0].json()["process"]
    assert isinstance(process, int)
    return process


def until_closed_or_reset(connection: socket.socket) -> bytes:
    try:
        return until_closed(connection)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("workers", "others", "number"),
    [
        pytest.param(1, 1, signal.SIGTERM, marks=pytest.mark.thorough),
        (1, 2, signal.SIGINT),
        pytest.param(2, 1, signal.SIGINT, marks=pytest.mark.thorough),
        (2, 2, signal.SIGTERM),
    ],
)
def test_two_services_do_not_share_an_address_and_an_orderly_end_is_no_failure(
    workers: int, others: int, number: signal.Signals, tmp_path: Path
) -> None:
    with echo_server(tmp_path, workers=workers) as server:
        with start(server.port, subprocess.PIPE, workers=others) as second:
            log, _ = second.communicate(timeout=PATIENCE)
        assert second.returncode != 0
        told = json.loads(log)
        assert (told["event"], told["port"], told["reason"]) == ("cannot_listen", server.port, "Address already in use")
        wait_for_processes(server, workers)
        assert server.signal(number) == 0
        assert '"exception"' not in server.log.read_text()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_here_is_one_line_in_the_log(host: str) -> None:
    with start(free_port(), subprocess.PIPE, host=host) as process:
        log, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    told = json.loads(log)
    assert (told["event"], told["host"]) == ("cannot_listen", host)


def test_more_connections_than_descriptors_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    with echo_server(tmp_path, before=few_descriptors) as server:
        with ExitStack() as stack:
            served = [stack.enter_context(server.connect()) for _ in range(32)]
            for connection in served:
                connection.sendall(GET)
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            others = [stack.enter_context(server.connect()) for _ in range(90)]
            (answer,) = parsed(until_closed(others[0]))
            assert is_in_form(answer, 503)
        wait_until(lambda: is_up(server))
        log = server.log.read_text()
        assert '"exception"' not in log
        assert "Too many open files" not in log
