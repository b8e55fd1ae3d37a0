"""Labels of samples in a request: text, numbers or booleans, one for each sample, under a name or alone."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainValidator, ValidationInfo, WithJsonSchema

from app.errors import MAX_FAULTS, Fault, InvalidArray, Path
from app.insight import Labels
from app.insight.labels import Level
from app.wire.exact import kind
from app.wire.faults import listed

LONGEST = 1000
"""Characters of a label at most."""
MOST_GROUPINGS = 20
ALONE = "group"
"""What a grouping without a name is called."""


def labels(value: object, path: Path) -> Labels:
    """An array of labels, which levels there are and which each sample has; InvalidArray for what is none, by its place."""
    name = ".".join(map(str, path))[:200]
    if isinstance(value, np.ndarray):
        array = cast(NDArray[Any], value)
        if array.ndim != 1:
            raise InvalidArray(
                [Fault(path, "shape", f"{name} must have one label per sample, shape (n,); got shape {array.shape}")]
            )
        levels, codes = np.unique(array, return_inverse=True)
        return Labels(tuple(map(_plain, levels.tolist())), codes.astype(np.intp), path)
    given = listed(value)
    if not isinstance(given, list):
        raise InvalidArray([Fault(path, "not_an_array", f"{name} must be an array of labels, one per sample, not {kind(value)}")])
    return _of_list(cast(list[object], given), path, name)


def _of_list(given: Sequence[object], path: Path, name: str) -> Labels:
    faults = [
        Fault((*path, index), "type", f"{name}[{index}] must be a label: text, a number or a boolean, not {kind(label)}")
        for index, label in enumerate(given)
        if not isinstance(label, str | int | float) or label != label
    ][:MAX_FAULTS]
    faults = (
        faults
        or [
            Fault((*path, index), "length", f"{name}[{index}] has {len(label)} characters; a label has at most {LONGEST}")
            for index, label in enumerate(given)
            if isinstance(label, str) and len(label) > LONGEST
        ][:MAX_FAULTS]
    )
    if not given:
        faults = [Fault(path, "empty", f"{name} is empty")]
    if faults:
        raise InvalidArray(faults)
    known: dict[tuple[bool, object], int] = {}
    codes = [known.setdefault((isinstance(label, bool), label), len(known)) for label in given]
    return Labels(tuple(_plain(cast(Level, label)) for _, label in known), np.array(codes, np.intp), path)


def _plain(label: Level) -> Level:
    """A whole number without its point."""
    return int(label) if isinstance(label, float) and label.is_integer() and abs(label) < 2**53 else label


def groupings(value: object) -> dict[str, Labels] | None:
    """`groups` as named labels: an object of arrays, or one array."""
    if value is None:
        return None
    path: Path = ("groups",)
    if not isinstance(value, dict):
        return {ALONE: labels(value, path)}
    given = cast(dict[str, object], value)
    if not 1 <= len(given) <= MOST_GROUPINGS:
        raise InvalidArray([Fault(path, "length", f"groups must name 1 to {MOST_GROUPINGS} groupings, not {len(given)}")])
    return {name: labels(column, (*path, name)) for name, column in given.items()}


def _clusters(value: object, info: ValidationInfo) -> Labels | None:
    return None if value is None else labels(value, (str(info.field_name),))


ANY: dict[str, Any] = {}
Groupings = Annotated[Any, PlainValidator(groupings), WithJsonSchema(ANY)]
Clusters = Annotated[Any, BeforeValidator(_clusters), WithJsonSchema(ANY)]
