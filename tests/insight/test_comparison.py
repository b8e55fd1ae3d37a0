"""Comparisons: the worked example of the contract to its digits, SciPy's tests, and what cannot be concluded."""

import numpy as np
import pytest

from app.errors import InvalidInput
from app.insight import Asked, ByLoss, compare
from app.insight.significance import holm
from tests.insight.made import NEW, PREDICTIONS, TARGETS, batch, labels

close = pytest.approx
MSE, MAE = "mean_squared_error", "mean_absolute_error"
FEW = Asked(resamples=100)


def compared(loss: str, asked: Asked = FEW, permutations: int = 9999, targets: object = TARGETS, **models: object) -> ByLoss:
    return compare({name: batch(loss, model, targets) for name, model in models.items()}, None, asked, permutations)


def test_example_4_is_answered_to_its_digits() -> None:
    found = compared(MSE, old=PREDICTIONS, new=NEW)
    assert [(row.model, row.value, row.rank) for row in found.table] == [("old", 7.03125, 2), ("new", close(0.835), 1)]
    (pair,) = found.pairs
    assert (pair.models, pair.difference) == (("old", "new"), close(6.19625, rel=1e-14))
    assert pair.standard_error == close(3.832660833220179, rel=1e-14)
    assert pair.interval == close((-2.8665527543622424, 15.25905275436224), rel=1e-13)
    assert (pair.p_value, pair.p_permutation) == (close(0.1499772885964353, rel=1e-13), 0.015625)
    assert (pair.won, pair.tied, found.best) == ((0.0, 0.875), 0.125, None)
    assert [(entry.index, entry.difference) for entry in pair.largest][:2] == [(2, 32.0), (3, 8.0)]
    assert found.conclusion.startswith("Nothing may be concluded")
    by_mae = compared(MAE, old=PREDICTIONS, new=NEW)
    (pair,) = by_mae.pairs
    assert [row.value for row in by_mae.table] == close([1.9375, 0.7])
    assert pair.difference == close(1.2375)
    assert pair.interval == close((0.1168064594815883, 2.3581935405184113), rel=1e-12)
    assert (pair.p_value, by_mae.best) == (close(0.03485843243976155, rel=1e-13), "new")
    assert by_mae.conclusion.startswith("new has the lowest loss")


def test_the_paired_test_is_scipys() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(2)
    targets, *models = rng.normal(size=(4, 60))
    found = compared(MSE, targets=targets, a=models[0], b=models[1], c=models[2])
    losses = [(model - targets) ** 2 for model in models]
    for pair, (one, other) in zip(found.pairs, ((0, 1), (0, 2), (1, 2)), strict=True):
        theirs = ttest_rel(losses[one], losses[other])
        assert pair.p_value == close(theirs.pvalue, rel=1e-11)
        assert pair.interval == close(tuple(theirs.confidence_interval()), rel=1e-11)
    assert [pair.p_adjusted for pair in found.pairs] == holm([pair.p_value for pair in found.pairs])


def test_sign_flips_are_scipys_permutations() -> None:
    from scipy.stats import permutation_test

    rng = np.random.default_rng(3)
    targets, one, other = rng.normal(size=(3, 10))
    losses = (one - targets) ** 2, (other - targets) ** 2
    theirs = permutation_test(losses, lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=2**10)
    assert compared(MSE, targets=targets, a=one, b=other).pairs[0].p_permutation == close(theirs.pvalue)
    drawn = compared(MSE, targets=targets, a=one, b=other, permutations=1000).pairs[0].p_permutation
    assert drawn == close(theirs.pvalue, abs=0.06)  # 1023 would be all of them: these are drawn


def test_many_samples_flip_as_few_do() -> None:
    """Beyond 4096 most signs are drawn together: the p-value is that of the normal distribution, which it nears."""
    from scipy.special import ndtr

    rng = np.random.default_rng(4)
    targets, one = rng.normal(size=(2, 20_000))
    other = one + 0.02 * rng.normal(size=20_000)
    (pair,) = compared(MSE, targets=targets, a=one, b=other).pairs
    differences = (one - targets) ** 2 - (other - targets) ** 2
    p = 2 * ndtr(-abs(differences.sum()) / np.sqrt((differences**2).sum()))
    assert pair.p_permutation == close(p, abs=0.015)


def test_differences_without_variance_have_no_p_value() -> None:
    (same,) = compared(MSE, a=PREDICTIONS, b=PREDICTIONS).pairs
    assert (same.p_value, same.p_adjusted, same.p_permutation, same.tied, same.standard_error) == (None, None, 1.0, 1.0, 0.0)
    (shifted,) = compared(MAE, targets=np.zeros(4), a=[1, 2, 3, 4], b=[2, 3, 4, 5]).pairs
    assert (shifted.difference, shifted.p_value, shifted.interval) == (-1.0, None, (-1.0, -1.0))
    assert compared(MSE, a=PREDICTIONS, b=PREDICTIONS).best is None
    assert [row.rank for row in compared(MSE, a=PREDICTIONS, b=PREDICTIONS, c=NEW).table] == [2, 2, 1]


