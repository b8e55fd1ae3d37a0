"""diagnose(run, state): what the numbers of a run say about it, in the field's words, and what to try."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses import LOSSES
from app.losses.inputs import Numbers
from app.losses.loss import SMOOTH, ZERO_AT_TARGET
from app.losses.numerics.stable import Array
from app.training.corners import MOST_WEIGHTS
from app.training.fit import stopped
from app.training.learned import settled
from app.training.learners import State, learner
from app.training.network import Network
from app.training.objective import fitting, takes_labels
from app.training.run import Run
from app.training.symptoms import (
    GAIN,
    LEFT,
    STILL,
    Inside,
    Measurements,
    Tried,
    attempt,
    constant_losses,
    fall,
    highest_rate,
    level,
    look_inside,
    mean_length,
    measure,
    medians,
    or_infinite,
    unpenalized,
    with_better_rate,
    with_lower_rate,
)
from app.training.trees import Forest, Trees

Verdict: TypeAlias = Literal[
    "converged", "still_improving", "underfitting", "overfitting", "diverging", "oscillating", "plateau", "misfit"
]

FITTED = 0.95
"""Where so much has been learned, nothing is stuck and nothing is missing."""
NOTHING = 0.02
"""Below this share a model says no more than a constant."""
BEGUN = 0.05
"""Below this share a model with hidden layers has not begun to learn what is there to learn."""
OVERFITTED = 0.1
"""Rise of the validation loss, as a share of what was learned on the training rows, that is more than a wobble."""
CARRIED = 0.5
"""Where less than this share of what was learned on the training rows shows on validation rows, it was learned by heart."""
CARRIED_WHEN_FITTED = 0.75
"""The same where the training rows are as good as reproduced: nothing more is to come."""
CONFIDENT = 1.64
"""Standard errors by which a share must differ: one chance in twenty."""
BOUNCE = 0.02
"""Mean rise per epoch of a loss that bounces: the jitter of mini-batches at a good rate is a tenth of it."""
BOTH_WAYS = 0.2
"""Share of the epochs that must rise, and of those that must fall, where a loss bounces."""
WORSE = 0.1
"""A loss this far above its start and the best constant's, or above its own least, is not on its way down."""
DEAD = 1e-3
"""Derivative of an activation, below which a unit passes nothing on; the largest is 1 (sigmoid: a quarter)."""
HALF = 0.5
"""Share of a layer's units that are dead, or of the unlearned rows that have no slope, which holds a model back."""
VANISHED = 0.01
"""Share of the slope at the outputs that reaches the first hidden layer; relu after He et al. passes on about all of it."""
ROWS_PER_CLASS = 3
"""With fewer rows than this for each class that whole numbers imply, they are quantities."""
SPREAD = 3
"""Class indices are told from counts by their even spread: the most frequent is at most so many times the rarest."""
AFFECTED = 0.1
"""Share of the rows that a misfit must concern, and share of the best constant's loss that cannot be overcome in each."""
LOPSIDED = 1e9
"""Times that some rows may cost what a tenth of them does: at more, all others are lost in rounding."""
SLOWED, SLOWED_BY = 0.01, 0.75
"""A rate below this share of its base has come to an end; where that is before this share of the epochs, too early."""
BEGINS = 3.0
"""Trees times their learning rate, after which boosting has begun, whatever it has come to."""
LARGE = 10.0
"""Standard deviation of inputs, or size of targets, beyond which the usual learning rates are too high."""
USUAL_DEPTH = 6
"""What is proposed where a tree is as deep as it goes."""
SUGGESTED = 3
"""Other losses that are named."""


class Finding(NamedTuple):
    """One thing that the numbers of a run say."""

    verdict: Verdict
    summary: str
    """One sentence: what happened."""
    evidence: Mapping[str, float | int | str]
    """The numbers that made it say so, by name; finite ones only."""
    advice: str
    """What to try: fields of the request, with values."""


