"""Analyses: the worked examples of the contract to their digits, and what has no answer."""

import math

import numpy as np
import pytest

from app.errors import InvalidInput
from app.insight import Asked, analyze
from app.insight.measured import measure
from app.losses import LOSSES, check
from tests.insight.made import PREDICTIONS, SITES, TARGETS, batch, labels

close = pytest.approx
MSE = "mean_squared_error"


def test_example_1_is_answered_to_its_digits() -> None:
    found = analyze(batch(MSE, PREDICTIONS, TARGETS), {"site": labels(SITES)}, None, Asked(resamples=100_000), n_worst=2)
    assert (found.value, found.standard_error) == close((7.03125, 4.302832720388146), rel=1e-14)
    assert found.interval.t == close((-3.1433326011767635, 17.205832601176763), rel=1e-14)
    assert found.interval.percentile == close((1.19, 15.97), abs=0.1)
    assert found.interval.bca == close((2.09, 20.5), abs=0.2)
    assert found.interval.note
    assert found.distribution.std == close(12.170248779591272, rel=1e-14)
    assert found.distribution.skewness == close(1.9521955467412881, rel=1e-14)
    assert found.distribution.quantiles["0.5"] == 2.125
    assert [(worst.index, worst.loss, worst.share) for worst in found.worst] == [(2, 36.0, 0.64), (3, 9.0, 0.16)]
    assert found.concentration is not None
    assert found.concentration.gini == close(0.7016666666666667, rel=1e-14)
    assert {top.samples: top.loss for top in found.concentration.top}[0.1] == close(0.512, rel=1e-14)
    lorenz = found.concentration.lorenz
    assert np.interp(0.75, lorenz.samples, lorenz.loss) == close(0.2, rel=1e-14)
    assert found.residuals is not None
    assert (found.residuals.mean, found.residuals.std) == close((0.8125, 2.6983791431153628), rel=1e-14)
    assert found.residuals.heteroscedasticity is not None
    assert found.residuals.heteroscedasticity[1:] == close((3.751162767091432, 0.05277078951877088), rel=1e-12)
    assert found.groups is not None
    b, a = found.groups["site"]
    assert (b.group, b.n, b.value, b.rest, b.difference) == ("b", 4, 13.8125, 0.25, 13.5625)
    assert b.difference_interval == close((-10.198141464962326, 37.323141464962326), rel=1e-13)
    assert (b.p_value, b.p_adjusted) == close((0.16689783342889616, 0.33379566685779233), rel=1e-12)
    assert (a.group, a.difference, a.interval) == ("a", -13.5625, (0.25, 0.25))
    assert (found.calibration, found.confusion, found.coverage, found.slices, found.n_clusters) == (None,) * 5


def test_weights_are_sampling_weights_and_clusters_count_once() -> None:
    weighted = analyze(batch(MSE, PREDICTIONS, TARGETS, [1, 1, 1, 1, 2, 1, 1, 2]))
    assert (weighted.value, weighted.standard_error) == close((6.05, 3.6379507575399797), rel=1e-14)
    clustered = analyze(batch(MSE, PREDICTIONS, TARGETS), None, labels([1, 1, 2, 2, 3, 3, 4, 4], ("clusters",)))
    assert (clustered.n_clusters, clustered.standard_error) == (4, close(5.193238542807367, rel=1e-14))
    assert clustered.interval.t == close((-9.495952813014252, 23.558452813014256), rel=1e-13)
    assert "4 clusters" in str(clustered.interval.note)


def test_example_2_is_answered_to_its_digits() -> None:
    probabilities = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    found = analyze(batch("binary_cross_entropy", probabilities, [0, 1, 0, 0, 1, 0, 1, 1]), bins=2).calibration
    assert found is not None
    assert np.array(found.bins) == close(np.array([(4, 0.25, 0.25), (4, 0.75, 0.75)]))
    assert (found.ece, found.ece_if_calibrated) == close((0.0, 0.16688952945311364), abs=1e-15)
    assert found.brier == close((0.2, 0.0, 0.0625, 0.25, 0.0125), abs=1e-15)
    expected = 0.5782001863575765, 0.0, 0.13081203594113697, 0.6931471805599453, 0.015865041738768237
    assert found.log_loss == close(expected, abs=1e-15)


