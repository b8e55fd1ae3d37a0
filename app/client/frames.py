"""Whatever holds numbers as an array: by NumPy's own protocol, by Arrow's streams, or as a data frame tells where they lie.

Arrow's streams (`__arrow_c_stream__`) are read by pyarrow, where that is installed. The older interchange protocol of data frames
(`__dataframe__`, data-apis.org) tells where the numbers of a column lie in memory, so that no library is needed. A missing number
becomes NaN.
"""

import ctypes
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

KINDS = {0: "i", 1: "u", 2: "f"}
"""Kinds of columns, by the number that the protocol has for them, as NumPy writes them."""
BOOLEAN = 20
NO_NUMBERS = "the column {!r} holds no numbers: leave it out, or pass it by itself"
NON_NULLABLE, NAN, SENTINEL, BITS, BYTES = range(5)
"""How a column says that a number is missing."""


def array_of(value: Any) -> np.ndarray:
    """The array that this is; TypeError for a data frame of which a column holds no numbers."""
    array = np.asarray(value)
    if array.dtype != object:
        return array
    if hasattr(value, "__arrow_c_stream__") and find_spec("pyarrow"):
        return _of_stream(value)
    return _of_frame(value.__dataframe__()) if hasattr(value, "__dataframe__") else array


def columns_of(table: Any) -> dict[str, Any]:
    """The columns of a table by their names: of a mapping, of a data frame of pandas or polars, or of a table of pyarrow."""
    names = next((found for name in ("column_names", "columns") if (found := getattr(table, name, None)) is not None), table)
    return {str(name): table[name] for name in names}


def _of_stream(value: Any) -> np.ndarray:
    """A table as (n, k); a column as (n,), words too."""
    arrow: Any = import_module("pyarrow")
    try:
        table = arrow.table(value)
    except arrow.ArrowInvalid:  # a column by itself
        return np.asarray(arrow.chunked_array(value))
    columns = [_floats(name, np.asarray(column)) for name, column in zip(table.column_names, table.columns, strict=True)]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _floats(name: str, column: np.ndarray) -> np.ndarray:
    """Flags of which some are missing as numbers."""
    if column.dtype != object:
        return column
    try:
        return column.astype(float)
    except (TypeError, ValueError):
        raise TypeError(NO_NUMBERS.format(name)) from None


def _of_frame(frame: Any) -> np.ndarray:
    """(n, k); (n,) where there is one column."""
    columns = [
        np.concatenate([_of_column(name, chunk) for chunk in _chunks(frame.get_column_by_name(name))])
        for name in frame.column_names()
    ]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _chunks(column: Any) -> Iterator[Any]:
    return column.get_chunks() if column.num_chunks() > 1 else iter([column])


def _of_column(name: str, column: Any) -> np.ndarray:
    buffers = column.get_buffers()
    kind, bits, _, _ = column.dtype
    offset, size = column.offset, column.size()
    if kind == BOOLEAN:
        flags = _bits(buffers["data"][0], offset, size) if bits == 1 else _numbers(buffers["data"][0], "u1", offset, size) != 0
        return _without_missing(column, buffers, flags, offset, size)
    if kind not in KINDS:
        raise TypeError(NO_NUMBERS.format(name))
    numbers = _numbers(buffers["data"][0], f"{KINDS[kind]}{bits // 8}", offset, size)
    return _without_missing(column, buffers, numbers, offset, size)


def _without_missing(column: Any, buffers: Any, numbers: np.ndarray, offset: int, size: int) -> np.ndarray:
    """NaN where the column says that a number is missing."""
    how, mark = column.describe_null
    if how in (NON_NULLABLE, NAN) or (how in (BITS, BYTES) and buffers["validity"] is None):
        return numbers
    if how == SENTINEL:
        missing = numbers == mark
    else:
        validity = buffers["validity"][0]
        missing = (_bits(validity, offset, size) if how == BITS else _numbers(validity, "u1", offset, size)) == mark
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def _numbers(buffer: Any, dtype: str, offset: int, size: int) -> np.ndarray:
    """A copy: the memory is the data frame's, which may be gone soon."""
    width = np.dtype(dtype).itemsize
    return np.frombuffer(ctypes.string_at(buffer.ptr + offset * width, size * width), dtype)


def _bits(buffer: Any, offset: int, size: int) -> np.ndarray:
    """The least significant bit of a byte comes first, as in Arrow."""
    whole = np.frombuffer(ctypes.string_at(buffer.ptr, -(-(offset + size) // 8)), np.uint8)
    return np.unpackbits(whole, bitorder="little")[offset : offset + size] != 0