def diagnose(run: Run, state: State) -> list[Finding]:
    """What is wrong with a run, or that nothing is: the most important first, never empty. The state is left as it is.

    A misfit of loss and labels comes before what the course of the losses says. The time it takes is that of some hundred
    steps on up to SAMPLED rows, whatever the size of the run.
    """
    run, state = settled(run, state)
    seen = Measurements(run, state)
    misfits = (
        _constant_targets,
        _unbounded,
        _classes_as_quantities,
        _quantities_as_classes,
        _indistinct,
        _lopsided,
        _unreachable,
    )
    courses = (
        _diverged,
        _grew,
        _overfitted,
        _clipped,
        _slowed,
        _held_back,
        _stuck,
        _wrong_rate,
        _idle,
        _underfitted,
        _improving,
        _cornered,
    )
    if isinstance(run.model, Forest):
        courses = (_never_finite, _overfitted)  # no tree depends on those before it: there is no course
    with np.errstate(all="ignore"):
        misfit = next((found for rule in misfits if (found := rule(seen))), None)
        course = next((found for rule in courses if (found := rule(seen))), None) or _converged(seen)
    return [misfit, course] if misfit else [course]


# --- loss and labels that do not fit ----------------------------------------------------------------------------------


def _constant_targets(seen: Measurements) -> Finding | None:
    targets = seen.whole.training.labels.targets
    if not (targets == targets[:1]).all():
        return None
    return Finding(
        "misfit",
        "Every training row has the same target: there is nothing to tell apart.",
        _evidence(rows=seen.whole.training.n, distinct_targets=1),
        "data.targets that differ; or, where only the validation rows do, another validation.seed.",
    )


def _unbounded(seen: Measurements) -> Finding | None:
    """A loss without a least value: hinge_embedding, say, on distances that may be negative."""
    if seen.bounded:
        return None
    output = seen.run.objective.activation.name
    return Finding(
        "misfit",
        f"{seen.name} falls without bound as predictions grow: nothing keeps the model at the targets.",
        _evidence(loss_that_was_reached=seen.ends.floor, output=output),
        f"model.output softplus instead of {output}; or another loss: {_others(seen)}.",
    )


def _classes_as_quantities(seen: Measurements) -> Finding | None:
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
        _evidence(classes=len(indices), rows_of_rarest_class=rarest, rows_of_most_frequent_class=most),
        f"A loss of classes, whose order means nothing: {_others(seen, labels=True)}.",
    )


def _quantities_as_classes(seen: Measurements) -> Finding | None:
    run, targets = seen.whole, seen.whole.training.targets
    if run.objective.targets_encoding != "class_index" or run.plan.data.classes is not None or targets.ndim != 1:
        return None
    classes, rows = run.objective.width, len(targets)
    if rows >= ROWS_PER_CLASS * classes:
        return None
    return Finding(
        "misfit",
        f"{seen.name} takes these whole numbers for indices of {classes} classes, of which it has {rows} rows to learn from.",
        _evidence(classes=classes, classes_with_rows=len(np.unique(targets)), rows=rows),
        f"A loss of quantities, if that is what they are: {_others(seen, labels=False)}; if they are classes, more rows of each.",
    )


def _indistinct(seen: Measurements) -> Finding | None:
    """Different targets that cost the same whatever is predicted, as where a loss's parameter clips them."""
    targets = seen.run.training.labels.targets
    kinds, target = _numbered(seen.costs), _numbered(targets.reshape(len(targets), -1))
    pairs = np.unique(np.stack([kinds, target]), axis=1)
    share = float((np.bincount(pairs[0]) > 1)[kinds].mean())
    if share < AFFECTED:
        return None
    return Finding(
        "misfit",
        f"{seen.name} does not tell the targets of {share:.0%} of the rows from others: whatever is predicted costs the same.",
        _evidence(share_of_rows=share, distinct_targets=int(target.max()) + 1, told_apart=int(kinds.max()) + 1),
        _own_range(seen),
    )


def _lopsided(seen: Measurements) -> Finding | None:
    """Rows that cost so much more than others that only they are seen: percentages of targets that are 0, say."""
    costs = np.abs(seen.costs).mean(axis=1)
    most, usual = float(costs.max()), float(np.quantile(costs, 0.1))
    if not most > LOPSIDED * usual > 0.0:
        return None
    return Finding(
        "misfit",
        f"Some rows cost {most / usual:.1g} times what others do for the same prediction: {seen.name} sees only them.",
        _evidence(mean_cost_of_dearest_row=most, mean_cost_of_tenth_percentile=usual),
        _own_range(seen),
    )


def _unreachable(seen: Measurements) -> Finding | None:
    """Targets beyond what the last layer can make: a loss that is 0 at the target cannot come near 0."""
    run, ends = seen.run, seen.ends
    share = float((ends.least > AFFECTED * ends.constant).mean())
    if ZERO_AT_TARGET not in run.objective.loss.properties or share < AFFECTED:
        return None
    output = run.objective.activation.name
    return Finding(
        "misfit",
        f"The output {output} cannot reach the targets of {share:.0%} of the rows.",
        _evidence(share_of_rows=share, output=output, least_possible_loss=ends.floor, loss_of_best_constant=ends.constant),
        _own_range(seen),
    )


