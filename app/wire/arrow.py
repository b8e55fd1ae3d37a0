"""Parquet and Arrow files, a block of rows at a time, by pyarrow: the extra `criterion[data]`, loaded where one is read.

Of an Arrow file (IPC, as a file or a stream) batches that are not packed are mapped, so that a file of one large batch takes
the memory of a block too; of a Parquet file a piece of each column is unpacked at a time.
"""

import io
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidInput, MalformedTable
from app.wire.npz import as_json
from app.wire.tables import Block, Column

BUFFER_BYTES = 1024 * 1024
LARGEST_BATCH = 64 * 1024 * 1024
"""Of a stream, as it comes: a batch is read as a whole."""
Named: TypeAlias = Callable[[Sequence[str]], Mapping[Column, str]]


def parquet(file: IO[bytes], named: Named, step: Callable[[int], int]) -> Iterator[Block]:
    """Block after block; `named` finds the columns among all names, `step` says how many rows of so many numbers a block has.

    MalformedTable for what is no such file.
    """
    _pyarrow()
    reader: Any = import_module("pyarrow.parquet")
    with _readable("Parquet file"):
        opened = reader.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        names = named(opened.schema_arrow.names)
        wanted = [*dict.fromkeys(names.values())]
        first = 0
        for batch in opened.iter_batches(step(len(wanted)), columns=wanted, use_threads=False):
            _look_through(batch)
            yield Block(first, {column: _numbers(name, batch.column(name)) for column, name in names.items()})
            first += batch.num_rows
        if first != opened.metadata.num_rows:
            raise MalformedTable(f"it says that it has {opened.metadata.num_rows} rows, and a column has {first}")


def arrow(file: IO[bytes], named: Named, step: Callable[[int], int]) -> Iterator[Block]:
    """The same of a file of record batches."""
    pa = _pyarrow()
    with _readable("Arrow file"), pa.memory_map(file.name) as source:
        yield from of_batches(_batches(pa, source), named, step)


def outline_of_parquet(file: IO[bytes]) -> tuple[Sequence[str], int]:
    """The names of the columns, and how many rows there are; MalformedTable for what is no such file."""
    pa = _pyarrow()
    reader: Any = import_module("pyarrow.parquet")
    try:
        opened = reader.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        return opened.schema_arrow.names, opened.metadata.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MalformedTable(f"it is no Parquet file that can be read: {str(error)[:200]}") from None


def outline_of_arrow(file: IO[bytes]) -> tuple[Sequence[str], int]:
    """The same of a file of record batches, all of which are looked at."""
    pa = _pyarrow()
    names, n_rows = list[str](), 0
    try:
        with pa.memory_map(file.name) as source:
            for batch in _batches(pa, source):
                _look_through(batch)
                names, n_rows = batch.schema.names, n_rows + batch.num_rows
        return names, n_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MalformedTable(f"it is no Arrow file that can be read: {str(error)[:200]}") from None


def _batches(pa: Any, source: Any) -> Iterator[Any]:
    try:
        opened = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        yield from pa.ipc.open_stream(source)
        return
    for number in range(opened.num_record_batches):
        yield opened.get_batch(number)


class Stream:
    """Record batches (IPC, as a stream) that are read as they come."""

    def __init__(self, file: io.BufferedReader, step: Callable[[int], int]) -> None:
        self._file, self._step = file, step

    @cached_property
    def _batches(self) -> Any:
        pa = _pyarrow()
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with _readable("Arrow stream"):
            return pa.ipc.open_stream(pa.PythonFile(_Messages(self._file), "r"), options=options)

    @property
    def names(self) -> Sequence[str]:
        """The columns."""
        with _readable("Arrow stream"):
            return self._batches.schema.names

    def blocks(self, columns: Sequence[Column]) -> Iterator[Block]:
        """These columns, of which there is one each."""
        with _readable("Arrow stream"):
            yield from of_batches(self._batches, lambda names: {column: str(column) for column in columns}, self._step)
        if self._file.read(1):
            raise MalformedTable("it is no Arrow stream that can be read: something follows behind its end")


class _Messages(io.RawIOBase):
    """A file of which no more is read at a time than a message may have."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= LARGEST_BATCH:
            message = f"a record batch has {LARGEST_BATCH} bytes at most, not {size}: write fewer rows in each, if this is Arrow"
            raise InvalidInput([Fault((), "limit", message)])
        return self._file.read(size)


def of_batches(batches: Iterator[Any], named: Named, step: Callable[[int], int]) -> Iterator[Block]:
    """The rows of record batches in blocks."""
    first = 0
    for batch in batches:
        names = named(batch.schema.names)
        _look_through(batch.select([*dict.fromkeys(names.values())]))
        rows = step(len(names))
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            yield Block(first, {column: _numbers(name, part.column(name)) for column, name in names.items()})
            first += part.num_rows


def _look_through(batch: Any) -> None:
    """ArrowInvalid where a column is shorter than its batch says, or leads out of what it has: pyarrow reads whatever lies there.

    Columns of nothing but missing values have no bytes at all, and may be said to be of any length.
    """
    batch.validate(full=True)
    if batch.num_rows > 8 * batch.nbytes:
        raise MalformedTable(f"a record batch of {batch.num_rows} rows has no value in the columns that are asked for")


def installed() -> bool:
    """Whether there is pyarrow."""
    return find_spec("pyarrow") is not None


@contextmanager
def _readable(what: str) -> Generator[None]:
    """MalformedTable for what pyarrow cannot read."""
    pa = _pyarrow()
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MalformedTable(f"it is no {what} that can be read: {str(error)[:200]}") from None


def _pyarrow() -> Any:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others set a gigabyte aside at the first byte
    return import_module("pyarrow")


def _numbers(name: str, column: Any) -> Any:
    """A column as JSON would hold it: numbers, NaN where one is missing; strings as a list; lists of one length as rows."""
    pa: Any = import_module("pyarrow")
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _numbers(name, column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.to_pylist()
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        return np.asarray(_numbers(name, column.flatten())).reshape(len(column), kind.list_size)
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        message = f"its column {name[:80]!r} is of {str(kind)[:80]}: it must be of numbers, booleans or text"
        raise InvalidInput([Fault((name,), "type", message)])
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return as_json(name, array)
