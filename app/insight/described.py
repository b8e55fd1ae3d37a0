"""What losses are to be recommended for, checked: targets that are some of the task, predictions that belong to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from app.errors import MAX_FAULTS, Fault, InvalidArray, InvalidInput
from app.insight.recommend import Recommended, recommend
from app.insight.traits import Data, Task, either, is_count, task_of
from app.losses.batch import Classes
from app.losses.inputs import Place
from app.losses.numerics.stable import Array

MOST_LABELS = 10_000
"""Labels from here on are no indices of classes: to list as many takes more than they do."""


class Rule(NamedTuple):
    """What targets of a task have to be."""

    holds: Callable[[Array], bool]
    words: str


def _two(targets: Array) -> bool:
    return targets.ndim == 1 and np.unique(targets).size <= 2


def _classes(targets: Array) -> bool:
    if targets.ndim == 1:
        return (is_count(targets) and targets.max() < MOST_LABELS) or bool(np.isin(targets, (-1.0, 1.0)).all())
    return targets.min() >= 0 and bool((np.abs(targets.sum(axis=1) - 1.0) <= 1e-2).all())


def _not_negative(targets: Array) -> bool:
    return bool((targets >= 0).all())


def _flags(targets: Array) -> bool:
    return targets.ndim == 2 and bool(np.isin(targets, (0.0, 1.0)).all())


RULES: Mapping[Task, Rule] = {
    "count": Rule(is_count, "whole numbers from 0 on, shape (n,)"),
    "binary": Rule(_two, "two labels, as 0 and 1 or −1 and 1, shape (n,)"),
    "multiclass": Rule(
        _classes, f"labels of classes (n,), whole numbers from 0 to {MOST_LABELS - 1}, or rows (n, k) that sum to 1"
    ),
    "multilabel": Rule(_flags, "0 or 1 for each label (n, k)"),
    "survival": Rule(_not_negative, "times of at least 0"),
}
"""Of the other tasks, any finite numbers are."""
DOUBTS: Mapping[Task, str] = {
    "multiclass": "These whole numbers were taken for labels of classes. If they count something, say so: task count.",
    "count": "These whole numbers were taken for counts. If they are labels of classes, say so: task multiclass.",
}
"""What to say where few whole numbers may be the one or the other."""
NUMBERS: Sequence[Task] = ("regression", "count", "quantile", "ranking", "survival")


@np.errstate(all="ignore")  # numbers near the end of the range: what overflows is no evidence
def recommend_for(
    targets: Any, task: Task | None, predictions: Any, *, limit: int = 5, classes: Classes | None = None
) -> Recommended:
    """The losses that suit.

    InvalidInput or InvalidArray where neither targets nor a task is given (`missing`), for one sample (`too_few_samples`),
    targets that are none of the task (`out_of_range`), or predictions that do not belong to them (`shape_mismatch`).
    """
    if targets is None:
        if task is None:
            message = "send targets, or a task, or both: one of them says what the loss is for"
            raise InvalidInput([Fault((), "missing", message)])
        if predictions is not None:
            raise InvalidInput([Fault(("targets",), "missing", "predictions say nothing without targets: send these too")])
        return recommend(None, task, limit=limit)
    names = isinstance(targets, list)
    if names and not isinstance(cast(list[object], targets)[0], str):
        message = "targets must be one label per sample, or 0 or 1 for each label (n, k), not sets of labels"
        raise InvalidArray([Fault(("targets",), "type", message)])
    if names:
        classes = classes or sorted({*cast(list[str], targets)})
    numbers = _numbers(targets, "targets") if not names else _places(cast(list[str], targets), cast(Sequence[str], classes))
    if len(numbers) < 2:
        raise InvalidArray(
            [Fault(("targets",), "too_few_samples", "targets has one sample, and says nothing of others: send two or more")]
        )
    told = None if predictions is None else _numbers(predictions, "predictions")
    if told is not None and len(told) != len(numbers):
        message = f"predictions has {len(told)} samples where targets has {len(numbers)}"
        raise InvalidArray([Fault(("predictions",), "shape_mismatch", message)])
    boolean = not names and np.asarray(targets).dtype.kind == "b"
    doubt = None
    if task is None:
        task = task_of(numbers, told, boolean=boolean, names=names)
        doubt = DOUBTS.get(task) if not names and told is None and either(numbers) else None
    rule = RULES.get(task)
    if (rule and not rule.holds(numbers)) or (names and task in NUMBERS):
        words = rule.words if rule else "numbers"
        raise InvalidArray(
            [Fault(("targets",), "out_of_range", f"targets of the task {task} are {words}; these are not: choose another task")]
        )
    data = Data(numbers, task, told, boolean=boolean, counts=task == "count")
    if classes is None and not boolean and task in ("binary", "multiclass"):
        classes = _counted_from_one(numbers, told)
    return recommend(data, task, limit=limit, targets=targets, classes=classes)._replace(doubt=doubt)


def _counted_from_one(labels: Array, predictions: Array | None) -> Classes | None:
    """The classes of labels that count from 1, which are taken with these alone; None of others."""
    if labels.ndim > 1 or not labels.min() == 1 < labels.max() < MOST_LABELS:
        return None
    k = None if predictions is None or predictions.ndim == 1 else predictions.shape[1]
    return [*range(1, int(labels.max()) + 1)] if k in (None, labels.max()) else None


def _numbers(array: Any, name: str) -> Array:
    if isinstance(array, Mapping | list):
        raise InvalidArray([Fault((name,), "not_an_array", f"{name} must be one array of numbers")])
    numbers = np.asarray(array).astype(np.float64)
    if numbers.ndim not in (1, 2):
        raise InvalidArray([Fault((name,), "shape", f"{name} must have shape (n,) or (n, k); got {numbers.shape}")])
    if not numbers.size:
        raise InvalidArray([Fault((name,), "empty", f"{name} is empty")])
    missing = np.argwhere(np.isnan(numbers))[:MAX_FAULTS]
    if len(missing):
        places = [(name, *map(int, place)) for place in missing]
        message = "is missing: leave such samples out, here and in what is trained on them"
        raise InvalidArray([Fault(place, "not_a_number", f"{'.'.join(map(str, place))} {message}") for place in places])
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        Place((name,)).refuse_numbers(infinite, numbers, "finite", "not_finite")
    return numbers


def _places(labels: Sequence[str], classes: Sequence[Any]) -> Array:
    known = {name: float(place) for place, name in enumerate(classes)}
    if {*labels} - known.keys():
        raise InvalidArray([Fault(("targets",), "label", "targets has a name that is not among classes")])
    return np.array([known[name] for name in labels])
