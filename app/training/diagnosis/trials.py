"""Other settings, tried: what may be due to a setting is not guessed from the course of the losses."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from app.training.diagnosis.least import or_infinite
from app.training.diagnosis.measurements import TRIED_WORK, Losses, Measurements, measure
from app.training.fit import measured
from app.training.learners import State, learner
from app.training.run import Run
from app.training.trees import Trees

TRIED_STEPS = 100
"""Steps with another setting: several times an optimizer's memory, and enough to leave a saddle."""
TRIED_AT_LEAST = 10
"""Steps of a model with many weights, and trees of a boosted one."""
GAIN = 0.05
"""Share that those steps must gain over as many with the setting of the run."""


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
