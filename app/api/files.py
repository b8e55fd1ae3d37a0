"""Files as requests: CSV and npz. The file is a table; what is asked of it stands in the address.

The query names a role for each column that is used, the loss and its parameters, and the other fields of the request: words,
lists of them with commas, or JSON. What is answered may be the file again, with what was computed behind each row.
"""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.api.specs import LOSS_SPECS, Spec
from app.api.words import TARGETS
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidInput, MalformedDocument, Path, UnknownName, UnsupportedMediaType
from app.losses import NAMED, Composed, Loss
from app.losses.outputs import OUTPUTS
from app.registry import Declared
from app.serving.accept import prefers
from app.serving.content import Content
from app.serving.exchange import Exchange
from app.serving.problems import from_pydantic
from app.serving.unknown import parts_of
from app.serving.wires import Wire, json_content
from app.suggestions import meant
from app.wire.csv import DELIMITERS, Csv, pieces
from app.wire.faults import name as name_of
from app.wire.json import decode
from app.wire.npz import Npz
from app.wire.tables import Named

CSV = "text/csv"
LABELS = tuple(map(str, TARGETS.choices))
"""The names under which targets may stand, in tables too."""
MOST_COLUMNS = 20
"""Columns that a message lists."""
SCALAR = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,20})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,4})?")
"""What JSON reads as a flag or a number."""

Roles: TypeAlias = Mapping[Path, Sequence[str]]
"""Where in the request columns belong: one, or several side by side."""
Query: TypeAlias = Mapping[str, Sequence[str]]


class Layout(NamedTuple):
    """Where a request has the arrays that may be columns of a table."""

    sides: tuple[str, ...]
    """The fields that hold arrays."""
    within: Path = ()
    """The object that has these fields; () is the request itself."""
    model: type[BaseModel] | None = None
    """The model of that object, where it is not the request's own."""
    rest: str | None = None
    """The side to which all columns belong that have no other role. It has an axis of columns, also where there is one."""
    text: tuple[str, ...] = ()
    """The sides that take text as well as numbers."""
    single: tuple[str, ...] = ()
    """The sides of which each column is by itself, under its own name."""

    def of(self, side: str) -> Path:
        return (*self.within, side)


class Asked(NamedTuple):
    """What the head of a request says about a file."""

    query: Query
    rows: bool
    """Whether the answer is to be the rows, with what was computed behind them."""


class File(NamedTuple):
    """A body that is a table, and what is asked of it."""

    table: Csv | Npz
    asked: Asked


class Rows(NamedTuple):
    """A file whose rows are the answer."""

    table: Csv
    roles: Roles


def csv_head(exchange: Exchange) -> Asked:
    """The query, and whether rows are wanted back."""
    given = re.search(r'charset\s*=\s*"?([^;"\s]*)', exchange.fields[b"content-type"].decode("latin-1").lower())
    charset = given[1] if given else "utf-8"
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise UnsupportedMediaType(f"send CSV in UTF-8, not in {charset[:80]!r} (spreadsheets call it CSV UTF-8)")
    return Asked(exchange.query, prefers(exchange.fields.get(b"accept", b"").decode("latin-1"), CSV))


def npz_head(exchange: Exchange) -> Asked:
    return Asked(exchange.query, rows=False)


def read_csv(body: bytes | memoryview, asked: Asked, quick: bool) -> File:
    delimiter = _choice(asked.query, "delimiter", {**DELIMITERS, **{character: character for character in DELIMITERS.values()}})
    decimal = _choice(asked.query, "decimal", {".": ".", ",": ",", "point": ".", "comma": ","}) or "."
    if delimiter == decimal:
        raise InvalidInput([Fault(("decimal",), "choice", "a comma cannot be both the delimiter and the decimal comma")])
    return File(Csv(body, delimiter=delimiter, decimal=decimal, quick=quick), asked)


