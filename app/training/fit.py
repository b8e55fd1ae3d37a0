"""fit(run, state): one epoch after the other, from a state that can be saved and resumed bit for bit.

A state is a dict of plain arrays: `numpy.savez(file, **state)` saves it, `dict(numpy.load(file))` brings it back, and
the run goes on with the bits it would have had. Everything that changes during a run is in it.

    weights (P,)           of a network, and slots (s, P), step (): its optimizer's memory
    sums (n, k), ...       of boosted trees, and the trees themselves
    rng (6,)               the generator, at the end of the epoch
    epoch ()               epochs done
    learned (q,)           what moves of the loss, where any of its parameters do
    history (epochs, 5 + 2m + q)  a row per epoch: losses, rate, norm, seconds, m metrics on both kinds of rows, parameters
    best (4,)              what is monitored (a score that should rise, negated) at its lowest, and the epoch; the same that
                           patience compares with
    best.weights, ...      the model of the best epoch
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.learned import LEARNED, under
from app.training.learners import Learner, State, learner
from app.training.metrics import Metric, score
from app.training.run import Chosen, Rows, Run

Reason: TypeAlias = Literal["completed", "early_stopping", "diverged"]

FIGURES = ("training_loss", "validation_loss", "learning_rate", "gradient_norm", "seconds")
"""What a row of the history starts with."""


class Epoch(NamedTuple):
    """What one epoch came to. Losses and metrics are those of the weights at its end."""

    epoch: int
    """From 1."""
    training_loss: float
    validation_loss: float | None
    metrics: Mapping[str, tuple[float, float | None]]
    """Name -> on training and on validation rows; NaN where it is undefined."""
    learning_rate: float | None
    gradient_norm: float
    """Mean over the steps, before clipping."""
    seconds: float
    loss_parameters: Mapping[str, float] = {}
    """What the parameters of the loss that are learned have come to."""


def start(run: Run) -> State:
    """The state before the first epoch."""
    rng = np.random.default_rng([run.plan.seed, 2])
    state = learner(run).start(rng)
    state["rng"] = _saved(rng)
    state["epoch"] = np.zeros((), np.int64)
    state["history"] = np.full((run.plan.epochs, len(columns_of_history(run))), np.nan)
    state["best"] = np.array([np.inf, 0.0, np.inf, 0.0])
    return state


def fit(run: Run, state: State) -> Iterator[Epoch]:
    """Train from the state on until the run stops, keeping the state up to date at the end of every epoch."""
    rng = _restored(state["rng"])
    model = learner(run)
    step = model.resume(state, rng)
    while stopped(run, state) is None:
        began = time.perf_counter()
        epoch = int(state["epoch"])
        rate = _rate(run, state, epoch)
        with np.errstate(all="ignore"):  # what overflows ends the run as diverged
            norm = step(rate)
            losses, metrics = measured(run, model, state)
        state["rng"] = _saved(rng)
        state["epoch"] = np.array(epoch + 1)
        values = [] if run.learned is None else [*run.learned.values(state["learned"]).values()]
        state["history"][epoch] = [*losses, rate, norm, time.perf_counter() - began, *_flat(metrics), *values]
        if stopped(run, state) != "diverged":
            _keep_best(run, model, state)
            yield _epoch(run, state, epoch)


def stopped(run: Run, state: State) -> Reason | None:
    """Why the run is at its end; None where it is not."""
    done = int(state["epoch"])
    if done and not np.isfinite(state["history"][done - 1, : 1 if run.validation is None else 2]).all():
        return "diverged"
    if done >= run.plan.epochs:
        return "completed"
    patience = run.plan.patience
    if patience is not None and done - state["best"][3] >= max(patience, 1):
        return "early_stopping"
    return None


def history(run: Run, state: State) -> list[Epoch]:
    """Every epoch so far, without the one that diverged."""
    done = int(state["epoch"])
    return [_epoch(run, state, epoch) for epoch in range(done - (stopped(run, state) == "diverged"))]


# --- one epoch --------------------------------------------------------------------------------------------------------


def _rate(run: Run, state: State, epoch: int) -> float:
    """The learning rate of an epoch; NaN where the optimizer has none."""
    base = run.base_rate
    if run.plan.schedule is None:
        return base
    chosen = run.plan.schedule
    monitored = state["history"][:epoch, 0 if run.validation is None else 1]
    return base * chosen.thing(epoch, run.plan.epochs, monitored, **chosen.all)


def rates(run: Run, measured: Array) -> Array:
    """(epochs,) the learning rates of epochs whose rows of the history are these."""
    return np.array([_rate(run, {"history": measured}, epoch) for epoch in range(len(measured))])


def columns_of_history(run: Run) -> tuple[str, ...]:
    """What a row of the history has, by name."""
    metrics = (chosen.thing.name for chosen in run.plan.metrics)
    learned = () if run.learned is None else run.learned.names
    scores = (f"{name}.{side}" for name in metrics for side in ("training", "validation"))
    return (*FIGURES, *scores, *(f"{LEARNED}{name}" for name in learned))


def _monitored(run: Run, state: State) -> float:
    """What tells which epoch is best, of the last one: lower is better."""
    name, sign, side = run.plan.monitor, 1.0, "training" if run.validation is None else "validation"
    if isinstance(name, Chosen):
        sign = -1.0 if isinstance(name.thing, Metric) and name.thing.higher_is_better else 1.0
        name = f"{name.thing.name}.{side}"
    return sign * float(state["history"][int(state["epoch"]) - 1, columns_of_history(run).index(name or f"{side}_loss")])


def measured(run: Run, model: Learner, state: State) -> tuple[tuple[float, float], dict[str, tuple[float, float | None]]]:
    """Training and validation loss (NaN without validation rows), and every metric on both."""
    run = under(run, state)
    training = _side(run, run.training, model.training_predictions(state))
    if run.validation is None:
        return (training[0], math.nan), {name: (number, None) for name, number in training[1].items()}
    validation = _side(run, run.validation, model.validation_predictions(state))
    return (training[0], validation[0]), {name: (number, validation[1][name]) for name, number in training[1].items()}


def _side(run: Run, rows: Rows, predictions: Array) -> tuple[float, dict[str, float]]:
    loss = run.objective.value(predictions, rows.labels)
    return loss, {chosen.thing.name: _score(run, chosen, rows, predictions) for chosen in run.plan.metrics}


def _score(run: Run, chosen: Chosen, rows: Rows, predictions: Array) -> float:
    objective = run.objective
    return score(
        chosen.thing,
        chosen.all,
        predictions.reshape(-1, *objective.outputs),
        objective.encoding,
        rows.targets,
        rows.sample_weight,
    )


def _keep_best(run: Run, model: Learner, state: State) -> None:
    epoch, best, monitored = int(state["epoch"]), state["best"], _monitored(run, state)
    if epoch <= run.plan.start_from_epoch:
        best[3] = epoch  # nobody waits yet
        return
    if monitored < best[0]:
        best[:2] = monitored, epoch
        for key in model.keys:
            state[f"best.{key}"] = state[key].copy()
    if monitored < best[2] - run.plan.min_delta:
        best[2:] = monitored, epoch


def _flat(metrics: Mapping[str, tuple[float, float | None]]) -> list[float]:
    return [math.nan if number is None else number for pair in metrics.values() for number in pair]


def _epoch(run: Run, state: State, epoch: int) -> Epoch:
    training, validation, rate, norm, seconds, *scores = state["history"][epoch].tolist()
    absent = run.validation is None
    names = [chosen.thing.name for chosen in run.plan.metrics]
    metrics = {name: (scores[2 * position], None if absent else scores[2 * position + 1]) for position, name in enumerate(names)}
    learned = {} if run.learned is None else dict(zip(run.learned.names, scores[2 * len(names) :], strict=True))
    losses = training, None if absent else validation
    return Epoch(epoch + 1, *losses, metrics, None if math.isnan(rate) else rate, norm, seconds, learned)


# --- the generator as an array --------------------------------------------------------------------------------------------

WORD = 2**64 - 1


def _saved(rng: "np.random.Generator") -> NDArray[np.uint64]:
    """PCG64's two 128-bit numbers in halves, and the half-used number it may hold."""
    known: Any = rng.bit_generator.state
    state, increment = known["state"]["state"], known["state"]["inc"]
    parts = [state >> 64, state & WORD, increment >> 64, increment & WORD, known["has_uint32"], known["uinteger"]]
    return np.array(parts, np.uint64)


def _restored(saved: NDArray[np.uint64]) -> "np.random.Generator":
    high, low, high_increment, low_increment, held, number = (int(word) for word in saved)
    generator = np.random.PCG64()
    generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": high_increment << 64 | low_increment},
        "has_uint32": held & 1,
        "uinteger": number & WORD >> 32,
    }
    return np.random.Generator(generator)