def _numbered(rows: Numbers) -> NDArray[np.intp]:
    """The number of each row among the different rows."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def _others(seen: Measurements, labels: bool | None = None) -> str:
    """A few losses that train on these targets, taken as labels or as quantities (None: as this loss takes them)."""
    data, loss = seen.whole.plan.data, seen.whole.objective.loss
    wanted = takes_labels(loss) if labels is None else labels
    names = [name for name in fitting(data.targets, data.classes) if takes_labels(LOSSES[name]) == wanted and name != loss.name]
    return ", ".join(names[:SUGGESTED]) or "none that is known here"


def _own_range(seen: Measurements) -> str:
    """How targets come back into the range that the loss, its parameters and the last layer were made for."""
    plan = seen.whole.plan
    defaults = plan.loss.thing.defaults
    ways = ["standardize.targets false"] if seen.whole.targets_scale is not None else []
    ways += ["model.output null"] if plan.model.all.get("output") else []
    ways += [
        f"loss.{name} {json.dumps(defaults[name])} instead of {json.dumps(value)}"
        for name, value in plan.loss.parameters.items()
        if name in defaults and value != defaults[name]
    ]
    return f"{'; or '.join([*ways, f'another loss: {_others(seen)}'])}."


# --- steps that are too long ------------------------------------------------------------------------------------------


def _diverged(seen: Measurements) -> Finding | None:
    if stopped(seen.whole, seen.state) != "diverged":
        return None
    objective, epoch, lowered = seen.whole.objective, seen.epochs + 1, with_lower_rate(seen)
    evidence = _evidence(
        diverged_at_epoch=epoch,
        learning_rate=seen.rate,
        first_training_loss=seen.before.training,
        last_finite_training_loss=seen.training[-1] if len(seen.training) else None,
        last_finite_gradient_norm=seen.past[-1].gradient_norm if seen.past else None,
        **_said(lowered),
    )
    shorter = _shorter(seen, lowered)
    if objective.encoding in ("probability", "distribution") and objective.parameters.get("from_logits") is False:
        summary = (
            f"In epoch {epoch} a probability became exactly 0 or 1 for a row of the other class, where {seen.name} is infinite."
        )
        advice = f"loss.from_logits true: the loss then takes the sums before {objective.activation.name}, for which it is finite"
        return Finding("diverging", summary, evidence | {"output": objective.activation.name}, f"{advice}; and {shorter}.")
    began = math.isfinite(seen.before.training)
    message = f"no longer finite in epoch {epoch}: the steps are too long" if began else "not finite even before the first step"
    return Finding("diverging", f"The loss was {message}.", evidence, f"{shorter}.")


def _never_finite(seen: Measurements) -> Finding | None:
    """A loss that is not finite of what a forest predicts: it was not grown on it, and may be on none of its poles."""
    if len(seen.training):
        return None
    summary = f"{seen.name} of what the trees predict is not finite for a training row."
    return Finding("diverging", summary, _evidence(), f"Another loss: {_others(seen)}.")


def _grew(seen: Measurements) -> Finding | None:
    """A loss that rose above where it was, or that goes up and down."""
    course = seen.training
    if len(course) < 2:
        return None
    steps = np.diff(course[-max(2, len(course) // 2 + 1) :])
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    both_ways = len(steps) >= 4 and min(rises, falls) >= BOTH_WAYS * len(steps)
    bounce = float(steps[steps > 0].sum()) / len(steps)
    worse = seen.learned < min(seen.share(course[0]), 0.0) - WORSE
    if not (worse or _lifted(seen) or (both_ways and bounce > BOUNCE * (seen.scale or math.inf))):
        return None
    shorter = with_lower_rate(seen) if worse else _calmed(seen)
    if not (worse or shorter):
        return None
    evidence = _evidence(
        learning_rate=seen.rate,
        first_training_loss=course[0],
        lowest_training_loss=course.min(),
        last_training_loss=course[-1],
        loss_of_best_constant=seen.ends.constant,
        mean_rise_per_epoch=bounce,
        share_of_epochs_that_rose=rises / len(steps),
        **_said(shorter),
    )
    rose = f"rose from {course.min():.3g} to {course[-1]:.3g}: the steps are too long"
    bounced = f"goes up and down, and rose in {rises} of the last {len(steps)} epochs: the steps overshoot"
    verdict, story = ("oscillating", bounced) if both_ways else ("diverging", rose)
    return Finding(verdict, f"The training loss {story}.", evidence, f"{_shorter(seen, shorter)}.")


def _lifted(seen: Measurements) -> bool:
    """Whether the loss ends well above its least, and no penalty is what lifted it."""
    course = seen.training
    rise = min(level(course), float(course[-1])) - float(course[1:].min())
    return rise > WORSE * (seen.scale or math.inf) and not seen.penalties


def _calmed(seen: Measurements) -> Tried | None:
    """A lower rate with which the loss comes further down, from the start or from where it is; None: rates are not to blame."""
    lowered = with_lower_rate(seen)
    return lowered if lowered and lowered.losses.training < level(seen.training) else with_better_rate(seen, (-1, -2, -3))


# --- more learned than there is ---------------------------------------------------------------------------------------


def _overfitted(seen: Measurements) -> Finding | None:
    """A validation loss that turned while the training loss went on falling, or that never followed it."""
    held, training = seen.validation, seen.training[-len(seen.validation) :]
    gained = seen.ends.constant - level(seen.training)
    if not len(held) or gained < OVERFITTED * seen.span:
        return None
    turned, (carried, error), lowest = _turned(held, training, gained), _carried(seen), int(held.argmin())
    by_heart = carried + CONFIDENT * error < CARRIED or (seen.learned > FITTED and carried + error < CARRIED_WHEN_FITTED)
    if not (turned or by_heart):
        return None
    evidence = _evidence(
        **{"turning_epoch" if turned else "epoch_of_lowest_validation_loss": lowest + 1},
        lowest_validation_loss=held[lowest],
        training_loss_then=training[lowest],
        last_training_loss=training[-1],
        share_carried_to_validation=carried,
        standard_error=error,
        **_held(seen),
    )
    rose = f"rose from {held[lowest]:.3g} to {held[-1]:.3g} while the training loss fell on to {training[-1]:.3g}"
    shown = f"only {max(carried, 0.0):.0%} shows on the validation rows: the rest was learned by heart"
    summary = f"The validation loss turned at epoch {lowest + 1} and {rose}." if turned else f"Of what was learned {shown}."
    return Finding("overfitting", summary, evidence, _simpler(seen, lowest + 1 if turned else None))


def _turned(held: Array, training: Array, gained: float) -> bool:
    """Whether the validation loss rose from its least, by more than its jitter, while the training loss fell on."""
    smooth = medians(held)
    turn, jitter = int(smooth.argmin()), float(np.median(np.abs(np.diff(held)))) if len(held) > 1 else 0.0
    rose = level(held) - float(smooth[turn]) > max(OVERFITTED * gained, 3.0 * jitter)
    return rose and float(training[turn]) - level(training) > OVERFITTED / 2 * gained


def _carried(seen: Measurements) -> tuple[float, float]:
    """Gain over the best constant on validation rows as a share of that on training rows, and its standard error."""
    run, model, kept = seen.run, learner(seen.run), dict(seen.last)
    assert run.validation is not None
    model.resume(kept, np.random.default_rng(0))
    ways = (run.training, model.training_predictions), (run.validation, model.validation_predictions)
    learned, carried = (
        constant_losses(run.objective, seen.ends.sums, rows) - run.objective.losses(predictions(kept), rows.labels)[0]
        for rows, predictions in ways
    )
    scale = max(float(learned.mean()), 1e-300)
    return float(carried.mean()) / scale, float(carried.std()) / math.sqrt(len(carried)) / scale


# --- less learned than there is ---------------------------------------------------------------------------------------


def _unfinished(seen: Measurements) -> bool:
    """Whether the run has come to rest before it has learned what could be learned; never where there is no telling."""
    return seen.scale > 0.0 and not seen.improving and seen.learned < FITTED


def _clipped(seen: Measurements) -> Finding | None:
    """A bound on the gradient that leaves next to nothing of it: without that a few steps come much further."""
    plan = seen.whole.plan
    if (plan.clip_norm is None and plan.clip_value is None) or not seen.past or not seen.learned < FITTED:
        return None
    free = replace(seen.run, plan=replace(seen.run.plan, clip_norm=None, clip_value=None))
    now, cut = measure(seen.run, seen.last), attempt(seen.run, seen.last, seen.rate).losses
    tried = attempt(free, seen.last, seen.rate).losses
    gain = min(now.training, or_infinite(cut.training)) - or_infinite(tried.training)
    if not gain > GAIN * seen.span or now.validation - tried.validation < gain / 2:
        return None
    norm = float(np.median([epoch.gradient_norm for epoch in seen.past]))
    evidence = _evidence(
        usual_gradient_norm=norm,
        clipped_to_norm=plan.clip_norm,
        clipped_to_value=plan.clip_value,
        last_training_loss=now.training,
        training_loss_without=tried.training,
    )
    summary = f"The training loss rests at {now.training:.3g} because gradients of norm {norm:.2g} are cut to next to nothing."
    return Finding("plateau", summary, evidence, f"gradient_clipping null; or gradient_clipping.norm {norm:.2g}.")


def _slowed(seen: Measurements) -> Finding | None:
    """A schedule that let the rate fall to a hundredth while the loss was still falling."""
    base, done = seen.whole.base_rate, seen.epochs
    rates = np.array([epoch.learning_rate or math.nan for epoch in seen.past])
    if seen.whole.plan.schedule is None or math.isnan(base) or not done or not seen.learned < FITTED:
        return None
    low = np.flatnonzero(rates < SLOWED * base)
    early = int(low[0]) if len(low) else done
    if early > SLOWED_BY * done or len(seen.training) <= early or not (rates[early:] < SLOWED * base).all():
        return None
    fell = float(seen.training[early // 2] - seen.training[early])
    now, tried = measure(seen.run, seen.last), attempt(seen.run, seen.last, base).losses
    gain = now.training - or_infinite(tried.training)
    if not fell > 0.0 or not gain > STILL * seen.span or now.validation - tried.validation < 0.0:
        return None
    evidence = _evidence(
        learning_rate=base,
        last_learning_rate=rates[-1],
        epoch_of_a_hundredth=early + 1,
        last_training_loss=now.training,
        training_loss_after_steps_at_the_first_rate=tried.training,
    )
    summary = f"The schedule let the rate fall to a hundredth by epoch {early + 1} of {done}, while the loss was still falling."
    return Finding("plateau", summary, evidence, "schedule null, or one that falls later.")


def _held_back(seen: Measurements) -> Finding | None:
    """A penalty that keeps the model from what it could learn: without it a few steps come further, on all rows."""
    if not _unfinished(seen) or not seen.penalties:
        return None
    now, rate = measure(seen.run, seen.last), seen.whole.base_rate
    held, free = (
        [attempt(run, state, rate).losses for state in (seen.first, seen.last)] for run in (seen.run, unpenalized(seen.run))
    )
    best = min(free, key=lambda losses: or_infinite(losses.training))
    gain = min(now.training, *(or_infinite(losses.training) for losses in held)) - best.training
    if not gain > GAIN * seen.span or now.validation - best.validation < gain / 2:
        return None
    evidence = _evidence(
        **seen.penalties, last_training_loss=seen.training[-1], training_loss_without=best.training, share_learned=seen.learned
    )
    ways = [f"{field} {value / 10:.3g} instead of {value:.3g}" for field, value in seen.penalties.items()]
    summary = f"The training loss rests at {now.training:.3g} because the weights are held back: without that it comes further."
    return Finding("underfitting", summary, evidence, f"{'; or '.join(ways)}.")


def _stuck(seen: Measurements) -> Finding | None:
    """A loss that stays where it is because no slope arrives at the weights."""
    if not _unfinished(seen):
        return None
    inside = look_inside(seen.run, seen.last)
    unlearned = inside.losses - seen.ends.least > AFFECTED * seen.span
    silent = unlearned & ~inside.wanted.any(axis=1)
    if silent.mean() > max(AFFECTED, HALF * unlearned.mean()):
        return _silent(seen, inside, silent)
    if not inside.derivatives:
        return None
    dead = [(np.abs(slopes) < DEAD).all(axis=0) for slopes in inside.derivatives]
    share = max(float(flags.mean()) for flags in dead)
    reach = _reach(inside)
    if share == 1.0 or (share >= HALF and seen.left > LEFT):
        return _dead(seen, np.concatenate(dead), share, reach)
    return _vanished(seen, reach) if reach < VANISHED and (seen.left > LEFT or seen.learned < NOTHING) else None


def _reach(inside: Inside) -> float:
    return mean_length(inside.arriving) / max(mean_length(inside.wanted), 1e-300)


def _silent(seen: Measurements, inside: Inside, silent: NDArray[np.bool_]) -> Finding:
    """Rows far from their least loss without a slope: the loss has none there, or the last activation passes none on."""
    share, output = float(silent.mean()), seen.run.objective.activation.name
    evidence = _evidence(
        share_of_rows_without_slope=share,
        last_training_loss=seen.training[-1],
        least_possible_loss=seen.ends.floor,
        output=output,
    )
    if not inside.slope[silent].any():
        summary = (
            f"{seen.name} is flat around the predictions of {share:.0%} of the rows, far from its least: nothing moves them."
        )
        return Finding("misfit", summary, evidence, _own_range(seen))
    logits = seen.whole.objective.parameters.get("from_logits") is False
    instead = "loss.from_logits true" if logits else f"model.output other than {output}"
    summary = f"The output {output} is saturated at the wrong end for {share:.0%} of the rows: no gradient passes it."
    return Finding("plateau", summary, evidence, f"{instead}; or {_shorter(seen, with_lower_rate(seen))}.")


def _dead(seen: Measurements, dead: NDArray[np.bool_], share: float, reach: float) -> Finding:
    model, lowered = seen.whole.plan.model.all, with_lower_rate(seen)
    evidence = _evidence(
        dead_units=int(dead.sum()),
        hidden_units=len(dead),
        largest_share_in_a_layer=share,
        share_of_slope_at_first_layer=reach,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        **_said(lowered),
    )
    ways = [f"model.hidden_activation leaky_relu instead of {model['hidden_activation']}"]
    if model["initialization"] == "zeros":  # all units of a layer are then the same, and remain so
        ways = ["model.initialization he_uniform instead of zeros"]
    if lowered is not None:
        ways.append(_rate_instead(seen, lowered.rate))
    summary = (
        f"{dead.sum()} of {len(dead)} hidden units are dead: they are flat for every training row, and no gradient moves them."
    )
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _vanished(seen: Measurements, reach: float) -> Finding:
    model = seen.whole.plan.model.all
    layers, activation = len(model["hidden"]), model["hidden_activation"]
    evidence = _evidence(
        share_of_slope_at_first_layer=reach,
        hidden_layers=layers,
        hidden_activation=activation,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        share_still_explained_by_inputs=seen.left,
    )
    ways = [f"model.hidden_activation relu instead of {activation}"] if activation != "relu" else []
    ways += [f"fewer layers: model.hidden {json.dumps(model['hidden'][:2])}"] if layers > 2 else []
    ways += [_rate_instead(seen, min(10.0 * seen.rate, highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    message = f"{reach:.2g} of the slope at the outputs arrives at the first of {layers} hidden layers"
    return Finding("plateau", f"The gradient vanishes: {message}.", evidence, f"{'; or '.join(ways) or 'another seed'}.")


def _wrong_rate(seen: Measurements) -> Finding | None:
    """A loss that stays where it is although steps of another length lower it."""
    if not _unfinished(seen) or math.isnan(seen.whole.base_rate):
        return None
    lower, higher = with_better_rate(seen, (-1, -2, -3)), with_better_rate(seen, range(1, 13))
    found = min((trial for trial in (lower, higher) if trial), key=lambda trial: trial.losses.training, default=None)
    if found is None:
        return None
    last = float(seen.training[-1])
    evidence = _evidence(learning_rate=seen.rate, first_training_loss=seen.training[0], last_training_loss=last, **_said(found))
    if found is lower:
        summary = f"The training loss rests at {last:.3g} because the steps overshoot: shorter ones lower it at once."
        return Finding("oscillating", summary, evidence, f"{_rate_instead(seen, found.rate)}.")
    ways = ["schedule null, or one that falls later"] if seen.rate < 0.5 * seen.whole.base_rate else []
    ways += [_rate_instead(seen, found.rate)] if found.rate > seen.whole.base_rate else []
    ways += [_more_patience(seen)] if stopped(seen.whole, seen.state) == "early_stopping" else []
    summary = f"The training loss rests at {last:.3g} because the steps are too short: longer ones lower it at once."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _idle(seen: Measurements) -> Finding | None:
    """A model that bends, and has not begun to."""
    bends = isinstance(seen.run.model, Trees) or len(seen.run.model.widths) > 2
    if not bends or not _unfinished(seen) or seen.learned > BEGUN or seen.left < LEFT:
        return None
    if isinstance(seen.run.model, Trees) and seen.rate * seen.epochs > BEGINS:
        return None
    plan, targets = seen.whole.plan, seen.whole.training.targets
    evidence = _evidence(
        share_learned=seen.learned,
        share_still_explained_by_inputs=seen.left,
        epochs=seen.epochs,
        last_training_loss=seen.training[-1],
        loss_of_best_constant=seen.ends.constant,
        learning_rate=seen.rate,
    )
    ways = [_rate_instead(seen, min(10.0 * seen.rate, highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    ways.append(f"epochs {10 * plan.epochs} instead of {plan.epochs}")
    if not takes_labels(seen.whole.objective.loss) and np.abs(targets).max() > LARGE:
        ways.append("data.targets in larger units")
    summary = f"The model has not begun to learn, though the inputs explain {seen.left:.0%} of the loss: its steps are too few."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _underfitted(seen: Measurements) -> Finding | None:
    """A loss that rests although the inputs say more, or although nothing was learned at all."""
    if not _unfinished(seen) or not (seen.left > LEFT or seen.learned < NOTHING):
        return None
    last = float(seen.training[-1])
    evidence = _evidence(
        last_training_loss=last,
        loss_of_best_constant=seen.ends.constant,
        share_learned=seen.learned,
        share_still_explained_by_inputs=seen.left,
        **_held(seen),
    )
    if seen.left > LEFT:
        summary = (
            f"The training loss rests at {last:.3g}, but a smooth function of the inputs would explain {seen.left:.0%} more."
        )
        return Finding("underfitting", summary, evidence, f"A model that bends further: {_larger(seen)}.")
    summary = f"The model is no better than the best constant prediction ({seen.ends.constant:.3g})."
    advice = f"Other data.inputs, as nothing was found in these, or in the same order as data.targets; or {_larger(seen)}."
    return Finding("underfitting", summary, evidence, advice)


# --- nothing wrong ----------------------------------------------------------------------------------------------------


def _improving(seen: Measurements) -> Finding | None:
    if not seen.improving:
        return None
    plan, done = seen.whole.plan, seen.epochs
    early = done and seen.learned < HALF and math.isfinite(seen.rate)
    faster = with_better_rate(seen, range(1, 5)) if early else None
    evidence = _evidence(
        epochs=done,
        planned_epochs=plan.epochs,
        fall_in_last_quarter=fall(seen.training, 0.0),
        last_training_loss=seen.training[-1] if len(seen.training) else None,
        **_held(seen),
        **_said(faster),
    )
    longer = {
        "early_stopping": _more_patience(seen),
        "completed": f"epochs {2 * plan.epochs} instead of {plan.epochs}",
    }.get(stopped(seen.whole, seen.state) or "", f"a run that is not ended before its {plan.epochs} epochs")
    advice = f"{longer}; or {_rate_instead(seen, faster.rate)}." if faster else f"{longer}."
    return Finding("still_improving", f"The loss was still falling after {done} epoch{'s' * (done != 1)}.", evidence, advice)


def _cornered(seen: Measurements) -> Finding | None:
    """A search for a slope of 0 that has stopped among corners, where there is none: nothing says that this is the minimum."""
    chosen, model = seen.whole.plan.optimizer, seen.whole.model
    if chosen is None or not chosen.thing.full_batch or SMOOTH in seen.whole.objective.loss.properties:
        return None
    if not isinstance(model, Network) or (model.size <= MOST_WEIGHTS and chosen.all["corner_iter"]):
        return None
    last = float(seen.training[-1])
    evidence = _evidence(last_training_loss=last, last_gradient_norm=seen.past[-1].gradient_norm, weights=model.size)
    ways = ["optimizer adam with schedule cosine"] + (["corner_iter 1000"] if model.size <= MOST_WEIGHTS else [])
    name = seen.whole.objective.loss.name
    summary = f"{chosen.thing.name} has stopped at {last:.3g}, at a corner of {name}: the minimum may be lower."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _converged(seen: Measurements) -> Finding:
    course, held = seen.training, seen.validation
    evidence = _evidence(
        epochs=seen.epochs,
        last_training_loss=course[-1],
        fall_in_last_quarter=fall(course, 0.0),
        loss_of_best_constant=seen.ends.constant,
        share_learned=seen.learned,
        **_held(seen),
    )
    kind, last = ("validation", held[-1]) if len(held) else ("training", course[-1])
    enough = max(1, int(np.argmax(np.abs(course - level(course)) <= STILL * seen.span)))
    advice = (
        f"Nothing needs changing; epochs {enough} would have come as far."
        if 2 * enough < seen.epochs
        else "Nothing needs changing."
    )
    unknown = "" if len(held) else " Only validation rows can tell what it is worth on others: validation.fraction 0.2."
    return Finding("converged", f"The {kind} loss has come to rest at {last:.3g}.", evidence, advice + unknown)


# --- words and numbers ------------------------------------------------------------------------------------------------


def _evidence(**numbers: Any) -> dict[str, float | int | str]:
    """What is known of these, as plain numbers; what is not finite is left out."""
    plain: dict[str, Any] = {name: number.item() if isinstance(number, np.number) else number for name, number in numbers.items()}
    return {
        name: number
        for name, number in plain.items()
        if isinstance(number, str) or (number is not None and math.isfinite(number))
    }


def _said(tried: Tried | None) -> dict[str, float]:
    return {} if tried is None else {"tried_learning_rate": tried.rate, "training_loss_when_tried": tried.losses.training}


def _held(seen: Measurements) -> dict[str, float]:
    """How many validation rows there are, without which nothing can be said of other rows, and their last loss."""
    rows = 0 if seen.whole.validation is None else seen.whole.validation.n
    return {"validation_rows": rows, "last_validation_loss": seen.validation[-1] if len(seen.validation) else math.nan}


def _rate_instead(seen: Measurements, rate: float) -> str:
    field = "model.learning_rate" if isinstance(seen.whole.model, Trees) else "optimizer.learning_rate"
    return f"{field} {rate:.3g} instead of {seen.whole.base_rate:.3g}"


def _more_patience(seen: Measurements) -> str:
    patience = seen.whole.plan.patience or 1
    return f"early_stopping.patience {2 * patience} instead of {patience}"


def _shorter(seen: Measurements, tried: Tried | None) -> str:
    """What shortens the steps."""
    run, plan, ways = seen.whole, seen.whole.plan, list[str]()
    if math.isfinite(run.base_rate):
        ways.append(_rate_instead(seen, tried.rate if tried else run.base_rate / 10.0))
    if run.inputs_scale is None and run.training.inputs.std(axis=0).max() > LARGE:
        ways.append("standardize.inputs true")
    real = run.objective.encoding == run.objective.targets_encoding == "real"
    if real and run.targets_scale is None and np.abs(run.training.targets).max() > LARGE:
        ways.append("standardize.targets true")
    if plan.optimizer is not None and not plan.optimizer.thing.full_batch and plan.clip_norm is None:
        ways.append("gradient_clipping.norm 1")
    return "; or ".join(ways) or "regularization.l2 0.001"


def _simpler(seen: Measurements, turn: int | None) -> str:
    """What keeps a model from learning rows by heart."""
    plan, model, ways = seen.whole.plan, seen.whole.plan.model.all, list[str]()
    if turn is not None and plan.patience is None:
        ways.append(f"early_stopping.patience {max(5, turn // 4)}")
    if isinstance(seen.whole.model, Trees):
        depth = model["max_depth"]
        ways += [f"model.max_depth {depth - 1 if depth else USUAL_DEPTH}"] if depth != 1 else []
        ways.append(f"model.min_samples_leaf {5 * model['min_samples_leaf']}")
    else:
        ways.append(f"regularization.l2 {max(0.001, 10.0 * plan.l2):.3g}")
    if max(model.get("hidden", [0])) > 1:
        smaller = [max(1, units // 4) for units in model["hidden"]]
        ways.append(f"model.hidden {json.dumps(smaller)} instead of {json.dumps(model['hidden'])}")
    if "dropout" in model and plan.optimizer is not None and not plan.optimizer.thing.full_batch:
        ways.append(f"model.dropout {min(0.5, model['dropout'] + 0.3):.1f}")
    kept = f" The model that is kept is already that of epoch {int(seen.state['best'][1])}." if plan.restore_best else ""
    return f"{'; or '.join([*ways, 'more training rows'])}.{kept}"


def _larger(seen: Measurements) -> str:
    """What lets a model bend further."""
    model = seen.whole.plan.model.all
    if isinstance(seen.whole.model, Trees):
        return f"model.max_depth {(model['max_depth'] or USUAL_DEPTH) + 2} instead of {model['max_depth']}"
    if "hidden" not in model:
        return "model.name mlp with hidden [64] instead of linear; or boosted_trees with optimizer null"
    wider = [2 * max(model["hidden"])] * max(2, len(model["hidden"]))
    return f"model.hidden {json.dumps(wider)} instead of {json.dumps(model['hidden'])}"
