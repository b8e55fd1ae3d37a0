"""Rules of losses that have no least value, see no difference, or have targets that no prediction reaches."""

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.losses.loss import ZERO_AT_TARGET
from app.training.diagnosis.advice import other_losses, own_range
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import Measurements

AFFECTED = 0.1
"""Share of the rows that a misfit must concern, and share of the best constant's loss that cannot be overcome in each."""
LOPSIDED = 1e9
"""Times that some rows may cost what a tenth of them does: at more, all others are lost in rounding."""


def unbounded(seen: Measurements) -> Finding | None:
    """A loss without a least value: hinge_embedding, say, on distances that may be negative."""
    if seen.bounded:
        return None
    output = seen.run.objective.activation.name
    return Finding(
        "misfit",
        f"{seen.name} falls without bound as predictions grow: nothing keeps the model at the targets.",
        evidence_of(loss_that_was_reached=seen.ends.floor, output=output),
        f"model.output softplus instead of {output}; or another loss: {other_losses(seen)}.",
    )


def indistinct(seen: Measurements) -> Finding | None:
    """Different targets that cost the same whatever is predicted, as where a loss's parameter clips them."""
    if seen.run.training.labels.draw is not None:  # of embeddings: labels say who is put together
        return None
    targets = seen.run.training.labels.targets
    kinds, target = _numbered(seen.costs), _numbered(targets.reshape(len(targets), -1))
    pairs = np.unique(np.stack([kinds, target]), axis=1)
    share = float((np.bincount(pairs[0]) > 1)[kinds].mean())
    if share < AFFECTED:
        return None
    return Finding(
        "misfit",
        f"{seen.name} does not tell the targets of {share:.0%} of the rows from others: whatever is predicted costs the same.",
        evidence_of(share_of_rows=share, distinct_targets=int(target.max()) + 1, told_apart=int(kinds.max()) + 1),
        own_range(seen),
    )


def lopsided(seen: Measurements) -> Finding | None:
    """Rows that cost so much more than others that only they are seen: percentages of targets that are 0, say."""
    costs = np.abs(seen.costs).mean(axis=1)
    most, usual = float(costs.max()), float(np.quantile(costs, 0.1))
    if not most > LOPSIDED * usual > 0.0:
        return None
    return Finding(
        "misfit",
        f"Some rows cost {most / usual:.1g} times what others do for the same prediction: {seen.name} sees only them.",
        evidence_of(mean_cost_of_dearest_row=most, mean_cost_of_tenth_percentile=usual),
        own_range(seen),
    )


def unreachable(seen: Measurements) -> Finding | None:
    """Targets beyond what the last layer can make: a loss that is 0 at the target cannot come near 0."""
    run, ends = seen.run, seen.ends
    share = float((ends.least > AFFECTED * ends.constant).mean())
    if ZERO_AT_TARGET not in run.objective.loss.properties or share < AFFECTED:
        return None
    output = run.objective.activation.name
    return Finding(
        "misfit",
        f"The output {output} cannot reach the targets of {share:.0%} of the rows.",
        evidence_of(share_of_rows=share, output=output, least_possible_loss=ends.floor, loss_of_best_constant=ends.constant),
        own_range(seen),
    )


def _numbered(rows: Numbers) -> NDArray[np.intp]:
    """The number of each row among the different rows."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()
