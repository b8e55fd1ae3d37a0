"""Rules of steps that are too long: losses that are no longer finite, that rose, or that go up and down."""

import math

import numpy as np

from app.losses.inputs import Numbers
from app.training.diagnosis.advice import as_tried, shorter_steps
from app.training.diagnosis.finding import Finding, evidence_of
from app.training.diagnosis.measurements import FITTED, Measurements, level, measure
from app.training.diagnosis.trials import GAIN, Tried, again, as_it_was, is_better, with_better_rate, with_lower_rate
from app.training.fit import stopped
from app.training.network import Network

FOLLOWS = 0.5
"""Correlation of neighbouring rows' targets that makes an order of them; of rows in no order it is within 2/√n of 0."""
APART = 30.0
"""Times that the deviation of one column must be that of another; the curvature of a squared error is apart by its square."""
BOUNCE = 0.02
"""Mean rise per epoch of a loss that bounces: the jitter of mini-batches at a good rate is a tenth of it."""
BOTH_WAYS = 0.2
"""Share of the epochs that must rise, and of those that must fall, where a loss bounces."""
WORSE = 0.1
"""A loss this far above its start and the best constant's, or above its own least, is not on its way down."""


def diverged(seen: Measurements) -> Finding | None:
    """A loss that was no longer finite."""
    if stopped(seen.whole, seen.state) != "diverged":
        return None
    objective, epoch, lowered = seen.whole.objective, seen.epochs + 1, with_lower_rate(seen)
    evidence = evidence_of(
        diverged_at_epoch=epoch,
        learning_rate=seen.rate,
        first_training_loss=seen.before.training,
        last_finite_training_loss=seen.training[-1] if len(seen.training) else None,
        last_finite_gradient_norm=seen.past[-1].gradient_norm if seen.past else None,
        **as_tried(lowered),
    )
    shorter = shorter_steps(seen, lowered)
    if objective.encoding in ("probability", "distribution") and objective.parameters.get("from_logits") is False:
        summary = (
            f"In epoch {epoch} a probability became exactly 0 or 1 for a row of the other class, where {seen.name} is infinite."
        )
        advice = f"loss.from_logits true: the loss then takes the sums before {objective.activation.name}, for which it is finite"
        return Finding("diverging", summary, evidence | {"output": objective.activation.name}, f"{advice}; and {shorter}.")
    began = math.isfinite(seen.before.training)
    message = f"no longer finite in epoch {epoch}: the steps are too long" if began else "not finite even before the first step"
    return Finding("diverging", f"The loss was {message}.", evidence, f"{shorter}.")


def in_order(seen: Measurements) -> Finding | None:
    """Rows that come in an order, so that the steps of an epoch pull the model from one kind of them to the next."""
    plan, model = seen.whole.plan, seen.whole.model
    if plan.shuffle or not isinstance(model, Network) or seen.whole.batch_size == seen.whole.training.n or not len(seen.training):
        return None
    if _follows(seen.whole.training.labels.targets) < FOLLOWS:
        return None
    ordered, shuffled = as_it_was(seen), again(seen, shuffle=True)
    if shuffled is None:
        return None
    now, then = measure(*ordered), measure(*shuffled)
    if not is_better(now, then, GAIN / 2 * seen.span):
        return None
    follows = _follows(seen.whole.training.labels.targets)
    return Finding(
        "oscillating",
        f"The rows come in the order of their targets and are not shuffled, so that each epoch ends with one kind of them: "
        f"shuffled, the training loss ends at {then.training:.3g} instead of {now.training:.3g}.",
        evidence_of(
            correlation_of_neighbours=follows,
            training_loss=now.training,
            training_loss_when_tried=then.training,
            validation_loss=now.validation,
            validation_loss_when_tried=then.validation,
        ),
        "shuffle true instead of false; or rows in an order that was drawn.",
    )


def _follows(targets: Numbers) -> float:
    """The correlation of targets with those of the row before: 0 where the order means nothing."""
    columns = np.asarray(targets, np.float64).reshape(len(targets), -1)
    moved = columns - columns.mean(axis=0)
    return float((moved[1:] * moved[:-1]).sum()) / max(float(np.square(moved).sum()), 1e-300)


def unscaled(seen: Measurements) -> Finding | None:
    """Columns of very different scale, so that a rate is too high for some weights and too low for others."""
    run = seen.whole
    if run.inputs_scale is not None or not isinstance(run.model, Network) or not len(seen.training) or not seen.learned < FITTED:
        return None
    deviations = run.training.inputs.std(axis=0)
    deviations = deviations[deviations > 0.0]
    if not deviations.size or deviations.max() < APART * deviations.min():
        return None
    standardized = again(seen, standardize_inputs=True)
    if standardized is None:
        return None
    now, then = measure(*as_it_was(seen)), measure(*standardized)
    if not is_better(now, then, GAIN * seen.span):
        return None
    times = float(deviations.max() / deviations.min())
    return Finding(
        "diverging" if now.training > seen.before.training else "plateau",
        f"Some columns of inputs vary {times:.2g} times as much as others, which no one rate suits: standardized, the "
        f"training loss comes to {then.training:.3g} instead of {now.training:.3g}.",
        evidence_of(
            largest_deviation=deviations.max(),
            least_deviation=deviations.min(),
            training_loss=now.training,
            training_loss_when_tried=then.training,
        ),
        "standardize.inputs true.",
    )


def grew(seen: Measurements) -> Finding | None:
    """A loss that rose above where it was, or that goes up and down."""
    course = seen.training
    if len(course) < 2:
        return None
    steps = np.diff(course[-max(2, len(course) // 2 + 1) :])
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    both_ways = len(steps) >= 4 and min(rises, falls) >= BOTH_WAYS * len(steps)
    bounce = float(steps[steps > 0].sum()) / len(steps)
    worse = seen.learned < min(seen.share(course[0] + seen.apart), 0.0) - WORSE
    if not (worse or _lifted(seen) or (both_ways and bounce > BOUNCE * (seen.scale or math.inf))):
        return None
    shorter = with_lower_rate(seen) if worse else _calmed(seen)
    if not (worse or shorter):
        return None
    evidence = evidence_of(
        learning_rate=seen.rate,
        first_training_loss=course[0],
        lowest_training_loss=course.min(),
        last_training_loss=course[-1],
        loss_of_best_constant=seen.ends.constant,
        mean_rise_per_epoch=bounce,
        share_of_epochs_that_rose=rises / len(steps),
        **as_tried(shorter),
    )
    rose = f"rose from {course.min():.3g} to {course[-1]:.3g}: the steps are too long"
    bounced = f"goes up and down, and rose in {rises} of the last {len(steps)} epochs: the steps overshoot"
    verdict, story = ("oscillating", bounced) if both_ways else ("diverging", rose)
    return Finding(verdict, f"The training loss {story}.", evidence, f"{shorter_steps(seen, shorter)}.")


def _lifted(seen: Measurements) -> bool:
    """Whether the loss ends well above its least, and no penalty is what lifted it."""
    course = seen.training
    rise = min(level(course), float(course[-1])) - float(course[1:].min())
    return rise > WORSE * (seen.scale or math.inf) and not seen.penalties


def _calmed(seen: Measurements) -> Tried | None:
    """A lower rate with which the loss comes further down, from the start or from where it is; None: rates are not to blame."""
    lowered = with_lower_rate(seen)
    return lowered if lowered and lowered.losses.training < seen.level else with_better_rate(seen, (-1, -2, -3))
