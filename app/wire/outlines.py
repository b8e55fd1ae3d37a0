"""What a file of a table has: the names of its columns, and how many rows. Its numbers are read where only they tell."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from app.errors import Fault, InvalidInput, MalformedTable
from app.wire import arrow
from app.wire.csv import BOM, HEADER_BYTES, Csv
from app.wire.npz import Npz, described
from app.wire.partitions import READERS, json_table, whole
from app.wire.stores import opened, reason
from app.wire.tables import length


class Outline(NamedTuple):
    """What a table has."""

    columns: Sequence[str]
    n_rows: int


Heading: TypeAlias = tuple[Sequence[str], Callable[[], int]]
"""The names of the columns, and what counts the rows."""
Outlining: TypeAlias = Callable[[IO[bytes], int], Heading]


def outline(path: Path, form: str, limit: int) -> Outline:
    """What a file has, of which no more than so many bytes are unpacked.

    CallerError for what is no such file, has rows of other lengths than its header, or has none.
    """
    with path.open("rb") as file:
        columns, count = OUTLINES[form](file, limit)
        n_rows = count() if columns else 0
    if not n_rows:
        raise InvalidInput([Fault((), "empty", "it has no rows: a table has columns, and a row for each sample")])
    return Outline([*columns], n_rows)


def names(place: str, form: str) -> Sequence[str]:
    """The columns of a file, whose rows are not counted; CallerError for what is no such file."""
    try:
        with opened(place) as file:
            return OUTLINES[form](file, sys.maxsize)[0]
    except OSError as error:
        raise MalformedTable(f"it cannot be read: {reason(error)}") from None


def _npy(file: IO[bytes], limit: int) -> Heading:
    try:
        shape, _, _ = described(file)
    except Exception as error:  # NumPy and its tokenizer have errors of their own each
        raise MalformedTable(f"it is no npy file: {str(error)[:200]}") from None
    n, width = (*shape, 1, 1)[:2]
    return [str(column) for column in range(width)], lambda: n


def _csv(file: IO[bytes], limit: int) -> Heading:
    columns = Csv(file.read(HEADER_BYTES + len(BOM))).names
    file.seek(0)
    return columns, lambda: sum(block.n_rows for block in READERS["csv"](file, [0], frozenset()))


def _json(file: IO[bytes], limit: int) -> Heading:
    return _of(whole(json_table(file.read())))


def _npz(file: IO[bytes], limit: int) -> Heading:
    return _of(whole(Npz(file.read()), limit))


def _of(columns: Mapping[str, Any]) -> Heading:
    return [*columns], lambda: length(next(iter(columns.values())))


def _parquet(file: IO[bytes], limit: int) -> Heading:
    return arrow.outline_of_parquet(file)


def _arrow(file: IO[bytes], limit: int) -> Heading:
    return arrow.outline_of_arrow(file)


OUTLINES: Mapping[str, Outlining] = {
    "npy": _npy,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "json": _json,
    "npz": _npz,
}
"""By the form of the file, as READERS."""
