"""Bodies of any length for POST /v1/evaluate: one of all rows to the bit, in little memory, and its faults at their lines."""

import gzip
import io
import json
import math
import os
import random
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from app.api.calls import CALLS
from app.api.evaluating import EVALUATE
from app.api.streaming import ARROW, NDJSON
from app.errors import CallerError
from app.settings import Settings
from app.wire import arrow, lines, partitions
from tests.api.problem import problem_of
from tests.conftest import ROOT, Server, client_with, serving
from tests.processes import children, poll, pool_of, shared_out
from tests.serving.keyed import Made
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

ROWS = [(2.5, 3.0), (0.0, -0.5), (8.0, 2.0), (1.0, 1.5), (-1.0, 2.0), (0.5, 0.25)]
MAE = "/v1/evaluate?loss=mae&predictions=p&targets=y"
EVENTS = {"accept": "text/event-stream"}


def ndjson(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def pairs(rows: Sequence[tuple[Any, Any]]) -> bytes:
    return ndjson([{"p": p, "y": y} for p, y in rows])


def in_arrow(columns: dict[str, Any], rows: int | None = None) -> bytes:
    table: Any = pa.table(columns)
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return file.getvalue()


def pairs_in_arrow(rows: Sequence[tuple[Any, Any]], size: int | None = 2) -> bytes:
    return in_arrow({"p": [float(p) for p, _ in rows], "y": [float(y) for _, y in rows]}, size)


async def streamed(client: httpx.AsyncClient, path: str, body: Any, kind: str = NDJSON, **head: str) -> httpx.Response:
    return await client.post(path, content=body, headers={"content-type": kind, **head})


# --- what it comes to


@pytest.mark.parametrize(("kind", "written"), [(NDJSON, pairs), (ARROW, pairs_in_arrow)])
@pytest.mark.parametrize(
    ("loss", "value", "error"),
    [
        ("mse", 7.635416666666667, 5.85204773336745),
        ("mae", 1.7916666666666667, 0.9407812946931101),
        ("huber&delta=1.5", 1.9427083333333333, 1.3014019050250303),
    ],
)
async def test_the_example(client: httpx.AsyncClient, kind: str, written: Any, loss: str, value: float, error: float) -> None:
    path = f"/v1/evaluate?loss={loss}&predictions=p&targets=y"
    answer = (await streamed(client, path, written(ROWS), kind)).json()
    assert (answer["value"], answer["standard_error"]) == (value, error)
    assert (answer["n_samples"], answer["divisor"], answer["reduction"]) == (6, 6.0, "mean")
    assert {*answer} == {"loss", "reduction", "n_samples", "divisor", "value", "standard_error", "targets_encoding"}


async def test_partial_sums_are_not_rounded_in_any_order(client: httpx.AsyncClient) -> None:
    for order in ([1e16, 1, 1], [1, 1e16, 1], [1, 1, 1e16]):
        for kind, body in ((NDJSON, pairs([(p, 0) for p in order])), (ARROW, pairs_in_arrow([(p, 0) for p in order], 1))):
            assert (await streamed(client, MAE, body, kind)).json()["value"] == 3333333333333334.0


class Cut(io.RawIOBase):
    """Bytes that come in pieces of a few."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._data, self._rng = memoryview(data), random.Random(seed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), len(self._data), self._rng.choice((1, 7, 50, 1000)))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size


def cut(data: bytes, seed: int) -> io.BufferedReader:
    return io.BufferedReader(Cut(data, seed), 16)


def answer_to(body: io.BufferedReader, query: str, kind: str = NDJSON) -> Any:
    """What the process answers to a body that comes like this."""
    operation = EVALUATE.streams[kind]
    assert operation.check
    request = operation.check(operation.wire.decode(body, parse_qs(query), False), {}, Settings())
    *_, last = operation.function(request)
    return last.data


def table_of(rng: random.Random, n: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f'"{number}"\\ü',
            "p": rng.choice((rng.uniform(-3, 3), 0, 1, None)),
            "y": rng.uniform(0, 1),
            "w": rng.uniform(0, 2),
            "m": rng.random() < 0.7,
            "k": [rng.uniform(-3, 3) for _ in range(3)],
            "c": rng.choice(("cat", "dog", "eel")),
        }
        for number in range(n)
    ]


@pytest.mark.parametrize("block", [1, 300, 10**6])
@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("loss=mse&predictions=p&targets=y&missing=drop&sample_weight=w&mask=m", {"loss": "mse", "missing": "drop"}),
        ("loss=rmse&predictions=p&targets=y&missing=drop&mask=m", {"loss": "rmse", "missing": "drop"}),
        (
            "loss=cce&predictions=k&targets=c&classes=cat,dog,eel&from_logits=true",
            {"loss": {"name": "cce", "from_logits": True}, "classes": ["cat", "dog", "eel"]},
        ),
        ("loss=huber&delta=0.5&predictions=k&targets=k&sample_weight=w", {"loss": {"name": "huber", "delta": 0.5}}),
    ],
)
async def test_any_cut_comes_to_what_one_body_comes_to(
    inline_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, block: int, query: str, request_: dict[str, Any]
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    rows = table_of(random.Random(block), 60)
    roles = {name: column for name, _, column in (word.partition("=") for word in query.split("&")) if column in rows[0]}
    body = {**request_, **roles, "data": rows, "outputs": ["value"]}
    whole = (await inline_client.post("/v1/evaluate", json=body)).json()
    for seed in range(3):
        found = answer_to(cut(ndjson(rows), seed), query)
        assert {name: found.get(name) for name in whole if name not in ("warnings", "outputs")} == {
            name: value for name, value in whole.items() if name != "warnings"
        }


def test_plain_lines_are_read_as_all_are() -> None:
    """The fast way says what the exact one says, or nothing."""
    rng = random.Random(0)
    cells: list[Any] = [
        0,
        1,
        -1.5,
        2**53 + 1,
        2**70,
        1e-320,
        True,
        False,
        None,
        "a",
        '"',
        "\\",
        "ü",
        [1, 2],
        [1.5, None],
        {},
        {"p": 1},
    ]
    read = 0
    for _ in range(300):
        choice = rng.sample(cells, 2)
        rows = [{"p": rng.choice(choice), "y": rng.choice(choice)} for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.2:
            rows[-1] = dict(reversed(rows[-1].items()))
        texts = ndjson(rows).splitlines()
        if rng.random() < 0.2:
            texts[-1] = texts[-1].replace(b'"y"', b'"p"')
        quickly = lines._quickly(texts, ("p", "y"), ("p", "y"))
        if quickly is not None:
            exactly = lines._exactly(texts, ("p", "y"), 0)
            assert {name: shown(column) for name, column in quickly.items()} == {
                name: shown(column) for name, column in exactly.items()
            }
            read += 1
    assert read > 100


def shown(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return column.dtype.kind, column.tolist()
    return list(column.node) if hasattr(column, "node") else column


def test_a_line_that_only_together_with_the_next_is_one_is_none() -> None:
    for text in (b'{"p":1\n"y":2}', b'{"p":1,"y":2},{"p":1,"y":2}\n{"p":1\n,"y":2}', b'{"p":[{"a":1}\n{"b":2}],"y":1}'):
        with pytest.raises(CallerError, match=r"line\[0\] is no row"):
            answer_to(cut(text, 0), "loss=mae&predictions=p&targets=y")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_packed(client: httpx.AsyncClient, coding: str) -> None:
    pack = {"gzip": gzip.compress, "zstd": zstandard.compress}[coding]
    body = pack(pairs(ROWS * 5000))
    answer = await streamed(client, MAE, body, **{"content-encoding": coding})
    assert (answer.json()["value"], answer.json()["n_samples"]) == (1.7916666666666667, 30000)
    problem = problem_of(await streamed(client, MAE, body[:-5], **{"content-encoding": coding}))
    assert (problem["status"], problem["detail"]) == (400, f"the body is not {coding}: it ends too early")


async def test_events(client: httpx.AsyncClient) -> None:
    """After each block: batches that are large, or small ones together."""
    body = pairs_in_arrow(ROWS * 100_000, 200_000)
    answer = await streamed(client, MAE, body, ARROW, **EVENTS)
    assert answer.headers["content-type"] == "text/event-stream"
    *running, end = events_in(answer.text)
    assert [(event.name, event.data["n_samples"]) for event in running] == [
        ("progress", 200_000),
        ("progress", 400_000),
        ("progress", 600_000),
    ]
    assert running[-1].data["value"] == end.data["value"] == 1.7916666666666667
    assert end.name == "end"
    assert end.data == (await streamed(client, MAE, body, ARROW)).json()
    *running, _ = events_in((await streamed(client, MAE, pairs_in_arrow(ROWS), ARROW, **EVENTS)).text)
    assert [event.data for event in running] == [{"n_samples": 6, "value": 1.7916666666666667}]


def test_small_batches_are_worked_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same bits, however small, where each has a dictionary of its own too, and not kept waiting for long."""
    fields: Any = [("p", pa.float64()), ("y", pa.dictionary(pa.int32(), pa.string()))]
    stream, rng = io.BytesIO(), random.Random(1)
    rows = [(rng.random(), rng.choice("ab")) for _ in range(300)]
    options: Any = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=False)
    with pa.ipc.new_stream(stream, pa.schema(fields), options=options) as writer:
        for p, y in rows:
            writer.write_batch(pa.record_batch([pa.array([p]), pa.array([y]).dictionary_encode()], schema=pa.schema(fields)))
    read = lambda: arrow.Stream(io.BufferedReader(io.BytesIO(stream.getvalue())), lambda width: 70).blocks(["p", "y"])  # noqa: E731
    blocks = [*read()]
    assert [(block.first, block.n_rows) for block in blocks] == [(0, 70), (70, 70), (140, 70), (210, 70), (280, 20)]
    assert [*zip(*(chain(*(block.columns[name] for block in blocks)) for name in ("p", "y")), strict=True)] == rows
    monkeypatch.setattr(arrow, "BLOCK_SECONDS", -1.0)
    assert [block.n_rows for block in read()] == [1] * 300


