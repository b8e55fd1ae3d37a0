"""Tables as requests: columns with names where arrays stand otherwise, whatever form the table has.

JSON has the table in the field `data`, a file is all table (files.py). Either becomes the same request, checked by the same
model; what is wrong with an element of an array is said of the cell that it was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from pydantic import BaseModel

from app.api.files import SIDES, File, Roles, Rows, from_query, listing
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidInput, Path
from app.serving.wires import Check, as_model
from app.settings import Settings
from app.suggestions import meant
from app.wire import tables
from app.wire.csv import Csv
from app.wire.tables import Table

FIRST = 3
"""Cells that are shown of a column of strings."""
DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+\s*")


def check_columns(model: type[BaseModel]) -> Check:
    """The check of a request whose arrays may be columns of a table."""
    return partial(_checked, model)


def _checked(model: type[BaseModel], document: Any, arguments: Mapping[str, Any], settings: Settings) -> Any:
    if isinstance(document, File):
        request = from_query(model, document.asked.query, document.table)
        return _from_table(model, request, document.table, arguments, settings, rows=document.asked.rows)
    if document.get("data") is None:
        return as_model(model, document, arguments, settings)
    request = {name: value for name, value in document.items() if name != "data"}
    return _from_table(model, request, tables.table(document["data"]), arguments, settings)


def _from_table(
    model: type[BaseModel], document: Mapping[str, Any], table: Table, arguments: Mapping[str, Any], settings: Settings, *,
    rows: bool = False,
) -> Any:  # fmt: skip
    roles = _roles(document)
    _refuse_unknown(roles, table)
    names = dict.fromkeys(name for columns in roles.values() for name in columns)
    labels = (name for path, columns in roles.items() if path[0] == "targets" for name in columns)
    columns = table.read(names, settings.max_body_bytes, frozenset(labels if document.get("classes") is not None else ()))
    _refuse_text(roles, columns, table)
    filled = dict(document)
    for path, wanted in roles.items():
        array = tables.stacked([columns[name] for name in wanted])
        side = str(path[0])
        filled[side] = array if len(path) == 1 else {**filled[side], str(path[1]): array}
    try:
        request = as_model(model, filled, arguments, settings)
    except CallerError as error:
        raise _located(error, roles, table) from None
    if rows and isinstance(table, Csv):
        vars(request)["rows"] = Rows(table, roles)
    return request


def _roles(document: Mapping[str, Any]) -> Roles:
    """The columns that a request names; where it has arrays, these stay."""
    roles: dict[Path, Sequence[str]] = {}
    for side in SIDES:
        given = document.get(side)
        named = cast(dict[str, Any], given) if isinstance(given, dict) else None
        parts: dict[Path, Any] = {(side,): given} if named is None else {(side, name): part for name, part in named.items()}
        for path, part in parts.items():
            if isinstance(part, str):
                roles[path] = [part]
            elif isinstance(part, list) and part and all(isinstance(name, str) for name in cast(list[Any], part)):
                roles[path] = cast(list[str], part)
    return roles


def _refuse_unknown(roles: Roles, table: Table) -> None:
    unknown = {name: path for path, columns in roles.items() for name in columns if name not in table.names}
    twice = {name: path for path, columns in roles.items() for name in columns if table.names.count(name) > 1}
    faults = [Fault(path, "unknown_column", _no_column(name, table.names)) for name, path in unknown.items()]
    faults += [Fault(path, "duplicate", f"the column {name[:80]!r} stands twice in the table") for name, path in twice.items()]
    if faults:
        raise InvalidInput(faults[:MAX_FAULTS])


def _refuse_text(roles: Roles, columns: Mapping[str, Any], table: Table) -> None:
    """Strings may be labels, of which the loss decides; anything else should have been numbers, and it is known where."""
    found = {
        name: path
        for path, names in roles.items()
        for name in names
        if _is_text(columns[name]) and (path[0] != "targets" or DECIMAL_COMMA.fullmatch(columns[name][0]))
    }
    cells = [(row, name) for name in found for row in range(min(len(columns[name]), FIRST))]
    if cells:
        places = table.places(cells)
        raise InvalidInput([
            Fault((*found[name], row), "not_a_number", f"{found[name][-1]}[{row}] must be a number, not a string ({place})")
            for (row, name), place in zip(cells, places, strict=True)
        ])  # fmt: skip


def _is_text(column: Any) -> bool:
    return isinstance(column, list) and isinstance(next(iter(cast(list[Any], column)), None), str)


def _no_column(name: str, columns: Sequence[str]) -> str:
    close = meant(name, columns, most=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no column {name[:80]!r}; {hint}the columns are {listing(columns)}"


def _located(error: CallerError, roles: Roles, table: Table) -> CallerError:
    """The same error, in the words of a table: an element of an array is a cell of a column."""
    cells = {index: cell for index, fault in enumerate(error.faults) if (cell := _cell(fault.path, roles))}
    if not cells:
        return error
    places = dict(zip(cells, table.places(list(cells.values())), strict=True))
    return type(error)([
        replace(fault, message=f"{fault.message} ({places[index]})") if index in places else fault
        for index, fault in enumerate(error.faults)
    ])  # fmt: skip


def _cell(path: Path, roles: Roles) -> tuple[int, str] | None:
    for role, columns in roles.items():
        if path[: len(role)] == role and len(path) > len(role) and isinstance(row := path[len(role)], int):
            column = path[len(role) + 1] if len(columns) > 1 and len(path) > len(role) + 1 else 0
            return row, columns[column if isinstance(column, int) and column < len(columns) else 0]
    return None
