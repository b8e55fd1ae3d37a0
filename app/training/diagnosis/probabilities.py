"""Rules of targets of which a probability says more."""

import numpy as np

from app.losses import LOSSES
from app.losses.numerics.stable import sigmoid
from app.training.diagnosis.advice import other_losses
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements
from app.training.diagnosis.trials import Predicted, again, as_it_was, errors_of, is_better, shown
from app.training.objective import takes_labels
from app.training.run import Chosen

OF_TWO = "binary_cross_entropy"
"""What is tried where targets are 0 or 1."""
SHARPER = 0.05
"""Share by which the squared error of probabilities must fall."""


def two_values(seen: Measurements) -> Finding | None:
    """A loss of quantities on targets that are 0 or 1, of which a probability says more."""
    run, data = seen.whole, seen.whole.plan.data
    if takes_labels(run.objective.loss) or not isinstance(data.targets, np.ndarray) or data.targets.ndim != 1:
        return None
    ends = run.objective.activation.range.span
    if run.objective.heads is not None or (ends.low >= 0.0 and ends.high <= 1.0):
        return None
    if not np.isin(data.targets, (0.0, 1.0)).all():
        return None
    of_classes = again(seen, loss=Chosen(LOSSES[OF_TWO], {"from_logits": True}))
    if of_classes is None:
        return None
    before, after = (errors_of(made, _error_of_probability) for made in (as_it_was(seen), of_classes))
    if not is_better(before, after, SHARPER * before.training):
        return None
    now, then = shown(before), shown(after)
    return Finding(
        "misfit",
        f"{seen.name} takes quantities, but these targets are 0 or 1, of which a cross-entropy learns probabilities: the squared "
        f"error of these falls from {now:.2g} to {then:.2g} when it is tried.",
        evidence_of(rows=run.training.n, share_of_ones=float(np.mean(data.targets)), squared_error=now, when_tried=then),
        f"loss.name {OF_TWO} instead of {seen.name}; or another loss of classes: {other_losses(seen, labels=True)}.",
    )


def _error_of_probability(seen: Predicted) -> float:
    """The mean squared error of what is predicted, taken for the probability of a 1."""
    objective, flat = seen.run.objective, seen.predictions.reshape(seen.rows.n)
    share = sigmoid(flat) if objective.encoding == "logit" else np.clip(seen.own_units(flat), 0.0, 1.0)
    return float(np.square(share - seen.own_units(seen.rows.targets)).mean())
