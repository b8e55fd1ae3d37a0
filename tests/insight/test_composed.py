"""Losses that are made of others are analyzed and compared as well: their parts add up."""

import math

import numpy as np
import pytest

from app.insight import Asked, analyze, compare
from app.losses import LOSSES
from app.losses.composed import Head, Weighed, expression, multi_task, weighted_sum
from app.losses.form import bind
from app.losses.sums import batch_of
from tests.insight.made import NEW, PREDICTIONS, SITES, TARGETS, labels

close = pytest.approx
PARTS = ("mean_squared_error", 0.7), ("root_mean_squared_error", 0.3)


def sum_of(*parts: tuple[str, float]):
    return weighted_sum(terms=[Weighed(bind(LOSSES[name], {}), weight) for name, weight in parts])


def test_an_expression_is_analyzed_as_the_loss_of_its_formula() -> None:
    written, known = (
        analyze(batch_of(bound, PREDICTIONS, TARGETS), {"site": labels(SITES)})
        for bound in (expression(value="r**2"), bind(LOSSES["mean_squared_error"], {}))
    )
    assert written.interval == known.interval
    assert written.groups == known.groups
    assert written.residuals == known.residuals


def test_a_sum_has_the_error_of_its_parts_together() -> None:
    """By the delta method, against the jackknife: the influences of the parts add up."""
    found = analyze(batch_of(sum_of(*PARTS), PREDICTIONS, TARGETS), {"site": labels(SITES)}, None, Asked(resamples=500))
    squares = (PREDICTIONS - TARGETS) ** 2
    value, root = squares.mean(), math.sqrt(squares.mean())
    influences = (squares - value) * (0.7 + 0.3 / (2 * root)) / 8
    assert found.value == close(0.7 * value + 0.3 * root)
    assert found.standard_error == close(math.sqrt(8 / 7 * (influences**2).sum()))
    assert found.interval.percentile is not None
    inside = np.array([*SITES]) == "b"
    assert found.groups is not None
    assert found.groups["site"][0].value == close(0.7 * squares[inside].mean() + 0.3 * math.sqrt(squares[inside].mean()))


def test_heads_are_put_together_by_their_samples() -> None:
    bound = multi_task(
        heads={
            "size": Head(bind(LOSSES["mean_squared_error"], {}), weight=2.0),
            "kind": Head(bind(LOSSES["categorical_cross_entropy"], {"from_logits": True}), log_variance=0.4),
        }
    )
    predictions = {"size": np.array([1.0, 2.0, 0.5]), "kind": np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]])}
    targets = {"size": np.array([0.0, 2.5, 0.5]), "kind": np.array([1.0, 1.0, 0.0])}
    found = analyze(batch_of(bound, predictions, targets))
    square = (predictions["size"] - targets["size"]) ** 2
    rows = np.array([0.0 - 1.0, 2.0 - 0.0, 0.0 - 1.0])  # the other score less that of the true class
    losses = 2.0 * square + math.exp(-0.4) * np.log1p(np.exp(rows))
    assert found.value == close(losses.mean() + 0.2)
    assert found.standard_error == close(losses.std(ddof=1) / math.sqrt(3))
    assert (found.residuals, found.calibration, found.confusion) == (None, None, None)


def test_sums_are_compared() -> None:
    batches = {
        name: batch_of(sum_of(("mean_squared_error", 0.5), ("mean_absolute_error", 2.0)), model, TARGETS)
        for name, model in (("old", PREDICTIONS), ("new", NEW))
    }
    (pair,) = compare(batches, None, Asked(resamples=100), 9999).pairs
    losses = [0.5 * (model - TARGETS) ** 2 + 2.0 * np.abs(model - TARGETS) for model in (PREDICTIONS, NEW)]
    differences = losses[0] - losses[1]
    assert pair.difference == close(differences.mean())
    assert pair.standard_error == close(differences.std(ddof=1) / math.sqrt(8))
    assert pair.p_permutation == 0.015625