def _choice(query: Query, name: str, known: Mapping[str, str]) -> str | None:
    if name not in query:
        return None
    value = query[name][-1]
    if value not in known:
        words = ", ".join(word for word in known if word.strip())
        raise InvalidInput([Fault((name,), "choice", f"{name} must be one of {words}; got {value[:80]!r}")])
    return known[value]


def read_npz(body: bytes | memoryview, asked: Asked, quick: bool) -> File:
    return File(Npz(body, quick=quick), asked)


def rows_or_json(result: Any, request: Any) -> Content:
    """The rows with what was computed behind them, where they are wanted; else JSON."""
    rows = getattr(request, "rows", None)
    if not isinstance(rows, Rows):
        return json_content(result)
    return Content(tuple(rows.table.extended(_columns_of(result, rows))), f"{CSV}; charset=utf-8")


FILES: Mapping[str, Wire] = {
    CSV: Wire(csv_head, read_csv, rows_or_json, queried=True),
    "application/x-npz": Wire(npz_head, read_npz, rows_or_json, queried=True),
}
"""The media types of files."""
JUDGED: Mapping[str, Wire] = {media_type: wire._replace(encode=json_content) for media_type, wire in FILES.items()}
"""The same where what is answered is no further column of the rows: JSON always."""


# --- what the address says --------------------------------------------------------------------------------------------


def from_query(model: type[BaseModel], layout: Layout, query: Query, table: Named) -> dict[str, Any]:
    """The request that the parameters of the address are, its arrays the names of columns."""
    naming = _loss_said(query, layout) if "loss" in model.model_fields else None
    loss = None if naming is None else _loss_of(naming)
    roles = _roles(layout, loss)
    fields = {(name,): field for name, field in model.model_fields.items() if name not in (*layout.sides, "loss", "data")}
    if layout.model is not None:
        fields |= {layout.of(name): field for name, field in layout.model.model_fields.items() if name not in layout.sides}
    dialect = ("delimiter", "decimal") if isinstance(table, Csv) else ()
    known = (*roles, *(str(path[-1]) for path in fields), *({"loss"} & {*model.model_fields}), *dialect)
    of_loss = {name: words for name, words in query.items() if name not in known}
    named = loss if isinstance(naming, str) else None
    if named is None or collecting(named) is None:
        _refuse_strangers(loss, of_loss, (*known, *(named.parameters if named else ())))
    document: dict[str, Any] = {str(name): {} for name in layout.within}
    if naming is not None:
        document["loss"] = {"name": naming, **parameters_of(loss, of_loss)} if loss and isinstance(naming, str) else naming
    for path, field in fields.items():
        if path[-1] in query:
            document = put(document, path, _field(query[str(path[-1])], path, field))
    for name, columns in _columns(layout, roles, query, table).items():
        document = put(document, roles[name], columns)
    return document


