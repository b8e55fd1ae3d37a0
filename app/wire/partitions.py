"""Files that are parts of one large table, read a block of rows at a time: the memory that it takes is that of a block.

A column is what JSON would decode to, as those of any other table: whichever way rows have come, they are the same arrays.
JSON and npz are read whole, and handed on in blocks.
Files are read and not mapped: one that is cut off meanwhile is then an error, and not the end of the process.
"""

import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any, TypeAlias, cast

import numpy as np

from app.errors import CallerError, Fault, InvalidInput, MalformedDocument, MalformedTable
from app.wire import arrow, tables
from app.wire.csv import BOM, HEADER_BYTES, Csv, header_of
from app.wire.faults import listed
from app.wire.json import decode
from app.wire.npz import Npz, as_json, described
from app.wire.stores import opened, reason
from app.wire.tables import Block, Column, length

BLOCK_BYTES = 4 * 1024 * 1024
"""What a block may have of a file, and of the numbers that are read from it."""
LONGEST_RECORD = 64 * 1024 * 1024
TABLE = ("table",)
"""What a JSON table is called where something is wrong with it."""
Reader: TypeAlias = Callable[[IO[bytes], Collection[Column], frozenset[Column]], Iterator[Block]]


def blocks(place: str, form: str, columns: Collection[Column], text: frozenset[Column] = frozenset()) -> Iterator[Block]:
    """These columns of a file, by name or number from 0; those in `text` as words where they are words.

    CallerError for what is no such file; its faults have their row, and the column where it is known, as their path.
    """
    try:
        with opened(place) as file:
            yield from READERS[form](file, columns, text)
    except OSError as error:
        raise MalformedTable(f"it cannot be read: {reason(error)}") from None


# --- npy ----------------------------------------------------------------------------------------------------------------


