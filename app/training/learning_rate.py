"""Which learning rates train: one step at each of ever higher ones (Smith 2017, arXiv:1506.01186)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from app.training.fit import fit, measured
from app.training.learners import Learner, State, learner
from app.training.resuming import begin
from app.training.run import Chosen, Run

TOO_HIGH = 4.0
"""A loss that is as many times the least before it has begun to diverge."""
SAFE = 10.0
"""The rate of the least loss over this is one that trains (Smith 2017)."""
TRIED_EPOCHS, TRIES = 3, 6
"""What a suggestion is tried on, and how often a lower one is."""


def rates(low: float, high: float, steps: int) -> list[float]:
    """Geometric, both ends among them."""
    return np.geomspace(low, high, steps).tolist()


def losses(run: Run, tried: Sequence[float]) -> Iterator[float]:
    """The training loss after a step at each of these rates, on one batch of rows after the other; NaN once it is not finite."""
    run = replace(run, plan=replace(run.plan, metrics=(), monitor=None, schedule=None))
    state, whole, rng = begin(run), learner(run), np.random.default_rng([run.plan.seed, 7])
    batches = _batches(run, rng)
    lost = False
    for rate in tried:
        rows = run.training.take(next(batches))
        with np.errstate(all="ignore"):
            learner(replace(run, training=rows, batch_size=rows.n)).resume(state, rng)(rate)
            loss = math.nan if lost else _loss(run, state, whole)
        lost = lost or not math.isfinite(loss)
        yield math.nan if lost else loss


def _loss(run: Run, state: State, whole: Learner) -> float:
    whole.adopt(state)
    return measured(run, whole, state)[0][0]


def _batches(run: Run, rng: "np.random.Generator") -> Iterator[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows of a step, without end."""
    n, size = run.training.n, run.batch_size
    while True:
        order = rng.permutation(n) if run.plan.shuffle else np.arange(n)
        yield from (order[begin : begin + size] for begin in range(0, n, size))


def diverging(tried: Sequence[float], found: Sequence[float]) -> float | None:
    """The first rate whose loss is above four times the least before it, or not finite; None: none is."""
    least = math.inf
    for rate, loss in zip(tried, found, strict=True):
        if not math.isfinite(loss) or (math.isfinite(least) and loss > least + (TOO_HIGH - 1.0) * abs(least)):
            return rate
        least = min(least, loss)
    return None


def suggested(run: Run, tried: Sequence[float], found: Sequence[float]) -> float | None:
    """A rate well below that of the least loss, which has lowered the loss when it was tried; None where none has."""
    known = [(loss, rate) for rate, loss in zip(tried, found, strict=True) if math.isfinite(loss)]
    if not known:
        return None
    rate = max(min(known)[1] / SAFE, min(tried))
    for _ in range(TRIES):
        if _trains(run, rate):
            return rate
        rate /= SAFE
    return None


def _trains(run: Run, rate: float) -> bool:
    """Whether a few epochs at a rate lower the training loss."""
    optimizer = run.plan.optimizer
    assert optimizer is not None
    chosen = Chosen(optimizer.thing, {**optimizer.parameters, "learning_rate": rate})
    epochs = min(run.plan.epochs, TRIED_EPOCHS)
    short = replace(
        run, plan=replace(run.plan, optimizer=chosen, epochs=epochs, schedule=None, metrics=(), monitor=None, patience=None)
    )
    state = begin(short)
    with np.errstate(all="ignore"):
        before = _loss(short, dict(state), learner(short))
    told = [epoch.training_loss for epoch in fit(short, state)]
    return len(told) == epochs and told[-1] < before
