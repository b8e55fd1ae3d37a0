"""Tables: columns with names, whatever they come in. A column is what JSON decodes to: an ndarray, strings or a LazyList."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidInput, Path
from app.wire.exact import FAR, OBJECTS, LazyList, simdjson, value
from app.wire.faults import listed

DATA: Path = ("data",)
DEPTH = 2
"""How deep a column stands in a request."""


class Table(Protocol):
    """What can be asked of a table."""

    @property
    def names(self) -> Sequence[str]:
        """The columns there are."""
        ...

    def read(self, names: Iterable[str], limit: int, text: frozenset[str] = frozenset()) -> dict[str, Any]:
        """These columns, of which no more than `limit` bytes are unpacked; those in `text` as strings, where they are text."""
        ...

    def places(self, cells: Sequence[tuple[int, str]]) -> list[str]:
        """Where cells stand, given as row and column."""
        ...


class Columns:
    """Columns that are in memory already."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = columns
        self.names = tuple(columns)

    def read(self, names: Iterable[str], limit: int, text: frozenset[str] = frozenset()) -> dict[str, Any]:
        return {name: self._columns[name] for name in names}

    def places(self, cells: Sequence[tuple[int, str]]) -> list[str]:
        return [f"row {row}, column {name!r}" for row, name in cells]


def table(data: object) -> Table:
    """The table in `data`: columns and rows (pandas' orient "split"), row objects ("records", "table") or columns ("dict").

    InvalidInput where it is none of these, or where a row has other columns than the first.
    """
    if not isinstance(data, dict):
        return Columns(_of_objects(data))
    document = cast(dict[str, Any], data)
    if "columns" in document and "data" in document and document.keys() <= {"columns", "data", "index"}:
        return Columns(_split(_names(document["columns"]), document["data"]))
    if {*document} == {"schema", "data"}:
        return Columns(_of_objects(document["data"]))
    _refuse_other_rows(document)
    return Columns({name: _column(name, column) for name, column in document.items()})


def stacked(columns: Sequence[Any]) -> Any:
    """Columns side by side (n, k), as the nested JSON array of their rows would be read."""
    if len(columns) == 1:
        return columns[0]
    lengths = [len(column.node) if isinstance(column, LazyList) else len(column) for column in columns]
    if len({*lengths}) > 1:
        raise InvalidInput(
            [Fault(DATA, "ragged", f"columns that stand side by side have {lengths[0]} and {_other(lengths)} rows")]
        )
    if all(isinstance(column, np.ndarray) and column.ndim == 1 for column in columns):
        arrays = cast(Sequence[NDArray[Any]], columns)
        if any(array.dtype.kind in "iu" for array in arrays) and all(map(_whole, arrays)):
            return value([list(row) for row in zip(*map(_integers, arrays), strict=True)], DEPTH)
        return np.stack([array.astype(np.float64, copy=False) for array in arrays], axis=1)
    return value([list(row) for row in zip(*map(_listed, columns), strict=True)], DEPTH)


def _other(lengths: Sequence[int]) -> int:
    return next(length for length in lengths if length != lengths[0])


def _whole(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "iu" or bool((np.floor(array) == array).all() and (np.abs(array) < FAR).all())


def _integers(array: NDArray[Any]) -> list[int]:
    return array.tolist() if array.dtype.kind in "iu" else array.astype(np.int64).tolist()


def _listed(column: Any) -> list[Any]:
    if isinstance(column, LazyList):
        node: Any = column.node
        return cast(list[Any], node if isinstance(node, list) else node.as_list())
    return column.tolist() if isinstance(column, np.ndarray) else column


# --- forms of tables in JSON ----------------------------------------------------------------------------------------------


def _names(columns: object) -> list[str]:
    names = listed(columns)
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in cast(list[Any], names)):
        raise InvalidInput([Fault((*DATA, "columns"), "type", "data.columns must be a list of the columns' names")])
    return list(map(str, cast(list[Any], names)))


