"""diagnose(run, state): what the numbers of a run say about it, in the field's words, and what to try.

Nothing here knows a loss by name. Losses are compared as a *share learned*: 0 for the best constant prediction, 1 for the
least loss that each row could have by itself; both are searched for along the loss's own slope. For mean squared error it
is R². And what may be due to a setting is not guessed from the course of the losses but tried: a few steps with another
learning rate, or without a penalty.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses import LOSSES, Loss
from app.losses.inputs import Numbers
from app.losses.loss import ZERO_AT_TARGET
from app.losses.stable import Array
from app.training.fit import Epoch, history, measured, start, stopped
from app.training.learners import State, learner
from app.training.network import with_ones
from app.training.objective import Labels, Objective, fitting
from app.training.run import Rows, Run
from app.training.trees import Trees

Verdict: TypeAlias = Literal[
    "converged", "still_improving", "underfitting", "overfitting", "diverging", "oscillating", "plateau", "misfit"
]

SAMPLED = 1_000
"""Rows that are looked at beyond the history: a share of them is known to 3 percent, in milliseconds."""
SAMPLED_AT_LEAST = 200
"""Rows of a model with many weights."""
SMOOTHED = 300
"""Rows that a kernel is fitted to: its cost grows with their cube."""
TRIALS = 80
"""Steps of the search for the least loss; they double and halve, and so reach 10¹² or resolve 10⁻¹²."""
TAIL = 4
"""The end of a run is its last quarter."""
STILL = 0.01
"""A loss that falls by this share within the last quarter is still improving."""
FITTED = 0.95
"""Where so much has been learned, nothing is stuck and nothing is missing."""
NOTHING = 0.02
"""Below this share a model says no more than a constant."""
BEGUN = 0.05
"""Below this share a model with hidden layers has not begun to learn what is there to learn."""
LEFT = 0.05
"""Share of the loss that a smooth function of the inputs must still explain; for noise it is below 0.02."""
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
TRIED_STEPS = 100
"""Steps with another setting: several times an optimizer's memory, and enough to leave a saddle."""
TRIED_AT_LEAST = 10
"""Steps of a model with many weights, and trees of a boosted one."""
TRIED_WORK = 3e7
"""Rows times weights of all steps with one setting: some hundredths of a second."""
GAIN = 0.05
"""Share that those steps must gain over as many with the setting of the run."""
DEAD = 1e-3
"""Derivative of an activation, below which a unit passes nothing on; the largest is 1 (sigmoid: a quarter)."""
HALF = 0.5
"""Share of a layer's units that are dead, or of the unlearned rows that have no slope, which holds a model back."""
VANISHED = 0.01
"""Share of the slope at the outputs that reaches the first hidden layer; relu after He et al. passes on about all of it."""
ROWS_PER_CLASS = 3
"""With fewer rows than this for each class that whole numbers imply, they are quantities."""
SPREAD = 4
"""Class indices are told from counts by their even spread: the most frequent is at most so many times the rarest."""
AFFECTED = 0.1
"""Share of the rows that a misfit must concern, and share of the best constant's loss that cannot be overcome in each."""
LOPSIDED = 1e9
"""Times that some rows may cost what a tenth of them does: at more, all others are lost in rounding."""
UNBOUNDED = 1e15
"""A loss that can be lowered this far below its start has no least value: doubled steps reach 10²⁴."""
LARGE = 10.0
"""Standard deviation of inputs, or size of targets, beyond which the usual learning rates are too high."""
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
    seen = Seen(run, state)
    misfits = (
        _constant_targets,
        _unbounded,
        _classes_as_quantities,
        _quantities_as_classes,
        _indistinct,
        _lopsided,
        _unreachable,
    )
    courses = (_diverged, _grew, _overfitted, _held_back, _stuck, _wrong_rate, _idle, _underfitted, _improving)
    with np.errstate(all="ignore"):
        misfit = next((found for rule in misfits if (found := rule(seen))), None)
        course = next((found for rule in courses if (found := rule(seen))), None) or _converged(seen)
    return [misfit, course] if misfit else [course]


# --- what there is to see ---------------------------------------------------------------------------------------------


class Losses(NamedTuple):
    training: float
    validation: float
    """NaN without validation rows."""


class Ends(NamedTuple):
    """The two ends of the scale on which losses are compared."""

    sums: Array
    """(1, k): those of the constant prediction that is best on the training rows."""
    constant: float
    """Its training loss."""
    least: Array
    """(n,) the least loss of each training row by itself."""
    floor: float
    """Their mean, as the loss has it."""


