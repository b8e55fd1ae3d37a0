"""Other settings, tried: what may be due to a setting is not guessed from the course of the losses."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.decisions import Decisions, decisions_of
from app.training.diagnosis.inside import evenly
from app.training.diagnosis.least import or_infinite
from app.training.diagnosis.measurements import TRIED_WORK, Losses, Measurements, measure
from app.training.fit import fit, measured, start
from app.training.learners import State, learner
from app.training.run import Plan, Rows, Run, prepare
from app.training.splits import Holdout
from app.training.tables import taken
from app.training.trees import Trees

TRIED_STEPS = 100
"""Steps with another setting: several times an optimizer's memory, and enough to leave a saddle."""
TRIED_AT_LEAST = 10
"""Steps of a model with many weights, and trees of a boosted one."""
GAIN = 0.05
"""Share that those steps must gain over as many with the setting of the run."""
AGAIN_STEPS = 2_000
"""Steps of a run that is made once more: a tenth of a second."""
AGAIN_TREES = 60
"""Trees of one."""
AGAIN_WORK = 10.0
"""Times what a few steps may cost, that such a run may."""
ENOUGH = 20
"""Validation rows that tell two runs apart; of fewer the training rows do."""
ENOUGH_OF_CLASS = 4
"""Rows of a class, likewise."""


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
    return least if least.losses.training < or_infinite(measure(seen.run, seen.first).training) else None


def with_better_rate(seen: Measurements, powers: Iterable[int]) -> Tried | None:
    """The rate, of some powers of ten times the last, that gains most from where the run ended; None where none gains much.

    A gain counts beyond that of as many steps at the rate of the run, and on validation rows too: what only helps to learn
    training rows by heart is no cure.
    """
    now = seen.now
    as_before = seen.once("at_the_same_rate", lambda: attempt(seen.run, seen.last, seen.rate)).losses.training
    same = min(now.training, or_infinite(as_before))
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
        if rate < seen.rate and gain <= 0.0 and same < now.training:
            break  # the rate of the run still lowers the loss, and a lower one by less: a yet lower one is slower still
    return best


class Again(NamedTuple):
    """The run once more, on its sample of rows, as other settings leave it."""

    run: Run
    state: State


def again(seen: Measurements, **changes: Any) -> Again | None:
    """The run from its start with other fields of its plan; for fewer epochs where it is long, None where they do not fit."""
    plan = replace(sampled_plan(seen), epochs=_epochs_again(seen), **changes)
    try:
        run = prepare(plan)
    except InvalidInput:
        return None
    state = start(run)
    for _ in fit(run, state):
        pass
    return Again(run, state)


def sampled_plan(seen: Measurements) -> Plan:
    """The plan of a run on the sampled rows alone, so that no more of them is held a second time; without what it stops by."""
    run, plan = seen.whole, seen.whole.plan
    plan = replace(plan, metrics=(), monitor=None, learn=None, resume=None, patience=None)
    if not seen.is_sample:
        return plan
    held = Holdout(fraction=None)
    if run.held_out is not None:
        which = run.held_out[evenly(len(run.held_out), seen.most)]
        held = replace(held, table=taken(plan.validation.table or plan.data, which))
    size = plan.batch_size if isinstance(plan.batch_size, str) else seen.run.batch_size
    return replace(
        plan, data=taken(plan.data, run.trained_on[evenly(run.training.n, seen.most)]), validation=held, batch_size=size
    )


def as_it_was(seen: Measurements) -> Again:
    """What the same comes to with the settings of the run."""
    return seen.once("as_it_was", lambda: _as_it_was(seen))


def _as_it_was(seen: Measurements) -> Again:
    if _epochs_again(seen) == seen.epochs and not seen.is_sample:
        return Again(seen.run, seen.last)
    return again(seen) or Again(seen.run, seen.last)


