"""Parquet and Arrow files, a block of rows at a time, by pyarrow: the extra `criterion[data]`, loaded where one is read.

Of an Arrow file (IPC, as a file or a stream) batches that are not packed are mapped, so that a file of one large batch takes
the memory of a block too; of a Parquet file a piece of each column is unpacked at a time.
"""

import io
import os
import time
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
from app.wire.tables import BLOCK_SECONDS, Block, Column

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
    with _opened(file) as (_, batches):
        yield from of_batches(batches, named, step)


def outline_of_parquet(file: IO[bytes]) -> tuple[Sequence[str], Callable[[], int]]:
    """The names of the columns, and what counts the rows; MalformedTable for what is no such file."""
    _pyarrow()
    reader: Any = import_module("pyarrow.parquet")
    with _readable("Parquet file"):
        opened = reader.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        return opened.schema_arrow.names, lambda: opened.metadata.num_rows


def outline_of_arrow(file: IO[bytes]) -> tuple[Sequence[str], Callable[[], int]]:
    """The same of a file of record batches, all of which are looked at to count their rows."""

    def count() -> int:
        n_rows = 0
        with _opened(file) as (_, batches):
            for batch in batches:
                _look_through(batch)
                n_rows += batch.num_rows
        return n_rows

    with _opened(file) as (names, _):
        return names, count


@contextmanager
def _opened(file: IO[bytes]) -> Generator[tuple[Sequence[str], Iterator[Any]]]:
    """The names of the columns, and the batches. A file of the disk is mapped; of one in a store a batch is read as a whole."""
    pa = _pyarrow()
    mapped = isinstance(file, io.BufferedReader)
    with _readable("Arrow file"), pa.memory_map(file.name) if mapped else pa.PythonFile(_Messages(file), "r") as source:
        try:
            opened = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            opened = pa.ipc.open_stream(source)
            yield opened.schema.names, opened
        else:
            yield opened.schema.names, map(opened.get_batch, range(opened.num_record_batches))


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

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= LARGEST_BATCH:
            message = f"a record batch has {LARGEST_BATCH} bytes at most, not {size}: write fewer rows in each, if this is Arrow"
            raise InvalidInput([Fault((), "limit", message)])
        return self._file.read(size)


def of_batches(batches: Iterator[Any], named: Named, step: Callable[[int], int]) -> Iterator[Block]:
    """The rows of record batches in blocks, small batches together in one; none waits long for others, once these come."""
    first, n_rows, until = 0, 0, 0.0
    names: Mapping[Column, str] = {}
    held: list[Any] = []
    for batch in batches:
        names = named(batch.schema.names)
        _look_through(batch.select([*dict.fromkeys(names.values())]))
        most = step(len(names))
        for start in range(0, batch.num_rows, most):
            part = batch.slice(start, most)
            if held and (n_rows + part.num_rows > most or time.monotonic() > until):
                yield _block(first, held, names)
                first, n_rows, held = first + n_rows, 0, []
            if not held:
                until = time.monotonic() + BLOCK_SECONDS
            held.append(part)
            n_rows += part.num_rows
    if held:
        yield _block(first, held, names)


def _block(first: int, parts: Sequence[Any], names: Mapping[Column, str]) -> Block:
    return Block(
        first, {column: _numbers(name, _together([part.column(name) for part in parts])) for column, name in names.items()}
    )


def _together(parts: Sequence[Any]) -> Any:
    """A column of several batches, each of which may have a dictionary of its own."""
    if len(parts) == 1:
        return parts[0]
    pa: Any = import_module("pyarrow")
    plain = [part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for part in parts]
    return pa.concat_arrays(plain)


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