@dataclass(frozen=True)
class Seen:
    """A run with everything that is measured of it, each when it is first asked for."""

    whole: Run
    state: State

    @cached_property
    def run(self) -> Run:
        """The run on a sample of its rows, without its metrics."""
        run = self.whole
        validation = None if run.validation is None else _sampled(run.validation, self.most)
        training = _sampled(run.training, self.most)
        plan, size = replace(run.plan, metrics=()), min(run.batch_size, training.n)
        return replace(run, plan=plan, training=training, validation=validation, batch_size=size)

    @cached_property
    def past(self) -> list[Epoch]:
        return history(self.whole, self.state)

    @cached_property
    def first(self) -> State:
        """The state before the first epoch, of the sampled rows."""
        return start(self.run)

    @cached_property
    def last(self) -> State:
        """The state after the last epoch, of the sampled rows."""
        kept = {key: array.copy() for key, array in self.state.items()}
        if isinstance(self.whole.model, Trees):
            for key in ("sums", "validation_sums"):
                kept[key] = kept[key][_which(len(kept[key]), self.most)]
        return kept

    @property
    def most(self) -> int:
        """Rows of the sample."""
        weights = 1 if isinstance(self.whole.model, Trees) else self.whole.model.size
        return max(SAMPLED_AT_LEAST, min(SAMPLED, int(TRIED_WORK / weights)))

    @cached_property
    def before(self) -> Losses:
        return _measure(self.run, self.first)

    @cached_property
    def training(self) -> Array:
        """Training losses from before the first epoch on, where they are finite."""
        losses = np.array([self.before.training, *(each.training_loss for each in self.past)])
        return losses[np.isfinite(losses)]

    @cached_property
    def validation(self) -> Array:
        """Validation losses of every epoch; empty without validation rows."""
        losses = [each.validation_loss for each in self.past]
        return np.array([each for each in losses if each is not None])

    @cached_property
    def ends(self) -> Ends:
        return _ends(self.run)

    @cached_property
    def costs(self) -> Array:
        """(n, 8) what eight predictions, the same for all, cost each training row."""
        sums = np.random.default_rng(0).normal(0.0, 3.0, (8, 1, self.run.objective.width))
        return np.stack([_constant_losses(self.run.objective, each, self.run.training) for each in sums], axis=1)

    @cached_property
    def span(self) -> float:
        """Loss from the best constant to the least possible, in which falls and rises are counted."""
        return self.scale or max(float(np.ptp(self.training)), 1e-9 * abs(float(self.training[-1])), 1e-300)

    @cached_property
    def scale(self) -> float:
        """That, or from the start where a constant is as good as anything; 0 where what the run went through is all there is."""
        least = 1e-8 * max(abs(self.ends.constant), _or_zero(self.before.training))
        from_start = _or_zero(self.before.training - self.ends.floor)
        scales = [self.ends.constant - self.ends.floor, from_start] if self.bounded else []
        return next((scale for scale in scales if scale > least), 0.0)

    @cached_property
    def bounded(self) -> bool:
        """Whether the loss has a least value on these rows."""
        return self.ends.floor > -UNBOUNDED * max(1.0, float(np.median(np.abs(self.costs))))

    def share(self, loss: float) -> float:
        """What has been learned at this training loss: 0 as good as the best constant, 1 as good as can be."""
        floor = self.ends.floor if self.bounded else float(self.training.min())
        return (floor + self.span - loss) / self.span

    @cached_property
    def learned(self) -> float:
        return self.share(_level(self.training))

    @cached_property
    def improving(self) -> bool:
        """Whether the losses were still falling at the end: on the training rows, and for more than them alone."""
        if not self.epochs:
            return True
        if not _fall(self.training, 2.0) > STILL * self.span:
            return False
        held = np.array([self.before.validation, *self.validation])
        return not len(self.validation) or _fall(held[np.isfinite(held)], 0.0) > STILL / 2 * self.span or self.left > LEFT

    @cached_property
    def left(self) -> float:
        """Share of the loss that a smooth function of the inputs still explains."""
        return _explained(self.run.training.inputs, _inside(self.run, self.last).wanted) * min(1.0, max(0.0, 1.0 - self.learned))

    @property
    def epochs(self) -> int:
        return len(self.past)

    @property
    def rate(self) -> float:
        """The learning rate of the last epoch that had one; that of the plan before the first, NaN where there is none."""
        rates = [each.learning_rate for each in self.past if each.learning_rate]
        return rates[-1] if rates else self.whole.base_rate

    @property
    def name(self) -> str:
        return self.whole.objective.loss.name

    @property
    def penalties(self) -> dict[str, float]:
        """What the plan holds the weights back by: field -> value."""
        plan = self.whole.plan
        given = {"regularization.l1": plan.l1, "regularization.l2": plan.l2, "model.dropout": plan.model.all.get("dropout", 0.0)}
        if plan.optimizer is not None:
            given["optimizer.weight_decay"] = plan.optimizer.all.get("weight_decay", 0.0)
        return {field: value for field, value in given.items() if value}