def test_the_document_has_every_media_type() -> None:
    document = json.loads((ROOT / "openapi/openapi.json").read_text())
    for call in CALLS:
        if call.streams:
            assert {*call.streams} <= {*document["paths"][call.path]["post"]["requestBody"]["content"]}


async def test_named_arrays_and_losses_in_json(inline_client: httpx.AsyncClient) -> None:
    rows = [{"m": number / 7, "v": 1 + number % 3, "y": number % 5} for number in range(50)]
    arrays = {"predictions": {"mean": "m", "variance": "v"}, "targets": "y", "data": rows, "outputs": ["value"]}
    body = {"loss": "gaussian_nll", **arrays}
    found = answer_to(cut(ndjson(rows), 0), "loss=gaussian_nll&mean=m&variance=v&targets=y")
    assert found["value"] == (await inline_client.post("/v1/evaluate", json=body)).json()["value"]
    loss = {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.5}, {"loss": "mae", "weight": 2}]}
    body = {"loss": loss, "predictions": "m", "targets": "y", "data": rows, "outputs": ["value"]}
    found = answer_to(cut(ndjson(rows), 0), f"loss={quote(json.dumps(loss))}&predictions=m&targets=y")
    assert found["value"] == (await inline_client.post("/v1/evaluate", json=body)).json()["value"]
    assert found["standard_error"] is None
    assert "cannot be told" in found["warnings"][0]