def test_example_3_is_answered_to_its_digits() -> None:
    rows = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]]
    found = analyze(batch("categorical_cross_entropy", rows, [0, 1, 0, 2])).confusion
    assert found is not None
    assert found.matrix is not None
    assert found.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert found.precision == (1.0, close(1 / 3), None)
    assert (found.recall, found.f1) == ((0.5, 1.0, 0.0), (close(2 / 3), 0.5, 0.0))
    assert (found.accuracy, found.balanced_accuracy, found.classes) == (0.5, 0.5, (0, 1, 2))


def test_a_root_has_its_error_by_the_delta_method() -> None:
    asked = Asked(resamples=2001)  # with which the quantiles are values, and not between two of them
    square, root = (analyze(batch(name, PREDICTIONS, TARGETS), asked=asked) for name in (MSE, "root_mean_squared_error"))
    assert root.value == close(math.sqrt(square.value))
    assert root.standard_error == close(float(square.standard_error or 0) / (2 * root.value), rel=1e-14)
    assert root.interval.percentile is not None
    assert square.interval.percentile is not None
    assert np.square(root.interval.percentile) == close(np.array(square.interval.percentile), rel=1e-12)


def test_the_mean_of_the_columns_roots_has_it_too() -> None:
    """Against the jackknife, which knows nothing of derivatives."""
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, 400, 3))
    found = analyze(
        batch("root_mean_squared_error", predictions, targets, multioutput="uniform_average"), asked=Asked(resamples=0)
    )
    keep = ~np.eye(400, dtype=bool)
    squares = (predictions - targets) ** 2
    without = np.array([np.sqrt(squares[kept].mean(axis=0)).mean() for kept in keep])
    assert found.standard_error == close(math.sqrt(399 / 400 * ((without - without.mean()) ** 2).sum()), rel=0.01)


def test_a_loss_of_the_whole_batch_has_the_bootstrap_alone() -> None:
    for name in ("max_error", "median_absolute_error"):
        found = analyze(batch(name, PREDICTIONS, TARGETS), {"site": labels(SITES)})
        assert found.interval.t is None, name
        assert found.interval.recommended == "percentile", name
        assert found.standard_error, name
        assert found.groups is not None
        assert [(group.p_value, group.interval) for group in found.groups["site"]] == [(None, None)] * 2, name
        assert analyze(batch(name, PREDICTIONS, TARGETS), asked=Asked(resamples=0)).interval.recommended is None, name
    values = analyze(batch("max_error", PREDICTIONS, TARGETS), {"site": labels(SITES)}).groups
    assert values is not None
    assert [(group.value, group.rest) for group in values["site"]] == [(6.0, 0.5), (0.5, 6.0)]


def test_a_sample_is_the_cluster_of_its_elements() -> None:
    rng = np.random.default_rng(1)
    predictions, targets = rng.normal(size=(2, 30, 4))
    weights = rng.uniform(0, 2, (30, 4))
    found = analyze(batch(MSE, predictions, targets, weights))
    losses = (predictions - targets) ** 2
    value = (weights * losses).sum() / weights.sum()
    influences = (weights * (losses - value)).sum(axis=1)
    assert found.value == close(value)
    assert found.standard_error == close(math.sqrt(30 / 29 * (influences**2).sum()) / weights.sum(), rel=1e-13)


def test_what_does_not_count_is_not_there() -> None:
    """A masked sample, one of no weight, and one that is not there at all are the same."""
    kept = np.array([True, True, False, True, True, True, True, True])
    sites = labels(SITES)
    asked = Asked(resamples=500)
    masked = analyze(batch(MSE, PREDICTIONS, TARGETS, mask=kept), {"site": sites}, None, asked)
    unweighed = analyze(batch(MSE, PREDICTIONS, TARGETS, kept), {"site": sites}, None, asked)
    gone = analyze(batch(MSE, PREDICTIONS[kept], TARGETS[kept]), {"site": labels(np.array([*SITES])[kept].tolist())}, None, asked)
    for found in (masked, unweighed):
        assert (found.value, found.standard_error, found.interval) == (gone.value, gone.standard_error, gone.interval)
        assert found.groups == gone.groups
        assert found.residuals == gone.residuals
        assert found.distribution.quantiles == gone.distribution.quantiles
        assert [worst.index for worst in found.worst] == [place + (place >= 2) for place in (worst.index for worst in gone.worst)]