def _which(n: int, most: int) -> NDArray[np.intp]:
    """So many rows, evenly spread: they may be sorted."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def _sampled(rows: Rows, most: int) -> Rows:
    which, counts = _which(rows.n, most), rows.labels.counts
    labels = Labels(rows.labels.targets[which], None if counts is None else counts[which])
    return Rows(rows.inputs[which], labels, rows.targets[which])


def _measure(run: Run, state: State) -> Losses:
    model, kept = learner(run), dict(state)
    model.resume(kept, np.random.default_rng(0))
    return Losses(*measured(run, model, kept)[0])


def _level(losses: Array) -> float:
    """Where a course of losses has come to: the median of the last few."""
    return float(np.median(losses[-max(1, min(5, len(losses) // TAIL)) :]))


def _fall(losses: Array, jitters: float) -> float:
    """How far a straight line through the last quarter of the losses falls; 0 where that is within so many jitters."""
    tail = losses[-max(2, min(4, len(losses) // 2), len(losses) // TAIL) :]
    if len(tail) < 2:
        return 0.0
    at = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope = float(at @ tail) / float(at @ at)
    jitter = float(np.std(tail - tail.mean() - slope * at))
    fall = -slope * (len(tail) - 1)
    return fall if fall > jitters * jitter else 0.0


def _medians(losses: Array) -> Array:
    """Medians of five neighbours, so that one lucky epoch is no turning point."""
    reach = 2 if len(losses) >= 10 else 0
    return np.array([np.median(losses[max(0, at - reach) : at + reach + 1]) for at in range(len(losses))])


# --- the least loss ---------------------------------------------------------------------------------------------------


def _ends(run: Run) -> Ends:
    objective, labels, n = run.objective, run.training.labels, run.training.n

    def constant(sums: Array) -> tuple[Array, Array]:
        predictions, back = _output(objective, np.repeat(sums, n, axis=0))
        slope = np.empty_like(predictions)
        objective.slope(predictions, labels, slope)
        return np.array([objective.value(predictions, labels)]), back(slope).sum(axis=0, keepdims=True)

    def rows(sums: Array) -> tuple[Array, Array]:
        predictions, back = _output(objective, sums)
        losses, slope = objective.losses(predictions, labels)
        return losses, back(slope.reshape(sums.shape))

    starts = [_least(constant, np.full((1, objective.width), at)) for at in (0.0, 1.0, -1.0)]  # the slope at one may be 0
    sums, values = min(starts, key=lambda found: _or_infinite(found[1].item()))
    own, least = _least(rows, np.repeat(sums, n, axis=0))
    return Ends(sums, values.item(), least, objective.value(_output(objective, own)[0], labels))


def _least(at: Callable[[Array], tuple[Array, Array]], sums: Array) -> tuple[Array, Array]:
    """Sums (m, k) with the least values (m,) that a search from these finds, for each row by itself.

    A step along the signs of the slope, twice as long after each that made the loss smaller and half as long after each that
    did not: it needs neither smoothness (absolute errors, hinges) nor an idea of the scale of the targets.
    """
    values, slope = at(sums)
    step, resolved = np.ones((len(sums), 1)), 1e-9 * max(float(np.abs(values).mean()), 1e-300)
    for _ in range(TRIALS):
        tried = sums - step * np.sign(slope)
        there, slope_there = at(tried)
        better = (there < values - resolved) | (np.isfinite(there) & ~np.isfinite(values))
        if not better.any() and (step < 1e-6 * (1.0 + np.abs(sums))).all():
            break
        values = np.where(better, there, values)
        sums, slope = np.where(better[:, None], tried, sums), np.where(better[:, None], slope_there, slope)
        step = np.where(better[:, None], 2.0 * step, step / 2.0)
    return sums, values


def _output(objective: Objective, sums: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Predictions (n, k) of sums, and the way back of a slope."""
    predictions = np.empty_like(sums)
    objective.activation.forward(sums, predictions)

    def back(slope: Array) -> Array:
        slope = slope.copy()
        objective.activation.backward(slope, sums, predictions)
        return slope

    return predictions, back


def _constant_losses(objective: Objective, sums: Array, rows: Rows) -> Array:
    """(n,) the loss of each row where the sums (1, k) are the same for all."""
    return objective.losses(_output(objective, np.repeat(sums, rows.n, axis=0))[0], rows.labels)[0]


def _or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def _or_zero(loss: float) -> float:
    return abs(loss) if math.isfinite(loss) else 0.0


# --- inside the model -------------------------------------------------------------------------------------------------


class Inside(NamedTuple):
    """What the training rows do in the model as the run left it; slopes are each row's own, not divided by their number."""

    losses: Array
    """(n,)"""
    slope: Array
    """(n, k) to the predictions."""
    wanted: Array
    """(n, k) to the sums before the last activation."""
    derivatives: list[Array]
    """Of each hidden layer's activations to their sums (n, units)."""
    arriving: Array
    """(n, units) the slope that is left at the first hidden layer's sums; `wanted` where there is none."""


def _inside(run: Run, state: State) -> Inside:
    if isinstance(run.model, Trees):
        return _arrived(run, state["sums"], [], [])
    units, derivatives = with_ones(run.training.inputs), list[Array]()
    *hidden, last = layers = run.model.layers(state["weights"])
    for layer in hidden:
        sums = units @ layer
        units = np.ones((len(sums), sums.shape[1] + 1))
        run.model.hidden.forward(sums, units[:, :-1])
        derivatives.append(np.ones_like(sums))
        run.model.hidden.backward(derivatives[-1], sums, units[:, :-1])
    return _arrived(run, units @ last, derivatives, layers[1:])


