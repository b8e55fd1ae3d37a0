"""Each statistic against a library that has it, an independent writing, or what it has to be."""

import math
from typing import Any

import numpy as np
import pytest

from app.insight import Asked, analyze
from app.insight import bootstrap as drawing
from app.insight.coverage import wilson
from app.insight.distribution import concentration, histogram, l_skewness, moments
from app.insight.measured import measure
from app.insight.significance import holm
from app.losses import LOSSES, check
from tests.insight.made import SITES, batch, labels

close = pytest.approx
MSE = "mean_squared_error"
QUICK = Asked(resamples=0)


def losses_as(losses: np.ndarray, **more: object):
    """A batch whose samples have these losses."""
    return batch("mean_absolute_error", losses, np.zeros_like(losses), **more)


def test_the_bootstrap_is_scipys() -> None:
    from scipy.stats import bootstrap

    losses = np.random.default_rng(0).exponential(size=60)
    found = analyze(losses_as(losses), asked=Asked(resamples=20_000)).interval
    for method, ours in (("percentile", found.percentile), ("BCa", found.bca)):
        theirs = bootstrap((losses,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(1))
        assert ours == close(tuple(theirs.confidence_interval), rel=0.01), method


def test_bca_is_scipys_on_the_same_resamples() -> None:
    """SciPy is given our resamples, so that all digits can be compared."""
    from scipy.stats import bootstrap

    losses = np.random.default_rng(2).exponential(size=25)
    seen = []

    def mean(sample: np.ndarray, axis: int) -> np.ndarray:
        seen.append(sample)
        return sample.mean(axis=axis)

    theirs = bootstrap((losses,), mean, n_resamples=500, method="BCa", rng=np.random.default_rng(0), vectorized=True)
    ours = analyze(losses_as(losses), asked=Asked(resamples=500)).interval.bca
    drawn = drawing.resampled(measure(losses_as(losses)), None, 500, 0)
    assert sorted(drawn) == close(sorted(theirs.bootstrap_distribution)), "both draw integers from the same generator"
    assert ours == close(tuple(theirs.confidence_interval), rel=1e-12)


def test_strata_draw_as_single_samples_do() -> None:
    """Mean, spread, skewness and tails of the resampled value, above and below the size from which strata are drawn."""
    rng = np.random.default_rng(3)
    n = 4000
    for weights in (None, rng.uniform(0.5, 2.0, n)):
        sums = measure(losses_as(rng.lognormal(sigma=1.2, size=n), sample_weight=weights)).sums
        assert sums is not None
        single = drawing._of_few(sums, 6000, np.random.default_rng(0))
        strata = drawing._of_many(sums, 6000, np.random.default_rng(1))
        assert strata.mean() == close(single.mean(), abs=4 * single.std() / math.sqrt(6000))
        assert strata.std() == close(single.std(), rel=0.05)
        assert np.quantile(strata, [0.025, 0.975]) == close(np.quantile(single, [0.025, 0.975]), abs=0.15 * single.std())


def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads() -> None:
    from threadpoolctl import threadpool_limits

    from app.losses.numerics.blocks import use_threads

    rng = np.random.default_rng(4)
    for n in (500, 100_000):
        made = batch(MSE, *rng.normal(size=(2, n)))
        answers = []
        for threads in (1, 2):
            use_threads(threads)
            with threadpool_limits(threads):
                answers.append(repr(analyze(made, asked=Asked(resamples=200, seed=7))))
        use_threads(1)
        assert answers[0] == answers[1]
        assert repr(analyze(made, asked=Asked(resamples=200, seed=8))) != answers[0]


def test_clusters_are_drawn_whole() -> None:
    """Copies of each sample as one cluster say no more than the samples."""
    losses = np.random.default_rng(5).exponential(size=40)
    once = analyze(losses_as(losses), asked=Asked(resamples=500))
    thrice = analyze(losses_as(np.repeat(losses, 3)), None, labels(np.repeat(np.arange(40), 3).tolist()), Asked(resamples=500))
    assert thrice.standard_error == close(once.standard_error)
    for name in ("t", "percentile", "bca"):
        assert getattr(thrice.interval, name) == close(getattr(once.interval, name)), name


def test_groups_are_welchs_test_of_scipy() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(6)
    losses, of = rng.exponential(size=90), rng.integers(3, size=90)
    found = analyze(losses_as(losses), {"g": labels(of.tolist())}, None, QUICK).groups
    assert found is not None
    for group in found["g"]:
        inside = of == group.group
        theirs: Any = ttest_ind(losses[inside], losses[~inside], equal_var=False)
        assert group.p_value == close(theirs.pvalue, rel=1e-11)
        assert group.difference_interval == close(tuple(theirs.confidence_interval()), rel=1e-11)
    assert [group.difference for group in found["g"]] == sorted((group.difference for group in found["g"]), reverse=True)
    by_p = {group.group: group.p_value for group in found["g"]}
    assert [group.p_adjusted for group in found["g"]] == holm([by_p[group.group] for group in found["g"]])


def test_a_group_of_one_sample_has_a_value_alone() -> None:
    found = analyze(losses_as(np.array([1.0, 2.0, 3.0, 9.0])), {"g": labels("aaab")}, None, QUICK).groups
    assert found is not None
    assert found["g"][0][:4] == ("b", 1, 9.0, None)
    assert found["g"][0][6:] == (None, None, None)


def test_holms_correction() -> None:
    """The example of Holm's step-down: 0.01·4, max(0.02·3, ·), max(0.03·2, ·), max(0.04·1, ·)."""
    assert holm([0.03, 0.01, None, 0.04, 0.02]) == close([0.06, 0.04, None, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_slice_that_is_bad_is_found_first() -> None:
    rng = np.random.default_rng(7)
    one, other = rng.integers(3, size=300), rng.integers(2, size=300)
    losses = rng.exponential(size=300) + 3.0 * ((one == 2) & (other == 1))
    found = analyze(losses_as(losses), {"a": labels(one.tolist()), "b": labels(other.tolist())}, None, QUICK).slices
    assert found is not None
    assert (found.tried, found.found[0].where) == (6, {"a": 2, "b": 1})
    assert all(slice_.difference > 0 for slice_ in found.found)
    assert found.found[0].p_adjusted == close(6 * float(found.found[0].p_value or 0))
    few = analyze(losses_as(losses[:8]), {"a": labels(SITES), "b": labels("xyxyxyxy")}, None, QUICK).slices
    assert few == (0, ())


def test_calibration_is_scikit_learns() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(8)
    probabilities = np.round(rng.random(500), 2)
    outcome = (rng.random(500) < probabilities).astype(float)
    found = analyze(batch("binary_cross_entropy", np.clip(probabilities, 0.01, 0.99), outcome), asked=QUICK).calibration
    assert found is not None
    observed, predicted = calibration_curve(outcome, np.clip(probabilities, 0.01, 0.99), n_bins=10, strategy="quantile")
    assert [bin_.observed for bin_ in found.bins] == close(observed)
    assert [bin_.mean_prediction for bin_ in found.bins] == close(predicted)


def test_murphys_parts_add_up_to_the_score() -> None:
    rng = np.random.default_rng(9)
    logits, flags, weights = rng.normal(size=400), rng.integers(2, size=400), rng.uniform(0, 2, 400)
    p = 1 / (1 + np.exp(-logits))
    for made in (
        batch("binary_cross_entropy", logits, flags, weights, from_logits=True),
        batch("categorical_cross_entropy", rng.normal(size=(400, 4)), rng.integers(4, size=400), weights, from_logits=True),
    ):
        found = analyze(made, asked=QUICK).calibration
        assert found is not None
        for score in (found.brier, found.log_loss):
            assert score.score == close(score.reliability - score.resolution + score.uncertainty + score.within_bin)
            assert min(score.reliability, score.resolution, score.uncertainty) >= 0
    found = analyze(batch("binary_cross_entropy", logits, flags, weights, from_logits=True), asked=QUICK).calibration
    assert found is not None
    assert found.brier.score == close(np.average((p - flags) ** 2, weights=weights))
    assert found.log_loss.score == close(np.average(-np.log(np.where(flags == 1, p, 1 - p)), weights=weights))


def test_the_error_of_a_calibrated_model_is_foretold() -> None:
    """By simulation of outcomes that the probabilities make: within 15 % of the formula."""
    rng = np.random.default_rng(10)
    probabilities = rng.uniform(0.05, 0.95, 300)
    foretold = simulated = 0.0
    for _ in range(60):
        found = analyze(batch("binary_cross_entropy", probabilities, rng.random(300) < probabilities), asked=QUICK).calibration
        assert found is not None
        foretold, simulated = found.ece_if_calibrated, simulated + found.ece / 60
    assert simulated == close(foretold, rel=0.15)


def test_confusion_is_scikit_learns() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

    rng = np.random.default_rng(11)
    scores, true, weights = rng.normal(size=(200, 4)), rng.integers(4, size=200), rng.uniform(0, 2, 200)
    flags, logits = rng.integers(2, size=200), rng.normal(size=200)
    for made, truth, decided in (
        (batch("categorical_cross_entropy", scores, true, weights, from_logits=True), true, scores.argmax(axis=1)),
        (batch("binary_cross_entropy", logits, flags, weights, from_logits=True), flags, logits > 0),
        (batch("hinge", logits, flags * 2 - 1, weights), flags, logits > 0),
        (batch("brier_score", 1 / (1 + np.exp(-logits)), flags, weights), flags, logits > 0),
        (batch("zero_one", true, rng.permutation(true), weights), None, None),
    ):
        found = analyze(made, asked=QUICK).confusion
        assert found is not None
        if truth is None:
            continue
        assert found.matrix == close(confusion_matrix(truth, decided, sample_weight=weights))
        theirs = precision_recall_fscore_support(truth, decided, sample_weight=weights)
        for ours, other in zip((found.precision, found.recall, found.f1), theirs, strict=False):
            assert list(ours) == close(np.asarray(other).tolist())
        assert found.accuracy == close(accuracy_score(truth, decided, sample_weight=weights))
        assert found.balanced_accuracy == close(balanced_accuracy_score(truth, decided, sample_weight=weights))
    soft = batch("binary_cross_entropy", [0.2, 0.7], [0.5, 1.0])
    assert analyze(soft, asked=QUICK).confusion is None


def test_quantiles_are_covered() -> None:
    rng = np.random.default_rng(12)
    targets = rng.normal(size=400)
    found = analyze(batch("quantile", np.full(400, 1.2816), targets, quantile=0.9), asked=QUICK).coverage
    assert found is not None
    assert (found.expected, found.observed, found.width) == (0.9, close((targets <= 1.2816).mean()), None)
    low, high = wilson(found.observed, 400, 0.95)
    assert found.interval == (low, high)
    for end in (low, high):  # the ends are the shares at which a score test is just about to refuse what was observed
        assert (found.observed - end) ** 2 == close(1.959963984540054**2 * end * (1 - end) / 400)
    both = analyze(batch("quantile", np.tile([-1.0, 1.0], (400, 1)), targets, quantile=[0.16, 0.84]), asked=QUICK).coverage
    assert both is not None
    assert (both.expected, both.width) == (close(0.68), 2.0)
    assert both.observed == close((np.abs(targets) <= 1).mean())
    assert [share.expected for share in both.quantiles] == [0.16, 0.84]


def test_an_interval_covers_as_the_two_quantiles_that_are_its_ends() -> None:
    rng = np.random.default_rng(12)
    targets, weights = rng.normal(size=400), rng.uniform(0.5, 2.0, 400)
    lower, upper = rng.normal(-1.5, 0.3, 400), rng.normal(1.5, 0.3, 400)
    ends = {"lower": lower, "upper": upper}
    made = check(LOSSES["interval_score"], {"alpha": 0.1}, ends, targets, sample_weight=weights)
    columns = batch("quantile", np.stack([lower, upper], axis=1), targets, weights, quantile=[0.05, 0.95])
    found, same = (analyze(one, asked=QUICK).coverage for one in (made, columns))
    assert found is not None
    assert same is not None
    assert found.width == close(np.average(upper - lower, weights=weights))
    assert found.observed == close(np.average((lower <= targets) & (targets <= upper), weights=weights))
    assert [found.expected, found.observed, *found.interval, found.width] == close(
        [same.expected, same.observed, *same.interval, same.width]
    )
    for one, other in zip(found.quantiles, same.quantiles, strict=True):
        assert [one.expected, one.observed, *one.interval] == close([other.expected, other.observed, *other.interval])


def test_a_distribution_is_numpys_and_scipys() -> None:
    from scipy.stats import skew

    losses = np.random.default_rng(13).exponential(size=1000)
    found = analyze(losses_as(losses), asked=QUICK).distribution
    assert (found.std, found.skewness) == close((losses.std(ddof=1), skew(losses)), rel=1e-12)
    assert [*found.quantiles.values()] == close(np.quantile(losses, [float(share) for share in found.quantiles]), rel=1e-14)
    assert found.histogram is not None
    assert found.histogram.counts.tolist() == np.histogram(losses, found.histogram.edges)[0].tolist()
    assert found.histogram.counts.sum() == 1000


def test_concentration_is_what_its_definition_says() -> None:
    losses = np.sort(np.random.default_rng(14).exponential(size=57))
    found = concentration(losses)
    assert found is not None
    pairs = np.abs(losses[:, None] - losses).mean() / (2 * losses.mean())  # Gini's mean difference
    assert found.gini == close(pairs, rel=1e-12)
    curve = np.concatenate([[0.0], np.cumsum(losses) / losses.sum()])
    for top in found.top:
        assert top.loss == close(1 - np.interp(1 - top.samples, np.linspace(0, 1, 58), curve))
    assert found.lorenz.loss == close(np.interp(found.lorenz.samples, np.linspace(0, 1, 58), curve))


@pytest.mark.no_cover  # others run these lines as well
def test_intervals_hold_what_they_say_or_a_note_stands_beside_them() -> None:
    """300 batches of 50 losses each: normal ones are held as often as promised; of skewed ones nearly all have the note."""
    rng = np.random.default_rng(15)
    for draw, mean, least, noted in (
        (lambda: rng.normal(5, 1, 50), 5.0, 0.92, (0.0, 0.02)),
        (lambda: rng.lognormal(sigma=1.5, size=50), math.exp(1.125), 0.0, (0.99, 1.0)),
        (lambda: rng.exponential(size=50), 1.0, 0.9, (0.95, 1.0)),
        (lambda: (rng.random(50) < 0.4) * 1.0, 0.4, 0.92, (0.0, 0.05)),
    ):
        held, notes = 0, 0
        for _ in range(300):
            interval = analyze(losses_as(np.abs(draw())), asked=QUICK).interval
            assert interval.t is not None
            held += interval.t[0] <= mean <= interval.t[1]
            notes += interval.note is not None
        assert held / 300 >= least
        assert noted[0] <= notes / 300 <= noted[1]


def test_l_skewness_is_that_of_scipy() -> None:
    from scipy.stats import lmoment

    rng = np.random.default_rng(17)
    for n in (3, 4, 50, 999):
        numbers = rng.exponential(size=n) * rng.choice([-1.0, 1.0])
        assert l_skewness(numbers) == close(float(lmoment(numbers, order=3)), rel=1e-9)
    assert l_skewness(np.array([1.0, 5.0])) == l_skewness(np.ones(4)) == 0.0


def test_an_analysis_takes_less_than_three_times_its_batch() -> None:
    import tracemalloc

    rng = np.random.default_rng(16)
    for made in (
        batch(MSE, *rng.normal(size=(2, 400_000))),
        batch("binary_cross_entropy", rng.normal(size=400_000), rng.integers(2, size=400_000), from_logits=True),
    ):
        tracemalloc.start()
        analyze(made)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * sum(array.nbytes for array in made.arrays) + 4e6


@pytest.mark.parametrize("losses", [[0.1**2, (3.1 - 3) ** 2, (2.1 - 2) ** 2], [1.0, 1.0 + 2.0**-52], [1.7e308] * 3, [0, 5e-324]])
def test_losses_that_are_equal_but_for_a_rounding_have_a_histogram(losses: list[float]) -> None:
    ordered = np.sort(np.array(losses, np.float64))
    found = histogram(ordered)
    assert found is not None
    assert found.counts.tolist() == np.histogram(ordered, found.edges)[0].tolist()
    assert found.counts.sum() == len(losses)


def test_moments_of_numbers_whose_distance_overflows_are_none() -> None:
    assert all(math.isnan(moment) for moment in moments(np.array([1.7e308, -1.7e308, 1.7e308])) if moment is not None)
