"""Events read back by the rules of the HTML standard (9.2.6): the same JSON, in lines of bounded length."""

import json
from typing import Any

import numpy as np
import pytest

from app.wire.events import LONGEST_LINE, PING, event
from app.wire.json import encode


def read(stream: bytes) -> list[tuple[str, str, str]]:
    """Type, data and last event id of each event, as the standard interprets a stream."""
    events: list[tuple[str, str, str]] = []
    kind, data, identity = "", "", ""
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                events.append((kind or "message", data.removesuffix("\n"), identity))
            kind, data = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            identity = value
    return events


def longest_line(stream: bytes) -> int:
    return max(map(len, stream.split(b"\n")))


def random_text(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice([*'",\\[]{}: \n\r\t\0é😀a'], size=length))


def random_value(rng: np.random.Generator, depth: int) -> Any:
    kind = rng.integers(6 if depth else 3)
    if kind == 0:
        return random_text(rng, int(rng.integers(30)))
    if kind == 1:
        return float(rng.normal())
    if kind == 2:
        return [None, True, False][rng.integers(3)]
    if kind == 3:
        return rng.normal(size=int(rng.integers(2000))).tolist()
    if kind == 4:
        return {random_text(rng, 5): random_value(rng, depth - 1) for _ in range(rng.integers(6))}
    return [random_value(rng, depth - 1) for _ in range(rng.integers(12))]


@pytest.mark.parametrize("seed", range(30))
def test_the_lines_together_are_the_same_json(seed: int) -> None:
    rng = np.random.default_rng([50, seed])
    documents = [[random_value(rng, 3) for _ in range(rng.integers(1, 40))] for _ in range(3)]
    written = [encode(document) for document in documents]
    stream = PING.join(event("epoch", data, str(number)) for number, data in enumerate(written))
    assert longest_line(stream) <= LONGEST_LINE
    events = read(stream)
    assert [(kind, identity) for kind, _, identity in events] == [("epoch", str(number)) for number in range(3)]
    assert [json.loads(data) for _, data, _ in events] == documents


@pytest.mark.parametrize("element", ["a,b", '","', "\\", '\\",', "é,", '"'])
@pytest.mark.parametrize("shift", range(8))
def test_no_string_is_cut_wherever_a_line_ends(element: str, shift: int) -> None:
    document = ["x" * shift, *[element] * 30_000]
    stream = event("end", encode(document))
    assert longest_line(stream) <= LONGEST_LINE
    ((kind, data, identity),) = read(stream)
    assert (kind, identity) == ("end", "")
    assert data.count("\n") >= 1
    assert json.loads(data) == document


@pytest.mark.parametrize("size", [LONGEST_LINE - 6, LONGEST_LINE - 5])
def test_a_line_is_cut_only_where_it_must(size: int) -> None:
    data = b"[1," + b"2" * (size - 4) + b"]"
    assert len(data) == size
    assert event("a", data).count(b"data: ") == 1 + (size > LONGEST_LINE - 6)


def test_a_string_too_long_for_a_line_has_one_to_itself() -> None:
    document = [1, ["a", "," * 100_000, *["b,c"] * 50_000], 2]
    stream = event("end", encode(document))
    lengths = sorted(map(len, stream.split(b"\n")))
    assert lengths[-1] > 100_000
    assert lengths[-2] <= LONGEST_LINE
    assert json.loads(read(stream)[0][1]) == document


def test_short_data_is_one_line() -> None:
    assert event("start", b'{"a":[1,2]}') == b'event: start\ndata: {"a":[1,2]}\n\n'
    assert event("epoch", b"{}", "7") == b"event: epoch\nid: 7\ndata: {}\n\n"


def test_a_ping_is_no_event() -> None:
    assert read(PING) == []
