"""What there is to see in a run: its course, what its loss could be at all, and the inside of its model.

Nothing here knows a loss by name. Losses are compared as a *share learned*: 0 for the best constant prediction, 1 for the
least loss that each row could have by itself; both are searched for along the loss's own slope. For mean squared error it
is R². And what may be due to a setting is not guessed from the course of the losses but tried: a few steps with another
learning rate, or without a penalty.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.fit import Epoch, history, measured, start
from app.training.learners import State, learner
from app.training.network import with_ones
from app.training.objective import Objective
from app.training.run import Rows, Run
from app.training.trees import Forest, Trees

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
LEFT = 0.05
"""Share of the loss that a smooth function of the inputs must still explain; for noise it is below 0.02."""
TRIED_STEPS = 100
"""Steps with another setting: several times an optimizer's memory, and enough to leave a saddle."""
TRIED_AT_LEAST = 10
"""Steps of a model with many weights, and trees of a boosted one."""
TRIED_WORK = 3e7
"""Rows times weights of all steps with one setting: some hundredths of a second."""
GAIN = 0.05
"""Share that those steps must gain over as many with the setting of the run."""
UNBOUNDED = 1e15
"""A loss that can be lowered this far below its start has no least value: doubled steps reach 10²⁴."""


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
class Measurements:
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
        return measure(self.run, self.first)

    @cached_property
    def training(self) -> Array:
        """Training losses from before the first epoch on, where they are finite."""
        losses = np.array([self.before.training, *(epoch.training_loss for epoch in self.past)])
        return losses[np.isfinite(losses)]

    @cached_property
    def validation(self) -> Array:
        """Validation losses of every epoch; empty without validation rows."""
        losses = [epoch.validation_loss for epoch in self.past]
        return np.array([loss for loss in losses if loss is not None])

    @cached_property
    def ends(self) -> Ends:
        return _ends(self.run)

    @cached_property
    def costs(self) -> Array:
        """(n, 8) what eight predictions, the same for all, cost each training row."""
        sums = np.random.default_rng(0).normal(0.0, 3.0, (8, 1, self.run.objective.width))
        return np.stack([constant_losses(self.run.objective, totals, self.run.training) for totals in sums], axis=1)

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
        return self.share(level(self.training))

    @cached_property
    def improving(self) -> bool:
        """Whether the losses were still falling at the end: on the training rows, and for more than them alone."""
        if not self.epochs:
            return True
        if not fall(self.training, 2.0) > STILL * self.span:
            return False
        held = np.array([self.before.validation, *self.validation])
        return not len(self.validation) or fall(held[np.isfinite(held)], 0.0) > STILL / 2 * self.span or self.left > LEFT

    @cached_property
    def left(self) -> float:
        """Share of the loss that a smooth function of the inputs still explains."""
        return _explained(self.run.training.inputs, look_inside(self.run, self.last).wanted) * min(
            1.0, max(0.0, 1.0 - self.learned)
        )

    @property
    def epochs(self) -> int:
        return len(self.past)

    @property
    def rate(self) -> float:
        """The learning rate of the last epoch that had one; that of the plan before the first, NaN where there is none."""
        rates = [epoch.learning_rate for epoch in self.past if epoch.learning_rate]
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
    return rows.take(_which(rows.n, most))


def measure(run: Run, state: State) -> Losses:
    model, kept = learner(run), dict(state)
    model.adopt(kept)
    return Losses(*measured(run, model, kept)[0])


