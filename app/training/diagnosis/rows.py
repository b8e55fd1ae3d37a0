"""Rules of rows that pull a model where nobody wants it: a few far off, or so many of one class that another is never decided."""

import math

import numpy as np
from numpy.typing import NDArray

from app.losses import LOSSES
from app.losses.loss import BOUNDED_GRADIENT
from app.losses.numerics.stable import Array
from app.training.decisions import Deciding, deciding, is_single
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.inside import look_inside
from app.training.diagnosis.least import constant_losses
from app.training.diagnosis.measurements import Measurements
from app.training.diagnosis.trials import (
    ENOUGH_OF_CLASS,
    Again,
    Predicted,
    again,
    as_it_was,
    decided_by,
    errors_of,
    is_better,
    predicted_by,
    shown,
    unbalanced_error,
)
from app.training.objective import of_differences
from app.training.run import Chosen

RARE = 0.15
"""Share of the rows below which a class is rare."""
MISSED = 0.5
"""Share of a rare class's rows that are decided rightly, below which it is missed."""
LIFTED = 0.08
"""Balanced accuracy that weights by class must gain."""
MOST = 0.6
"""Share of the loss that outliers must make up."""
FAR = 8.0
"""Deviations beyond which a row is far off, where the deviation is that of the others."""
OUTLYING = 0.15
"""Share of the rows beyond which those that are far off are no outliers."""
HEAVY = {0.05: MOST, OUTLYING: 0.85}
"""What the largest of these shares of the rows must make up of the loss, to look for outliers at all; of squared residuals of a
normal distribution they make up 0.28 and 0.56."""
NEARER = 0.15
"""Share by which the median error must fall."""
DEVIATIONS = 1.4826
"""Deviation of a normal distribution, as a multiple of its median absolute one."""
EFFICIENT = 1.345
"""Deviations from which on huber's loss is linear (Huber and Ronchetti 2009, section 7.5: 95 percent efficient)."""


def outliers(seen: Measurements) -> Finding | None:
    """A few rows far off the others that make up most of a loss whose pull has no bound."""
    objective = seen.run.objective
    if BOUNDED_GRADIENT in objective.loss.properties or objective.heads is not None or objective.targets_encoding != "real":
        return None
    if not _heavy(seen) or not of_differences(objective, seen.run.training.labels):
        return None
    before, absolute = as_it_was(seen), again(seen, loss=Chosen(LOSSES["mean_absolute_error"], {}))
    if absolute is None or (absolute.run.targets_scale is None) != (before.run.targets_scale is None):
        return None
    fitted, labels = predicted_by(absolute)[0], seen.run.training.labels
    residuals = _residuals(fitted)
    deviation = DEVIATIONS * float(np.median(residuals))
    far, losses = residuals > FAR * deviation, objective.losses(fitted.predictions, labels)[0]
    share = float(losses[far].sum()) / (float(losses.sum()) or 1.0)
    if not 0.0 < far.mean() <= OUTLYING or share < MOST or deviation == 0.0:
        return None
    delta = float(f"{EFFICIENT * deviation:.2g}")
    tried = {
        f"loss.name huber with delta {delta:g}": again(seen, loss=Chosen(LOSSES["huber"], {"delta": delta})),
        "loss.name mean_absolute_error": absolute,
    }
    now = errors_of(before, _median_error)
    errors = {words: errors_of(made, _median_error) for words, made in tried.items() if made is not None}
    better = [words for words, then in errors.items() if is_better(now, then, NEARER * now.training)]
    if not better:
        return None
    better.sort(key=lambda words: shown(errors[words]))
    count, least = int(far.sum()), shown(errors[better[0]])
    ways = "; or ".join(f"{words} instead of {seen.name}" for words in better)
    return Finding(
        "misfit",
        f"{count} of {len(far)} rows lie far off the others and make up {share:.0%} of {seen.name}, which follows them: the "
        f"median error falls from {shown(now):.2g} to {least:.2g} with a loss whose pull is bounded.",
        evidence_of(
            rows_far_off=count,
            rows=len(far),
            share_of_loss=share,
            median_absolute_error=shown(now),
            median_absolute_error_when_tried=least,
        ),
        f"{ways}; or those rows looked at, as they may be mistakes.",
    )


def _heavy(seen: Measurements) -> bool:
    """Whether a few rows make up most of the loss, at the end of the run or of the best constant."""
    rows = seen.run.training
    at_end, at_constant = look_inside(seen.run, seen.last).losses, constant_losses(seen.run.objective, seen.ends.sums, rows)
    return any(
        float(np.sort(losses)[-math.ceil(share * rows.n) :].sum()) >= most * float(losses.sum()) > 0.0
        for losses in (at_end - seen.ends.least, at_constant - seen.ends.least)
        for share, most in HEAVY.items()
    )


def _residuals(seen: Predicted) -> Array:
    """(n,) the largest of each row."""
    return np.abs(seen.predictions - np.reshape(seen.rows.labels.targets, seen.predictions.shape)).max(axis=1)


def _median_error(seen: Predicted) -> float:
    return float(np.median(_residuals(seen)))


def rare_class(seen: Measurements) -> Finding | None:
    """A class of few rows that is mostly missed, although weights by class would have it decided."""
    found = deciding(seen.whole)
    if not isinstance(found, Deciding) or not is_single(seen.whole.training.labels) or seen.whole.plan.class_weight == "balanced":
        return None
    names = found.classes
    share, _, rows = _recalls(Again(seen.run, seen.last), len(names))
    rare = (rows >= ENOUGH_OF_CLASS) & (share < RARE)
    if not rare.any():  # before anything is run again
        return None
    made = as_it_was(seen)
    recall = _recalls(made, len(names))[1]
    missed = np.flatnonzero(rare & (recall < MISSED))
    if not missed.size:
        return None
    weighed = again(seen, class_weight="balanced")
    if weighed is None:
        return None
    before, after = errors_of(made, unbalanced_error), errors_of(weighed, unbalanced_error)
    if not is_better(before, after, LIFTED):
        return None
    now, then = 1.0 - shown(before), 1.0 - shown(after)
    rarest = int(missed[share[missed].argmin()])
    return Finding(
        "misfit",
        f"Class {names[rarest]} has {share[rarest]:.1%} of the rows, and {recall[rarest]:.0%} of these are decided right: the "
        f"balanced accuracy rises from {now:.2f} to {then:.2f} where every class weighs as much.",
        evidence_of(
            rows_of_class=int(rows[rarest]),
            share_of_rows=share[rarest],
            recall_of_class=recall[rarest],
            balanced_accuracy=now,
            balanced_accuracy_when_tried=then,
        ),
        "class_weight balanced; or metrics balanced_accuracy and f1, which see that class.",
    )


def _recalls(made: Again, classes: int) -> tuple[Array, Array, NDArray[np.intp]]:
    """Of each class its share of all rows, of either kind, the share of these that is decided rightly, and their number."""
    rows, right = np.zeros((2, classes), np.intp)
    for seen in predicted_by(made):
        if seen is not None and (decisions := decided_by(seen)) is not None:
            rows += np.bincount(decisions.true, minlength=classes)
            right += np.bincount(decisions.true[decisions.true == decisions.decided], minlength=classes)
    return rows / max(1, rows.sum()), right / np.maximum(rows, 1), rows
