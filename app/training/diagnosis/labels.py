"""Rules of targets that do not fit the loss: quantities taken for classes, and the like."""

import numpy as np

from app.losses import LOSSES
from app.losses.numerics.stable import Array, sigmoid
from app.training.decisions import classes_of, is_single, true_classes
from app.training.diagnosis.advice import SUGGESTED, other_losses
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements
from app.training.diagnosis.trials import (
    Told,
    again,
    as_it_was,
    errors_of,
    is_better,
    nearest_label_error,
    shown,
    unbalanced_error,
)
from app.training.objective import takes_labels
from app.training.run import Chosen

ROWS_PER_CLASS = 3
"""With fewer rows than this for each class that whole numbers imply, they are quantities."""
SPREAD = 3
"""Class indices are told from counts by their even spread: the most frequent is at most so many times the rarest."""
OF_CLASSES, OF_TWO = "categorical_cross_entropy", "binary_cross_entropy"
"""What is tried where targets may be classes."""
TOLD_BETTER = 0.05
"""Balanced accuracy that classes must gain, where their labels may be quantities."""
SHARPER = 0.05
"""Share by which the squared error of probabilities must fall."""


def absent_class(seen: Measurements) -> Finding | None:
    """A class of the rows that are held out, of which there is none to learn from."""
    held = seen.whole.validation
    classes = classes_of(seen.whole)
    if held is None or classes is None or not seen.decides or not is_single(held.labels):
        return None
    counts, there = (np.bincount(true_classes(rows.labels), minlength=len(classes)) for rows in (seen.whole.training, held))
    absent = np.flatnonzero((counts[: len(classes)] == 0) & (there[: len(classes)] > 0))
    if not absent.size:
        return None
    named, rows = ", ".join(str(classes[place]) for place in absent[:SUGGESTED]), int(there[absent].sum())
    ways = ["validation.split stratified with validation.fraction 0.2"]
    if seen.whole.plan.validation.table is not None:
        ways = [f"rows of {named} among those of data"]
    elif seen.whole.plan.validation.last is not None:
        ways = ["validation.fraction 0.2 instead of validation.last, as these rows are sorted"]
    return Finding(
        "misfit",
        f"Of class {named} there are {rows} validation rows and no training row: nothing of it can be learned.",
        evidence_of(classes_without_training_rows=len(absent), validation_rows_of_these=rows, validation_rows=held.n),
        f"{'; or '.join(ways)}.",
    )


def constant_targets(seen: Measurements) -> Finding | None:
    targets = seen.whole.training.labels.targets
    if not (targets == targets[:1]).all():
        return None
    return Finding(
        "misfit",
        "Every training row has the same target: there is nothing to tell apart.",
        evidence_of(rows=seen.whole.training.n, distinct_targets=1),
        "data.targets that differ; or, where only the validation rows do, another validation.seed.",
    )


def classes_as_quantities(seen: Measurements) -> Finding | None:
    data, objective = seen.whole.plan.data, seen.whole.objective
    if takes_labels(objective.loss) or not isinstance(data.targets, np.ndarray) or data.targets.ndim != 1:
        return None
    labels, counts = np.unique(data.targets, return_counts=True)
    if len(labels) < 3 or labels[0] not in (0, 1) or not np.array_equal(labels, labels[0] + np.arange(len(labels))):
        return None
    rarest, most, named = int(counts.min()), int(counts.max()), data.classes is not None
    if not named and (objective.targets_encoding != "real" or most > SPREAD * rarest or rarest < ROWS_PER_CLASS):
        return None
    evidence = evidence_of(classes=len(labels), rows_of_rarest_class=rarest, rows_of_most_frequent_class=most)
    gained = ""
    if not named:
        errors = _errors_as_classes(seen, labels)
        if errors is None:
            return None
        evidence |= evidence_of(balanced_accuracy=1.0 - errors[0], balanced_accuracy_as_classes=1.0 - errors[1])
        gained = f": balanced accuracy {1.0 - errors[0]:.2f}, and {1.0 - errors[1]:.2f} when they are tried as classes"
    return Finding(
        "misfit",
        f"{seen.name} takes quantities, but these targets {'are' if named else 'look like'} indices of {len(labels)} classes"
        f"{gained}.",
        evidence,
        f"A loss of classes, whose order means nothing: {other_losses(seen, labels=True)}.",
    )