def _split(names: Sequence[str], rows: object) -> dict[str, Any]:
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        array = cast(NDArray[Any], rows)
        if array.shape[1] != len(names):
            raise _row_length(0, array.shape[1], len(names))
        _refuse_twice(names)
        return {name: np.ascontiguousarray(array[:, index]) for index, name in enumerate(names)}
    if not isinstance(rows, list | LazyList | np.ndarray):
        raise InvalidInput([Fault((*DATA, "data"), "type", "data.data must be a list of rows")])
    cells: list[list[Any]] = [[] for _ in names]
    for index, row in enumerate(_items(rows)):
        values = _plain(row)
        if not isinstance(values, list) or len(cast(list[Any], values)) != len(names):
            raise _row_length(index, len(cast(list[Any], values)) if isinstance(values, list) else 1, len(names))
        for column, cell in zip(cells, cast(list[Any], values), strict=True):
            column.append(cell)
    return _decoded(names, cells)


def _refuse_twice(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput([Fault(DATA, "duplicate", f"the column {twice[:80]!r} stands twice")])


def _row_length(index: int, length: int, width: int) -> InvalidInput:
    message = f"data.data[{index}] has {length} cells where data.columns has {width} names"
    return InvalidInput([Fault((*DATA, "data", index), "ragged", message)])


def _of_objects(data: object) -> dict[str, Any]:
    """Row objects as columns."""
    if not isinstance(data, list | LazyList):
        rule = 'data must be {"columns": [...], "data": [[...]]}, a list of row objects, or an object of columns'
        raise InvalidInput([Fault(DATA, "type", rule)])
    names: tuple[str, ...] = ()
    cells: list[list[Any]] = []
    for index, row in enumerate(_items(data)):
        keys, values = _members(row, index)
        if not index:
            names, cells = keys, [[] for _ in keys]
        elif keys != names:
            values = _in_order(index, names, keys, values)
        for column, cell in zip(cells, values, strict=True):
            column.append(cell)
    return _decoded(names, cells)


def _members(row: Any, index: int) -> tuple[tuple[str, ...], list[Any]]:
    if isinstance(row, dict):
        document = cast(dict[str, Any], row)
        return tuple(document), list(document.values())
    if not isinstance(row, OBJECTS):
        raise InvalidInput([Fault((*DATA, index), "type", f"data[{index}] must be an object of cells, as the other rows are")])
    if isinstance(row, tuple):
        pairs = cast(tuple[tuple[str, Any], ...], row)
        return tuple(key for key, _ in pairs), [cell for _, cell in pairs]
    proxy: Any = row
    return tuple(proxy), list(proxy.values())


def _in_order(index: int, names: Sequence[str], keys: Sequence[str], values: Sequence[Any]) -> list[Any]:
    members = dict(zip(keys, values, strict=True))
    if len(members) != len(keys):
        raise InvalidInput([Fault((*DATA, index), "duplicate", f"a key stands twice in data[{index}]")])
    if members.keys() != set(names):
        other = sorted(members.keys() ^ set(names))[:MAX_FAULTS]
        message = (
            f"data[{index}] has not the columns of data[0]: {', '.join(name[:80] for name in other)}; send null for no value"
        )
        raise InvalidInput([Fault((*DATA, index), "ragged", message)])
    return [members[name] for name in names]


def _refuse_other_rows(document: Mapping[str, Any]) -> None:
    """Columns that are objects by row have the same rows in the same order."""
    columns: list[Any] = [column for column in document.values() if isinstance(column, dict)]
    rows = [[*column] for column in columns]
    if any(keys != rows[0] for keys in rows):
        raise InvalidInput([Fault(DATA, "ragged", "the columns of data have other rows than one another, or in another order")])


def _column(name: str, column: Any) -> Any:
    if isinstance(column, dict):  # pandas' own orient: by row
        return value(list(cast(dict[str, Any], column).values()), DEPTH)
    if isinstance(column, (np.ndarray, list, LazyList)):
        return cast(object, column)
    raise InvalidInput([Fault((*DATA, name), "type", f"data.{name[:80]} must be a list of cells, one for each row")])


def _items(rows: Any) -> Iterator[Any]:
    return iter(rows.node if isinstance(rows, LazyList) else rows)


def _plain(item: Any) -> Any:
    if isinstance(item, LazyList):
        item = item.node
    if isinstance(item, np.ndarray):
        return cast(NDArray[Any], item).tolist()
    return item.as_list() if simdjson and isinstance(item, simdjson.Array) else item


def _decoded(names: Sequence[str], cells: Sequence[list[Any]]) -> dict[str, Any]:
    _refuse_twice(names)
    plain: Callable[[Any], Any] = _plain
    return {name: value(list(map(plain, column)), DEPTH) for name, column in zip(names, cells, strict=True)}