def test_the_examples_of_the_page(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page[page.index("## Streams") : page.index("## A request that is sent again")].replace(
        "localhost:8000", server.url[7:]
    )
    (curl,), (program,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("sh", "python"))
    exec(program, {})
    rows = [(number % 7, number % 5) for number in range(100_000)]
    whole = {"loss": {"name": "huber", "delta": 1.5}, "predictions": [p for p, _ in rows], "targets": [y for _, y in rows]}
    assert float(capsys.readouterr().out) == server.ask("POST", "/v1/evaluate", json=whole).json()["value"]
    words = shlex.split(curl)
    head = dict(word.split(": ") for word in words if ": " in word)
    answer = server.ask("POST", f"http://{words[-1]}", content=pairs(rows[:35]), headers=head)
    assert events_in(answer.text)[-1].data["n_samples"] == 35


# --- what is wrong

GOOD = '{"p":1,"y":2}\n'


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ('{"p":1', "/0", "malformed"),
        (GOOD + "p,y", "/1", "malformed"),
        (GOOD + "\n" + GOOD, "/1", "malformed"),
        (GOOD + b"\xff".decode("latin-1") + "\n", "/1", "malformed"),
        (GOOD + '{"p":1,"y":2}{"p":1,"y":2}\n', "/1", "malformed"),
        (GOOD + "[1,2]\n", "/1", "type"),
        (GOOD + "1\n", "/1", "type"),
        (GOOD + '{"p":1}\n', "/1", "ragged"),
        (GOOD + '{"p":1,"y":2,"z":3}\n', "/1", "ragged"),
        (GOOD + '{"p":1,"p":1,"y":2}\n', "/1", "duplicate"),
        ('{"p":1,"p":1,"y":2}\n', "/0", "duplicate"),
        ('{"p":1,"z":2}\n', "/targets", "unknown_column"),
        (GOOD + '{"p":NaN,"y":2}\n', "/1/p", "not_a_number"),
        (GOOD + '{"p":1,"y":null}\n', "/1/y", "not_a_number"),
        (GOOD + '{"p":1e999,"y":1}\n', "/1/p", "not_finite"),
        (GOOD + '{"p":"1","y":1}\n', "/1/p", "not_a_number"),
        ('{"p":"1","y":1}\n' * 3, "/0/p", "not_a_number"),
        ('{"p":1,"y":"cat"}\n' * 3, "/0/y", "not_a_number"),
        (GOOD + '{"p":{"a":1},"y":1}\n', "/1/p", "not_a_number"),
        ('{"p":[1,2],"y":[1,2]}\n{"p":[1,2,3],"y":[1,2,3]}\n', "/1/p", "ragged"),
        ('{"p":[1,2],"y":[1,2,3]}\n', "/0/y", "shape_mismatch"),
    ],
)
async def test_a_bad_line_is_named(client: httpx.AsyncClient, body: str, pointer: str, code: str) -> None:
    problem = problem_of(await streamed(client, MAE, body.encode("latin-1")))
    assert problem["status"] == 422
    assert [(error["pointer"], error["code"]) for error in problem["errors"][:1]] == [(pointer, code)]


