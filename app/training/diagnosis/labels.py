"""Rules of targets that do not fit the loss: quantities taken for classes, and the like."""

from dataclasses import replace

import numpy as np

from app.losses import LOSSES
from app.losses.numerics.stable import Array
from app.training.decisions import Decisions, decisions_of
from app.training.diagnosis.advice import SUGGESTED, other_losses
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements, measure
from app.training.diagnosis.trials import (
    again,
    as_it_was,
    errors_of,
    is_better,
    nearest_label_error,
    sampled_plan,
    shown,
    unbalanced_error,
)
from app.training.objective import takes_labels
from app.training.run import Chosen, Rows, Run
from app.training.tables import Table

ROWS_PER_CLASS = 3
"""With fewer rows than this for each class that whole numbers imply, they are quantities."""
SPREAD = 3
"""Class indices are told from counts by their even spread: the most frequent is at most so many times the rarest."""
OF_CLASSES = "categorical_cross_entropy"
"""What is tried where targets may be classes."""
ORDERED = 1.5
"""Times its loss, that another order of labels must cost where their order means something."""
TOLD_BETTER = 0.04
"""Balanced accuracy that classes must gain, where their labels may be quantities."""


def quantities_as_classes(seen: Measurements) -> Finding | None:
    """Quantities under a loss of classes: more classes than there are rows for."""
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


def absent_class(seen: Measurements) -> Finding | None:
    """A class of the rows that are held out, of which there is none to learn from."""
    run, held = seen.whole, seen.whole.validation
    if held is None:
        return None
    trained, out = _by_head(run, run.training), _by_head(run, held)
    return next(
        (_absent(run, head, trained[head], out[head]) for head in trained if _missing(trained[head], out.get(head))), None
    )


def _absent(run: Run, head: str, trained: Decisions, held: Decisions) -> Finding:
    absent = _missing(trained, held)
    named, rows = ", ".join(str(trained.classes[place]) for place in absent[:SUGGESTED]), int(np.isin(held.true, absent).sum())
    of_head = f" of the head {head}" if head else ""
    ways = "validation.fraction 0.2 with validation.split stratified"
    if run.plan.validation.table is not None:
        ways = f"rows of {named} among those of data"
    elif run.plan.validation.last is not None:
        ways = "validation.fraction 0.2 instead of validation.last, as these rows are sorted"
    return Finding(
        "misfit",
        f"Of class {named}{of_head} there are {rows} validation rows and no training row: nothing of it can be learned.",
        evidence_of(classes_without_training_rows=len(absent), validation_rows_of_these=rows, validation_rows=len(held.true)),
        f"{ways}.",
    )


def _missing(trained: Decisions, held: Decisions | None) -> list[int]:
    """The classes of rows that are held out, of which there are none to learn from."""
    return [] if held is None else np.setdiff1d(held.true, trained.true).tolist()


def _by_head(run: Run, rows: Rows) -> dict[str, Decisions]:
    """The class of each row, whatever is decided; of one output under no name."""
    found = decisions_of(run, rows, np.zeros((rows.n, *run.objective.outputs)))
    return found if isinstance(found, dict) else {} if found is None else {"": found}


def constant_targets(seen: Measurements) -> Finding | None:
    """Targets that are all the same."""
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
    """Labels of classes under a loss of quantities."""
    data, objective = seen.whole.plan.data, seen.whole.objective
    if takes_labels(objective.loss) or not isinstance(data.targets, np.ndarray) or data.targets.ndim != 1:
        return None
    labels, counts = np.unique(data.targets.astype(np.float64), return_counts=True)
    if len(labels) < 3 or not 0.0 <= labels[0] <= 1.0 or not np.array_equal(labels, labels[0] + np.arange(len(labels))):
        return None
    rarest, most, named = int(counts.min()), int(counts.max()), data.classes is not None
    if not named and (objective.targets_encoding != "real" or most > SPREAD * rarest or rarest < ROWS_PER_CLASS):
        return None
    evidence = evidence_of(classes=len(labels), rows_of_rarest_class=rarest, rows_of_most_frequent_class=most)
    gained = ""
    if not named and labels[0] == 1.0:  # as ratings are numbered too, which are quantities
        errors = None if _are_ordered(seen, labels) else _errors_as_classes(seen, labels)
        if errors is None:
            return None
        evidence |= evidence_of(balanced_accuracy=1.0 - errors[0], balanced_accuracy_when_tried=1.0 - errors[1])
        gained = f": balanced accuracy {1.0 - errors[0]:.2f}, and {1.0 - errors[1]:.2f} when they are tried as classes"
    return Finding(
        "misfit",
        f"{seen.name} takes quantities, but these targets {'are' if named else 'look like'} indices of {len(labels)} classes"
        f"{gained}.",
        evidence,
        f"A loss of classes, whose order means nothing: {other_losses(seen, labels=True)}.",
    )


def _are_ordered(seen: Measurements, labels: Array) -> bool:
    """Whether the order of labels means something: in another one, each second first, they are learned much worse."""
    plan = sampled_plan(seen)
    places = np.argsort(np.concatenate([np.arange(0, len(labels), 2), np.arange(1, len(labels), 2)]))

    def moved(table: Table) -> Table:
        return replace(table, targets=labels[places[np.searchsorted(labels, np.asarray(table.targets, np.float64))]])

    held = plan.validation if plan.validation.table is None else replace(plan.validation, table=moved(plan.validation.table))
    other = again(seen, data=moved(plan.data), validation=held)
    return other is not None and shown(measure(*other)) > ORDERED * shown(measure(*as_it_was(seen)))


def _errors_as_classes(seen: Measurements, labels: Array) -> tuple[float, float] | None:
    """The share of rows that are told wrongly, as quantities and as classes; None where classes are not told better."""
    as_classes = again(seen, loss=Chosen(LOSSES[OF_CLASSES], {}))
    if as_classes is None:
        return None
    now, then = errors_of(as_it_was(seen), nearest_label_error(labels)), errors_of(as_classes, unbalanced_error)
    return (shown(now), shown(then)) if is_better(now, then, TOLD_BETTER) else None


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
