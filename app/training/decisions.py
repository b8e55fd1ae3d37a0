"""Predictions as decisions between classes: which classes there are, how probable each is, and which one it is."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.losses.numerics.rows import log_softmax
from app.losses.numerics.stable import Array, sigmoid
from app.training.metrics import PER_CLASS, THRESHOLDS
from app.training.objective import Labels, Objective

if TYPE_CHECKING:
    from app.training.run import Rows, Run

T = TypeVar("T")
U = TypeVar("U")
ClassNames: TypeAlias = tuple[str | int, ...]


class Deciding(NamedTuple):
    """An output that decides between classes: of the model, or a head of it."""

    classes: ClassNames
    """Of two the first is the negative one."""
    encoding: str
    """What its predictions are."""


def deciding(run: "Run") -> Deciding | dict[str, Deciding] | None:
    """The classes between which a run's model decides, by name or as the numbers that targets have; None where it does not.

    Of several heads, those that do, by name.
    """
    objective, targets, data = run.objective, run.training.labels.targets, run.plan.data
    if not objective.parts:
        return _deciding(objective, targets, data.classes)
    assert objective.named is not None
    read = objective.named.apart(targets)
    found = {name: _deciding(part, read[name], data.classes_by_name.get(name)) for name, part in objective.parts.items()}
    return {name: decides for name, decides in found.items() if decides is not None} or None


def _deciding(objective: Objective, targets: Numbers, named: Sequence[str] | None) -> Deciding | None:
    wanted = objective.loss.inputs["targets"].decide(objective.parameters, 1 + len(objective.outputs)).labels
    encoding = objective.encoding
    if encoding in PER_CLASS and len(objective.outputs) == 1:
        if wanted != "class" and targets.ndim > 1:
            return None
        return Deciding(tuple(named) if named is not None else tuple(range(objective.width)), encoding)
    if encoding not in THRESHOLDS or objective.width > 1 or wanted != "flag":
        return None
    if not (np.isin(targets, (0, 1)).all() or np.isin(targets, (-1, 1)).all()):
        return None
    if named is not None:
        return Deciding(tuple(named), encoding)
    return Deciding((-1, 1) if objective.targets_encoding == "sign" else (0, 1), encoding)


class Decisions(NamedTuple):
    """The classes that rows are of, and those that were decided, as places among the classes."""

    classes: ClassNames
    true: NDArray[np.intp]
    decided: NDArray[np.intp]
    """(n,)"""
    probabilities: Array | None
    """(n, k); None of scores."""
    weights: Array | None
    """(n,) what rows count; None: 1."""


@overload
def of_each(decides: T | dict[str, T], say: Callable[[T], U]) -> U | dict[str, U]: ...
@overload
def of_each(decides: T | dict[str, T] | None, say: Callable[[T], U]) -> U | dict[str, U] | None: ...
def of_each(decides: T | dict[str, T] | None, say: Callable[[T], U]) -> U | dict[str, U] | None:
    """What is said of what decides, or was decided: by head, where heads do; None where nothing does."""
    if isinstance(decides, dict):
        return {head: say(one) for head, one in cast("dict[str, T]", decides).items()}
    return None if decides is None else say(decides)


def decisions_of(run: "Run", rows: "Rows", predictions: Array) -> Decisions | dict[str, Decisions] | None:
    """Of predictions (n, *outputs) for rows; None where a model does not decide, or where rows are of no single class.

    Rows whose label is ignored are left out. Of several heads, those that decide, by name.
    """
    found, objective = deciding(run), run.objective
    if not isinstance(found, dict):
        return None if found is None else _decisions(found, rows.labels, rows.sample_weight, predictions)
    assert objective.heads is not None
    assert objective.named is not None
    read, shown = objective.named.apart(rows.labels.targets), objective.heads.apart(predictions)
    made = {name: _decisions(found[name], Labels(read[name]), rows.sample_weight, shown[name]) for name in found}
    return {name: decisions for name, decisions in made.items() if decisions is not None} or None


def _decisions(found: Deciding, labels: Labels, weights: Array | None, predictions: Array) -> Decisions | None:
    if not is_single(labels):
        return None
    shares = probabilities(predictions, found.encoding)
    counted = np.ones(len(predictions), np.bool_) if labels.weights is None else labels.weights.reshape(len(predictions)) > 0
    return Decisions(
        found.classes,
        true_classes(labels)[counted],
        decided(predictions, shares)[counted],
        None if shares is None else shares[counted],
        None if weights is None else weights[counted],
    )


def is_single(labels: Labels) -> bool:
    """Whether each row is of one class."""
    targets = labels.targets
    return targets.ndim == 1 or targets.shape[1] == 1 or bool(((targets == 0) | (targets == 1)).all())


def true_classes(labels: Labels) -> NDArray[np.intp]:
    """(n,) the place of each row's class among the classes, of targets as a loss that decides takes them."""
    targets = labels.targets
    if targets.ndim == 2 and targets.shape[1] > 1:
        return np.asarray(targets.argmax(axis=1))
    flat = targets.reshape(len(targets))
    return (flat > 0).astype(np.intp) if bool((flat <= 1).all()) else flat.astype(np.intp)


@np.errstate(all="ignore")  # of a run that diverged
def probabilities(predictions: Array, encoding: str) -> Array | None:
    """(n, k) how probable each class is by predictions (n, *outputs); None of scores, which say nothing of that."""
    if encoding in PER_CLASS:
        if encoding == "scores":
            return None
        shares = predictions if encoding == "distribution" else np.exp(log_softmax(predictions))
        return shares / shares.sum(axis=1, keepdims=True)
    if encoding == "score":
        return None
    flat = predictions.reshape(len(predictions))
    positive, negative = (sigmoid(flat), sigmoid(-flat)) if encoding == "logit" else (flat, 1.0 - flat)
    return np.stack([negative, positive], axis=1)


def decided(predictions: Array, shares: Array | None) -> NDArray[np.intp]:
    """(n,) the place of the class of the largest probability, or score, the first of equals; of one score, its sign says it."""
    if shares is not None:
        return np.asarray(shares.argmax(axis=1))
    if predictions.ndim == 2 and predictions.shape[1] > 1:
        return np.asarray(predictions.argmax(axis=1))
    return (predictions.reshape(len(predictions)) > 0).astype(np.intp)
