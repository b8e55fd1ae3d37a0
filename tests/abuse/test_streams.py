"""A10: bodies that are worked on while they come: without end, without a line break, packed, untrue, slow, or left."""

import io
import struct
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.abuse import processes
from tests.abuse.conftest import Watched
from tests.abuse.wire import Answer, answer, ask, assert_refused, at_once, request
from tests.conftest import Server

PATH = "/v1/evaluate?loss=mae&predictions=p&targets=y"
LINES, ARROW = "Content-Type: application/x-ndjson", "Content-Type: application/vnd.apache.arrow.stream"
LINE = b'{"p":1,"y":2}\n'
SHORT = request("POST", PATH, LINE * 3, LINES)
WITHOUT_END = 3.0
"""Seconds for which more is sent."""


def assert_streams_are_taken(server: Server) -> None:
    """Soon after those before have ended."""
    until = time.monotonic() + 3
    while (given := ask(server, SHORT)).status == 503 and time.monotonic() < until:
        time.sleep(0.05)
    assert given.status == 200, given
    assert given.document["value"] == 1.0


def endless(server: Server, start: bytes, piece: bytes, media_type: str = LINES) -> Answer:
    """A body of chunks that goes on until it is answered or has been sent for long enough, and is ended then."""
    until = time.monotonic() + WITHOUT_END
    with server.connect() as connection:
        connection.settimeout(15)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        try:
            connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(start), start))
            while time.monotonic() < until:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass  # refused: the answer lies there
        return answer(connection, 15)


def streamed(columns: Any, **options: Any) -> bytes:
    file, batch = io.BytesIO(), pa.record_batch(columns)
    with pa.ipc.new_stream(file, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return file.getvalue()


ROWS = 12_345
TRUE = streamed({"p": np.arange(float(ROWS)), "y": np.arange(float(ROWS))})
ENDLESS = {
    "lines": (LINE, LINE * 5000, LINES, 200),
    "a line": (b'{"p":', b"1" * 65_536, LINES, 422),
    "blank lines": (LINE, b"\n" * 65_536, LINES, 200),
    "lines that are deep": (b"[" * 65_536, b"[" * 65_536, LINES, 422),
    "keys that are new": (LINE, b'{"p":1,"y":2,"%d":3}\n' * 3000 % tuple(range(3000)), LINES, 422),
    "a batch": (TRUE[:-8], TRUE[TRUE.index(struct.pack("<q", ROWS)) - 200 :], ARROW, 400),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_body_without_end(what: str, server: Server, watched: Watched) -> None:
    start, piece, media_type, status = ENDLESS[what]
    with watched(server):
        given = endless(server, start, piece, media_type)
    assert given.status == status, given
    assert_streams_are_taken(server)


LIES = {
    "rows that are not there": TRUE.replace(struct.pack("<q", ROWS), struct.pack("<q", ROWS + 10**6)),
    "rows without end": TRUE.replace(struct.pack("<q", ROWS), struct.pack("<q", 2**62)),
    "nothing, without end": streamed({"p": pa.nulls(ROWS), "y": pa.nulls(ROWS)}).replace(
        struct.pack("<q", ROWS), struct.pack("<q", 2**62)
    ),
    "two gigabytes in two hundred kilobytes": streamed({"p": np.zeros(2**27), "y": np.zeros(2**27)}, compression="zstd"),
}


@pytest.mark.parametrize("lie", LIES)
def test_arrow_that_is_not_what_it_says(lie: str, server: Server, watched: Watched) -> None:
    with watched(server):
        for _ in range(4):  # a process that read on would have ended with 503, or answered with what lies in its memory
            assert_refused(ask(server, request("POST", PATH, LIES[lie], ARROW)), (400, 422))
        at_once([lambda: ask(server, request("POST", PATH, LIES[lie], ARROW))] * 8)
    assert_streams_are_taken(server)


def test_streams_that_are_left_make_room(server: Server, watched: Watched) -> None:
    with watched(server):
        for _ in range(20):
            with server.connect() as connection:
                connection.sendall(SHORT[: -len(LINE)])
                time.sleep(0.05)
        assert_streams_are_taken(server)
    assert processes.busy(server.port) < 0.3


def test_streams_that_trickle_are_ended(server: Server, watched: Watched) -> None:
    """A crowd of them: those that have a process are told that they are too slow, the others that there is none."""
    with watched(server):
        connections = [server.connect() for _ in range(20)]
        for connection in connections:
            connection.sendall(SHORT[: -len(LINE)])
        given = [answer(connection, 15) for connection in connections]
        for connection in connections:
            connection.close()
        assert {one.status for one in given} == {408, 503}, given
        assert_streams_are_taken(server)
