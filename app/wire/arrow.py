"""Parquet and Arrow files, a block of rows at a time, by pyarrow: the extra `criterion[data]`, loaded where one is read.

Of an Arrow file (IPC, as a file or a stream) batches that are not packed are mapped, so that a file of one large batch takes
the memory of a block too; of a Parquet file a piece of each column is unpacked at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import MalformedTable
from app.wire.npz import as_json

BUFFER_BYTES = 1024 * 1024
Named: TypeAlias = Callable[[Sequence[str]], Mapping[str | int, str]]
Rows: TypeAlias = tuple[int, dict[str | int, Any]]
"""The number of the first row, and columns."""


def parquet(file: IO[bytes], named: Named, step: Callable[[int], int]) -> Iterator[Rows]:
    """Block after block; `named` finds the columns among all names, `step` says how many rows of so many numbers a block has.

    MalformedTable for what is no such file.
    """
    pa = _pyarrow()
    reader: Any = import_module("pyarrow.parquet")
    try:
        opened = reader.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        names = named(opened.schema_arrow.names)
        wanted = [*dict.fromkeys(names.values())]
        first = 0
        for batch in opened.iter_batches(step(len(wanted)), columns=wanted, use_threads=False):
            yield first, {column: _numbers(name, batch.column(name)) for column, name in names.items()}
            first += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MalformedTable(f"it is no Parquet file that can be read: {str(error)[:200]}") from None


def arrow(file: IO[bytes], named: Named, step: Callable[[int], int]) -> Iterator[Rows]:
    """The same of a file of record batches."""
    pa = _pyarrow()
    try:
        with pa.memory_map(file.name) as source:
            yield from of_batches(_batches(pa, source), named, step)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MalformedTable(f"it is no Arrow file that can be read: {str(error)[:200]}") from None


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


def of_batches(batches: Iterator[Any], named: Named, step: Callable[[int], int]) -> Iterator[Rows]:
    """The rows of record batches in blocks."""
    first = 0
    for batch in batches:
        names = named(batch.schema.names)
        rows = step(len(names))
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            yield first, {column: _numbers(name, part.column(name)) for column, name in names.items()}
            first += part.num_rows


def _pyarrow() -> Any:
    pa: Any = import_module("pyarrow")
    pa.set_memory_pool(pa.system_memory_pool())  # the others set more memory aside than they use
    return pa


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
        raise MalformedTable(f"its column {name[:80]!r} is of {str(kind)[:80]}: it must be of numbers, booleans or text")
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return as_json(name, array)
