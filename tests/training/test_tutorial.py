"""A tutorial's experiments on choosing a loss (regression, two circles, three blobs) end where they do with Keras.

Its settings: rows 0 to 499 of 1000 to train on, the rest to validate with; one hidden layer of relu units drawn as
he_uniform; SGD with a learning rate of 0.01 and momentum 0.9; batches of 32; 100 or 200 epochs. What Keras comes to are
medians over 30 seeds. There inputs and targets were standardized over all rows, here over those that are trained on. A
run scatters: the middle half of all runs of one experiment lies within a factor of 1.5, or 0.01 of accuracy.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from app.training import DATASETS, Chosen, Holdout, Plan, Table, finish, prepare
from tests.training.plans import loss, metric, mlp, optimizer, trained

SEEDS = 5


class Experiment(NamedTuple):
    dataset: str
    rows: dict[str, Any]
    loss: Chosen
    model: Chosen
    epochs: int
    metric: str
    keras: tuple[float, float]
    """On training and on validation rows."""


LINEAR = {"n_samples": 1000, "n_features": 20, "noise": 0.1, "seed": 1}
CIRCLES = {"n_samples": 1000, "noise": 0.1, "seed": 1}
BLOBS = {"n_samples": 1000, "centers": 3, "n_features": 2, "cluster_std": 2.0, "seed": 2}

EXPERIMENTS = [
    Experiment("regression", LINEAR, loss("mean_squared_error"), mlp(25), 100, "mean_squared_error", (0.0023, 0.0057)),
    Experiment(
        "regression",
        LINEAR,
        loss("mean_squared_logarithmic_error", clip=1e-7),
        mlp(25),
        100,
        "mean_squared_error",
        (0.119, 0.159),
    ),
    Experiment("regression", LINEAR, loss("mean_absolute_error"), mlp(25), 100, "mean_squared_error", (0.0037, 0.0044)),
    Experiment("circles", CIRCLES, loss("binary_cross_entropy"), mlp(50), 200, "accuracy", (0.834, 0.850)),
    Experiment("circles", CIRCLES, loss("hinge"), mlp(50, output="tanh"), 200, "accuracy", (0.850, 0.842)),
    Experiment("circles", CIRCLES, loss("squared_hinge"), mlp(50, output="tanh"), 200, "accuracy", (0.838, 0.842)),
    Experiment("blobs", BLOBS, loss("categorical_cross_entropy"), mlp(50), 100, "accuracy", (0.827, 0.819)),
]


def medians(experiment: Experiment) -> tuple[float, float]:
    data = DATASETS[experiment.dataset](**experiment.rows)
    standardized = experiment.dataset == "regression"
    plan = Plan(
        data=Table(data.inputs, data.targets),
        model=experiment.model,
        loss=experiment.loss,
        epochs=experiment.epochs,
        optimizer=optimizer("sgd", learning_rate=0.01, momentum=0.9),
        validation=Holdout(fraction=None, last=500),
        batch_size=32,
        standardize_inputs=standardized,
        standardize_targets=standardized,
        restore_best=False,
        metrics=(metric(experiment.metric),),
    )
    scores: list[tuple[float, float | None]] = []
    for seed in range(SEEDS):
        run = prepare(replace(plan, seed=seed))
        scores.append(finish(run, trained(run)).metrics[experiment.metric])
    training, validation = np.median(np.array(scores, dtype=np.float64), axis=0).tolist()
    return training, validation


@pytest.mark.thorough
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: f"{experiment.dataset}-{experiment.loss.thing.name}")
def test_the_median_lies_near_that_of_keras(experiment: Experiment) -> None:
    for got, keras in zip(medians(experiment), experiment.keras, strict=True):
        if experiment.metric == "accuracy":
            assert got == pytest.approx(keras, abs=0.02)
        else:
            assert keras / 2 < got < 2 * keras