def _arrived(run: Run, sums: Array, derivatives: list[Array], following: list[Array]) -> Inside:
    predictions, back = _output(run.objective, sums)
    losses, slope = run.objective.losses(predictions, run.training.labels)
    slope = slope.reshape(sums.shape)
    wanted = arriving = back(slope)
    for derivative, layer in zip(reversed(derivatives), reversed(following), strict=True):
        arriving = (arriving @ layer[:-1].T) * derivative
    return Inside(losses, slope, wanted, derivatives, arriving)


def _mean_length(slopes: Array) -> float:
    return float(np.sqrt(np.square(slopes).sum(axis=1)).mean())


def _explained(inputs: Array, wanted: Array) -> float:
    """Share of the slopes that are left that follows from the inputs: 0 where they are noise.

    Kernel ridge regression, judged by its error on each row when that row is left out (Allen 1974, doi:10.2307/1267500).
    """
    which = _which(len(inputs), SMOOTHED)
    columns, wanted = inputs[which][:, np.ptp(inputs, axis=0) > 0], wanted[which] - wanted[which].mean(axis=0)
    if not columns.size or not np.isfinite(wanted).all() or not wanted.any():
        return 0.0
    columns = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-300)
    squares = np.square(columns).sum(axis=1)
    distances = (squares[:, None] + squares - 2.0 * columns @ columns.T) / columns.shape[1]
    missed = [_left_out(np.exp(-distances * width), wanted, ridge) for width in (0.5, 2.0) for ridge in (0.3, 3.0)]
    return max(0.0, 1.0 - min(missed) / float(np.square(wanted).sum()))


def _left_out(kernel: Array, wanted: Array, ridge: float) -> float:
    """Σ of the squared errors of rows when they are left out."""
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    return float(np.square(inverse @ wanted / np.diag(inverse)[:, None]).sum())


# --- other settings, tried --------------------------------------------------------------------------------------------


class Tried(NamedTuple):
    """A learning rate, and the losses after some steps at it."""

    rate: float
    losses: Losses


def _tried(run: Run, state: State, rate: float) -> Tried:
    model, kept = learner(run), {key: array.copy() for key, array in state.items()}
    epoch = model.resume(kept, np.random.default_rng(0))
    for _ in range(_epochs_tried(run)):
        epoch(rate)
    return Tried(rate, Losses(*measured(run, model, kept)[0]))


def _epochs_tried(run: Run) -> int:
    if isinstance(run.model, Trees):
        return TRIED_AT_LEAST
    steps = min(TRIED_STEPS, max(TRIED_AT_LEAST, int(TRIED_WORK / (run.batch_size * run.model.size))))
    return math.ceil(steps * run.batch_size / run.training.n)


def _lowered(seen: Seen) -> Tried | None:
    """The best of some lower rates from the start of the run; None where none lowers the loss."""
    if math.isnan(seen.whole.base_rate):
        return None
    tried = [_tried(seen.run, seen.first, seen.whole.base_rate * 10.0**-power) for power in range(1, 7)]
    least = min(tried, key=lambda each: _or_infinite(each.losses.training))
    return least if least.losses.training < _or_infinite(seen.before.training) else None


def _better(seen: Seen, powers: Iterable[int]) -> Tried | None:
    """The rate, of some powers of ten times the last, that gains most from where the run ended; None where none gains much.

    A gain counts beyond that of as many steps at the rate of the run, and on validation rows too: what only helps to learn
    training rows by heart is no cure.
    """
    now = _measure(seen.run, seen.last)
    same = min(now.training, _or_infinite(_tried(seen.run, seen.last, seen.rate).losses.training))
    best, most = None, GAIN * seen.span
    for power in powers:
        rate = seen.rate * 10.0**power
        if rate > _highest_rate(seen.run):
            break
        tried = _tried(seen.run, seen.last, rate)
        gain = same - tried.losses.training
        if gain > most and not now.validation - tried.losses.validation < gain / 2:
            best, most = tried, gain
        if not gain > -GAIN * seen.span:
            break  # further from the rate of the run it only becomes worse
    return best


def _highest_rate(run: Run) -> float:
    return 1.0 if isinstance(run.model, Trees) else 1e6


def _freed(run: Run) -> Run:
    """The run without anything that holds its weights back."""
    plan, model = replace(run.plan, l1=0.0, l2=0.0), run.model
    if plan.optimizer is not None and "weight_decay" in plan.optimizer.all:
        freed = plan.optimizer._replace(parameters={**plan.optimizer.parameters, "weight_decay": 0.0})
        plan = replace(plan, optimizer=freed)
    return replace(run, plan=plan, model=model if isinstance(model, Trees) else replace(model, dropout=0.0))


# --- loss and labels that do not fit ----------------------------------------------------------------------------------


