"""Tables: columns with names, whatever they come in. A column is what JSON decodes to: an ndarray, strings or a LazyList."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidInput, Path
from app.wire.exact import FAR, OBJECTS, LazyList, simdjson, value
from app.wire.faults import listed
from app.wire.faults import name as named

Column: TypeAlias = str | int
DATA: Path = ("data",)
DEPTH = 2
"""How deep a column stands in a request."""


BLOCK_SECONDS = 1.0
"""Rows that have come are not kept waiting for more than this, once others come."""


class Block(NamedTuple):
    """Rows that follow each other in a file, or in what comes."""

    first: int
    """Which row is the first of them."""
    columns: Mapping[Column, Any]

    @property
    def n_rows(self) -> int:
        return length(next(iter(self.columns.values())))


class Named(Protocol):
    """What has columns with names."""

    @property
    def names(self) -> Sequence[str]:
        """The columns there are."""
        ...


class Table(Named, Protocol):
    """What can be asked of a table."""

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


def table(data: object, path: Path = DATA) -> Table:
    """The table at a place: columns and rows (pandas' orient "split"), row objects ("records", "table") or columns ("dict").

    InvalidInput where it is none of these, where a row has other columns than the first, or where there are none.
    """
    columns = _columns(data, path)
    if not any(map(length, columns.values())):
        raise InvalidInput([Fault(path, "empty", f"{named(path)} has no rows: a table needs a row for each sample")])
    return Columns(columns)


def _columns(data: object, path: Path) -> dict[str, Any]:
    if not isinstance(data, dict):
        return of_objects(data, path)
    document = cast(dict[str, Any], data)
    if "columns" in document and "data" in document and document.keys() <= {"columns", "data", "index"}:
        return _split(_names(document["columns"], path), document["data"], path)
    if {*document} == {"schema", "data"}:
        return of_objects(document["data"], (*path, "data"))
    _refuse_other_rows(document, path)
    return {name: _column(column, (*path, name)) for name, column in document.items()}


def length(column: Any) -> int:
    """How many cells a column has."""
    return len(column.node) if isinstance(column, LazyList) else len(column)


def stacked(columns: Sequence[Any], *, rows: bool = False) -> Any:
    """Columns side by side (n, k), as the nested JSON array of their rows would be read; with `rows`, also one alone (n, 1)."""
    if len(columns) == 1:
        (column,) = columns
        if rows and isinstance(column, np.ndarray) and column.ndim == 1:
            return cast(NDArray[Any], column)[:, None]
        return cast(object, column)
    lengths = [*map(length, columns)]
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


def _names(columns: object, path: Path) -> list[str]:
    names = listed(columns)
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in cast(list[Any], names)):
        place = (*path, "columns")
        raise InvalidInput([Fault(place, "type", f"{named(place)} must be a list of the columns' names")])
    return list(map(str, cast(list[Any], names)))


def _split(names: Sequence[str], rows: object, path: Path) -> dict[str, Any]:
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        array = cast(NDArray[Any], rows)
        if array.shape[1] != len(names):
            raise _rowlength(path, 0, array.shape[1], len(names))
        _refuse_twice(names, path)
        return {name: np.ascontiguousarray(array[:, index]) for index, name in enumerate(names)}
    if not isinstance(rows, list | LazyList | np.ndarray):
        raise InvalidInput([Fault((*path, "data"), "type", f"{named((*path, 'data'))} must be a list of rows")])
    cells: list[list[Any]] = [[] for _ in names]
    for index, row in enumerate(_items(rows)):
        values = _plain(row)
        if not isinstance(values, list) or len(cast(list[Any], values)) != len(names):
            raise _rowlength(path, index, len(cast(list[Any], values)) if isinstance(values, list) else 1, len(names))
        for column, cell in zip(cells, cast(list[Any], values), strict=True):
            column.append(cell)
    return _decoded(names, cells, path)


def _refuse_twice(names: Sequence[str], path: Path) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput([Fault(path, "duplicate", f"the column {twice[:80]!r} stands twice")])


def _rowlength(path: Path, index: int, length: int, width: int) -> InvalidInput:
    place = (*path, "data", index)
    message = f"{named(place)} has {length} cells where {named((*path, 'columns'))} has {width} names"
    return InvalidInput([Fault(place, "ragged", message)])


def of_objects(data: object, path: Path, names: tuple[str, ...] | None = None, first: int = 0) -> dict[str, Any]:
    """Row objects as columns. Where they follow others, `names` are the columns of these, and `first` says how many they are."""
    if not isinstance(data, list | LazyList):
        rule = 'must be {"columns": [...], "data": [[...]]}, a list of row objects, or an object of columns'
        raise InvalidInput([Fault(path, "type", f"{named(path)} {rule}")])
    cells: list[list[Any]] = [[] for _ in names or ()]
    for index, row in enumerate(_items(data), first):
        keys, values = _members(row, (*path, index))
        if names is None:
            _refuse_twice(keys, (*path, index))
            if not keys:
                message = f"{named((*path, index))} has no cells: a row needs one for each column"
                raise InvalidInput([Fault((*path, index), "empty", message)])
            names, cells = keys, [[] for _ in keys]
        elif keys != names:
            values = _in_order((*path, index), names, keys, values)
        for column, cell in zip(cells, values, strict=True):
            column.append(cell)
    return _decoded(names or (), cells, path)


def _members(row: Any, path: Path) -> tuple[tuple[str, ...], list[Any]]:
    if isinstance(row, dict):
        document = cast(dict[str, Any], row)
        return tuple(document), list(document.values())
    if not isinstance(row, OBJECTS):
        raise InvalidInput([Fault(path, "type", f"{named(path)} must be an object of cells, as the other rows are")])
    if isinstance(row, tuple):
        pairs = cast(tuple[tuple[str, Any], ...], row)
        return tuple(key for key, _ in pairs), [cell for _, cell in pairs]
    proxy: Any = row
    return tuple(proxy), list(proxy.values())


def _in_order(path: Path, names: Sequence[str], keys: Sequence[str], values: Sequence[Any]) -> list[Any]:
    members = dict(zip(keys, values, strict=True))
    if len(members) != len(keys):
        raise InvalidInput([Fault(path, "duplicate", f"a key stands twice in {named(path)}")])
    if members.keys() != set(names):
        other = ", ".join(name[:80] for name in sorted(members.keys() ^ set(names))[:MAX_FAULTS])
        message = f"{named(path)} has not the columns of {named((*path[:-1], 0))}: {other}; send null for no value"
        raise InvalidInput([Fault(path, "ragged", message)])
    return [members[name] for name in names]


def _refuse_other_rows(document: Mapping[str, Any], path: Path) -> None:
    """Columns that are objects by row have the same rows in the same order."""
    columns: list[Any] = [column for column in document.values() if isinstance(column, dict)]
    rows = [[*column] for column in columns]
    if any(keys != rows[0] for keys in rows):
        message = f"the columns of {named(path)} have other rows than one another, or in another order"
        raise InvalidInput([Fault(path, "ragged", message)])


def _column(column: Any, path: Path) -> Any:
    if isinstance(column, dict):  # pandas' own orient: by row
        return value(list(map(_plain, cast(dict[str, Any], column).values())), DEPTH)
    if isinstance(column, (np.ndarray, list, LazyList)):
        return cast(object, column)
    raise InvalidInput([Fault(path, "type", f"{named(path)} must be a list of cells, one for each row")])


def _items(rows: Any) -> Iterator[Any]:
    return iter(rows.node if isinstance(rows, LazyList) else rows)


def _plain(item: Any) -> Any:
    if isinstance(item, LazyList):
        item = item.node
    if isinstance(item, np.ndarray):
        return cast(NDArray[Any], item).tolist()
    return item.as_list() if simdjson and isinstance(item, simdjson.Array) else item


def _decoded(names: Sequence[str], cells: Sequence[list[Any]], path: Path) -> dict[str, Any]:
    _refuse_twice(names, path)
    plain: Callable[[Any], Any] = _plain
    return {name: value(list(map(plain, column)), DEPTH) for name, column in zip(names, cells, strict=True)}
