"""Tables as requests: columns with names where arrays stand otherwise, whatever form the table has.

JSON has the table in the field `data`, alone or beside the names of its columns; a file is all table (files.py). Either becomes
the same request, checked by the same model; what is wrong with an element of an array is said of the cell that it was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.api.files import LABELS, File, Layout, Roles, Rows, as_written, from_query, listing, put
from app.api.referred import Partitioned, referred
from app.api.sources import is_reference
from app.api.words import ONE_HOT
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidArray, InvalidInput, Path
from app.serving.pieces import READ_FROM
from app.serving.wires import Check, as_model
from app.settings import Settings
from app.suggestions import meant
from app.wire import faults, tables
from app.wire.csv import Csv, is_word
from app.wire.tables import Named, Table

FORMS = (("rows",), ("columns", "data"), ("schema", "data"), ("columns",))
"""The keys of a table that stands beside the names of its columns: row objects, columns and rows, pandas' "table", columns."""
FIRST = 3
"""Cells that are shown of a column of strings."""
DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+\s*")


def check_columns(model: type[BaseModel], layout: Layout, *, files: bool = False) -> Check:
    """The check of a request whose arrays may be columns of a table, and whether that may be in files."""
    return partial(_checked, model, layout, files)


def _checked(
    model: type[BaseModel], layout: Layout, files: bool, document: Any, arguments: Mapping[str, Any], settings: Settings
) -> Any:
    if isinstance(document, File):
        request = from_query(model, layout, document.asked.query, document.table)
        try:
            return _from_table(model, layout, request, document.table, arguments, settings, rows=document.asked.rows)
        except CallerError as error:
            raise as_written(error, document.asked.query) from None
    given = None if document.get("data") is None else _apart(layout, files, document, arguments, settings)
    if given is None:
        try:
            return as_model(model, document, arguments, settings)
        except CallerError as error:
            raise _without_table(error, layout, document) from None
    request, table = given
    return _from_table(model, layout, request, table, arguments, settings)


def _apart(
    layout: Layout, files: bool, document: Mapping[str, Any], arguments: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, Any], Table] | None:
    """A request and the table that is in it, or that it refers to, apart; None where there is none."""
    data: Any = document["data"]
    if is_reference(data):
        if layout.within:
            return referred(layout, document, arguments, settings, files=files)
        message = "data by reference is for jobs: send this as the request of POST /v1/jobs, of kind evaluate or analyze"
        raise InvalidInput([Fault(("data", "source"), "unexpected", message)])
    if not layout.within:
        return {name: value for name, value in document.items() if name != "data"}, tables.table(data)
    if not isinstance(data, dict) or "name" in data:
        return None
    members = cast(dict[str, Any], data)
    form = next((form for form in FORMS if all(key in members for key in form)), None)
    if form is None or isinstance(members.get(str(layout.rest)), np.ndarray):
        return None
    rest = {name: value for name, value in members.items() if name not in (*form, "index")}
    (key, *more) = form
    table = {name: members[name] for name in form} if more else members[key]
    return {**document, "data": rest}, tables.table(table, ("data",) if more else ("data", key))


def _from_table(
    model: type[BaseModel],
    layout: Layout,
    document: Mapping[str, Any],
    table: Table,
    arguments: Mapping[str, Any],
    settings: Settings,
    *,
    rows: bool = False,
) -> Any:
    document = _by_name(layout, document)
    roles = roles_in(layout, document, table)
    names = dict.fromkeys(name for columns in roles.values() for name in columns)
    classes = _at(document, layout.of("classes"))
    labels = (name for path, columns in roles.items() if path[-1] in LABELS for name in columns)
    columns = table.read(names, settings.max_body_bytes, frozenset(labels if _are_words(classes) else ()))
    _refuse_text(layout, roles, columns, table)
    filled = dict(document)
    try:
        for path, wanted in roles.items():
            found = [columns[name] for name in wanted]
            if path[-1] == layout.rest:
                found = [
                    column_of_numbers(column, path, name, index)
                    for index, (name, column) in enumerate(zip(wanted, found, strict=True))
                ]
                if all(column.ndim == 1 for column in found) and _at(document, layout.of("features")) is None:
                    filled = put(filled, layout.of("features"), [*wanted])
            filled = put(filled, path, tables.stacked(found, rows=path[-1] == layout.rest))
        if layout.rest is not None and _at(filled, layout.of(layout.rest)) is None:  # then targets are what is not named
            filled = put(filled, layout.of(layout.rest), np.empty((0, 0)))
        request = as_model(model, filled, arguments, settings)
    except CallerError as error:
        raise _located(error, roles, table) from None
    if rows and isinstance(table, Csv):
        vars(request)["rows"] = Rows(table, roles)
    if isinstance(table, Partitioned):
        vars(request)[READ_FROM] = table.stamp
    return request


