"""Rules of targets that do not fit the loss: quantities taken for classes, and the like."""

import numpy as np

from app.training.diagnosis.advice import other_losses
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements
from app.training.objective import takes_labels

ROWS_PER_CLASS = 3
"""With fewer rows than this for each class that whole numbers imply, they are quantities."""
SPREAD = 3
"""Class indices are told from counts by their even spread: the most frequent is at most so many times the rarest."""


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
    indices, counts = np.unique(data.targets, return_counts=True)
    if len(indices) < 3 or not np.array_equal(indices, np.arange(len(indices))):
        return None
    rarest, most, named = int(counts.min()), int(counts.max()), data.classes is not None
    if not named and (objective.targets_encoding != "real" or most > SPREAD * rarest or rarest < ROWS_PER_CLASS):
        return None
    return Finding(
        "misfit",
        f"{seen.name} takes quantities, but these targets {'are' if named else 'look like'} indices of {len(indices)} classes.",
        evidence_of(classes=len(indices), rows_of_rarest_class=rarest, rows_of_most_frequent_class=most),
        f"A loss of classes, whose order means nothing: {other_losses(seen, labels=True)}.",
    )


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