async def test_a_bad_line_has_its_number_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 50)
    bad_ones: dict[str, tuple[Any, ...]] = {
        '{"p":"a","y":1}': (100, "p"),
        '{"p":1': (100,),
        '{"p":[1],"y":[1]}': (100,),
        '{"p":1,"y":"cat"}': (100, "y"),
    }
    for bad, path in bad_ones.items():
        with pytest.raises(CallerError) as found:
            answer_to(cut((GOOD * 100 + bad + "\n").encode(), 1), "loss=mae&predictions=p&targets=y")
        assert found.value.faults[0].path[: len(path)] == path
        assert "[0]" not in found.value.faults[0].message


@pytest.mark.parametrize(
    ("query", "pointer", "words"),
    [
        ("", "/loss", "loss is missing"),
        ("loss=nope&predictions=p&targets=y", "/loss", "no loss named"),
        ("loss=huber&delta=-1&predictions=p&targets=y", "/delta", "greater than 0"),
        ("loss=huber&dleta=1&predictions=p&targets=y", "/dleta", "did you mean delta"),
        ("loss=mae", "", "no role is named"),
        ("loss=mae&predictions=p", "/targets", "name its column; the columns are p, y"),
        ("loss=mae&targets=y", "/predictions", "name its column; the columns are p, y"),
        ("loss=mae&predictions=q&targets=y", "/predictions", "no column 'q'"),
        ("loss=medae&predictions=p&targets=y", "/loss", "send all rows in one request"),
        ("loss=cox_partial_likelihood&predictions=p&event=y&time=p", "/loss", "send all rows in one request"),
        ("loss=mae&predictions=p&targets=y&outputs=gradient", "/outputs/0", "'value' or 'standard_error'"),
        ("loss=mae&predictions=p&targets=y&reduction=none", "/reduction", "'mean'"),
        ("loss=mae&predictions=p&targets=y&mask=zero", "", "no row counts"),
        ("loss=mae&predictions=p&targets=y&delimiter=comma", "/delimiter", "no query parameter"),
    ],
)
async def test_what_the_address_says_is_checked(client: httpx.AsyncClient, query: str, pointer: str, words: str) -> None:
    body = ndjson([{"p": 1, "y": 2, "zero": 0}] * 2) if "zero" in query else GOOD * 2
    problem = problem_of(await streamed(client, f"/v1/evaluate?{query}", body))
    assert problem["status"] == 422
    assert problem["errors"][0]["pointer"] == pointer
    assert words in problem["errors"][0]["message"]