def test_no_variance_is_no_error() -> None:
    found = analyze(batch(MSE, [1, 2, 3], [2, 3, 4]), {"site": labels("aab")})
    assert (found.standard_error, found.distribution.skewness, found.distribution.std) == (0.0, None, 0.0)
    assert (found.interval.t, found.interval.percentile, found.interval.bca) == ((1.0, 1.0),) * 3
    assert found.interval.note is None
    thirds = analyze(batch(MSE, [0.1, 0.1, 0.1, 0.1], [0.4, 0.4, 0.4, 0.4], [0.3, 0.1, 0.7, 0.9]))
    assert thirds.standard_error == 0.0
    nothing = analyze(batch(MSE, [1, 2], [1, 2]))
    assert (nothing.value, nothing.concentration, nothing.worst[0].share) == (0.0, None, None)


def test_an_infinite_loss_spoils_no_other_sample() -> None:
    found = analyze(batch("binary_cross_entropy", [0.0, 0.9, 0.3], [1, 1, 0]), {"site": labels("aab")})
    assert found.value == math.inf
    assert found.standard_error is not None
    assert math.isnan(found.standard_error)
    assert found.concentration is None
    assert found.distribution.quantiles["0.01"] == close(np.quantile([0.10536051565782628, 0.35667494393873234, 99], 0.01))
    assert found.distribution.histogram is not None
    assert found.distribution.histogram.counts.sum() == 2


def test_too_few_samples_are_refused() -> None:
    for weights, predictions, path in (
        (None, [1.0], ("predictions",)),
        ([1, 0], [1.0, 2.0], ("mask",)),
        ([0, 2, 0], [1.0, 2.0, 3.0], ("mask",)),
    ):
        with pytest.raises(InvalidInput) as refused:
            analyze(batch(MSE, predictions, predictions, weights))
        (fault,) = refused.value.faults
        assert (fault.path, fault.code) == (path, "too_few_samples")


def test_labels_are_checked() -> None:
    for values, code in (("aabbaba", "shape_mismatch"), ("aaaaaaaa", "one_group")):
        with pytest.raises(InvalidInput) as refused:
            analyze(batch(MSE, PREDICTIONS, TARGETS), {"site": labels(values)})
        (fault,) = refused.value.faults
        assert (fault.path, fault.code) == (("groups", "site"), code)
    with pytest.raises(InvalidInput) as refused:
        analyze(batch(MSE, PREDICTIONS, TARGETS, mask=[True] * 2 + [False] * 6), {"site": labels(SITES)})
    assert refused.value.faults[0].code == "one_group"


@pytest.mark.parametrize("family", sorted({loss.family for loss in LOSSES.values()}))
def test_every_loss_can_be_analyzed(family: str) -> None:
    """Drawn batches of every loss: a value as evaluate has it, and nothing that cannot be answered."""
    from app.api.examples import example
    from app.losses.evaluate import evaluate

    for loss in LOSSES.values():
        if loss.family != family:
            continue
        request = example(loss)
        sides = []
        for side in ("predictions", "targets"):
            given = request.get(side)
            named = isinstance(given, dict)
            sides.append(
                {key: np.asarray(part) * 1.0 for key, part in given.items()} if named else given and np.asarray(given) * 1.0
            )
        made = check(loss, {}, *sides)
        found = analyze(made, {"g": labels([index % 2 for index in range(made.elements[0])])}, None, Asked(resamples=50))
        assert found.value == evaluate(made).value, loss.name
        assert found.n_samples == made.n_samples, loss.name
        assert len(found.worst) == made.n_samples, loss.name
        measured = measure(made)
        if measured.sums is not None and measured.sums.plain and measured.sums.terms[0].power == 1:
            # so that their order is that of the losses, which resamples of many are drawn by
            assert np.array_equal(measured.sums.numerators[0], measured.losses), loss.name
