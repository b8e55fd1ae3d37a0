"""Memory that processes share: whole, growing without moving what is seen, kept warm for a while and then given back."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import numpy as np
import pytest

from app.serving import buffers as module
from app.serving import warm
from app.serving.buffers import PIECE_BYTES, Buffer, Buffers

PATIENCE = 60
"""Seconds until a test gives up waiting for what must happen."""


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    buffer = Buffer()
    yield buffer
    buffer.close()


def held(buffer: Buffer) -> int:
    """The memory that a buffer takes, in bytes."""
    return os.fstat(buffer.descriptor).st_blocks * 512


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 2_000_000])
def test_what_is_written_is_there(buffer: Buffer, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    for start in range(0, size, 70_001):
        buffer.write(data[start : start + 70_001])
    assert (buffer.size, bytes(buffer.view())) == (size, data)
    pieces = list(buffer.pieces())
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} <= {PIECE_BYTES}
    assert b"".join(buffer.pieces(999)) == data
    buffer.clear()
    assert (buffer.size, bytes(buffer.view()), list(buffer.pieces())) == (0, b"", [])


def test_chunks_of_any_kind(buffer: Buffer) -> None:
    rows = np.arange(6.0).reshape(2, 3)
    for chunk in (b"a", bytearray(b"bc"), memoryview(b"def"), np.array([7.0, 8.0]).data, b"", np.empty((0, 3)).data, rows.data):
        buffer.write(chunk)
    assert bytes(buffer.view()) == b"abcdef" + np.array([7.0, 8.0]).tobytes() + rows.tobytes()


def test_growing_leaves_views_as_they_are(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_BYTES", 4096)
    with_steps = Buffer()
    written, views = b"", []
    for number in range(200):
        chunk = bytes([number]) * 1000
        with_steps.write(chunk)
        written += chunk
        views.append((with_steps.view(), written))
    for view, expected in views:
        assert bytes(view) == expected
    del view, views
    with_steps.close()


def test_memory_is_taken_only_where_something_is_written(buffer: Buffer) -> None:
    assert held(buffer) == 0
    buffer.write(bytes(100_000))
    assert 100_000 <= held(buffer) < 200_000 + 2 * 1024**2  # a huge page, where the system has them


def test_another_process_sees_the_same_and_what_it_writes_is_seen(buffer: Buffer) -> None:
    buffer.write(b"question")
    reader, writer = os.pipe()
    if os.fork() == 0:
        other = Buffer(buffer.number, os.dup(buffer.descriptor))
        other.written_elsewhere(8)
        question = bytes(other.view())
        other.clear()
        other.write(question + b"!" * 70_000_000)
        os.write(writer, b"%d" % other.size)
        os._exit(0)
    size = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    os.wait()
    buffer.written_elsewhere(size)
    assert bytes(buffer.view()) == b"question" + b"!" * 70_000_000


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def maps() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:criterion")


@pytest.mark.anyio
async def test_a_warm_buffer_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers = Buffers()
    first, second = buffers.take(), buffers.take()
    assert first.number != second.number
    first.write(b"secret")
    buffers.give(first)
    buffers.give(second)
    assert [buffers.take(), buffers.take()] == [second, first]
    assert (first.size, bytes(first.view()), list(first.pieces())) == (0, b"", [])
    for buffer in (first, second):
        buffers.give(buffer)
    buffers.close()


@pytest.mark.anyio
async def test_nothing_is_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "IDLE_SECONDS", 0.05)
    before = descriptors(), maps()
    buffers = Buffers()
    taken = [buffers.take() for _ in range(5)]
    for buffer in taken:
        buffer.write(bytes(100_000))
        buffers.give(buffer)
    used = buffers.take()  # what is in use stays
    used.write(b"here")
    deadline = time.monotonic() + PATIENCE
    while not all(buffer.closed for buffer in taken if buffer is not used):
        assert time.monotonic() < deadline
        await anyio.sleep(0.01)
    assert bytes(used.view()) == b"here"
    buffers.give(used)
    while not used.closed:
        assert time.monotonic() < deadline
        await anyio.sleep(0.01)
    assert (descriptors(), maps()) == before


@pytest.mark.anyio
async def test_a_crowd_leaves_no_more_than_a_request_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 3_000_000)
    buffers = Buffers()
    taken = [buffers.take() for _ in range(10)]
    other = [Buffer(buffer.number, os.dup(buffer.descriptor)) for buffer in taken]  # as a process has it mapped
    for buffer in taken:
        buffer.write(bytes(1_000_000))
    for buffer in taken:
        buffers.give(buffer)
    assert sum(map(held, other)) <= 3_000_000
    assert sum(not buffer.closed for buffer in taken) == 2
    kept = buffers.take()
    assert kept in taken
    buffers.give(kept)
    buffers.close()
    assert sum(map(held, other)) == 0
    for buffer in other:
        buffer.close()


@pytest.mark.anyio
async def test_nothing_is_kept_from_the_end_on() -> None:
    before = descriptors(), maps()
    buffers = Buffers()
    first, second = buffers.take(), buffers.take()
    buffers.give(first)
    buffers.close()
    assert (first.closed, second.closed) == (True, False)
    buffers.give(second)
    assert second.closed
    assert (descriptors(), maps()) == before
    second.close()