@pytest.mark.parametrize("kind", [NDJSON, ARROW])
async def test_what_is_no_stream(client: httpx.AsyncClient, kind: str) -> None:
    assert problem_of(await streamed(client, MAE, b"", kind))["status"] == 400
    whole = pairs_in_arrow(ROWS)
    for body in (whole[:-100], whole + b"x", whole[:40], b"\xff\xff\xff\xff" + b"x" * 100):
        assert problem_of(await streamed(client, MAE, body, kind))["status"] in (400, 422)
    problem = problem_of(await streamed(client, MAE, GOOD, "application/ndjson"))
    assert NDJSON in problem["detail"]
    dated = in_arrow({"p": pa.array([1], pa.date32()), "y": [1.0]})
    assert problem_of(await streamed(client, MAE, dated, ARROW))["errors"][0]["pointer"] == "/p"


async def test_arrow_columns_of_every_kind_and_their_faults(client: httpx.AsyncClient) -> None:
    columns = {
        "k": pa.array([[0.1, 0.9], [0.7, 0.3]], pa.list_(pa.float32(), 2)),
        "c": pa.array(["b", "a"]).dictionary_encode(),
        "w": pa.array([1, 3], pa.int8()),
    }
    path = "/v1/evaluate?loss=cce&predictions=k&targets=c&sample_weight=w&classes=a,b"
    answer = (await streamed(client, path, in_arrow(columns, 1), ARROW)).json()
    assert answer["value"] == pytest.approx(-(math.log(np.float32(0.9)) + 3 * math.log(np.float32(0.7))) / 4, rel=1e-7)
    body = in_arrow({"p": [1.0, 2.0, None, 3.0], "y": [1.0] * 4}, 2)
    assert problem_of(await streamed(client, MAE, body, ARROW))["errors"][0]["pointer"] == "/2/p"
    answer = (await streamed(client, f"{MAE}&missing=drop", body, ARROW)).json()
    assert (answer["n_samples"], answer["n_missing"], answer["value"]) == (3, 1, 1.0)


async def test_a_large_batch_is_told_to_be_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "LARGEST_BATCH", 10_000)
    body = pairs_in_arrow(ROWS * 1000, None)
    with pytest.raises(CallerError, match="write fewer rows in each"):
        answer_to(cut(body, 0), "loss=mae&predictions=p&targets=y", ARROW)
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 64)
    assert answer_to(cut(pairs_in_arrow(ROWS * 10, 30), 0), "loss=mae&predictions=p&targets=y", ARROW)["n_samples"] == 60


