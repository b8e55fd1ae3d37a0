"""Data by reference as one table in memory, for calls that take all of their data at once: training."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.api.files import Layout, put
from app.api.sources import KEPT, SOURCE, Partition, Reach, Source, partitions, roles_of
from app.errors import CallerError, Fault, InvalidInput, Path
from app.serving.wires import as_model
from app.settings import Settings
from app.wire.faults import listed
from app.wire.outlines import names
from app.wire.partitions import Column, blocks


class TableSource(Source):
    """Files that are one table together, and which of their columns has which role."""

    columns: Annotated[dict[str, Any], Field(default_factory=dict)]


class Partitioned:
    """The table that some files are together. Its columns are those of the first."""

    def __init__(self, parts: Sequence[Partition], reach: Reach) -> None:
        self._parts, self._reach = parts, reach
        self._lengths: list[int] = []
        """Of those that have been read."""
        try:
            self.names = tuple(names(parts[0].path, parts[0].form))
        except CallerError as error:
            raise _of_part(error, 0, parts[0]) from None
        self.stamp = sha256("\n".join(map(_stamp, parts)).encode()).hexdigest()
        """What tells these files, as they are, from any other."""

    def read(self, names: Iterable[str], limit: int, text: frozenset[str] = frozenset()) -> dict[str, Any]:
        """These columns of all files, as JSON would hold them; whoever reads them has what memory he has."""
        wanted = [*names]
        found: dict[str, list[Any]] = {name: [] for name in wanted}
        self._lengths = []
        for place, part in enumerate(self._parts if wanted else ()):
            columns: dict[str, Column] = {name: int(name) if part.form == "npy" and name.isdecimal() else name for name in wanted}
            n_rows = 0
            self._reach.check(part)
            try:
                for block in blocks(part.path, part.form, columns.values(), frozenset(columns[name] for name in text)):
                    for name, pieces in found.items():
                        pieces.append(block.columns[columns[name]])
                    n_rows += block.n_rows
            except CallerError as error:
                raise _of_part(error, place, part) from None
            self._lengths.append(n_rows)
        return {name: _joined(name, found.pop(name)) for name in wanted}

    def places(self, cells: Sequence[tuple[int, str]]) -> list[str]:
        return [f"row {row}, column {name!r} of {part.name}" for name, (_, part, row) in self._found(cells)]

    def paths(self, cells: Sequence[tuple[int, str]]) -> list[Path]:
        """Where cells stand, as paths in a request."""
        return [(*SOURCE, place, row, name) for name, (place, _, row) in self._found(cells)]

    def _found(self, cells: Sequence[tuple[int, str]]) -> list[tuple[str, tuple[int, Partition, int]]]:
        return [(name, self._part(row)) for row, name in cells]

    def _part(self, row: int) -> tuple[int, Partition, int]:
        """The file that has a row, and which of its rows that is."""
        for place, n_rows in enumerate(self._lengths):
            if row < n_rows:
                return place, self._parts[place], row
            row -= n_rows
        return len(self._parts) - 1, self._parts[-1], row


def referred(
    layout: Layout, document: Mapping[str, Any], arguments: Mapping[str, Any], settings: Settings, *, files: bool
) -> tuple[dict[str, Any], Partitioned]:
    """A request whose `data` says where its table is, as one that names columns, and the table.

    Where `files` are not to be read, data sets that are kept are.
    """
    data: dict[str, Any] = document["data"]
    rest = {name: value for name, value in data.items() if name not in TableSource.model_fields}
    try:
        given = {name: value for name, value in data.items() if name not in rest}
        source: TableSource = as_model(TableSource, given, arguments, settings)
    except CallerError as error:
        raise error.moved({(): ("data",)}) from None
    if not files and not all(url.startswith(KEPT) for url in source.source):
        message = f"files are read by jobs: send this as the request of POST /v1/jobs; here a data set is taken, as {KEPT}NAME"
        raise InvalidInput([Fault(SOURCE, "unexpected", message)])
    reach = Reach.of(settings, arguments)
    table = Partitioned(partitions(source, reach), reach)
    roles: dict[str, Any] = {}
    for path, columns in roles_of(source.columns, layout.sides, layout.single).items():
        roles = put(roles, path, [_name(column, table.names, path) for column in columns])
    return {**document, "data": {**rest, **roles}}, table


def _name(column: Column, known: Sequence[str], path: Path) -> str:
    if isinstance(column, str):
        return column
    if 0 <= column < len(known):
        return known[column]
    message = f"there is no column {column}; they are numbered from 0 to {len(known) - 1}"
    raise InvalidInput([Fault(("data", "columns", *path), "unknown_column", message)])


def _stamp(part: Partition) -> str:
    """The file, and of one that may be written anew which content it has; what is kept has the name of its hash."""
    return f"{part.path}\0{part.size}\0{part.version}"


def _joined(name: str, pieces: Sequence[Any]) -> Any:
    """The pieces of a column as one."""
    if not all(isinstance(piece, np.ndarray) for piece in pieces):
        return [cell for piece in pieces for cell in cast(list[Any], listed(piece))]
    arrays = cast(Sequence[NDArray[Any]], pieces)
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        message = f"the column {name[:80]!r} has rows of other shapes in one file than in another"
        raise InvalidInput([Fault(SOURCE, "ragged", message)])
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.empty(0)


def _of_part(error: CallerError, place: int, part: Partition) -> CallerError:
    """The same error with the file's name, and its faults within the file."""
    found = error.faults or (Fault((), error.code, error.detail),)
    return InvalidInput([Fault((*SOURCE, place, *fault.path), fault.code, f"{part.name}: {fault.message}") for fault in found])