def _constant_targets(seen: Seen) -> Finding | None:
    targets = seen.whole.training.labels.targets
    if not (targets == targets[:1]).all():
        return None
    return Finding(
        "misfit",
        "Every training row has the same target: there is nothing to tell apart.",
        _evidence(rows=seen.whole.training.n, distinct_targets=1),
        "data.targets that differ; or, where only the validation rows do, another validation.seed.",
    )


def _unbounded(seen: Seen) -> Finding | None:
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


def _classes_as_quantities(seen: Seen) -> Finding | None:
    data, objective = seen.whole.plan.data, seen.whole.objective
    if _takes_labels(objective.loss) or not isinstance(data.targets, np.ndarray) or data.targets.ndim != 1:
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


def _quantities_as_classes(seen: Seen) -> Finding | None:
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


def _indistinct(seen: Seen) -> Finding | None:
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


def _lopsided(seen: Seen) -> Finding | None:
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


def _unreachable(seen: Seen) -> Finding | None:
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


def _takes_labels(loss: Loss) -> bool:
    return any("class_names" in encoding.accepts for _, encoding in loss.inputs["targets"].cases)


def _others(seen: Seen, labels: bool | None = None) -> str:
    """A few losses that train on these targets, taken as labels or as quantities (None: as this loss takes them)."""
    data, loss = seen.whole.plan.data, seen.whole.objective.loss
    wanted = _takes_labels(loss) if labels is None else labels
    names = [name for name in fitting(data.targets, data.classes) if _takes_labels(LOSSES[name]) == wanted and name != loss.name]
    return ", ".join(names[:SUGGESTED]) or "none that is known here"


def _own_range(seen: Seen) -> str:
    """How targets come back into the range that the loss, its parameters and the last layer were made for."""
    plan, defaults = seen.whole.plan, seen.whole.objective.loss.defaults
    ways = ["standardize.targets false"] if seen.whole.targets_scale is not None else []
    ways += ["model.output null"] if plan.model.all.get("output") else []
    ways += [
        f"loss.{name} {json.dumps(defaults[name])} instead of {json.dumps(value)}"
        for name, value in plan.loss.parameters.items()
        if value != defaults[name]
    ]
    return f"{'; or '.join([*ways, f'another loss: {_others(seen)}'])}."


# --- steps that are too long ------------------------------------------------------------------------------------------


def _diverged(seen: Seen) -> Finding | None:
    if stopped(seen.whole, seen.state) != "diverged":
        return None
    objective, at, lowered = seen.whole.objective, seen.epochs + 1, _lowered(seen)
    evidence = _evidence(
        diverged_at_epoch=at, learning_rate=seen.rate, first_training_loss=seen.before.training,
        last_finite_training_loss=seen.training[-1] if len(seen.training) else None,
        last_finite_gradient_norm=seen.past[-1].gradient_norm if seen.past else None, **_said(lowered),
    )  # fmt: skip
    shorter = _shorter(seen, lowered)
    if objective.encoding in ("probability", "distribution") and objective.parameters.get("from_logits") is False:
        summary = (
            f"In epoch {at} a probability became exactly 0 or 1 for a row of the other class, where {seen.name} is infinite."
        )
        advice = f"loss.from_logits true: the loss then takes the sums before {objective.activation.name}, for which it is finite"
        return Finding("diverging", summary, evidence | {"output": objective.activation.name}, f"{advice}; and {shorter}.")
    began = math.isfinite(seen.before.training)
    said = f"no longer finite in epoch {at}: the steps are too long" if began else "not finite even before the first step"
    return Finding("diverging", f"The loss was {said}.", evidence, f"{shorter}.")