def test_pyarrow_sets_little_memory_aside() -> None:
    """What it does counts for whatever the same process does later."""
    program = """
import io, sys
from app.serving.memory import data_bytes
from app.wire import arrow
before = data_bytes()
rows = arrow.Stream(io.BufferedReader(io.BytesIO(sys.stdin.buffer.read())), lambda width: 100)
print(len([*rows.blocks(["p", "y"])]), data_bytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=pairs_in_arrow(ROWS * 100), capture_output=True, cwd=ROOT, check=True
    )
    blocks, taken = map(int, done.stdout.split())
    assert blocks == 6
    assert taken < 48 * 2**20


async def test_without_pyarrow_arrow_is_not_read(monkeypatch: pytest.MonkeyPatch, client: httpx.AsyncClient) -> None:
    monkeypatch.setattr(arrow, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType]
    problem = problem_of(await streamed(client, MAE, pairs_in_arrow(ROWS), ARROW))
    assert (problem["status"], problem["code"]) == (422, "format_unavailable")
    assert "criterion[data]" in problem["detail"]
    assert NDJSON in problem["detail"]
    assert (await streamed(client, MAE, pairs(ROWS))).status_code == 200


async def test_a_quota_ends_a_stream_in_the_middle(tmp_path: Any) -> None:
    made = Made()
    made.add("few", quota={"bytes": {"limit": 3_000_000, "seconds": 3600}})
    made.add("slow", quota={"compute": {"limit": 0.001, "seconds": 3600}})
    async with client_with(keys=made.text) as client:
        assert (await streamed(client, MAE, pairs(ROWS), **made.head("few"))).status_code == 200
        for name, least in (("few", "bytes"), ("slow", "compute")):
            problem = (await streamed(client, MAE, lasting(4_000_000), **made.head(name))).json()
            assert (problem["code"], problem["status"]) == ("quota_exceeded", 429), name
            assert least in problem["detail"]


async def lasting(size: int) -> AsyncIterator[bytes]:
    piece = pairs([(0.123456789012345, 1.5)] * 2000)
    for _ in range(size // len(piece) + 1):
        yield piece


# --- on the wire

LINE = b'{"p":0.5,"y":2}\n'
BLOCK = LINE * (lines.BLOCK_BYTES // len(LINE) + 1)
"""What is worked on as soon as it is there."""


class Sender:
    """A client that sends a body in chunks, and reads when it likes."""

    def __init__(self, server: Server, path: str = MAE, head: dict[str, str] | None = None) -> None:
        self.socket = server.connect()
        fields = {"host": "test", "content-type": NDJSON, "transfer-encoding": "chunked", **(head or {})}
        lines_ = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.socket.sendall("\r\n".join(lines_).encode())
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")

    def until(self, text: bytes) -> bytes:
        found = b""
        while text not in found:
            line = self.file.readline()
            assert line, found
            found += line
        return found

    def problem(self) -> tuple[int, str]:
        """The status and the code of an answer that is an error."""
        status = int(self.file.readline().split()[1])
        return status, json.loads(self.file.read().partition(b"\r\n\r\n")[2])["detail"]

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes one stream at a time, and waits for nobody."""
    bounds = {"stream_processes": 1, "stream_seconds": 2, "body_seconds": 1, "max_body_bytes": 100_000}
    with serving(tmp_path_factory.mktemp("narrow"), **bounds) as running:
        yield running


def taken(server: Server) -> bool:
    """Whether a stream can be taken now."""
    return server.ask("POST", MAE, content=LINE, headers={"content-type": NDJSON}).status_code == 200


def is_at_work(server: Server) -> None:
    poll(lambda: not taken(server), "nobody works on the stream")


def is_free(server: Server) -> None:
    poll(lambda: taken(server), "a process still works on a stream")


