"""Bodies and files that are read a block at a time, bent at random: lines of JSON against Python's own, Arrow and Parquet against
pyarrow's objects."""

import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import CallerError
from app.wire.arrow import Stream, outline_of_parquet, parquet
from app.wire.exact import LazyList
from app.wire.lines import Lines
from app.wire.tables import Block, Column
from tests.wire.fuzz import JSON_WORDS, READ, REFUSED, Fuzzed, agree, equal, in_full, unique, whole

LINES_SEEDS = [
    b'{"p": 1, "t": 2.5}\n{"p": 3, "t": 4}\n',
    b'{"p":1,"t":"a"}\r\n{"t":"b","p":-3e2}\r\n\r\n',
    b'{"p": [1, 2], "t": null}\n{"p": [3, 4.5], "t": 1}',
    b'{"p": 9007199254740993}\n{"p": 18446744073709551615}\n\n\n',
    b'{"p": "NaN", "t": true}\n{"p": "Infinity", "t": false}\n{"p": "x", "t": false}\n',
    b'{"p": 1, "q\\u0041": "\\n\\"{"}\n{"p": 2, "qA": "}"}\n',
]
LINES_WORDS = [*JSON_WORDS, b"\n", b"\n\n", b"\r\n", b"\r", b'{"p": 1, "t": 2}\n', b'"p"', b'"t"']


def cells(columns: Sequence[Any]) -> list[Any]:
    """Of all blocks, as Python has them."""
    found = list[Any]()
    for column in columns:
        plain = column.built() if isinstance(column, LazyList) else in_full(column)
        found += plain.tolist() if isinstance(plain, np.ndarray) else plain
    return found


def try_lines(body: bytes) -> str:
    rows = Lines(io.BufferedReader(io.BytesIO(body)))
    try:
        names = rows.names
        blocks = [*rows.blocks(names)]
    except CallerError:
        return REFUSED
    lines = body.rstrip(b"\r\n \t").split(b"\n")
    expected = [json.loads(line.decode("utf-8-sig"), object_pairs_hook=unique, parse_int=whole) for line in lines]
    for name in names:
        found = cells([block.columns[name] for block in blocks])
        column = [row[name] for row in expected]
        agree(len(found) == len(column) and all(map(alike, found, column)), name, found, column)
    return READ


def alike(found: Any, expected: Any) -> bool:
    """Whether a cell is the one that Python reads; in a block of numbers a missing one may be NaN, and true 1."""
    if isinstance(found, list):
        ours = cast(list[Any], found)
        return (
            isinstance(expected, list)
            and len(ours) == len(cast(list[Any], expected))
            and all(map(alike, ours, cast(Any, expected)))
        )
    if isinstance(found, float) and math.isnan(found):
        return expected is None or isinstance(expected, str) or expected != expected
    if isinstance(found, float) and isinstance(expected, bool | str):
        return found == float(expected)
    return equal(found, expected)


def _stream(columns: dict[str, Any], **options: Any) -> bytes:
    file, batch = io.BytesIO(), cast(Any, pa).record_batch(columns)
    with pa.ipc.new_stream(file, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch.slice(1))
    return file.getvalue()


NUMBERS = {"p": np.arange(5.0), "t": np.arange(5)}
ARROW_SEEDS = [
    _stream(NUMBERS),
    _stream(NUMBERS, compression="lz4"),
    _stream(NUMBERS, compression="zstd"),
    _stream({"p": pa.array([1.5, None, 2.5], pa.float32()), "t": pa.array([True, False, None])}),
    _stream({"p": ["a", "bc", "def"], "t": pa.array(["a", "b", "a"]).dictionary_encode()}),
    _stream({"p": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0)), 2), "t": pa.nulls(3)}),
    _stream({"p": pa.array(["x", "y", "z"], pa.large_string()), "t": pa.array(["x", None, "a longer text"], pa.string_view())}),
]


def _parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(cast(Any, pa).table(columns), file, **options)
    return file.getvalue()


PARQUET_SEEDS = [
    _parquet(NUMBERS, compression="none", use_dictionary=False),
    _parquet(NUMBERS),
    _parquet({"p": pa.array([1.5, None, 2.5], pa.float32()), "t": pa.array([True, False, None])}, data_page_version="2.0"),
    _parquet({"p": ["a", "bc", "a"], "t": [1, None, 3]}, compression="zstd", row_group_size=2),
    _parquet({"p": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0)), 2), "t": [2**40, 1, -1]}, store_schema=True),
]
ARROW_WORDS = [
    *(number.to_bytes(size, "little", signed=True) for size in (1, 2, 4, 8) for number in (-1, 0, 1, 2, 3, 4, 5, 8, 16, 64, 127)),
    *(number.to_bytes(8, "little", signed=True) for number in (1000, 2**31, 2**40, 2**62, -(2**40))),
    b"\xff\xff\xff\xff",
    b"ARROW1",
    b"p",
    b"t",
]


def try_arrow(body: bytes) -> str:
    rows = Stream(io.BufferedReader(io.BytesIO(body)), lambda columns: 2)

    def theirs() -> list[Any]:
        with pa.ipc.open_stream(io.BytesIO(body)) as batches:
            return [*batches]

    return _compared(lambda: (rows.names, rows.blocks), theirs)


def try_parquet(body: bytes) -> str:
    file = io.BytesIO(body)

    def ours() -> tuple[Sequence[str], Callable[[Sequence[Column]], Iterator[Block]]]:
        names, _ = outline_of_parquet(file)
        return names, lambda columns: parquet(file, lambda _: {column: str(column) for column in columns}, lambda columns: 2)

    return _compared(ours, lambda: pq.ParquetFile(io.BytesIO(body)).read().to_batches())


def _compared(
    ours: Callable[[], tuple[Sequence[str], Callable[[Sequence[Column]], Iterator[Block]]]], theirs: Callable[[], list[Any]]
) -> str:
    try:
        names, read = ours()
        if len({*names}) < len(names) or not names:
            return REFUSED
        blocks = [*read(names)]
    except (CallerError, MemoryError):  # a length that no machine has is refused as a limit
        return REFUSED
    batches = theirs()
    for name in names:
        expected = [cell for batch in batches for cell in batch.column(name).to_pylist()]
        found = cells([block.columns[name] for block in blocks])
        agree(len(found) == len(expected), name, found, expected)
        agree(all(map(alike, found, expected)), name, found, expected)
    return READ


LINES = Fuzzed("lines", LINES_SEEDS, LINES_WORDS, try_lines)
ARROW = Fuzzed("arrow", ARROW_SEEDS, ARROW_WORDS, try_arrow)
PARQUET = Fuzzed("parquet", PARQUET_SEEDS, ARROW_WORDS, try_parquet)
