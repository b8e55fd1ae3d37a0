"""A real server, where the wire matters: bodies that do not end, connections, signals."""

import gzip
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from tests.api.problem import problem_of
from tests.conftest import ROOT, SERVER_LIMIT, Server, serving
from tests.processes import pool_of, shared_out, template_of

REQUEST = json.dumps({"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}).encode()
HEAD = b"POST /v1/evaluate HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
TENSORS = json.dumps(
    {
        "inputs": [
            {"name": name, "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
            for name in ("predictions", "targets")
        ]
    }
)
"""The head of a request whose numbers follow it as bytes."""


def zipped(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  # its stubs take the arrays for its option
    return file.getvalue()


@pytest.fixture
def wire(server: Server) -> Iterator[socket.socket]:
    with server.connect() as connection:
        yield connection


def until_closed(wire: socket.socket) -> bytes:
    """Everything the server still has to say, to the end of the connection."""
    received = b""
    while chunk := wire.recv(65536):
        received += chunk
    return received


def parsed(raw: bytes) -> httpx.Response:
    """One answer with its body, as it came over the wire."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    response = httpx.Response(int(status.split()[1]), headers=headers, content=body)
    assert int(response.headers["content-length"]) == len(body)
    return response


# --- bodies ------------------------------------------------------------------------------------------------------------


WIRES = {
    "json": ("/v1/evaluate", "application/json", REQUEST),
    "gzip": ("/v1/evaluate", "application/json\r\nContent-Encoding: gzip", gzip.compress(REQUEST)),
    "csv": ("/v1/evaluate?loss=mse", "text/csv", b"predictions,targets\n1,1\n2,3\n"),
    "npz": ("/v1/evaluate?loss=mse", "application/x-npz", zipped(predictions=np.array([1.0, 2.0]), targets=np.array([1.0, 3.0]))),
    "tensors": (
        "/v2/models/mse/infer",
        f"application/octet-stream\r\nInference-Header-Content-Length: {len(TENSORS)}",
        TENSORS.encode() + np.array([1.0, 2.0, 1.0, 3.0]).tobytes(),
    ),
    "a run": ("/v1/train", "application/json", b'{"data": {"name": "iris"}, "loss": "nll"}' + b" " * 100_000),
}
"""A request in each form that a body may have."""


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("name", WIRES)
def test_a_body_that_is_cut_off_is_answered_so(name: str, chunked: bool, server: Server) -> None:
    """The client sends no more, and still reads."""
    path, kind, body = WIRES[name]
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()
    for size in (0, 1, len(body) // 2, len(body) - 1):
        part = body[:size]
        with server.connect() as wire:
            wire.sendall(head + (b"%x\r\n%b\r\n" % (size, part) if chunked and size else part))
            wire.shutdown(socket.SHUT_WR)
            response = parsed(until_closed(wire))
        detail = response.json()["error"] if path.startswith("/v2") else problem_of(response)["detail"]
        assert f"ended after {size} bytes of the body" in detail
        assert (response.status_code, response.headers["connection"]) == (400, "close")


def test_a_head_that_is_cut_off_is_answered_so(wire: socket.socket) -> None:
    wire.sendall(HEAD)
    wire.shutdown(socket.SHUT_WR)
    response = parsed(until_closed(wire))
    assert response.status_code == 400
    assert "ended in the middle of a head" in problem_of(response)["detail"]


@pytest.mark.parametrize("declared", [SERVER_LIMIT + 1, 10**12, 10**18])
def test_a_body_that_will_be_too_large_is_refused_before_it_comes(declared: int, wire: socket.socket) -> None:
    wire.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % declared + b'{"loss": "mse"')
    response = parsed(until_closed(wire))
    body = problem_of(response)
    assert (body["status"], body["code"]) == (413, "body_too_large")
    assert str(SERVER_LIMIT) in body["detail"]
    assert response.headers["connection"] == "close"


def test_a_body_that_never_ends_is_refused_when_it_is_too_large(wire: socket.socket) -> None:
    wire.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(SERVER_LIMIT // 0x10000):
        wire.sendall(chunk)
    wire.sendall(b"1\r\n \r\n")
    response = parsed(until_closed(wire))
    body = problem_of(response)
    assert (body["status"], body["code"]) == (413, "body_too_large")
    assert response.headers["connection"] == "close"


def test_a_body_in_small_chunks_is_put_together(wire: socket.socket) -> None:
    wire.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for byte in REQUEST:
        wire.sendall(b"1\r\n%c\r\n" % byte)
    wire.sendall(b"0\r\n\r\n")
    assert parsed(until_closed(wire)).json()["value"] == 0.5


def test_a_body_of_exactly_the_limit_is_taken(server: Server) -> None:
    padded = REQUEST + b" " * (SERVER_LIMIT - len(REQUEST))
    assert server.ask("POST", "/v1/evaluate", content=padded).json()["value"] == 0.5
    body = problem_of(server.ask("POST", "/v1/evaluate", content=padded + b" "))
    assert (body["status"], body["code"]) == (413, "body_too_large")


def test_json_without_a_content_type_is_taken(wire: socket.socket) -> None:
    head = b"POST /v1/evaluate HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    wire.sendall(head % len(REQUEST) + REQUEST)
    assert parsed(until_closed(wire)).json()["value"] == 0.5


def test_a_caller_who_leaves_halfway_does_no_harm(server: Server) -> None:
    for _ in range(3):
        with server.connect() as wire:
            wire.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert server.ask("POST", "/v1/evaluate", content=REQUEST).status_code == 200
    assert '"exception"' not in server.log.read_text()


# --- connections -------------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again_whatever_was_answered(wire: socket.socket) -> None:
    whole = HEAD + b"Content-Length: %d\r\n\r\n"
    broken, wrong = b"{", b'{"loss": 1}'
    for content in (REQUEST, broken, wrong, REQUEST):
        wire.sendall(whole % len(content) + content)
        response = _one_answer(wire)
        assert response.headers.get("connection") != "close"
        assert response.status_code == {REQUEST: 200, broken: 400, wrong: 422}[content]


def test_requests_sent_at_once_are_answered_in_their_order(wire: socket.socket) -> None:
    contents = [json.dumps({"loss": "mae", "predictions": [number], "targets": [0]}).encode() for number in range(1, 6)]
    wire.sendall(b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content for content in contents))
    received = b""
    while received.count(b"HTTP/1.1 200") < 5 or not received.endswith(b"}"):
        received += wire.recv(65536)
    values = [json.loads(response.partition(b"\r\n\r\n")[2])["value"] for response in received.split(b"HTTP/1.1 200")[1:]]
    assert values == [1.0, 2.0, 3.0, 4.0, 5.0]


def _one_answer(wire: socket.socket) -> httpx.Response:
    received = b""
    while b"\r\n\r\n" not in received:
        received += wire.recv(65536)
    length = int(received.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(received.partition(b"\r\n\r\n")[2]) < length:
        received += wire.recv(65536)
    return parsed(received)


@pytest.mark.anyio
async def test_many_callers_at_once_get_each_their_own_answer(remote: httpx.AsyncClient) -> None:
    found: dict[int, float] = {}

    async def ask(number: int) -> None:
        columns = 20_000 if number % 10 == 0 else 1  # some large enough for a worker process
        request = {"loss": "mae", "predictions": [[number] * columns] * 2, "targets": [[0] * columns] * 2}
        response = await remote.post("/v1/evaluate", json={**request, "outputs": ["value"]})
        found[number] = response.json()["value"]

    async with anyio.create_task_group() as group:
        for number in range(100, 160):
            group.start_soon(ask, number)
    assert found == {number: float(number) for number in range(100, 160)}


def test_head_has_the_headers_of_get_and_no_body(wire: socket.socket) -> None:
    wire.sendall(b"HEAD /v1/losses/huber HTTP/1.1\r\nHost: test\r\n\r\n")
    wire.sendall(b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    head, live = until_closed(wire).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert head.endswith(b"\r\n\r\n")
    assert int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) > 1000
    assert live.endswith(b'{"status":"ok"}')


def test_what_is_no_http_is_refused(server: Server) -> None:
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/evaluate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):
        with server.connect() as wire:
            wire.sendall(raw)
            assert until_closed(wire).startswith(b"HTTP/1.1 400")
    assert server.ask("GET", "/health/live").status_code == 200


def test_every_answer_has_a_request_id(server: Server) -> None:
    with server.client() as client:
        responses = [client.get("/health/live"), client.get("/none"), client.post("/v1/evaluate", content=b"{")]
        ids = [response.headers["x-request-id"] for response in responses]
        assert len(set(ids)) == 3
        assert client.get("/none", headers={"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"


# --- start and end -----------------------------------------------------------------------------------------------------


def test_sigterm_ends_the_server_and_all_its_processes(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        with running.client() as client:  # a connection that stays open does not hold it up
            large = {"loss": "mae", "predictions": [[1.0] * 200_000], "targets": [[0.0] * 200_000], "outputs": ["value"]}
            assert client.post("/v1/evaluate", json=large).json()["value"] == 1.0
            assert running.end() == 0
        log = running.log.read_text()
        events = [json.loads(line)["event"] for line in log.splitlines()]
        assert [event for event in events if event != "request"][-2:] == ["stopping", "stopped"]
        assert events[-1] == "stopped"
        assert '"exception"' not in log


SENSELESS = {
    ("PORT", "http"): 'must be a whole number from 1 to 65535; got "http"',
    ("PORT", "0"): 'must be a whole number from 1 to 65535; got "0"',
    ("LOG_LEVEL", "loud"): 'must be one of critical, error, warning, info, debug; got "loud"',
    ("MAX_BODY_BYTES", "-1"): 'must be a whole number from 1 on; got "-1"',
    ("HEAD_SECONDS", "0"): 'must be a number above 0; got "0"',
    ("PROT", "8000"): "no such setting; did you mean CRITERION_PORT?",
    ("KEY", "crit_secret"): "no such setting; did you mean CRITERION_KEYS?",
    ("ANYTHING_AT_ALL", "1"): "no such setting",
}
EACH = """
import json, os, sys
from app.main import serve

for variable, given in json.loads(sys.argv[1]):
    if os.fork() == 0:
        os.environ[f"CRITERION_{variable}"] = given
        serve()
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
"""Each in a fork of a process that has imported the service, which is nearly all of a start."""


def test_a_setting_that_makes_no_sense_is_one_line_and_status_2() -> None:
    command = [sys.executable, "-uc", EACH, json.dumps([*SENSELESS])]
    result = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "2\n" * len(SENSELESS)
    assert result.stderr.splitlines() == [f"CRITERION_{variable}: {line}" for (variable, _), line in SENSELESS.items()]


def test_nor_does_the_program_start_with_one() -> None:
    environment = {"CRITERION_PORT": "http", "PATH": ""}
    command = [sys.executable, "-m", "app"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"CRITERION_PORT: {SENSELESS['PORT', 'http']}\n"


REST_BYTES = 90 * 1024**2


def test_a_server_that_has_just_started_shares_its_memory_with_its_processes(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        processes = [running.process.pid, template_of(running), *pool_of(running)]
        assert len(processes) == 3
        assert sum(map(shared_out, processes)) < REST_BYTES