def _errors_as_classes(seen: Measurements, labels: Array) -> tuple[float, float] | None:
    """The share of rows that are told wrongly, as quantities and as classes; None where classes are not told better.

    Of ratings, which mean more the higher they are, quantities tell about as well.
    """
    as_classes = again(seen, loss=Chosen(LOSSES[OF_CLASSES], {}))
    if as_classes is None:
        return None
    now, then = errors_of(as_it_was(seen), nearest_label_error(labels)), errors_of(as_classes, unbalanced_error)
    return (shown(now), shown(then)) if is_better(now, then, TOLD_BETTER) else None


def quantities_as_classes(seen: Measurements) -> Finding | None:
    run, targets = seen.whole, seen.whole.training.targets
    if run.objective.targets_encoding != "class_index" or run.plan.data.classes is not None or targets.ndim != 1:
        return None
    classes, rows = run.objective.width, len(targets)
    if rows >= ROWS_PER_CLASS * classes:
        return None
    quantities = other_losses(seen, labels=False)
    return Finding(
        "misfit",
        f"{seen.name} takes these whole numbers for indices of {classes} classes, of which it has {rows} rows to learn from.",
        evidence_of(classes=classes, classes_with_rows=len(np.unique(targets)), rows=rows),
        f"A loss of quantities, if that is what they are: {quantities}; if they are classes, more rows of each.",
    )


def unused_class(seen: Measurements) -> Finding | None:
    """Labels from 1 on, or with a gap: an output for a class that no row has."""
    run, data = seen.whole, seen.whole.plan.data
    if run.objective.targets_encoding != "class_index" or data.classes is not None or not isinstance(data.targets, np.ndarray):
        return None
    tables = [data.targets, *([run.validation.targets] if run.validation is not None else [])]
    used = np.unique(np.concatenate([np.ravel(targets) for targets in tables])).astype(np.intp)
    used = used[used >= 0]
    unused = np.setdiff1d(np.arange(run.objective.width), used)
    if not unused.size or data.targets.ndim != 1:
        return None
    listed = ", ".join(map(str, unused[:SUGGESTED])) + (", ..." if len(unused) > SUGGESTED else "")
    from_1 = unused.tolist() == [0]
    story = "labels begin at 1, and class 0 has no row" if from_1 else f"no row is of class {listed}"
    ways = f"data.targets from 0 to {len(used) - 1}" + (": 1 less each" if from_1 else "")
    return Finding(
        "misfit",
        f"The model has {run.objective.width} outputs, one for each class from 0 on, but {story}.",
        evidence_of(outputs=run.objective.width, classes_with_rows=len(used), lowest_label=int(used.min())),
        f"{ways}; or names of classes in their place.",
    )


def two_values(seen: Measurements) -> Finding | None:
    """A loss of quantities on targets that are 0 or 1, of which a probability says more."""
    run, data = seen.whole, seen.whole.plan.data
    if takes_labels(run.objective.loss) or not isinstance(data.targets, np.ndarray) or data.targets.ndim != 1:
        return None
    ends = run.objective.activation.range.span
    if run.objective.heads is not None or (ends.low >= 0.0 and ends.high <= 1.0):
        return None
    if not np.array_equal(np.unique(data.targets), [0.0, 1.0]):
        return None
    of_classes = again(seen, loss=Chosen(LOSSES[OF_TWO], {"from_logits": True}))
    if of_classes is None:
        return None
    errors = [errors_of(made, _error_of_probability) for made in (as_it_was(seen), of_classes)]
    if not is_better(*errors, SHARPER * errors[0].training):
        return None
    now, then = map(shown, errors)
    return Finding(
        "misfit",
        f"{seen.name} takes quantities, but these targets are 0 or 1, of which a cross-entropy learns probabilities: the squared "
        f"error of these falls from {now:.2g} to {then:.2g} when it is tried.",
        evidence_of(rows=run.training.n, share_of_ones=float(np.mean(data.targets)), squared_error=now, when_tried=then),
        f"loss.name {OF_TWO} instead of {seen.name}; or another loss of classes: {other_losses(seen, labels=True)}.",
    )


def _error_of_probability(seen: Told) -> float:
    """The mean squared error of what is predicted, taken for the probability of a 1."""
    objective, flat = seen.run.objective, seen.predictions.reshape(seen.rows.n)
    share = sigmoid(flat) if objective.encoding == "logit" else np.clip(seen.own_units(flat), 0.0, 1.0)
    return float(np.square(share - seen.own_units(seen.rows.targets)).mean())