def _grew(seen: Seen) -> Finding | None:
    """A loss that rose above where it was, or that goes up and down."""
    course = seen.training
    if len(course) < 2:
        return None
    steps = np.diff(course[-max(2, len(course) // 2 + 1) :])
    rises, bounce = int((steps > 0).sum()), float(steps[steps > 0].sum()) / len(steps)
    both_ways = len(steps) >= 4 and min(rises, int((steps < 0).sum())) >= BOTH_WAYS * len(steps)
    worse = seen.learned < min(seen.share(course[0]), 0.0) - WORSE
    bounces = both_ways and seen.scale > 0.0 and bounce > BOUNCE * seen.scale
    fell_to = float(course[1:].min())
    risen = (
        min(_level(course), course[-1]) - fell_to > WORSE * (seen.scale or math.inf) and not seen.penalties
    )  # they lift it too
    if not (worse or risen or bounces):
        return None
    lowered = _lowered(seen)
    if not worse and (lowered is None or lowered.losses.training > _level(course)):
        lowered = _better(seen, (-1, -2, -3))
        if lowered is None:  # then it is not the length of the steps
            return None
    evidence = _evidence(
        learning_rate=seen.rate, first_training_loss=course[0], lowest_training_loss=course.min(),
        last_training_loss=course[-1], loss_of_best_constant=seen.ends.constant, mean_rise_per_epoch=bounce,
        share_of_epochs_that_rose=rises / len(steps), **_said(lowered),
    )  # fmt: skip
    said = (
        f"goes up and down, and rose in {rises} of the last {len(steps)} epochs: the steps overshoot"
        if both_ways
        else f"rose from {course.min():.3g} to {course[-1]:.3g}: the steps are too long"
    )
    verdict = "oscillating" if both_ways else "diverging"
    return Finding(verdict, f"The training loss {said}.", evidence, f"{_shorter(seen, lowered)}.")


# --- more learned than there is ---------------------------------------------------------------------------------------


def _overfitted(seen: Seen) -> Finding | None:
    """A validation loss that turned while the training loss went on falling, or that never followed it."""
    held, training = seen.validation, seen.training[-len(seen.validation) :]
    gained = seen.ends.constant - _level(seen.training)
    if not len(held) or gained < OVERFITTED * seen.span:
        return None
    smooth, lowest = _medians(held), int(held.argmin())
    turn, jitter = int(smooth.argmin()), float(np.median(np.abs(np.diff(held)))) if len(held) > 1 else 0.0
    rose = _level(held) - float(smooth[turn]) > max(OVERFITTED * gained, 3.0 * jitter)
    turned = rose and float(training[turn]) - _level(training) > OVERFITTED / 2 * gained
    carried, error = _carried(seen)
    by_heart = carried + CONFIDENT * error < CARRIED or (seen.learned > FITTED and carried + error < CARRIED_WHEN_FITTED)
    if not (turned or by_heart):
        return None
    evidence = _evidence(
        **{"turning_epoch" if turned else "epoch_of_lowest_validation_loss": lowest + 1},
        lowest_validation_loss=held[lowest], training_loss_then=training[lowest], last_training_loss=training[-1],
        share_carried_to_validation=carried, standard_error=error, **_held(seen),
    )  # fmt: skip
    summary = (
        f"The validation loss turned at epoch {lowest + 1} and rose from {held[lowest]:.3g} to {held[-1]:.3g} while the "
        f"training loss fell on to {training[-1]:.3g}."
        if turned
        else f"Of what was learned on the training rows only {max(carried, 0.0):.0%} shows on the validation rows: the rest was "
        "learned by heart."
    )
    return Finding("overfitting", summary, evidence, _simpler(seen, lowest + 1 if turned else None))


def _carried(seen: Seen) -> tuple[float, float]:
    """Gain over the best constant on validation rows as a share of that on training rows, and its standard error."""
    run, model, kept = seen.run, learner(seen.run), dict(seen.last)
    assert run.validation is not None
    model.resume(kept, np.random.default_rng(0))
    ways = (run.training, model.training_predictions), (run.validation, model.validation_predictions)
    learned, carried = (
        _constant_losses(run.objective, seen.ends.sums, rows) - run.objective.losses(predictions(kept), rows.labels)[0]
        for rows, predictions in ways
    )
    scale = max(float(learned.mean()), 1e-300)
    return float(carried.mean()) / scale, float(carried.std()) / math.sqrt(len(carried)) / scale


# --- less learned than there is ---------------------------------------------------------------------------------------


def _unfinished(seen: Seen) -> bool:
    """Whether the run has come to rest before it has learned what could be learned; never where there is no telling."""
    return seen.scale > 0.0 and not seen.improving and seen.learned < FITTED


def _held_back(seen: Seen) -> Finding | None:
    """A penalty that keeps the model from what it could learn: without it a few steps come further, on all rows."""
    if not _unfinished(seen) or not seen.penalties:
        return None
    now, rate = _measure(seen.run, seen.last), seen.whole.base_rate
    held, free = ([_tried(run, state, rate).losses for state in (seen.first, seen.last)] for run in (seen.run, _freed(seen.run)))
    best = min(free, key=lambda each: _or_infinite(each.training))
    gain = min(now.training, *(_or_infinite(each.training) for each in held)) - best.training
    if not gain > GAIN * seen.span or now.validation - best.validation < gain / 2:
        return None
    evidence = _evidence(
        **seen.penalties, last_training_loss=seen.training[-1], training_loss_without=best.training, share_learned=seen.learned
    )
    ways = [f"{field} {value / 10:.3g} instead of {value:.3g}" for field, value in seen.penalties.items()]
    summary = f"The training loss rests at {now.training:.3g} because the weights are held back: without that it comes further."
    return Finding("underfitting", summary, evidence, f"{'; or '.join(ways)}.")


def _stuck(seen: Seen) -> Finding | None:
    """A loss that stays where it is because no slope arrives at the weights."""
    if not _unfinished(seen):
        return None
    inside = _inside(seen.run, seen.last)
    unlearned = inside.losses - seen.ends.least > AFFECTED * seen.span
    silent = unlearned & ~inside.wanted.any(axis=1)
    if silent.mean() > max(AFFECTED, HALF * unlearned.mean()):
        return _silent(seen, inside, silent)
    if not inside.derivatives:
        return None
    dead = [(np.abs(each) < DEAD).all(axis=0) for each in inside.derivatives]
    share = max(float(each.mean()) for each in dead)
    reach = _reach(inside)
    if share == 1.0 or (share >= HALF and seen.left > LEFT):
        return _dead(seen, np.concatenate(dead), share, reach)
    return _vanished(seen, reach) if reach < VANISHED and (seen.left > LEFT or seen.learned < NOTHING) else None


def _reach(inside: Inside) -> float:
    return _mean_length(inside.arriving) / max(_mean_length(inside.wanted), 1e-300)


def _silent(seen: Seen, inside: Inside, silent: NDArray[np.bool_]) -> Finding:
    """Rows far from their least loss without a slope: the loss has none there, or the last activation passes none on."""
    share, output = float(silent.mean()), seen.run.objective.activation.name
    evidence = _evidence(
        share_of_rows_without_slope=share, last_training_loss=seen.training[-1], least_possible_loss=seen.ends.floor,
        output=output,
    )  # fmt: skip
    if not inside.slope[silent].any():
        summary = (
            f"{seen.name} is flat around the predictions of {share:.0%} of the rows, far from its least: nothing moves them."
        )
        return Finding("misfit", summary, evidence, _own_range(seen))
    logits = seen.whole.objective.parameters.get("from_logits") is False
    instead = "loss.from_logits true" if logits else f"model.output other than {output}"
    summary = f"The output {output} is saturated at the wrong end for {share:.0%} of the rows: no gradient passes it."
    return Finding("plateau", summary, evidence, f"{instead}; or {_shorter(seen, _lowered(seen))}.")


def _dead(seen: Seen, dead: NDArray[np.bool_], share: float, reach: float) -> Finding:
    model, lowered = seen.whole.plan.model.all, _lowered(seen)
    evidence = _evidence(
        dead_units=int(dead.sum()), hidden_units=len(dead), largest_share_in_a_layer=share,
        share_of_slope_at_first_layer=reach, last_training_loss=seen.training[-1], loss_of_best_constant=seen.ends.constant,
        **_said(lowered),
    )  # fmt: skip
    ways = [f"model.hidden_activation leaky_relu instead of {model['hidden_activation']}"]
    if model["initialization"] == "zeros":  # all units of a layer are then the same, and remain so
        ways = ["model.initialization he_uniform instead of zeros"]
    if lowered is not None:
        ways.append(_rate_instead(seen, lowered.rate))
    summary = (
        f"{dead.sum()} of {len(dead)} hidden units are dead: they are flat for every training row, and no gradient moves them."
    )
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _vanished(seen: Seen, reach: float) -> Finding:
    model = seen.whole.plan.model.all
    layers, activation = len(model["hidden"]), model["hidden_activation"]
    evidence = _evidence(
        share_of_slope_at_first_layer=reach, hidden_layers=layers, hidden_activation=activation,
        last_training_loss=seen.training[-1], loss_of_best_constant=seen.ends.constant,
        share_still_explained_by_inputs=seen.left,
    )  # fmt: skip
    ways = [f"model.hidden_activation relu instead of {activation}"] if activation != "relu" else []
    ways += [f"fewer layers: model.hidden {json.dumps(model['hidden'][:2])}"] if layers > 2 else []
    ways += [_rate_instead(seen, min(10.0 * seen.rate, _highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    said = f"{reach:.2g} of the slope at the outputs arrives at the first of {layers} hidden layers"
    return Finding("plateau", f"The gradient vanishes: {said}.", evidence, f"{'; or '.join(ways) or 'another seed'}.")


def _wrong_rate(seen: Seen) -> Finding | None:
    """A loss that stays where it is although steps of another length lower it."""
    if not _unfinished(seen) or math.isnan(seen.whole.base_rate):
        return None
    lower, higher = _better(seen, (-1, -2, -3)), _better(seen, range(1, 13))
    found = min((each for each in (lower, higher) if each), key=lambda each: each.losses.training, default=None)
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


def _idle(seen: Seen) -> Finding | None:
    """A model that bends, and has not begun to."""
    bends = isinstance(seen.run.model, Trees) or len(seen.run.model.widths) > 2
    if not bends or not _unfinished(seen) or seen.learned > BEGUN or seen.left < LEFT:
        return None
    plan, targets = seen.whole.plan, seen.whole.training.targets
    evidence = _evidence(
        share_learned=seen.learned, share_still_explained_by_inputs=seen.left, epochs=seen.epochs,
        last_training_loss=seen.training[-1], loss_of_best_constant=seen.ends.constant, learning_rate=seen.rate,
    )  # fmt: skip
    ways = [_rate_instead(seen, min(10.0 * seen.rate, _highest_rate(seen.run)))] if math.isfinite(seen.rate) else []
    ways.append(f"epochs {10 * plan.epochs} instead of {plan.epochs}")
    if not _takes_labels(seen.whole.objective.loss) and np.abs(targets).max() > LARGE:
        ways.append("data.targets in larger units, as smaller numbers")
    summary = f"The model has not begun to learn, though the inputs explain {seen.left:.0%} of the loss: its steps are too few."
    return Finding("plateau", summary, evidence, f"{'; or '.join(ways)}.")


def _underfitted(seen: Seen) -> Finding | None:
    """A loss that rests although the inputs say more, or although nothing was learned at all."""
    if not _unfinished(seen) or not (seen.left > LEFT or seen.learned < NOTHING):
        return None
    last = float(seen.training[-1])
    evidence = _evidence(
        last_training_loss=last, loss_of_best_constant=seen.ends.constant, share_learned=seen.learned,
        share_still_explained_by_inputs=seen.left, **_held(seen),
    )  # fmt: skip
    if seen.left > LEFT:
        summary = (
            f"The training loss rests at {last:.3g}, but a smooth function of the inputs would explain {seen.left:.0%} more."
        )
        return Finding("underfitting", summary, evidence, f"A model that bends further: {_larger(seen)}.")
    summary = f"The model is no better than the best constant prediction ({seen.ends.constant:.3g})."
    advice = f"Other data.inputs, as nothing was found in these, or in the same order as data.targets; or {_larger(seen)}."
    return Finding("underfitting", summary, evidence, advice)


# --- nothing wrong ----------------------------------------------------------------------------------------------------


def _improving(seen: Seen) -> Finding | None:
    if not seen.improving:
        return None
    plan, done = seen.whole.plan, seen.epochs
    early = done and seen.learned < HALF and math.isfinite(seen.rate)
    faster = _better(seen, range(1, 5)) if early else None
    evidence = _evidence(
        epochs=done, planned_epochs=plan.epochs, fall_in_last_quarter=_fall(seen.training, 0.0),
        last_training_loss=seen.training[-1] if len(seen.training) else None, **_held(seen), **_said(faster),
    )  # fmt: skip
    longer = {
        "early_stopping": _more_patience(seen),
        "completed": f"epochs {2 * plan.epochs} instead of {plan.epochs}",
    }.get(stopped(seen.whole, seen.state) or "", f"a run that is not ended before its {plan.epochs} epochs")
    advice = f"{longer}; or {_rate_instead(seen, faster.rate)}." if faster else f"{longer}."
    return Finding("still_improving", f"The loss was still falling after {done} epoch{'s' * (done != 1)}.", evidence, advice)


def _converged(seen: Seen) -> Finding:
    course, held = seen.training, seen.validation
    evidence = _evidence(
        epochs=seen.epochs, last_training_loss=course[-1], fall_in_last_quarter=_fall(course, 0.0),
        loss_of_best_constant=seen.ends.constant, share_learned=seen.learned, **_held(seen),
    )  # fmt: skip
    kind, last = ("validation", held[-1]) if len(held) else ("training", course[-1])
    enough = max(1, int(np.argmax(np.abs(course - _level(course)) <= STILL * seen.span)))
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
    plain: dict[str, Any] = {name: each.item() if isinstance(each, np.number) else each for name, each in numbers.items()}
    return {name: each for name, each in plain.items() if isinstance(each, str) or (each is not None and math.isfinite(each))}


def _said(tried: Tried | None) -> dict[str, float]:
    return {} if tried is None else {"tried_learning_rate": tried.rate, "training_loss_when_tried": tried.losses.training}


def _held(seen: Seen) -> dict[str, float]:
    """How many validation rows there are, without which nothing can be said of other rows, and their last loss."""
    rows = 0 if seen.whole.validation is None else seen.whole.validation.n
    return {"validation_rows": rows, "last_validation_loss": seen.validation[-1] if len(seen.validation) else math.nan}


def _rate_instead(seen: Seen, rate: float) -> str:
    field = "model.learning_rate" if isinstance(seen.whole.model, Trees) else "optimizer.learning_rate"
    return f"{field} {rate:.3g} instead of {seen.whole.base_rate:.3g}"


def _more_patience(seen: Seen) -> str:
    patience = seen.whole.plan.patience or 1
    return f"early_stopping.patience {2 * patience} instead of {patience}"


def _shorter(seen: Seen, tried: Tried | None) -> str:
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


def _simpler(seen: Seen, turn: int | None) -> str:
    """What keeps a model from learning rows by heart."""
    plan, model, ways = seen.whole.plan, seen.whole.plan.model.all, list[str]()
    if turn is not None and plan.patience is None:
        ways.append(f"early_stopping.patience {max(5, turn // 4)}")
    if isinstance(seen.whole.model, Trees):
        ways += [f"model.max_depth {model['max_depth'] - 1}"] if model["max_depth"] > 1 else []
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


def _larger(seen: Seen) -> str:
    """What lets a model bend further."""
    model = seen.whole.plan.model.all
    if isinstance(seen.whole.model, Trees):
        return f"model.max_depth {model['max_depth'] + 2} instead of {model['max_depth']}"
    if "hidden" not in model:
        return "model.name mlp with hidden [64] instead of linear; or boosted_trees with optimizer null"
    wider = [2 * max(model["hidden"])] * max(2, len(model["hidden"]))
    return f"model.hidden {json.dumps(wider)} instead of {json.dumps(model['hidden'])}"
