"""The rows of a training run: what its data come to as arrays, with the names of columns and classes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.api.specs import (
    Spec,
)
from app.api.training_fields import InlineData, RunFields
from app.api.words import ONE_HOT
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidArray, InvalidInput, Path
from app.losses.inputs import Numbers, Raw
from app.training import (
    DATASETS,
    MODELS,
    Data,
    Table,
)
from app.training.side_by_side import SideBySide, together
from app.wire import faults

Words: TypeAlias = Mapping[int, Sequence[str]]
"""The words of columns of categories, in the order of the numbers that stand for them."""


class Rows(NamedTuple):
    """The data of a request, with the names that its columns and classes have, and the kind of its targets."""

    table: Table
    features: tuple[str, ...] | None
    task: str | None


def data_of(request: RunFields) -> Rows:
    given = request.data
    if isinstance(given, InlineData):
        known = request.trained and request.trained.words
        table = _inline(given, request.model, known or None)
        return Rows(table, table.features, None)
    dataset = DATASETS[given.name]
    try:
        data: Data = dataset(**given.given)
    except CallerError as error:
        raise error.moved({(): ("data",)}) from None
    return Rows(Table(data.inputs, data.targets, data.classes, given.name, data.features), data.features, dataset.task)


def _inline(given: InlineData, model: Spec, known: Words | None) -> Table:
    (raw, named, by_name), (inputs, words), weights = _all(
        partial(read_targets, given.targets, ("data", "targets"), given.classes),
        partial(_in_columns, given.features, partial(read_inputs, given.inputs, ("data", "inputs"), model, known)),
        partial(read_weights, given.sample_weight, ("data", "sample_weight")),
    )
    targets, classes = cast(Raw, raw), None if isinstance(given.classes, Mapping) else given.classes
    if named is None and not isinstance(targets, np.ndarray):
        classes = classes or _occurring(cast(Sequence[str], targets))
    elif named is None and classes is not None:
        _check_indices(cast(Numbers, targets), len(classes), ("data", "targets"))
    features = None if given.features is None else tuple(given.features)
    if features is not None and inputs.ndim == 2 and len(features) != inputs.shape[1]:
        message = f"data.features has {len(features)} names, and data.inputs {inputs.shape[1]} columns: one is needed for each"
        raise InvalidInput([Fault(("data", "features"), "length", message)])
    groups = given.groups
    if groups is not None and len(groups) != len(inputs):
        message = f"data.groups must have one entry per row of inputs: {len(inputs)}, not {len(groups)}"
        raise InvalidInput([Fault(("data", "groups"), "shape_mismatch", message)])
    return Table(inputs, targets, classes, None, features, weights, groups, named, by_name, words)


def _in_columns(features: Sequence[str] | None, read: Callable[[], tuple[Numbers, Words]]) -> tuple[Numbers, Words]:
    """What is read of inputs; what is wrong with a number of theirs is told with the name of its column."""
    try:
        return read()
    except InvalidArray as error:
        if features is None:
            raise
        told = [
            replace(fault, message=f"column {features[fault.path[-1]]!r}: {fault.message}")
            if len(fault.path) == CELL and isinstance(fault.path[-1], int) and fault.path[-1] < len(features)
            else fault
            for fault in error.faults
        ]
        raise InvalidArray(told) from None


CELL = 4
"""Parts of the path of a number of data.inputs."""


def _all(*reads: Callable[[], Any]) -> list[Any]:
    """What all of these read; with one that refuses what it reads, all that is wrong for any of them."""
    found: list[Any] = []
    refused: list[InvalidInput] = []
    for read in reads:
        try:
            found.append(read())
        except InvalidInput as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise InvalidInput([fault for error in refused for fault in error.faults])
    return found


def read_inputs(given: object, path: Path, model: Spec, known: Words | None = None) -> tuple[Numbers, Words]:
    """Inputs as numbers, NaN where one is missing and the model takes that; and the words that columns of categories have.

    A column of other text is refused at its first cell, and a number that is missing wherever it is. `known` are the words of
    other rows: any that is not among them is missing.
    """
    given, words = _without_words(given, model.given.get("categorical_features"), known)
    try:
        inputs = faults.numbers(given, path, gaps=True)
    except InvalidArray as error:
        first = {fault.path[-1]: fault for fault in reversed(error.faults) if fault.code == "not_a_number"}
        text = [replace(fault, message=f"{fault.message}; {ONE_HOT}") for fault in reversed(first.values())]
        raise InvalidArray(text or error.faults) from None
    takes_gaps = not MODELS[model.name].optimized
    missing: list[list[int]] = [] if takes_gaps else np.argwhere(np.isnan(inputs))[:MAX_FAULTS].tolist()
    if missing:
        places = [(*path, *index) for index in missing]
        raise InvalidArray([Fault(place, "not_a_number", f"{faults.name(place)} must be {MISSING}") for place in places])
    return inputs, words


def _without_words(given: object, categorical: object, known: Words | None) -> tuple[object, Words]:
    """Rows with the words of categories as numbers, by the order of their names."""
    rows = faults.listed(given) if isinstance(categorical, list) and not isinstance(given, np.ndarray) else None
    cells = [faults.listed(row) for row in cast(list[object], rows)] if isinstance(rows, list) else []
    if not cells or not all(isinstance(row, list) for row in cells):
        return cast(object, given), known or {}
    table = [list(row) for row in cast(list[list[object]], cells)]
    words = dict(known or {})
    for column in range(max(map(len, table), default=0)) if known is None else ():
        found = {row[column] for row in table if column < len(row) and row[column] is not None and _is_plain(row[column])}
        if _is_categorical(column, cast(list[object], categorical)) and found and all(isinstance(cell, str) for cell in found):
            words[column] = sorted(map(str, found))
    for column, names in words.items():
        places: dict[object, int] = {name: place for place, name in enumerate(names)}
        for row in table:
            if column < len(row) and isinstance(row[column], str):
                row[column] = places.get(row[column])
    return table, words


def _is_plain(cell: object) -> bool:
    return isinstance(cell, str | int | float | bool)


def _is_categorical(column: int, categorical: list[object]) -> bool:
    """Whether a column may be one of categories; those that are told by name are known later."""
    return column in categorical or any(isinstance(name, str) for name in categorical)


TREES = ", ".join(name for name, declared in MODELS.items() if not declared.optimized)
MISSING = (
    "a number, not null or NaN: leave the row out, or fill it in, as with its column's mean or median; "
    f"or take a model that can do without, of {TREES}"
)
"""What is said of an input that is missing."""


def read_weights(given: object, path: Path) -> NDArray[np.float64] | None:
    return None if given is None else faults.numbers(given, path)


class Read(NamedTuple):
    """Targets, and where these are several arrays, where each is, and the classes of those that are labels."""

    targets: Raw
    named: SideBySide | None = None
    classes: Mapping[str, Sequence[str]] = {}


def read_targets(given: object, path: Path, classes: Sequence[str] | Mapping[str, Sequence[str]] | None = None) -> Read:
    """With the names of classes, of one array or by the names of several; those that occur, where names have none."""
    try:
        targets = faults.tensors(given, path)
    except InvalidArray as error:
        raise _of_missing(error) from None
    several = isinstance(targets, Mapping)
    if classes is not None and several != isinstance(classes, Mapping):
        rule = "an object of names by head, as data.targets are one of arrays" if several else "a list of names"
        raise InvalidInput([Fault(("data", "classes"), "type", f"data.classes must be {rule}")])
    _check_different(classes)
    if several:
        return _together(cast(Mapping[str, Raw], targets), path, cast(Mapping[str, Sequence[str]], classes or {}))
    return Read(np.asarray(targets, np.float64) if isinstance(targets, np.ndarray) else targets)


def _check_different(classes: Sequence[str] | Mapping[str, Sequence[str]] | None) -> None:
    several = classes if isinstance(classes, Mapping) else {} if classes is None else {"": classes}
    for head, names in several.items():
        if len(set(names)) < len(names):
            where = ("data", "classes", head) if head else ("data", "classes")
            raise InvalidInput([Fault(where, "duplicate", f"{faults.name(where)} must be different names")])


def _together(targets: Mapping[str, Raw], path: Path, classes: Mapping[str, Sequence[str]]) -> Read:
    """Targets that are several arrays, as those of several heads are, side by side."""
    if not targets:
        raise InvalidInput([Fault(path, "empty", f"{faults.name(path)} is an object without an array")])
    strangers = [name for name in classes if name not in targets]
    if strangers:
        message = f"data.classes are of the heads that targets have: {', '.join(targets)}"
        raise InvalidInput([Fault(("data", "classes", strangers[0]), "unknown_field", message)])
    arrays: dict[str, Numbers] = {}
    named = dict(classes)
    for name, given in targets.items():
        where, array = (*path, name), given
        if not isinstance(array, np.ndarray):
            named[name] = classes.get(name) or _occurring(cast(Sequence[str], array), where)
            array = _indices(cast(Sequence[str], array), named[name], where)
        elif name in classes:
            _check_indices(array, len(classes[name]), where, name)
        if array.ndim not in (1, 2) or not array.size:
            raise InvalidArray([Fault(where, "shape", f"{faults.name(where)} must have shape (n,) or (n, k); got {array.shape}")])
        arrays[name] = array
    first, lengths = next(iter(arrays)), {name: len(array) for name, array in arrays.items()}
    for name, length in lengths.items():
        if length != lengths[first]:
            where = (*path, name)
            message = f"{faults.name(where)} has {length} rows, and {faults.name((*path, first))} {lengths[first]}"
            raise InvalidArray([Fault(where, "shape_mismatch", message)])
    return Read(*together(arrays), named)


def _indices(targets: Sequence[str], classes: Sequence[str], path: Path) -> Numbers:
    """The places of names among the classes."""
    places = {name: float(place) for place, name in enumerate(classes)}
    unknown = [index for index, name in enumerate(targets) if name not in places][:MAX_FAULTS]
    if unknown:
        known = ", ".join(classes[:MOST_NAMED])
        raise InvalidArray(
            [
                Fault(
                    (*path, index), "unknown_class", f"{faults.name((*path, index))} is {targets[index][:80]!r}, none of {known}"
                )
                for index in unknown
            ]
        )
    return np.array([places[name] for name in targets])


MOST_NAMED = 20
"""Classes that a message lists."""


def _of_missing(error: CallerError) -> CallerError:
    """The same error, with what to do about a row that has no target."""
    faults = [
        replace(fault, message=f"{fault.message}: leave the row out") if fault.message.endswith("not null") else fault
        for fault in error.faults
    ]
    return type(error)(faults)


def _occurring(targets: Sequence[str], path: Path = ("data", "targets")) -> list[str]:
    """The classes, in the order of their names."""
    classes = sorted(set(targets))
    if len(classes) == 1:
        message = f"targets are all {classes[0][:80]!r}, which is one class: name the others in data.classes"
        raise InvalidArray([Fault(path, "label", message)])
    return classes


def _check_indices(targets: Numbers, k: int, path: Path, *head: str) -> None:
    """Indices are below the number of names (or −1 and +1, of two); rows have a column for each."""
    classes = ("data", "classes", *head)
    if targets.ndim == 2 and targets.shape[1] != k:
        columns = f"{faults.name(path)} {targets.shape[1]} columns"
        message = f"{faults.name(classes)} has {k} names, and {columns}: there must be one for each"
        raise InvalidArray([Fault(classes, "shape_mismatch", message)])
    if targets.ndim == 1:
        wrong = np.flatnonzero((targets >= k) | (targets < (-1 if k == 2 else 0)))[:MAX_FAULTS]
        rule = f"must be the index of one of {k} classes"
        if wrong.size:
            messages = {index: f"{faults.name((*path, index))} {rule}; got {targets[index]:g}" for index in wrong.tolist()}
            raise InvalidArray([Fault((*path, index), "label", message) for index, message in messages.items()])
