"""What is measured of a run: its course, and where that stands between the best constant and the least possible loss.

Nothing here knows a loss by name. Losses are compared as a *share learned*: 0 for the best constant prediction, 1 for the
least loss that each row could have by itself; both are searched for along the loss's own slope. For mean squared error it
is R².
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

import numpy as np

from app.losses.numerics.stable import Array
from app.training.diagnosis.inside import evenly, explained, look_inside
from app.training.diagnosis.least import Ends, constant_losses, ends_of, or_zero
from app.training.fit import Epoch, history, measured, start
from app.training.learners import State, learner
from app.training.run import Run
from app.training.trees import Trees

T = TypeVar("T")

SAMPLED = 1_000
"""Rows that are looked at beyond the history: a share of them is known to 3 percent, in milliseconds."""
SAMPLED_AT_LEAST = 200
"""Rows of a model with many weights."""
TRIED_WORK = 3e7
"""Rows times weights of all steps with one setting: some hundredths of a second."""
TAIL = 4
"""The end of a run is its last quarter."""
STILL = 0.01
"""A loss that falls by this share within the last quarter is still improving."""
LEFT = 0.05
"""Share of the loss that a smooth function of the inputs must still explain; for noise it is below 0.02."""
FITTED = 0.95
"""Where so much has been learned, nothing is stuck and nothing is missing."""
UNBOUNDED = 1e15
"""A loss that can be lowered this far below its start has no least value: doubled steps reach 10²⁴."""


class Losses(NamedTuple):
    training: float
    validation: float
    """NaN without validation rows."""


@dataclass(frozen=True)
class Measurements:
    """A run with everything that is measured of it, each when it is first asked for."""

    whole: Run
    state: State
    found: dict[str, object] = field(default_factory=dict[str, object], init=False, repr=False, compare=False)
    """What rules have found out for each other, by name."""

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What several rules ask for, found when the first one does."""
        if name not in self.found:
            self.found[name] = find()
        return cast(T, self.found[name])

    @cached_property
    def run(self) -> Run:
        """The run on a sample of its rows, without its metrics."""
        return sampled(self.whole, self.most)

    @property
    def is_sample(self) -> bool:
        """Whether there are more rows than are looked at."""
        run = self.whole
        return run.training.n > self.most or (run.validation is not None and run.validation.n > self.most)

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
        return self._sampled({key: array.copy() for key, array in self.state.items()})

    @cached_property
    def best(self) -> State | None:
        """The same after the best epoch, where there is one."""
        best = {key.removeprefix("best."): array.copy() for key, array in self.state.items() if key.startswith("best.")}
        return {**self.last, **self._sampled(best)} if best else None

    def _sampled(self, state: State) -> State:
        if isinstance(self.whole.model, Trees):
            for key in ("sums", "validation_sums"):
                state[key] = state[key][evenly(len(state[key]), self.most)]
        return state

    @property
    def most(self) -> int:
        """Rows of the sample."""
        weights = 1 if isinstance(self.whole.model, Trees) else self.whole.model.size
        return max(SAMPLED_AT_LEAST, min(SAMPLED, int(TRIED_WORK / weights)))

    @cached_property
    def before(self) -> Losses:
        """Of all rows, as the losses of the history are."""
        return measure(replace(self.whole, plan=replace(self.whole.plan, metrics=())), start(self.whole))

    @cached_property
    def now(self) -> Losses:
        """The losses of the sampled rows at the end, to which other settings are compared."""
        return measure(self.run, self.last)

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
        return ends_of(self.run)

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
        least = 1e-8 * max(abs(self.ends.constant), or_zero(self.before.training))
        from_start = or_zero(self.before.training - self.ends.floor)
        scales = [self.ends.constant - self.ends.floor, from_start] if self.bounded else []
        return next((scale for scale in scales if scale > least), 0.0)

    @cached_property
    def bounded(self) -> bool:
        """Whether the loss has a least value on these rows."""
        return self.ends.floor > -UNBOUNDED * max(1.0, float(np.median(np.abs(self.costs))))

    def share(self, loss: float) -> float:
        """What has been learned at this loss of the sampled rows: 0 as good as the best constant, 1 as good as can be."""
        floor = self.ends.floor if self.bounded else float(self.training.min())
        return (floor + self.span - loss) / self.span

    @cached_property
    def learned(self) -> float:
        return self.share(self.level)

    @property
    def level(self) -> float:
        """Where the loss of the sampled rows has come to."""
        return level(self.training) + self.apart

    @cached_property
    def apart(self) -> float:
        """How far the loss of the sampled rows lies above that of all: where tails are heavy, they are another problem."""
        if self.run.training.n == self.whole.training.n or not len(self.training):
            return 0.0
        apart = self.now.training - float(self.training[-1])
        return apart if np.isfinite(apart) else 0.0

    @property
    def unfinished(self) -> bool:
        """Whether the run has come to rest before it has learned what could be learned; never where there is no telling."""
        return self.scale > 0.0 and not self.improving and self.learned < FITTED

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
        rows, wanted = self.run.training, look_inside(self.run, self.last).wanted
        if rows.row_weights is not None:
            wanted = wanted * rows.row_weights[:, None]  # as they pull at the model
        return explained(rows.inputs, wanted) * min(1.0, max(0.0, 1.0 - self.learned))

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


def sampled(run: Run, most: int) -> Run:
    """The run on so many of its rows at most, of either kind, and without its metrics."""
    training, validation = (None if rows is None else rows.take(evenly(rows.n, most)) for rows in (run.training, run.validation))
    assert training is not None
    plan, size = replace(run.plan, metrics=(), monitor=None), min(run.batch_size, training.n)
    return replace(run, plan=plan, training=training, validation=validation, batch_size=size)


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
