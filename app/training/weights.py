"""What rows count: by themselves, and by the class that they are of."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidParameter
from app.losses.inputs import Raw
from app.losses.numerics.stable import Array
from app.training.objective import Labels, Objective

ClassWeight: TypeAlias = str | Sequence[float] | Mapping[str, float]
"""`balanced`, or a number for each class, by index or by name."""
MOST_SHOWN = 20


class Classes(NamedTuple):
    """The class of each row."""

    of: NDArray[np.intp]
    """(n,)"""
    names: tuple[str, ...]
    """In the order of their numbers."""


def classes_in(targets: Raw, names: Sequence[str] | None, *, labels: bool) -> Classes | None:
    """The classes that targets are of; None where they are none. `labels`: the loss takes numbers for labels."""
    if not isinstance(targets, np.ndarray):
        words = [str(name) for name in targets]
        order = list(names or sorted(set(words)))
        places = {name: place for place, name in enumerate(order)}
        return Classes(np.array([places.get(name, 0) for name in words], np.intp), tuple(order))
    if targets.ndim != 1:
        one_hot = bool(((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all())
        if not one_hot or targets.shape[1] == 1:
            return None
        return Classes(np.asarray(targets.argmax(axis=1)), _named(np.arange(float(targets.shape[1])), names))
    values = np.asarray(np.unique(targets), np.float64)
    two = values.size == 2 and values[1] == 1 and values[0] in (-1, 0)
    if not (labels or two or names is not None) or (values != np.floor(values)).any():
        return None
    if values[0] >= 0 and names is not None:
        return Classes(targets.astype(np.intp), tuple(names))
    return Classes(np.searchsorted(values, targets), _named(values, names))


def _named(values: Array, names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(names) if names is not None and len(names) == len(values) else tuple(f"{value:g}" for value in values)


def of_classes(given: ClassWeight, classes: Classes | None, kept: NDArray[np.intp]) -> Array:
    """(k,) what each class counts; `balanced` is n / (k·n_c) over the rows that are trained on."""
    if classes is None:
        _refuse((), "does_not_fit", "class_weight is for classes, and these targets are none that this loss takes")
    k = len(classes.names)
    counts = np.bincount(classes.of[kept], minlength=k)
    if isinstance(given, str):
        return np.where(counts > 0, len(kept) / (np.count_nonzero(counts) * np.maximum(counts, 1.0)), 1.0)
    if isinstance(given, Mapping):
        for name in given:
            if name not in classes.names:
                shown = ", ".join(classes.names[:MOST_SHOWN]) + (", ..." if k > MOST_SHOWN else "")
                _refuse((name,), "unknown_class", f"no class is named {name[:80]!r}; there are {shown}")
        numbers = np.array([given.get(name, 1.0) for name in classes.names])
    else:
        numbers = np.array(given, np.float64)
        if len(numbers) != k:
            shown = ", ".join(classes.names[:MOST_SHOWN])
            _refuse((), "length", f"class_weight has {len(numbers)} numbers, and there are {k} classes: {shown}")
    if not numbers[counts > 0].any():
        _refuse((), "no_samples", "class_weight leaves no row to train on: the classes of all of them weigh 0")
    return numbers


def _refuse(path: tuple[str, ...], code: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault(("class_weight", *path), code, message)])


def check_weights(weights: Array, n: int, path: tuple[str, ...]) -> None:
    """Refuse weights of rows that are not (n,), below 0, or all 0."""
    if weights.shape != (n,):
        message = f"sample_weight must have shape ({n},), one for each row; got {weights.shape}"
        raise InvalidArray([Fault(path, "shape_mismatch", message)])
    bad = np.flatnonzero(~(weights >= 0) | ~np.isfinite(weights))
    if bad.size:
        message = f"sample_weight[{bad[0]}] must be at least 0 and finite; got {weights[bad[0]]:g}"
        raise InvalidArray([Fault((*path, int(bad[0])), "out_of_range", message)])
    if not weights.any():
        raise InvalidArray([Fault(path, "no_samples", "sample_weight is 0 for every row: nothing would count")])


def weighing(labels: Labels, weights: Array | None, objective: Objective) -> Labels:
    """The labels of some rows with what each row counts (n,), as multiples of their mean: so a step is of its share of rows."""
    if weights is None:
        return labels
    shape = (len(weights), *objective.outputs[: objective.depth])
    whole = np.broadcast_to(weights.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    counted = np.ones(shape)
    for array in (labels.weights, labels.counts):
        counted = counted if array is None else counted * array
    mean = float((whole * counted).sum()) / (float(counted.sum()) or 1.0)
    counts = whole / (mean or 1.0)
    return labels._replace(sample=counts if labels.sample is None else counts * labels.sample)
