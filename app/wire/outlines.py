"""What a file of a table has: the names of its columns, and how many rows. Its numbers are read where only they tell."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from app.errors import Fault, InvalidInput, MalformedTable
from app.wire import arrow
from app.wire.csv import BOM, HEADER_BYTES, Csv
from app.wire.npz import Npz, described
from app.wire.partitions import READERS, json_table, whole
from app.wire.tables import length


class Outline(NamedTuple):
    """What a table has."""

    columns: Sequence[str]
    n_rows: int


Outlining: TypeAlias = Callable[[IO[bytes], int], tuple[Sequence[str], int]]


def outline(path: Path, form: str, limit: int) -> Outline:
    """What a file has, of which no more than so many bytes are unpacked.

    CallerError for what is no such file, has rows of other lengths than its header, or has none.
    """
    with path.open("rb") as file:
        columns, n_rows = OUTLINES[form](file, limit)
    if not columns or not n_rows:
        raise InvalidInput([Fault((), "empty", "it has no rows: a table has columns, and a row for each sample")])
    return Outline([*columns], n_rows)


def _npy(file: IO[bytes], limit: int) -> tuple[Sequence[str], int]:
    try:
        shape, _, _ = described(file)
    except Exception as error:  # NumPy and its tokenizer have errors of their own each
        raise MalformedTable(f"it is no npy file: {str(error)[:200]}") from None
    n, width = (*shape, 1, 1)[:2]
    return [str(column) for column in range(width)], n


def _csv(file: IO[bytes], limit: int) -> tuple[Sequence[str], int]:
    names = Csv(file.read(HEADER_BYTES + len(BOM))).names
    file.seek(0)
    blocks = READERS["csv"](file, [0], frozenset({0}))
    return names, sum(length(block.columns[0]) for block in blocks)


def _json(file: IO[bytes], limit: int) -> tuple[Sequence[str], int]:
    return _of(whole(json_table(file.read())))


def _npz(file: IO[bytes], limit: int) -> tuple[Sequence[str], int]:
    return _of(whole(Npz(file.read()), limit))


def _of(columns: Mapping[str, Any]) -> tuple[Sequence[str], int]:
    return [*columns], length(next(iter(columns.values())))


OUTLINES: Mapping[str, Outlining] = {
    "npy": _npy,
    "csv": _csv,
    "parquet": lambda file, _: arrow.outline_of_parquet(file),
    "arrow": lambda file, _: arrow.outline_of_arrow(file),
    "json": _json,
    "npz": _npz,
}
"""By the form of the file, as READERS."""