def level(losses: Array) -> float:
    """Where a course of losses has come to: the median of the last few."""
    return float(np.median(losses[-max(1, min(5, len(losses) // TAIL)) :]))


def fall(losses: Array, jitters: float) -> float:
    """How far a straight line through the last quarter of the losses falls; 0 where that is within so many jitters."""
    tail = losses[-max(2, min(4, len(losses) // 2), len(losses) // TAIL) :]
    if len(tail) < 2:
        return 0.0
    epochs = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope = float(epochs @ tail) / float(epochs @ epochs)
    jitter = float(np.std(tail - tail.mean() - slope * epochs))
    fall = -slope * (len(tail) - 1)
    return fall if fall > jitters * jitter else 0.0


def medians(losses: Array) -> Array:
    """Medians of five neighbours, so that one lucky epoch is no turning point."""
    reach = 2 if len(losses) >= 10 else 0
    return np.array([np.median(losses[max(0, start - reach) : start + reach + 1]) for start in range(len(losses))])


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

    starts = [_least(constant, np.full((1, objective.width), level)) for level in (0.0, 1.0, -1.0)]  # the slope at one may be 0
    sums, values = min(starts, key=lambda found: or_infinite(found[1].item()))
    own, least = _least(rows, np.repeat(sums, n, axis=0))
    return Ends(sums, values.item(), least, objective.value(_output(objective, own)[0], labels))


def _least(evaluate: Callable[[Array], tuple[Array, Array]], sums: Array) -> tuple[Array, Array]:
    """Sums (m, k) with the least values (m,) that a search from these finds, for each row by itself.

    A step along the signs of the slope, twice as long after each that made the loss smaller and half as long after each that
    did not: it needs neither smoothness (absolute errors, hinges) nor an idea of the scale of the targets.
    """
    values, slope = evaluate(sums)
    step, resolved = np.ones((len(sums), 1)), 1e-9 * max(float(np.abs(values).mean()), 1e-300)
    for _ in range(TRIALS):
        tried = sums - step * np.sign(slope)
        there, slope_there = evaluate(tried)
        better = (there < values - resolved) | (np.isfinite(there) & ~np.isfinite(values))
        if not better.any() and (step < 1e-6 * (1.0 + np.abs(sums))).all():
            break
        values = np.where(better, there, values)
        sums, slope = np.where(better[:, None], tried, sums), np.where(better[:, None], slope_there, slope)
        step = np.where(better[:, None], 2.0 * step, step / 2.0)
    return sums, values


def _output(objective: Objective, sums: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Predictions (n, k) of sums, and the way back of a slope."""
    predictions = objective.activation.of(sums)

    def back(slope: Array) -> Array:
        slope = slope.copy()
        objective.activation.backward(slope, sums, predictions)
        return slope

    return predictions, back


def constant_losses(objective: Objective, sums: Array, rows: Rows) -> Array:
    """(n,) the loss of each row where the sums (1, k) are the same for all."""
    return objective.losses(_output(objective, np.repeat(sums, rows.n, axis=0))[0], rows.labels)[0]


def or_infinite(loss: float) -> float:
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


def look_inside(run: Run, state: State) -> Inside:
    if isinstance(run.model, Forest):
        losses, slope = run.objective.losses(learner(run).training_predictions(state), run.training.labels)
        slope = slope.reshape(run.training.n, -1)
        return Inside(losses, slope, slope, [], slope)
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


def mean_length(slopes: Array) -> float:
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


def attempt(run: Run, state: State, rate: float) -> Tried:
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


def with_lower_rate(seen: Measurements) -> Tried | None:
    """The best of some lower rates from the start of the run; None where none lowers the loss."""
    if math.isnan(seen.whole.base_rate):
        return None
    tried = [attempt(seen.run, seen.first, seen.whole.base_rate * 10.0**-power) for power in range(1, 7)]
    least = min(tried, key=lambda trial: or_infinite(trial.losses.training))
    return least if least.losses.training < or_infinite(seen.before.training) else None


def with_better_rate(seen: Measurements, powers: Iterable[int]) -> Tried | None:
    """The rate, of some powers of ten times the last, that gains most from where the run ended; None where none gains much.

    A gain counts beyond that of as many steps at the rate of the run, and on validation rows too: what only helps to learn
    training rows by heart is no cure.
    """
    now = measure(seen.run, seen.last)
    same = min(now.training, or_infinite(attempt(seen.run, seen.last, seen.rate).losses.training))
    best, most = None, GAIN * seen.span
    for power in powers:
        rate = seen.rate * 10.0**power
        if rate > highest_rate(seen.run):
            break
        tried = attempt(seen.run, seen.last, rate)
        gain = same - tried.losses.training
        if gain > most and not now.validation - tried.losses.validation < gain / 2:
            best, most = tried, gain
        if not gain > -GAIN * seen.span:
            break  # further from the rate of the run it only becomes worse
    return best


def highest_rate(run: Run) -> float:
    return 1.0 if isinstance(run.model, Trees) else 1e6


def unpenalized(run: Run) -> Run:
    """The run without anything that holds its weights back."""
    plan, model = replace(run.plan, l1=0.0, l2=0.0), run.model
    if plan.optimizer is not None and "weight_decay" in plan.optimizer.all:
        freed = plan.optimizer._replace(parameters={**plan.optimizer.parameters, "weight_decay": 0.0})
        plan = replace(plan, optimizer=freed)
    return replace(run, plan=plan, model=model if isinstance(model, Trees) else replace(model, dropout=0.0))
