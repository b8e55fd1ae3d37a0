"""Rules of runs that rest before they have learned what there is: by steps that are too short, too few, or a stiff model."""

import math

import numpy as np

from app.training.diagnosis.advice import LARGE, as_tried, larger_model, more_patience, rate_instead, validation_of
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.inside import look_inside
from app.training.diagnosis.least import constant_losses
from app.training.diagnosis.measurements import LEFT, Measurements
from app.training.diagnosis.stuck import NOTHING
from app.training.diagnosis.trials import highest_rate, with_better_rate
from app.training.fit import stopped
from app.training.objective import takes_labels
from app.training.trees import Trees

BEGUN = 0.05
"""Below this share a model with hidden layers has not begun to learn what is there to learn."""
BEGINS = 3.0
"""Trees times their learning rate, after which boosting has begun, whatever it has come to."""


def wrong_rate(seen: Measurements) -> Finding | None:
    """A loss that stays where it is although steps of another length lower it."""
    if not seen.unfinished or math.isnan(seen.whole.base_rate):
        return None
    lower, higher = with_better_rate(seen, (-1, -2, -3)), with_better_rate(seen, range(1, 13))
    found = min((trial for trial in (lower, higher) if trial), key=lambda trial: trial.losses.training, default=None)
    if found is None:
        return None
    last = float(seen.training[-1])
    evidence = evidence_of(
        learning_rate=seen.rate, first_training_loss=seen.training[0], last_training_loss=last, **as_tried(found)
    )
    if found is lower:
        summary = f"The training loss rests at {last:.3g} because the steps overshoot: shorter ones lower it at once."
        return Finding("oscillating", summary, evidence, f"{rate_instead(seen, found.rate)}.")
    ways = ["schedule null, or one that falls later"] if seen.rate < 0.5 * seen.whole.base_rate else []
    ways += [rate_instead(seen, found.rate)] if found.rate > seen.whole.base_rate else []
    ways += [more_patience(seen)] if stopped(seen.whole, seen.state) == "early_stopping" else []
    summary = f"The training loss rests at {last:.3g} because the steps are too short: longer ones lower it at once."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def idle(seen: Measurements) -> Finding | None:
    """A model that bends, and has not begun to."""
    bends = isinstance(seen.run.model, Trees) or len(seen.run.model.widths) > 2
    if not bends or not seen.unfinished or seen.learned > BEGUN or seen.left < LEFT:
        return None
    if isinstance(seen.run.model, Trees) and seen.rate * seen.epochs > BEGINS:
        return None
    plan, targets = seen.whole.plan, seen.whole.training.targets
    evidence = evidence_of(
        share_learned=seen.learned,
        share_still_explained_by_inputs=seen.left,
        epochs=seen.epochs,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        learning_rate=seen.rate,
    )
    ways = [rate_instead(seen, min(10.0 * seen.rate, highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    ways.append(f"epochs {10 * plan.epochs} instead of {plan.epochs}")
    if not takes_labels(seen.whole.objective.loss) and np.abs(targets).max() > LARGE:
        ways.append("data.targets in larger units")
    summary = f"The model has not begun to learn, though the inputs explain {seen.left:.0%} of the loss: its steps are too few."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def underfitted(seen: Measurements) -> Finding | None:
    """A loss that rests although the inputs say more, or although nothing was learned at all."""
    if not seen.unfinished or not (seen.left > LEFT or (seen.learned < NOTHING and not _is_nearer(seen))):
        return None
    last = float(seen.training[-1])
    evidence = evidence_of(
        last_training_loss=last,
        loss_of_best_constant=seen.ends.constant,
        share_learned=seen.learned,
        share_still_explained_by_inputs=seen.left,
        **validation_of(seen),
    )
    if seen.left > LEFT:
        summary = (
            f"The training loss rests at {last:.3g}, but a smooth function of the inputs would explain {seen.left:.0%} more."
        )
        return Finding("underfitting", summary, evidence, f"A model that bends further: {larger_model(seen)}.")
    summary = f"The model is no better than the best constant prediction ({seen.ends.constant:.3g})."
    advice = f"Other data.inputs, as nothing was found in these, or in the same order as data.targets; or {larger_model(seen)}."
    return Finding("underfitting", summary, evidence, advice)


def _is_nearer(seen: Measurements) -> bool:
    """Whether more rows cost less than by the best constant than half of them would by chance, by two standard deviations.

    Of a loss with heavy tails a few rows make up so much that what was learned of all others is next to nothing of it.
    """
    constant = constant_losses(seen.run.objective, seen.ends.sums, seen.run.training)
    nearer = look_inside(seen.run, seen.last).losses < constant
    return float(nearer.mean()) > 0.5 + 1.0 / math.sqrt(len(nearer))