class Predicted(NamedTuple):
    """What a run predicts for some rows."""

    run: Run
    rows: Rows
    predictions: Array
    """(n, k), as the loss sees it."""

    def own_units(self, numbers: Numbers) -> Array:
        """(n,) of one number per row."""
        scale = self.run.targets_scale
        return np.reshape(numbers if scale is None else scale.restored(np.asarray(numbers, np.float64)), -1)


def predicted_by(made: Again) -> tuple[Predicted, Predicted | None]:
    """Of the rows that a run was trained on, and of those held out, where these are enough to tell runs apart."""
    run, model, kept = made.run, learner(made.run), dict(made.state)
    model.adopt(kept)
    training = Predicted(run, run.training, model.training_predictions(kept).copy())
    if run.validation is None or run.validation.n < ENOUGH:
        return training, None
    return training, Predicted(run, run.validation, model.validation_predictions(kept).copy())


def errors_of(made: Again, error: Callable[[Predicted], float]) -> Losses:
    """An error on both kinds of rows; NaN where those held out are too few."""
    training, held = predicted_by(made)
    return Losses(error(training), math.nan if held is None else error(held))


def is_better(now: Losses, then: Losses, by: float) -> bool:
    """Whether an error falls by so much over both kinds of rows, and by some of it on validation rows: what only helps to learn
    rows by heart is no cure."""
    falls = [known - tried for known, tried in zip(now, then, strict=True) if not math.isnan(known - tried)]
    return sum(falls) > by * len(falls) and falls[-1] > by / 4


def shown(losses: Losses) -> float:
    """The one that says more of other rows."""
    return losses.training if math.isnan(losses.validation) else losses.validation


def decided_by(seen: Predicted) -> Decisions | None:
    """Between the classes of the one output that there is."""
    found = decisions_of(seen.run, seen.rows, seen.predictions.reshape(-1, *seen.run.objective.outputs))
    return found if isinstance(found, Decisions) else None


def unbalanced_error(seen: Predicted) -> float:
    """1 less the balanced accuracy: the mean over the classes of the share of each class's rows that are decided wrongly."""
    decisions = decided_by(seen)
    assert decisions is not None
    return _balanced(decisions.true, decisions.decided)


def nearest_label_error(labels: Array) -> Callable[[Predicted], float]:
    """The same of quantities that are taken for labels: the one next to what is predicted is decided."""

    def error(seen: Predicted) -> float:
        true, decided = (
            np.abs(seen.own_units(numbers)[:, None] - labels).argmin(axis=1) for numbers in (seen.rows.targets, seen.predictions)
        )
        return _balanced(true, decided)

    return error


def _balanced(true: NDArray[np.intp], decided: NDArray[np.intp]) -> float:
    """NaN where there are too few rows of a class to tell."""
    counts = np.bincount(true)
    if counts[counts > 0].min() < ENOUGH_OF_CLASS:
        return math.nan
    return float(np.mean([(decided[true == place] != place).mean() for place in np.unique(true)]))


def _epochs_again(seen: Measurements) -> int:
    run, done = seen.run, max(1, seen.epochs)
    if isinstance(run.model, Trees):
        return min(done, AGAIN_TREES)
    cost = AGAIN_WORK * TRIED_WORK / (run.training.n * run.model.size)
    return max(1, min(done, AGAIN_STEPS * run.batch_size // run.training.n, int(cost)))


def highest_rate(run: Run) -> float:
    return 1.0 if isinstance(run.model, Trees) else 1e6


def unpenalized(run: Run) -> Run:
    """The run without anything that holds its weights back."""
    plan, model = replace(run.plan, l1=0.0, l2=0.0), run.model
    if plan.optimizer is not None and "weight_decay" in plan.optimizer.all:
        freed = plan.optimizer._replace(parameters={**plan.optimizer.parameters, "weight_decay": 0.0})
        plan = replace(plan, optimizer=freed)
    return replace(run, plan=plan, model=model if isinstance(model, Trees) else replace(model, dropout=0.0))