def _by_name(layout: Layout, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request with an object of columns where it names some that are each by itself."""
    for side in layout.single:
        given = document.get(side)
        names = [given] if isinstance(given, str) else cast(list[Any], given) if isinstance(given, list) else []
        if names and all(isinstance(name, str) for name in names):
            document = {**document, side: {name: name for name in names}}
    return document


def column_of_numbers(column: Any, path: Path, name: str, index: int) -> NDArray[np.float64]:
    """A column of inputs, NaN where a number is missing; text is refused at its first cell."""
    try:
        return faults.numbers(column, (*path, name), gaps=True)
    except InvalidArray as error:
        first, *_ = error.faults
        row = first.path[len(path) + 1] if len(first.path) > len(path) + 1 else 0
        message = f"{first.message}; {ONE_HOT}" if first.code == "not_a_number" else first.message
        raise InvalidArray([Fault((*path, row, index), first.code, message)]) from None


def _are_words(classes: object) -> bool:
    """Whether classes have names that a table would read as numbers, flags or missing: then labels are read as they stand."""
    return isinstance(classes, list) and any(isinstance(name, str) and not is_word(name) for name in cast(list[Any], classes))


def _at(document: Mapping[str, Any], path: Path) -> Any:
    """What stands at a place; None where nothing does."""
    for key in path:
        found = document.get(str(key))
        if not isinstance(found, dict):
            return found if key is path[-1] else None
        document = cast(dict[str, Any], found)
    return document


def roles_in(layout: Layout, document: Mapping[str, Any], table: Named) -> Roles:
    """The columns that a request names, which there are; where it has arrays, these stay."""
    found: dict[Path, Sequence[str]] = {}
    for side in map(layout.of, layout.sides):
        given = _at(document, side)
        named = cast(dict[str, Any], given) if isinstance(given, dict) else None
        parts: dict[Path, Any] = {side: given} if named is None else {(*side, name): part for name, part in named.items()}
        for path, part in parts.items():
            if isinstance(part, str):
                found[path] = [part]
            elif isinstance(part, list) and part and all(isinstance(name, str) for name in cast(list[Any], part)):
                found[path] = cast(list[str], part)
    roles = found if layout.rest is None else _with_rest(layout, found, table)
    if not roles and layout.rest is None:
        message = f"no column of data is named: say in {', '.join(layout.sides)} which is which; the columns are "
        raise InvalidInput([Fault(("data",), "unexpected", message + listing(table.names))])
    _refuse_unknown(roles, table)
    return roles


def _with_rest(layout: Layout, roles: Roles, table: Named) -> Roles:
    """The roles with those that need not be said: a column that has its role's name, and all others for the rest."""
    own = {layout.of(side): [side] for side in layout.sides if side in table.names and layout.of(side) not in roles}
    if not any(path[-1] in LABELS for path in roles):
        roles = {**roles, **{path: name for path, name in own.items() if path[-1] in LABELS}}
    rest = layout.of(str(layout.rest))
    if rest in roles or not any(path[-1] in LABELS for path in roles):
        return roles
    taken = {name for columns in roles.values() for name in columns}
    columns = own.get(rest) or [name for name in table.names if name not in taken]
    if not columns:
        message = f"no column is left for {layout.rest}; the columns are {listing(table.names)}"
        raise InvalidInput([Fault(rest, "missing", message)])
    return {**roles, rest: columns}


def _without_table(error: CallerError, layout: Layout, document: Mapping[str, Any]) -> CallerError:
    """The same error, where a column is named or rows of one are there, and there is no table."""
    named = {layout.of(side) for side in layout.sides if isinstance(_at(document, layout.of(side)), str)}
    named |= {fault.path for fault in error.faults[:1] if fault.message.endswith("not an object")}
    where = "data" if not layout.within else 'data, as {"rows": [...]} or {"columns": [...], "data": [[...]]}'
    hint = f"; a column can be named where the table is sent in {where}"
    faults = [replace(fault, message=fault.message + hint) if fault.path in named else fault for fault in error.faults]
    return type(error)(faults) if named else error


def _refuse_unknown(roles: Roles, table: Named) -> None:
    unknown = {name: path for path, columns in roles.items() for name in columns if name not in table.names}
    twice = {name: path for path, columns in roles.items() for name in columns if table.names.count(name) > 1}
    faults = [Fault(path, "unknown_column", no_column(name, table.names)) for name, path in unknown.items()]
    faults += [Fault(path, "duplicate", f"the column {name[:80]!r} stands twice in the table") for name, path in twice.items()]
    if faults:
        raise InvalidInput(faults[:MAX_FAULTS])


def _refuse_text(layout: Layout, roles: Roles, columns: Mapping[str, Any], table: Table) -> None:
    """Strings may be labels, of which the loss decides; anything else should have been numbers, and it is known where."""
    found = {
        name: path
        for path, names in roles.items()
        for name in names
        if path[-1] != layout.rest and path[0] not in layout.text
        if _is_text(columns[name]) and (path[-1] not in LABELS or DECIMAL_COMMA.fullmatch(columns[name][0]))
    }
    cells = [(row, name) for name in found for row in range(min(len(columns[name]), FIRST))]
    if cells:
        places = table.places(cells)
        raise InvalidInput(
            [
                Fault((*found[name], row), "not_a_number", f"{found[name][-1]}[{row}] must be a number, not a string ({place})")
                for (row, name), place in zip(cells, places, strict=True)
            ]
        )


def _is_text(column: Any) -> bool:
    return isinstance(column, list) and isinstance(next(iter(cast(list[Any], column)), None), str)


def no_column(name: str, columns: Sequence[str]) -> str:
    close = meant(name, columns, most=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    rows = all(column.isdecimal() for column in columns) and not name.isdecimal()
    after = ': if these are rows, as in pandas\' orient "index", send its orient "split", "records" or "columns"' if rows else ""
    return f"there is no column {name[:80]!r}; {hint}the columns are {listing(columns)}{after}"


def _located(error: CallerError, roles: Roles, table: Table) -> CallerError:
    """The same error, in the words of a table: an element of an array is a cell of a column."""
    cells = {index: cell for index, fault in enumerate(error.faults) if (cell := _cell(fault, roles))}
    missing = {index for index, fault in enumerate(error.faults) if fault.code == "missing" and {*fault.path[-1:]} & {*LABELS}}
    if not cells and not missing:
        return error
    places = dict(zip(cells, table.places(list(cells.values())), strict=True))
    paths = dict(zip(cells, table.paths(list(cells.values())), strict=True)) if isinstance(table, Partitioned) else {}
    places |= dict.fromkeys(missing, f"name its column; the columns are {listing(table.names)}")
    return type(error)(
        [
            replace(fault, path=paths.get(index, fault.path), message=f"{fault.message} ({places[index]})")
            if index in places
            else fault
            for index, fault in enumerate(error.faults)
        ]
    )


def _cell(fault: Fault, roles: Roles) -> tuple[int, str] | None:
    """Row and column of what is wrong: the first row, where a whole column is none of numbers."""
    path = fault.path
    for role, columns in roles.items():
        if path == role and fault.code == "not_a_number":
            return 0, columns[0]
        if path[: len(role)] == role and len(path) > len(role) and isinstance(row := path[len(role)], int):
            column = path[len(role) + 1] if len(columns) > 1 and len(path) > len(role) + 1 else 0
            return row, columns[column if isinstance(column, int) and column < len(columns) else 0]
    return None