def put(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The document with a value at this place."""
    key, *inner = map(str, path)
    return {**document, key: put(document.get(key, {}), tuple(inner), value) if inner else value}


def _loss_said(query: Query, layout: Layout) -> Any:
    """How the query says the loss: by name, or in JSON; None where it does not, and need not."""
    if query.get("loss", ["null"])[-1] != "null":
        return in_json(query["loss"][-1], ("loss",))
    if not layout.within:
        raise InvalidInput([Fault(("loss",), "missing", "loss is missing: say it in the address, as ?loss=mse")])
    return None


def _loss_of(naming: Any) -> Loss | Composed | None:
    """The loss of this name; what is none is left to the model, which says so."""
    name = cast(dict[str, Any], naming).get("name") if isinstance(naming, dict) else naming
    return NAMED.resolve(name, ("loss",))[0] if isinstance(name, str) else None


def as_written(error: CallerError, query: Query) -> CallerError:
    """The same error where the address says it: parameters of a loss that it names stand beside the name."""

    def moved(fault: Fault) -> Fault:
        root, *within = fault.path or ("",)
        place = next((tuple(within[start:]) for start, step in enumerate(within[:2]) if step in query), None)
        if root != "loss" or place is None or query.get("loss", ["{"])[-1][:1] == "{":
            return fault
        return Fault(place, fault.code, fault.message.replace(name_of(fault.path), name_of(place), 1))

    faults = [*map(moved, error.faults)]
    return error if faults == [*error.faults] else type(error)(faults)


def _roles(layout: Layout, loss: Loss | Composed | None) -> dict[str, Path]:
    """Where in the request each role belongs: the sides of a layout, and of a loss what it calls them."""
    sides = {side: layout.of(side) for side in layout.sides}
    if layout.within or not isinstance(loss, Loss):
        return sides
    own: dict[str, Path] = {name: input_.path for name, input_ in loss.inputs.items()}
    if ("targets",) in own.values():
        own |= {name: (name,) for name in LABELS}
    return own | {name: path for name, path in sides.items() if name not in ("predictions", *LABELS)}


def _refuse_strangers(loss: Declared | None, query: Query, known: Sequence[str]) -> None:
    unknown = [name for name in query if name not in known]
    if unknown:
        raise UnknownName(
            [Fault((name,), "unknown_parameter", _no_parameter(loss, name, known)) for name in unknown[:MAX_FAULTS]]
        )


def _no_parameter(loss: Declared | None, name: str, known: Sequence[str]) -> str:
    close = meant(name, known, most=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"{f'with {loss.name} ' if loss else ''}it takes {', '.join(known)}"
    return f"there is no query parameter {name[:80]!r}; {hint}"


def _columns(layout: Layout, roles: Mapping[str, Path], query: Query, table: Named) -> dict[str, Any]:
    """The columns of each role: those that the query names, or where it names none those that have the roles' own names."""
    named: dict[str, Any] = {
        name: in_json(query[name][-1], (name,)) if name in layout.single and query[name][-1][:1] == "{" else _pieces(query[name])
        for name in roles
        if name in query
    }
    if named or layout.rest is not None:
        return named
    strangers = [name for name in table.names if name not in roles]
    if strangers:
        example = next(iter(roles))
        message = (
            f"no role is named, and {listing(strangers)} is none of {', '.join(roles)}: say in the address which is which, "
            f"as {example}={strangers[0][:80]}; columns without a role are then ignored"
        )
        raise InvalidInput([Fault((), "unknown_column", message)])
    return {name: [name] for name in roles if name in table.names}


def parameters_of(loss: Loss | Composed, query: Query) -> dict[str, Any]:
    """The loss's parameters that the query has: read by the loss's own model, where words become numbers.

    Losses within another are left as they were written, for what their names mean may depend on the arrays.
    """
    if isinstance(loss, Composed):
        given = _words(loss, query)
        read = {name: word if _takes(loss.parameters[name], str) else _scalar(word) for name, word in given.items()}
        named = {name: _scalar(words[-1]) for name, words in query.items() if name not in loss.parameters}
        into = collecting(loss)
        return {**read, into: {**read.get(into, {}), **named}} if into and named else read
    return read_by(LOSS_SPECS, loss, query)


def read_by(models: Mapping[str, type[Spec]], declared: Declared, query: Query) -> dict[str, Any]:
    """The parameters of a thing that the query has: read by the thing's own model, where words become numbers."""
    given = _words(declared, query)
    try:
        read = models[declared.name].model_validate({"name": declared.name, **given}, strict=False).given
    except ValidationError as error:
        raise from_pydantic(error, given) from None
    return {name: read[name] for name in given}


def _words(declared: Declared, query: Query) -> dict[str, Any]:
    return {name: _read(query[name], (name,), found.annotation) for name, found in declared.parameters.items() if name in query}


def collecting(loss: Declared) -> str | None:
    """The parameter that is an object of numbers, if there is one: words of an address that are nothing else are names in it."""
    return next((name for name, parameter in loss.parameters.items() if _takes(parameter, Mapping[str, float])), None)


def _takes(parameter: inspect.Parameter, kind: object) -> bool:
    return kind in (parameter.annotation, *get_args(parameter.annotation))


def _field(values: Sequence[str], path: Path, field: FieldInfo) -> Any:
    """What the query says for a field of the request: numbers and flags where it takes no strings."""
    value = _read(values, path, field.annotation)
    if str in parts_of(field):
        return value
    return [*map(_scalar, cast(list[Any], value))] if isinstance(value, list) else _scalar(value)


def _scalar(word: Any) -> Any:
    """The number or the flag that a word is."""
    if not isinstance(word, str) or not SCALAR.fullmatch(word):
        return word
    return cast(object, json.loads(word))


def in_json(word: str, path: Path) -> Any:
    """The object or list that a parameter is in JSON; any other is a word."""
    if word[:1] not in ("{", "["):
        return word
    try:
        return decode(f'{{"said":{word}}}'.encode())["said"]
    except MalformedDocument as error:
        message = f"{path[-1]} begins as JSON does, and is none: {error.detail.partition(': ')[2]}"
        raise InvalidInput([Fault(path, "type", message)]) from None


def _read(values: Sequence[str], path: Path, annotation: Any) -> Any:
    """What the query says for a type: a word, a list of them where it takes one, JSON, nothing for null."""
    if values[-1] == "null":
        return None
    if (document := in_json(values[-1], path)) is not values[-1]:
        return document
    choices = {str(choice): choice for choice in _choices(annotation)}
    if values[-1] in choices or not _takes_list(annotation):
        return choices.get(values[-1], values[-1])
    listed = _pieces(values)
    return listed[0] if len(listed) == 1 and _takes_one(annotation) else listed


def _choices(annotation: Any) -> list[Any]:
    """What a Literal within the type lists, not those of a list: Pydantic reads no number there."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) is list:
        return []
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _takes_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_takes_list, get_args(annotation)))


def _takes_one(annotation: Any) -> bool:
    """Whether a number stands for a list of it."""
    members = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _takes_one(members[0])
    return float in members or any(hasattr(member, "__metadata__") and not _takes_list(member) for member in members)


def _pieces(values: Sequence[str]) -> list[str]:
    """Names with commas between them, or the parameter several times; a name with a comma in it stands in quotes."""
    return [piece for value in values for piece in pieces(value)]


def listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    return ", ".join(name[:80] for name in names[:MOST_COLUMNS]) + more


# --- rows as the answer -----------------------------------------------------------------------------------------------


def _columns_of(result: Mapping[str, Any], rows: Rows) -> dict[str, NDArray[Any]]:
    """What was computed for each row, as columns with names that the file has not."""
    columns: dict[str, NDArray[Any]] = {}
    for output in OUTPUTS:
        name = "loss" if output == "per_sample" else output
        found = result.get(output)
        arrays = cast(dict[str, Any], found) if isinstance(found, dict) else {"": found}
        for inner, array in arrays.items():
            role = ("predictions", inner) if inner else ("predictions",)
            columns |= _apart(f"{name}_{inner}" if inner else name, array, rows.roles.get(role, ()))
    return {_new(name, rows.table.names): column for name, column in columns.items()}


def _apart(name: str, array: Any, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    if not isinstance(array, np.ndarray) or not array.ndim:
        return {}
    numbers = cast(NDArray[Any], array)
    if numbers.ndim == 1:
        return {name: numbers}
    names = columns if len(columns) == numbers.shape[1] else [str(index) for index in range(numbers.shape[1])]
    return {f"{name}_{column}": numbers[:, index] for index, column in enumerate(names)}


def _new(name: str, taken: Sequence[str]) -> str:
    return name if name not in taken else _new(f"{name}_", taken)
