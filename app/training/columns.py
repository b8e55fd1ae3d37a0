"""What a model of trees says of single columns: which are categories, and along which predictions may only rise or fall."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from app.errors import Fault, InvalidArray, InvalidParameter, Path
from app.training.tables import Table
from app.training.trees import Boosted

if TYPE_CHECKING:
    from app.training.run import Rows

CONSTRAINTS: Path = ("model", "monotone_constraints")
CATEGORIES: Path = ("model", "categorical_features")


def columns_by_index(parameters: Mapping[str, Any], data: Table, outputs: tuple[int, ...]) -> dict[str, Any]:
    """The parameters of a model with columns by their index in place of their name."""
    told = dict(parameters)
    columns = data.inputs.shape[1]
    if told.get("categorical_features") is not None:
        told["categorical_features"] = _categorical(told["categorical_features"], data.features, columns)
        _check_words(data, told["categorical_features"])
    if told.get("monotone_constraints") is not None:
        told["monotone_constraints"] = _monotone(told["monotone_constraints"], data.features, columns)
        _check_constraints(told, outputs)
    return told


def _categorical(given: Sequence[int | str], features: Sequence[str] | None, columns: int) -> list[int]:
    found: list[int] = []
    for place, column in enumerate(given):
        path = (*CATEGORIES, place)
        index = _named(column, features, path) if isinstance(column, str) else column
        if not 0 <= index < columns:
            refuse(path, "out_of_range", f"there are {columns} columns, counted from 0; got {index}")
        if index in found:
            refuse(path, "duplicate", f"column {column} is there already")
        found.append(index)
    return sorted(found)


def _check_words(data: Table, categorical: Sequence[int]) -> None:
    """Refuse words in other columns than those of categories."""
    for column in data.words:
        if column not in categorical:
            message = f"column {column} of inputs has words, and is none of categorical_features"
            raise InvalidArray([Fault(("data", "inputs", 0, column), "not_a_number", message)])


def _monotone(given: Sequence[int] | Mapping[str, int], features: Sequence[str] | None, columns: int) -> list[int]:
    if isinstance(given, Mapping):
        signs = [0] * columns
        for name, sign in given.items():
            signs[_named(name, features, (*CONSTRAINTS, name))] = sign
        return signs
    if len(given) != columns:
        refuse(CONSTRAINTS, "length", f"monotone_constraints has {len(given)} numbers, and inputs {columns} columns")
    return [int(sign) for sign in given]


def _named(name: str, features: Sequence[str] | None, path: Path) -> int:
    if features is None:
        refuse(path, "unknown_feature", "the columns have no names: say them in data.features, or use indices from 0 on")
    if name not in features:
        listed = ", ".join(features[:20]) + (", ..." if len(features) > 20 else "")
        refuse(path, "unknown_feature", f"no column is named {name[:80]!r}; there are {listed}")
    return list(features).index(name)


def _check_constraints(told: Mapping[str, Any], outputs: tuple[int, ...]) -> None:
    signs = told["monotone_constraints"]
    if not any(signs):
        return
    if outputs and outputs[0] > 1:
        message = f"monotone_constraints need one output, and there are {outputs[0]}: what rises for one class falls for another"
        refuse(CONSTRAINTS, "does_not_fit", message)
    for column in told.get("categorical_features") or ():
        if signs[column]:
            refuse(CONSTRAINTS, "does_not_fit", f"column {column} is of categories, which have no order to rise along")


def check_categories(training: "Rows", validation: "Rows | None", trees: Boosted) -> None:
    """Refuse categories that are no whole numbers from 0 on, and more of them than there are bins."""
    for column in trees.categorical:
        for rows, path in ((training, ("data", "inputs")), (validation, ("validation", "inputs"))):
            if rows is None:
                continue
            numbers = rows.inputs[:, column]
            bad = np.flatnonzero(~np.isnan(numbers) & ((numbers < 0) | (numbers != np.floor(numbers))))
            if bad.size:
                message = f"column {column} is of categories: whole numbers from 0 on, or words; got {numbers[bad[0]]:g}"
                raise InvalidArray([Fault(path, "label", message)])
        known = np.unique(training.inputs[:, column])
        if np.count_nonzero(~np.isnan(known)) > trees.max_bins:
            message = f"column {column} has {len(known)} categories, and at most {trees.max_bins} (max_bins) are told apart"
            refuse(CATEGORIES, "limit", message)


def refuse(path: Path, code: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault(path, code, message)])