def test_a_body_may_be_larger_than_any_that_is_kept(narrow: Server) -> None:
    rows = 90_000
    body = (LINE * 3000 for _ in range(rows // 3000))
    answer = narrow.ask("POST", MAE, content=body, headers={"content-type": NDJSON})
    assert (answer.json()["n_samples"], answer.json()["value"]) == (rows, 1.5)
    large = pairs(ROWS * 3000)
    assert len(large) > 100_000
    answer = narrow.ask("POST", MAE, content=large, headers={"content-type": NDJSON})
    assert answer.json()["n_samples"] == 18_000


def test_results_are_told_while_the_body_is_coming(server: Server) -> None:
    with Sender(server, head=EVENTS) as sender:
        for count in (1, 2):
            sender.send(BLOCK)
            told = sender.until(b'"value":1.5}')
            assert told.count(b"event: progress") == 1
            assert (b"200 OK" in told) == (count == 1)
        sender.send(LINE * 2)
        sender.end()
        assert b'"n_samples":%d' % (2 * len(BLOCK) // len(LINE) + 2) in sender.until(b'"standard_error":0.0')


def test_few_lines_are_told_within_a_second_or_two(server: Server) -> None:
    with Sender(server, head=EVENTS) as sender:
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.05):
                sender.send(LINE)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            assert b"event: progress" in sender.until(b'"value":1.5}')
        finally:
            ended.set()
            thread.join()


def test_who_leaves_takes_the_work_along(narrow: Server) -> None:
    for send in (BLOCK, LINE, b"\n", b'{"p'):
        with Sender(narrow, head=EVENTS) as sender:
            sender.send(send)
            is_at_work(narrow)
        is_free(narrow)


def test_a_body_that_is_cut_is_none(narrow: Server) -> None:
    for body in (LINE, BLOCK):
        with Sender(narrow) as sender:
            sender.send(body)
            sender.socket.shutdown(socket.SHUT_WR)
            status, detail = sender.problem()
            assert (status, detail) == (400, f"the connection ended after {len(body)} bytes of the body")
        is_free(narrow)


def test_a_bad_line_is_told_while_others_are_still_sent(narrow: Server) -> None:
    with Sender(narrow) as sender:
        sender.send(BLOCK)
        sender.send(b'{"p":"1","y":2}\n' + BLOCK)
        sender.send(BLOCK)
        status, detail = sender.problem()
        assert (status, detail) == (422, f"predictions[{len(BLOCK) // len(LINE)}] must be a number, not a string")
    is_free(narrow)
    with Sender(narrow, head=EVENTS) as sender:
        sender.send(BLOCK)
        sender.until(b"event: progress")
        sender.send(b"nothing\n" + BLOCK)
        told = sender.until(b"event: end")
        assert b"event: error" in told
        assert b'"status":422' in told
    is_free(narrow)


def test_too_many_streams_too_slow_ones_and_those_without_end(narrow: Server) -> None:
    with Sender(narrow) as first:
        first.send(LINE)
        is_at_work(narrow)
        with Sender(narrow) as second:
            status, detail = second.problem()
            assert status == 503
            assert "none can wait" in detail
        assert narrow.ask("POST", "/v1/evaluate", json={"loss": "mse", "predictions": [1], "targets": [2]}).status_code == 200
        assert first.problem() == (408, "the body came at less than 1024 bytes per second for 1 s")
    is_free(narrow)
    with Sender(narrow) as sender:
        while not select.select([sender.socket], [], [], 0.02)[0]:
            sender.send(LINE * 50)
        assert sender.problem() == (503, "the work on this request was ended: it took more than 2 seconds")
    is_free(narrow)


def test_a_process_that_dies(narrow: Server) -> None:
    with Sender(narrow) as sender:
        sender.send(LINE)
        is_at_work(narrow)
        for pid in pool_of(narrow):
            os.kill(pid, signal.SIGKILL)
        status, detail = sender.problem()
        assert status == 503
        assert "ended before it was done" in detail
    is_free(narrow)


@pytest.mark.thorough
def test_memory_is_that_of_a_block(tmp_path: Path) -> None:
    """Two clients send four million rows each, 128 MB together, which takes what a million takes; small requests are answered."""
    chunk, small = LINE * 10_000, {"loss": "mse", "predictions": [1.0], "targets": [3.0]}
    with serving(tmp_path, memory_bytes=8 * 2**20) as server:

        def most_held(rows: int) -> int:
            answers: list[Any] = []

            def send() -> None:
                body = (chunk for _ in range(rows // 10_000))
                answers.append(server.ask("POST", MAE, content=body, headers={"content-type": NDJSON}).json())

            threads = [threading.Thread(target=send) for _ in range(2)]
            for thread in threads:
                thread.start()
            most = 0
            while any(thread.is_alive() for thread in threads):
                pids = [server.process.pid, *children(server.process.pid), *pool_of(server)]
                most = max(most, sum(map(shared_out, pids)))
                assert server.ask("POST", "/v1/evaluate", json=small).json()["value"] == 4.0
            assert [(answer["n_samples"], answer["value"]) for answer in answers] == [(rows, 1.5)] * 2
            return most

        few = most_held(1_000_000)
        assert most_held(4_000_000) - few < 16 * 2**20
        assert few < 256 * 2**20


@pytest.mark.thorough
def test_a_server_that_ends_ends_streams(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Sender(server) as quiet, Sender(server, head=EVENTS) as told:
        quiet.send(LINE)
        told.send(BLOCK)
        told.until(b"event: progress")
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 5
        assert quiet.problem()[0] == 503
        assert b'"code":"shutting_down"' in told.until(b"event: end\nid: end\ndata: null\n")
