"""What was decided against what is true, class by class."""

from typing import NamedTuple

import numpy as np

from app.insight.measured import total
from app.insight.pieces import pieces
from app.insight.readings import decisions_of, weights_of
from app.losses.batch import Batch
from app.losses.numerics.stable import Array

MOST_CLASSES = 200
"""Classes up to which the matrix is answered."""
MOST_LABELS = 10_000
"""Classes up to which each is answered at all."""


class Confusion(NamedTuple):
    """Decisions by class, weights summed; NaN stands for 0/0."""

    classes: tuple[str | float, ...]
    matrix: Array | None
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    support: Array
    accuracy: float
    balanced_accuracy: float


class Counts(NamedTuple):
    """Weights by class, as they add up."""

    classes: tuple[str | float, ...]
    matrix: Array | None
    sums: Array
    """(3, k) of the true class, of the decided one, and of both where they are the same."""


def confusion(batch: Batch, names: tuple[str | float, ...] | None) -> Confusion | None:
    """None where nothing is decided, or a target is no single class; `names` of the classes in the order of their indices."""
    found = counts_of(batch)
    return None if found is None else of_counts(found, names)


def counts_of(batch: Batch) -> Counts | None:
    """What is counted of a batch; None as for `confusion`."""
    found = decisions_of(batch)
    if found is None or len(found.classes) > MOST_LABELS:
        return None
    decided, true, classes = found
    k, weights = len(classes), weights_of(batch)
    counts, matrix = np.zeros((3, k)), np.zeros((k, k)) if k <= MOST_CLASSES else None
    for piece in pieces(true.size):
        one, other, weight = true[piece], decided[piece], weights[piece]
        if matrix is not None:
            matrix += total(one * k + other, weight, k * k).reshape(k, k)
        else:
            counts += total(one, weight, k), total(other, weight, k), total(one, np.where(one == other, weight, 0.0), k)
    if matrix is not None:
        counts += matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    return Counts(classes, matrix, counts)


def of_counts(found: Counts, names: tuple[str | float, ...] | None) -> Confusion:
    """What follows from what was counted."""
    support, predicted, right = found.sums
    recall = _ratio(right, support)
    occurring = support > 0
    return Confusion(
        names if names is not None and len(names) == support.size else found.classes,
        found.matrix,
        _or_none(_ratio(right, predicted)),
        _or_none(recall),
        _or_none(_ratio(2.0 * right, support + predicted)),
        support,
        float(right.sum() / support.sum()),
        float(recall[occurring].mean()),
    )


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _or_none(numbers: Array) -> tuple[float | None, ...]:
    return tuple(None if number != number else number for number in numbers.tolist())