def _npy(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    try:
        shape, fortran, dtype = described(file)
    except Exception as error:  # NumPy and its tokenizer have errors of their own each
        raise MalformedTable(f"it is no npy file: {str(error)[:200]}") from None
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or len(shape) not in (1, 2):
        raise MalformedTable(f"it has {dtype} of shape {shape}: an npy file has numbers of shape (n,) or (n, c)")
    n, width = (*shape, 1)[:2]
    for column in columns:
        if not isinstance(column, int) or not 0 <= column < width:
            raise _no_column(column, f"the columns of its shape {shape} are numbered from 0 to {width - 1}")
    start = file.tell()
    if file.seek(0, os.SEEK_END) - start < n * width * dtype.itemsize:
        raise MalformedTable(f"it is cut off: {dtype} of shape {shape} does not fit into it")
    step = rows_of(width)
    for first in range(0, n, step):
        rows = min(step, n - first)
        if fortran:
            found = {
                column: _numbers(file, start + (int(column) * n + first) * dtype.itemsize, dtype, rows) for column in columns
            }
        else:
            table = _numbers(file, start + first * width * dtype.itemsize, dtype, rows * width).reshape(rows, width)
            found = {column: table[:, int(column)] for column in columns}
        yield Block(first, {column: as_json(str(column), numbers) for column, numbers in found.items()})


def _numbers(file: IO[bytes], place: int, dtype: np.dtype[Any], count: int) -> Any:
    file.seek(place)
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise MalformedTable("it has become shorter while it was read")
    return np.frombuffer(data, dtype)


# --- CSV ----------------------------------------------------------------------------------------------------------------


def _csv(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    head = file.read(HEADER_BYTES + len(BOM))
    if not head.strip():
        raise MalformedTable("it is empty: its first line must be the names of the columns")
    start, _ = header_of(memoryview(head))
    header, rest, first, before = head[:start], head[start:], 0, 0
    while piece := _records(file, rest, BLOCK_BYTES):
        records, rest = piece
        if not records.strip(b"\r\n"):
            before += records.count(b"\n")
            continue
        table = Csv(header + records, before=before)
        names = _named(columns, table.names)
        found = table.read({*names.values()}, LONGEST_RECORD, frozenset(names[column] for column in text))
        yield Block(first, {column: found[name] for column, name in names.items()})
        first += length(next(iter(found.values())))
        before += records.count(b"\n")


def _records(file: IO[bytes], rest: bytes, size: int) -> tuple[bytes, bytes] | None:
    """Whole records, and what of the next one has been read; None at the end. A newline within quotes ends none."""
    data = rest + file.read(max(0, size - len(rest)))
    if not data:
        return None
    while len(data) >= size:
        end, after, quotes = data.rfind(b"\n", 0, size), size, data.count(b'"', 0, size)
        while end > 0:
            quotes -= data.count(b'"', end, after)
            line = data[max(0, end - 2) : end].removesuffix(b"\r")
            if not quotes % 2 and line[-1:] not in (b"\n", b""):  # a blank line is a row too, or refused: it ends no block
                return data[: end + 1], data[end + 1 :]
            end, after = data.rfind(b"\n", 0, end), end
        if size >= LONGEST_RECORD:
            raise MalformedTable(f"a row is longer than {LONGEST_RECORD} bytes: is a quote not closed?")
        size *= 2
        data += file.read(max(0, size - len(data)))
    return data, b""


def _named(columns: Collection[Column], names: Sequence[str]) -> dict[Column, str]:
    """The name of each of these columns, among all names."""
    found: dict[Column, str] = {}
    for column in columns:
        name = names[column] if isinstance(column, int) and 0 <= column < len(names) else column
        if isinstance(name, int) or name not in names:
            raise _no_column(column, f"the columns are {', '.join(name[:80] for name in names[:20])}")
        if names.count(name) > 1:
            raise MalformedTable(f"the column {name[:80]!r} stands twice in it")
        found[column] = name
    return found


def _no_column(column: Column, those: str) -> CallerError:
    shown = repr(column[:80]) if isinstance(column, str) else str(column)
    return InvalidInput([Fault((), "unknown_column", f"it has no column {shown}; {those}")])


# --- Parquet and Arrow --------------------------------------------------------------------------------------------------


def _parquet(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    return arrow.parquet(file, partial(_named, columns), rows_of)


def _arrow(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    return arrow.arrow(file, partial(_named, columns), rows_of)


# --- JSON and npz -------------------------------------------------------------------------------------------------------


def _json(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    return _sliced(json_table(file.read()), columns)


def _npz(file: IO[bytes], columns: Collection[Column], text: frozenset[Column]) -> Iterator[Block]:
    return _sliced(Npz(file.read()), columns)


def json_table(data: bytes) -> tables.Table:
    """A table that is the whole of a JSON document."""
    try:
        return tables.table(_json_document(data), TABLE)
    except InvalidInput as error:
        raise error.moved({TABLE: ()}) from None


def _json_document(data: bytes) -> object:
    """What a JSON document is, whatever it is."""
    if data.lstrip()[:1] == b"{":
        return decode(data)
    try:
        document = decode(b'{"table":%b}' % data)
        if len(document) > 1:
            raise MalformedDocument("it is several things, with commas between them")
    except MalformedDocument:
        try:
            json.loads(data)
        except ValueError as error:  # which counts from the beginning
            raise MalformedDocument(f"it is no JSON: {str(error)[:200]}") from None
        raise
    return document["table"]


def whole(table: tables.Table, limit: int = sys.maxsize) -> dict[str, Any]:
    """All columns of a table, of which no more than so many bytes are unpacked; InvalidInput where one is longer than another."""
    return _whole(table, table.names, limit)


def _whole(table: tables.Table, names: Collection[str], limit: int) -> dict[str, Any]:
    found = table.read(names, limit)
    columns: dict[str, Any] = {
        name: column if isinstance(column, np.ndarray) else listed(column) for name, column in found.items()
    }
    lengths = {name: length(column) for name, column in columns.items()}
    first = next(iter(lengths))
    for name, found in lengths.items():
        if found != lengths[first]:
            message = f"the column {name[:80]!r} has {found} rows, and {first[:80]!r} has {lengths[first]}"
            raise InvalidInput([Fault((), "ragged", message)])
        cells: Any = columns[name]
        if isinstance(cells, list) and any(isinstance(cell, dict) for cell in cast(list[object], cells)):
            message = f"the column {name[:80]!r} has objects in it: send a list of row objects, or an object of columns"
            raise InvalidInput([Fault((), "type", message)])
    return columns


def _sliced(table: tables.Table, columns: Collection[Column]) -> Iterator[Block]:
    names = _named(columns, table.names)
    found = _whole(table, {*names.values()}, sys.maxsize)
    n = length(next(iter(found.values())))
    step = rows_of(sum(max(1, np.size(column) // n) for column in found.values()))
    for first in range(0, n, step):
        yield Block(first, {column: found[name][first : first + step] for column, name in names.items()})


def rows_of(width: int) -> int:
    """The rows of a block, of so many numbers each."""
    return max(1, BLOCK_BYTES // (8 * max(1, width)))


READERS: Mapping[str, Reader] = {
    "npy": _npy,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "json": _json,
    "npz": _npz,
}
"""How a file of each form is read."""
ENDINGS: Mapping[str, str] = {f".{form}": form for form in READERS}
"""The form of a file that says none."""


def readable(form: str) -> bool:
    """Whether files of this form can be read here: some take a library that need not be installed."""
    return form not in ("parquet", "arrow") or arrow.installed()