def test_one_model_has_a_table_alone() -> None:
    found = compared(MSE, only=PREDICTIONS)
    assert (len(found.table), found.pairs, found.best) == (1, (), None)


def test_weights_and_clusters_enter_the_pairs() -> None:
    """A weight of 2 and two samples of one cluster are the same difference twice."""
    weights = [1, 2, 1, 2, 1, 2, 1, 2]
    twice = np.repeat(np.arange(8), weights)
    weighted = compare(
        {name: batch(MSE, model, TARGETS, weights) for name, model in (("a", PREDICTIONS), ("b", NEW))}, None, FEW, 9999
    )
    clustered = compare(
        {name: batch(MSE, model[twice], TARGETS[twice]) for name, model in (("a", PREDICTIONS), ("b", NEW))},
        labels(twice.tolist()),
        FEW,
        9999,
    )
    one, other = weighted.pairs[0], clustered.pairs[0]
    assert (one.difference, one.standard_error, one.p_value) == close((other.difference, other.standard_error, other.p_value))
    assert one.interval == close(other.interval)
    assert (one.won, one.p_permutation) == (close(other.won), other.p_permutation)


def test_roots_are_compared_by_the_delta_method() -> None:
    """Against the jackknife of the difference."""
    rng = np.random.default_rng(5)
    targets, one, other = rng.normal(size=(3, 300))
    (pair,) = compared("root_mean_squared_error", targets=targets, a=one, b=other).pairs
    keep = ~np.eye(300, dtype=bool)
    squares = (one - targets) ** 2, (other - targets) ** 2
    without = np.array([np.sqrt(squares[0][kept].mean()) - np.sqrt(squares[1][kept].mean()) for kept in keep])
    assert pair.standard_error == close(np.sqrt(299 / 300 * ((without - without.mean()) ** 2).sum()), rel=0.01)


def test_one_sample_is_refused_at_the_targets() -> None:
    with pytest.raises(InvalidInput) as refused:
        compared(MSE, targets=[1.0], a=[2.0])
    assert (refused.value.faults[0].path, refused.value.faults[0].code) == (("targets",), "too_few_samples")


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    """Kolmogorov and Smirnov on 400 comparisons of two models that are equally bad."""
    from scipy.stats import kstest

    rng = np.random.default_rng(6)
    asked = Asked(resamples=0)
    found = [
        compared(MSE, asked, 499, targets=rng.normal(size=40), a=rng.normal(size=40), b=rng.normal(size=40)).pairs[0]
        for _ in range(400)
    ]
    assert kstest([pair.p_value for pair in found], "uniform").pvalue > 0.01
    assert kstest([pair.p_permutation for pair in found], "uniform").pvalue > 0.01


def test_a_loss_of_the_whole_batch_is_compared_by_the_bootstrap_of_the_difference() -> None:
    """Both models on the same resamples, drawn here by themselves; no p-values, and why."""
    rng = np.random.default_rng(5)
    targets = rng.standard_normal(40)
    close_by, far_off = targets + 0.2 * rng.standard_normal(40), targets + rng.standard_normal(40)
    found = compared("median_absolute_error", Asked(resamples=500, seed=3), targets=targets, near=close_by, far=far_off)
    (pair,) = found.pairs
    near, far = (np.abs(model - targets) for model in (close_by, far_off))
    again = np.random.default_rng(3)
    drawn = np.array([again.integers(40, size=40) for _ in range(500)])
    apart = np.median(near[drawn], axis=1) - np.median(far[drawn], axis=1)
    assert pair.difference == close(np.median(near) - np.median(far), rel=1e-12)
    assert pair.standard_error == close(np.std(apart, ddof=1), rel=1e-12)
    assert pair.interval == close(tuple(np.quantile(apart, [0.025, 0.975])), rel=1e-12)
    assert (pair.p_value, pair.p_permutation, pair.p_adjusted, found.best) == (None, None, None, None)
    assert pair.note is not None
    assert "whole batch" in pair.note
    assert "near below far" in found.conclusion
    alike = compared("median_absolute_error", targets=targets, one=far_off, same=far_off)
    assert (alike.pairs[0].interval, alike.pairs[0].standard_error) == ((0.0, 0.0), 0.0)
    assert alike.conclusion.startswith("Nothing may be concluded")
    (none,) = compared("median_absolute_error", Asked(resamples=0), targets=targets, near=close_by, far=far_off).pairs
    assert (none.interval, none.standard_error) == (None, None)


def test_a_pair_without_p_values_says_why() -> None:
    (shifted,) = compared(MAE, one=TARGETS + 1.0, other=TARGETS + 2.0).pairs
    assert shifted.p_value is None
    assert "no variance" in str(shifted.note)
    (tested,) = compared(MAE, old=PREDICTIONS, new=NEW).pairs
    assert tested.note is None
