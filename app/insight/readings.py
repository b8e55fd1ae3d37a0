"""What the predictions of a batch mean, as its loss declares: residuals, probabilities, decisions or quantiles."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.domains import Interval, Simplex
from app.insight.pieces import pieces
from app.losses.batch import AnyBatch, Batch
from app.losses.encodings import UNIT
from app.losses.inputs import Encoding
from app.losses.loss import Loss
from app.losses.numerics.stable import Array, sigmoid
from app.losses.parameters import is_level, is_outside

DISTRIBUTIONS = ("distribution", "probability", "soft_map")
"""Encodings of labels that are shares of several, and so no single class."""


def readable(batch: AnyBatch) -> Batch | None:
    """The batch whose predictions can be read: of losses on the same arrays that of the first; None for several heads."""
    while not isinstance(batch, Batch):
        if batch.loss.by_head:
            return None
        batch = batch.parts[0]
    return batch


class Pair(NamedTuple):
    """A loss of one array of predictions and one of targets: how each is read."""

    predictions: Encoding
    targets: Encoding


def pair_of(batch: Batch) -> Pair | None:
    """How predictions and targets are read; None for a loss of other arrays."""
    if [*batch.loss.inputs] != ["predictions", "targets"]:
        return None
    rank = len(batch.elements) + len(batch.arrays[0].shape) - 1
    decided = [input_.decide(batch.parameters, rank) for input_ in batch.loss.inputs.values()]
    return Pair(*decided)


def weights_of(batch: Batch) -> Array:
    """What each element counts (m,)."""
    return np.broadcast_to(1.0, (batch.size,)) if batch.weights is None else batch.weights


def residuals_of(batch: Batch) -> tuple[Array, Array] | None:
    """Predictions (m,) and residuals (m,) of a loss of two real numbers on one scale; None for others."""
    pair = pair_of(batch)
    if pair is None or pair.targets.labels is not None or pair.predictions.link is not None:
        return None
    domains = pair.predictions.domain, pair.targets.domain
    if not all(isinstance(domain, Interval) for domain in domains) or not domains[1].includes(domains[0]):
        return None
    predictions, targets = (np.asarray(array[:], np.float64) for array in batch.arrays[:2])
    if predictions.ndim != 1 or targets.ndim != 1:
        return None
    with np.errstate(all="ignore"):
        return predictions, predictions - targets


class Probabilities(NamedTuple):
    """What was said to be how probable (m,), and how much of it came true (m,)."""

    predicted: Array
    outcome: Array


def probabilities_of(batch: Batch) -> Probabilities | None:
    """Of a binary loss the positive class's, of several classes the top one's; None where predictions are no probabilities."""
    pair = pair_of(batch)
    if pair is None or pair.targets.labels not in ("flag", "class"):
        return None
    means = pair.predictions.link or pair.predictions.domain
    predictions, targets = batch.arrays[0][:], batch.arrays[1][:]
    if means != UNIT if predictions.ndim == 1 else not isinstance(means, Simplex):
        return None
    predicted = np.empty(len(predictions))
    outcome = np.asarray(targets, np.float64) if predictions.ndim == 1 else np.empty(len(predictions))
    for piece in pieces(len(predictions)):
        rows, true = np.asarray(predictions[piece], np.float64), targets[piece]
        if rows.ndim == 1:
            predicted[piece] = rows if pair.predictions.link is None else sigmoid(rows)
            continue
        top = rows.argmax(axis=1)
        largest = rows[np.arange(top.size), top]
        if pair.predictions.link is None:
            predicted[piece] = largest
        else:
            with np.errstate(all="ignore"):  # a score may be infinite
                below = np.where(rows == largest[:, None], 0.0, rows - largest[:, None])
            predicted[piece] = 1.0 / np.exp(below).sum(axis=1)
        outcome[piece] = true == top if true.ndim == 1 else true[np.arange(top.size), top]
    return Probabilities(predicted, outcome)


class Decisions(NamedTuple):
    """The class that was decided for (m,) and the true one (m,), as places in the classes."""

    decided: NDArray[np.intp]
    true: NDArray[np.intp]
    classes: tuple[int, ...]


def decisions_of(batch: Batch) -> Decisions | None:
    """Of a loss of classes, flags or signs; None where a target is no single class."""
    pair = pair_of(batch)
    if pair is None or pair.targets.labels not in ("flag", "class") or batch.encodings["targets"] in DISTRIBUTIONS:
        return None
    predictions, targets = batch.arrays[0][:], batch.arrays[1][:]
    if targets.ndim > 1:
        return None
    if predictions.ndim > 1:
        k = predictions.shape[1]
        return Decisions(predictions.argmax(axis=1), targets.astype(np.intp), tuple(range(k)))
    if batch.encodings["predictions"] == "label":
        classes, places = np.unique(np.concatenate([predictions, targets]), return_inverse=True)
        decided, true = np.split(places.astype(np.intp), 2)
        return Decisions(decided, true, tuple(map(int, classes)))
    threshold = 0.5 if pair.predictions.domain == UNIT else 0.0
    return Decisions((predictions > threshold).astype(np.intp), (targets > 0).astype(np.intp), (0, 1))


def quantiles_of(batch: Batch) -> tuple[Array, NDArray[np.intp]] | None:
    """The quantiles that predictions are said to be, and which of them each element is; None for a loss of none."""
    name = level_of(batch.loss)
    if name is None:
        return None
    levels: Any = batch.parameters[name]
    if not isinstance(levels, list):
        return np.array([levels], np.float64), np.zeros(batch.size, np.intp)
    quantiles = np.array(levels, np.float64)
    places = np.arange(batch.size) if batch.kept is None else batch.kept
    return quantiles, places % quantiles.size


@lru_cache(256)
def level_of(loss: Loss) -> str | None:
    """The parameter that is the share of targets below the prediction; None for a loss that has none."""
    return next((name for name, parameter in loss.own.items() if is_level(parameter)), None)


class Ends(NamedTuple):
    """The ends of an interval (m,), the target (m,), and the share of targets that may lie outside."""

    lower: Array
    upper: Array
    target: Array
    outside: float


def ends_of(batch: Batch) -> Ends | None:
    """The interval that is predicted for each element; None for a loss of none."""
    name = outside_of(batch.loss)
    if name is None:
        return None
    arrays = dict(zip(batch.loss.inputs, batch.arrays, strict=True))
    lower, upper, target = (np.asarray(arrays[side][:], np.float64) for side in ("lower", "upper", "targets"))
    return Ends(lower, upper, target, float(batch.parameters[name]))


@lru_cache(256)
def outside_of(loss: Loss) -> str | None:
    """The parameter that is the share of targets outside of the predicted interval; None for a loss that has none."""
    return next((name for name, parameter in loss.own.items() if is_outside(parameter)), None)
