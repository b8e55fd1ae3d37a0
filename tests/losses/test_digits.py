"""Single numbers that once came out wrong, or not at all: each with the exact answer, from mpmath or by hand.

The tables of `test_values.py` ask every loss at the same kinds of points; here are the particular ones.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp
from numpy.typing import NDArray

from app.losses import LOSSES, Evaluation, check, evaluate
from app.losses.numerics.pairs import Pair, exp_pair, exp_parts, log_long, log_pair, pair_arctan2, pair_exp, row_sums_exact
from app.losses.numerics.stable import sign
from tests.losses.drawing import gradients_of
from tests.losses.exact import Exact, ulps
from tests.losses.oracles import ORACLES
from tests.losses.test_values import Setting, compared

Array = NDArray[np.float64]


def asked(name: str, predictions: Any, targets: Any = None, weights: Any = None, **parameters: Any) -> Evaluation:
    """The answer to a request of plain numbers."""
    loss, given = LOSSES.resolve(name)
    sides = [
        {key: np.array(numbers, np.float64) for key, numbers in side.items()}
        if isinstance(side, Mapping)
        else None
        if side is None
        else np.array(side, np.float64)
        for side in (predictions, targets)
    ]
    weight = None if weights is None else np.array(weights)
    return evaluate(check(loss, {**given, **parameters}, *sides, sample_weight=weight))


def value_of(*request: Any, **parameters: Any) -> float:
    value = asked(*request, **parameters).value
    assert value is not None
    return value


# --- means ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mae", "mse", "rmse"])
@pytest.mark.parametrize("unit", [5e-324, 2.0**-1040, 1e-300, 1e-30, 1e30, 2.0**1000, 1e307])
def test_a_weighted_mean_does_not_depend_on_the_scale_of_the_weights(name: str, unit: float) -> None:
    predictions, targets = [0.4, 0.1, 1.0 / 3.0], [0.0, 0.3, 0.0]
    plain, scaled = (asked(name, predictions, targets, [weight, 3 * weight, weight]) for weight in (1.0, unit))
    assert plain.value is not None
    np.testing.assert_array_max_ulp(np.float64(scaled.value), np.float64(plain.value), 1)
    np.testing.assert_array_max_ulp(gradients_of(scaled)["predictions"], gradients_of(plain)["predictions"], 2)
    assert scaled.divisor == pytest.approx(5 * unit, rel=1e-15)


def test_weights_times_a_power_of_two_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    predictions, weights = rng.standard_normal(1000), rng.uniform(0.1, 2.0, 1000)
    answers = [asked("mse", predictions, np.zeros(1000), weights * 2.0**power) for power in (0, 7, -900, 1000)]
    assert len({answer.value for answer in answers}) == 1
    assert len({gradients_of(answer)["predictions"].tobytes() for answer in answers}) == 1


def test_large_weights_of_large_losses_have_a_finite_mean() -> None:
    assert value_of("mae", [1e9, 1e9], [0.0, 0.0], [1e300, 1e300]) == 1e9
    assert asked("mse", [1.0, 2.0], [0.0, 0.0], [1.7e308, 1e300]).non_finite == ()


def test_the_mean_over_samples_of_weights_near_the_end_of_the_range() -> None:
    batch = check(
        LOSSES["mean_absolute_error"], {}, np.full(4, 2.0), np.zeros(4), sample_weight=np.array([1.7e308, 0.0, 0.0, 0.0])
    )
    assert evaluate(batch, reduction="mean_over_samples").value == 8.5e307


@pytest.mark.parametrize(
    ("row", "mean"),
    [([1e16, 1.0, -1e16], 1 / 3), ([1e300, 3.0, -1e300], 1.0), ([1.0, -1.0, 1e-300], 1e-300 / 3), ([0.0, 0.0], 0.0)],
)
def test_columns_that_cancel_are_summed_exactly(row: list[float], mean: float) -> None:
    assert value_of("hinge_embedding", [row], [[1.0] * len(row)]) == mean


@pytest.mark.parametrize("columns", [2, 3, 10, 64, 1003])
def test_the_mean_of_columns_of_either_sign_is_right_to_the_last_digits(columns: int) -> None:
    rng = np.random.default_rng(columns)
    rows = rng.standard_normal((40, columns)) * 2.0 ** rng.integers(-40, 40, (40, columns))
    rows[::2, -1] -= rows[::2].sum(axis=1)  # the sum is nothing but rounding
    answer = asked("hinge_embedding", rows, np.ones_like(rows))
    assert answer.per_sample is not None
    with mp.workprec(400):
        errors = [ulps(got, mp.fsum(row) / columns) for got, row in zip(answer.per_sample.tolist(), rows.tolist(), strict=True)]
    assert max(errors) <= 4


# --- where a formula cancels ----------------------------------------------------------------------------------------


def worst(name: str, parameters: Mapping[str, Any], *arrays: Any) -> float:
    """The largest error of any value or derivative, in ULP of itself."""
    numbers = compared(Setting(name, parameters, 1), tuple(np.array(array, np.float64) for array in arrays))
    return max(0.0 if number.error == 0 else ulps(number.got, number.true) for number in numbers)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("far", [1e8, 1e20, 1e40, 1e120])
def test_a_triplet_whose_anchor_is_far_away(far: float, p: float) -> None:
    anchors, positives, negatives = [[far, 3.0], [3.0, -far]], [[1.0, 0.0], [0.5, 0.25]], [[3.0, 0.5], [2.0, 1.5]]
    for parameters in ({"eps": 0.0, "p": p}, {"eps": 0.01, "swap": True, "p": p}):
        arrays = tuple(np.array(rows) for rows in (anchors, positives, negatives))
        values = [
            number for number in compared(Setting("triplet_margin", parameters, 1), arrays) if number.what.startswith("value")
        ]
        assert max(ulps(number.got, number.true) for number in values) <= 4
    assert far > 1e8 or worst("triplet_margin", {"p": p}, anchors, positives, negatives) <= 4


@pytest.mark.parametrize("p", [1.5, 2.0, 3.5])
def test_a_triplet_whose_points_nearly_agree(p: float) -> None:
    rng = np.random.default_rng(2)
    anchors = rng.standard_normal((20, 3))
    positives, negatives = (anchors * (1.0 + 2.0 ** -rng.uniform(20, 50, (20, 3))) for _ in range(2))
    assert worst("triplet_margin", {"p": p}, anchors, positives, negatives) <= 4


def test_a_triplet_of_equal_points_has_the_slope_of_the_other_distance() -> None:
    points = [[1.0, 2.0]], [[1.0, 2.0]], [[1.5, 2.0]]
    assert worst("triplet_margin", {"eps": 0.0}, *points) <= 4
    assert worst("triplet_margin", {"eps": 0.0}, points[0], points[2], points[1]) <= 4


@pytest.mark.parametrize("loss", ["categorical_cross_entropy", "kl_divergence"])
def test_soft_targets_near_the_softmax(loss: str) -> None:
    rng = np.random.default_rng(5)
    logits = rng.standard_normal((40, 5)) * 8.0
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    targets = powers / powers.sum(axis=1, keepdims=True) * (1.0 + 2.0 ** -rng.uniform(7, 40, (40, 5)))
    parameters = {"from_logits": True} if loss.startswith("cat") else {"input_format": "logits", "log_target": False}
    arrays = logits, targets / targets.sum(axis=1, keepdims=True)
    if loss == "kl_divergence":
        numbers = [n for n in compared(Setting(loss, parameters, 1), arrays) if not n.what.startswith("value")]
        assert max(ulps(number.got, number.true) for number in numbers) <= 4
    else:
        assert worst(loss, parameters, *arrays) <= 4


@pytest.mark.parametrize("k", [3, 10, 300])
@pytest.mark.parametrize("class_weight", [False, True])
def test_smoothed_labels_that_are_learnt(k: int, class_weight: bool) -> None:
    """Every probability is near its share, by 1e-5 of it here: slopes keep their digits, but those that are nearer by far."""
    rng = np.random.default_rng(k)
    labels = rng.integers(0, k, 4)
    weight = rng.uniform(0.5, 2.0, k) if class_weight else np.ones(k)
    shares = (0.9 * (labels[:, None] == np.arange(k)) + 0.1 / k) * weight
    logits = np.log(shares) + rng.choice([-1e-5, 1e-5], shares.shape) * rng.uniform(0.7, 1.0, shares.shape)
    options = {"class_weight": weight.tolist()} if class_weight else {}
    batch = check(
        LOSSES["categorical_cross_entropy"], {"from_logits": True, "label_smoothing": 0.1, **options}, logits, labels * 1.0
    )
    slopes = gradients_of(evaluate(batch, reduction="none"))["predictions"]
    with mp.workprec(200):
        smoothing = mp.mpf(0.1)
        for row, label, got in zip(logits.tolist(), labels.tolist(), slopes.tolist(), strict=True):
            powers = [mp.exp(x) for x in row]
            true = [((1 - smoothing) * (c == label) + smoothing / k) * mp.mpf(float(weight[c])) for c in range(k)]
            level = mp.fsum(true) / mp.fsum(powers)
            slopes_of_row = [(slope, p * level - s, s) for slope, p, s in zip(got, powers, true, strict=True)]
            assert max(ulps(slope, exact, max(abs(exact), s * 1e-6)) for slope, exact, s in slopes_of_row) <= 4


def test_a_box_whose_pulls_cancel() -> None:
    near = [-0.644210614302396, -0.2778956802126242, 0.3104904613221574, 0.21037849591238483]
    far = [0.3393116997072312, 0.3775115423611987, 2.531360418615296, 2.2241685492564662]
    assert worst("diou", {}, [near], [far]) <= 4


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize(
    "size", [(1.0, 2.0), (1e-6, 1e-6), (1e-200, 3e-200), (1e200, 1.0), (0.0, 0.0), (0.0, 3.0), (5e-324, 1e300)]
)
def test_a_box_that_is_the_target_costs_nothing(name: str, size: tuple[float, float]) -> None:
    for corner in ((0.0, 0.0), (0.5, -3.0)):
        box = [*corner, corner[0] + size[0], corner[1] + size[1]]
        assert value_of(name, [box], [box]) == 0.0
        assert np.isfinite(gradients_of(asked(name, [box], [box]))["predictions"]).all()


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("box_format", ["xywh", "cxcywh"])
@pytest.mark.parametrize(
    "size", [(1.0, 2.0), (1e-20, 1e-20), (1e200, 1.0), (0.0, 0.0), (0.0, 3.0), (5e-324, 1e300), (1.7e308, 1e308)]
)
def test_a_box_of_any_format_that_is_the_target_costs_nothing(name: str, box_format: str, size: tuple[float, float]) -> None:
    box = [1e5, -3.0, *size]
    answer = asked(name, [box], [box], box_format=box_format)
    assert answer.value == 0.0
    assert np.isfinite(gradients_of(answer)["predictions"]).all()


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_corners_of_small_boxes_far_off_keep_the_digits_that_float64_has_not(name: str) -> None:
    values = [
        value_of(name, [[x, 0.0, 3.0, 2.0]], [[x, 0.0, 2.0, 2.0]], box_format=box_format)
        for x in (0.0, 2.0**60)
        for box_format in ("xywh", "cxcywh")
    ]
    assert values[0] == values[2]
    assert values[1] == values[3]


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_boxes_without_area_that_differ_cost_the_whole_overlap(name: str) -> None:
    assert value_of(name, [[0.0, 0.0, 2.0, 0.0]], [[0.0, 0.0, 1.0, 0.0]]) >= 1.0
    assert value_of(name, [[0.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 1.0]]) >= 1.0


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"])
def test_the_names_of_torchvision_bring_its_epsilon(name: str) -> None:
    box = [0.0, 0.0, 1e-3, 1e-3]
    assert value_of(name, [box], [box]) == pytest.approx(1e-7 / (1e-6 + 1e-7), rel=1e-12)


def test_circle_of_nearly_parallel_vectors() -> None:
    rng = np.random.default_rng(3)
    centre = rng.standard_normal(8)  # the others lie opposite, where nothing pulls
    vectors = np.outer([1, 1, 1, -1, -1, -1], centre) + 1e-9 * rng.standard_normal((6, 8))
    vectors /= np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    batch = check(LOSSES["circle"], {"gamma": 5.0}, vectors, np.array([0.0, 0, 0, 1, 1, 1]))
    answer = evaluate(batch, reduction="none")
    assert answer.per_sample is not None
    with mp.workprec(300):
        rows = [[Exact(float(x), {(i, j): mp.mpf(1)}) for j, x in enumerate(row)] for i, row in enumerate(vectors)]
        true = ORACLES["circle"](rows, [0, 0, 0, 1, 1, 1], gamma=Exact(5), margin=Exact(0.4))
        assert max(ulps(got, loss.value) for got, loss in zip(answer.per_sample.tolist(), true, strict=True)) <= 4
        for index, got in np.ndenumerate(gradients_of(answer)["predictions"]):
            slope = mp.fsum(loss.slope.get(index, 0) for loss in true)
            largest = max(abs(mp.fsum(loss.slope.get((index[0], j), 0) for loss in true)) for j in range(8))
            assert ulps(float(got), slope, largest) <= 128, index  # 2⁻⁹⁹ of products of which 2⁻⁵³ is left


def test_masks_that_nearly_agree() -> None:
    logits = [[1.3506529550564348, 2.1365381903585203, -1.5726453255943051, 0.36064762408558265]]
    targets = [[0.7942363578607943, 0.894404104587933, 0.17183960658285816, 0.5891971965432515]]
    assert worst("dice", {"from_logits": True, "squared": True}, logits, targets) <= 4


# --- the ends of the range ------------------------------------------------------------------------------------------


def test_a_mask_whose_background_is_nearly_all_of_it() -> None:
    for gamma in (0.0, 0.5):
        mask, true = [1.0, 1.0, 2.318835383462323e-16, 1.25e-139], [1.0, 1.0, 2.3188354012377187e-16, 1.5e-139]
        assert worst("unified_focal", {"gamma": gamma}, [mask], [true]) <= 4.0


@pytest.mark.parametrize("name", ["sphereface", "arcface", "cosface"])
def test_shares_that_nearly_balance_cosines(name: str) -> None:
    for margin in (1, 3):
        cosines = [[-0.3982411735964021, 0.7564833707275732, 0.3781475978753803, 0.8892178714189581]] * 2
        shares = [[0.10198647819762231, 0.4696524366761355, 0.06409334939278312, 0.3642677357334591], [0.25, 0.25, 0.25, 0.25]]
        assert worst(name, {"scale": 1.0, "margin": margin if name == "sphereface" else margin / 4}, cosines, shares) <= 4.0


def test_a_time_that_is_nearly_sure() -> None:
    scores = [[596.2225119077034, 1.03, 0.5, -2.0], [300.0, 0.0, 1.0, 2.0], [0.5, 0.25, -0.5, 1.0]]
    assert worst("deephit_rank", {"width": 0.5}, scores, [0.0, 3.0, 1.0], [1.0, 0.0, 1.0]) <= 4.0


@pytest.mark.parametrize("estimator", ["nrg", "fair"])
@pytest.mark.parametrize("far", [1e3, 1e20, 1e40, 1e100])
def test_an_ensemble_with_a_member_far_off(far: float, estimator: str) -> None:
    ensemble = [[[far, 1.0], [0.5, 0.25], [-0.75, 0.5]], [[far, far / 3.0], [far, 0.5], [1.0, -far]]]
    assert worst("energy_score", {"estimator": estimator}, ensemble, [[0.125, 0.75], [3.0, 0.5]]) <= 4.0


def test_the_slope_of_a_variance_far_below_the_squared_error() -> None:
    answer = asked("gaussian_nll", {"mean": [1.35e154], "variance": [1.0]}, [0.0])
    assert gradients_of(answer)["variance"][0] == -(1.35e154 * (1.35e154 / 2))


@pytest.mark.parametrize(("alpha", "loss"), [(0.25, 5e307), (0.5, 1e308)])
def test_focal_of_logits_at_both_ends(alpha: float, loss: float) -> None:
    value = value_of("categorical_focal", [[-1e308, 1e308]], [0.0], from_logits=True, gamma=0.5, alpha=alpha)
    assert value == loss


def test_a_poisson_rate_beside_a_larger_count() -> None:
    answer = asked("poisson_nll", [710.0], [1e308])
    assert answer.value == -np.inf
    assert gradients_of(answer)["predictions"][0] == np.inf or np.isfinite(gradients_of(answer)["predictions"][0])


@pytest.mark.parametrize("logits", [[710.0, 0.5], [700.0, -10.0], [30.0, -700.0]])
@pytest.mark.parametrize("q", [1e-6, 0.5, 1.0])
def test_generalized_cross_entropy_of_a_confident_row(logits: list[float], q: float) -> None:
    assert worst("generalized_cross_entropy", {"from_logits": True, "q": q}, [logits], [0.0]) <= 4


@pytest.mark.parametrize("p", [1e-300, 1e-10, 0.3, 1.0])
@pytest.mark.parametrize("q", [1e-6, 1e-3, 0.7])
def test_generalized_cross_entropy_of_an_unlikely_label(p: float, q: float) -> None:
    assert worst("generalized_cross_entropy", {"from_logits": False, "q": q}, [[p, 1.0 - p]], [0.0]) <= 4


@pytest.mark.parametrize(("x", "y"), [(690.7755278982137, 1e300), (-690.7755278982137, 1e-300), (46.051701859880914, 1e20)])
def test_gamma_of_a_mean_and_a_target_that_nearly_agree(x: float, y: float) -> None:
    assert worst("gamma_nll", {"log_input": True}, [x], [y]) <= 40


def test_divergence_of_logits_further_apart_than_any_float64() -> None:
    row = [1e308, -1e308, 0.0, 1e308]
    targets = [0.1 + 2.0**-54, 0.0, 0.0, 0.9]
    assert worst("kl_divergence", {"input_format": "logits", "log_target": False}, [row], [targets]) <= 32


def test_a_tweedie_loss_of_a_mean_and_a_target_of_nearly_nothing_is_infinite() -> None:
    answer = asked("tweedie_nll", [-1.7e308, -1e300], [5e-324, 5e-324], log_input=True, power=3.0)
    assert answer.per_sample is not None
    assert answer.per_sample.tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("categorical_focal", {}), ("categorical_focal", {"gamma": 0.5}), ("generalized_cross_entropy", {"q": 1e-6})],
)
def test_slopes_at_a_probability_of_nearly_nothing_are_finite_where_the_share_is_small(
    name: str, parameters: dict[str, Any]
) -> None:
    assert worst(name, parameters, [[0.5, 0.5, 5e-324]], [[1.0, 0.0, 1e-16]]) <= 4
    assert worst(name, parameters, [[0.5, 0.5, 3e-310]], [[0.875, 0.125, 1e-20]]) <= 4


@pytest.mark.parametrize("label", [0.0, [1.0, 0.0, 0.0], [0.9, 0.1, 0.0]])
def test_a_cross_entropy_beyond_the_range_times_a_small_class_weight_is_finite(label: Any) -> None:
    parameters = {"from_logits": True, "class_weight": [1e-3, 2.0, 3.0]}
    assert worst("categorical_cross_entropy", parameters, [[-1e308, 1e308, 0.0]], [label]) <= 4


@pytest.mark.parametrize("name", ["dice", "tversky"])
@pytest.mark.parametrize("weighed", [{}, {"include_background": False, "smooth": 1.0}])
def test_slopes_of_a_map_of_classes_keep_their_digits_through_the_softmax(name: str, weighed: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    maps, labels = rng.standard_normal((12, 4, 4)) * 1.5, rng.integers(0, 4, (12, 4))
    assert worst(name, {"from_logits": True, "class_axis": -1, **weighed}, maps, labels) <= 6


def test_squares_of_a_margin_that_overflow_where_their_mean_does_not() -> None:
    assert worst("multi_margin", {"p": 2}, [[1.9e-80, 2.3161726892632077e154, -8.6e-229, -5.8e-94]], [3.0]) <= 4


# --- pairs ----------------------------------------------------------------------------------------------------------


def spread(count: int) -> Array:
    rng = np.random.default_rng(count)
    return np.concatenate(
        [rng.uniform(-600, 600, count), rng.standard_normal(count), [0.0, -0.0, 5e-324, 1e-300, 2.0**-40, -600.0]]
    )


def test_exponentials_in_pairs_have_a_hundred_bits() -> None:
    x = spread(200)
    rest = x * 2.0**-54 * np.linspace(-1, 1, x.size)
    with mp.workprec(300):
        for (high, low), extra, bits in ((exp_pair(x), 0.0 * x, 101), (pair_exp((x, rest)), rest, 97)):
            for a, b, c, d in zip(*(part.tolist() for part in (high, low, x, extra)), strict=True):
                assert abs((mp.mpf(a) + b) / mp.exp(mp.mpf(c) + d) - 1) < mp.ldexp(1, -bits)


def test_exponentials_in_parts_leave_the_range_later() -> None:
    (high, low), octave = exp_parts(np.array([-1000.0, 1000.0]))
    with mp.workprec(300):
        for a, b, power, x in zip(high.tolist(), low.tolist(), octave.tolist(), (-1000, 1000), strict=True):
            assert abs(mp.ldexp(mp.mpf(a) + b, power) / mp.exp(x) - 1) < mp.mpf(2) ** -100


def test_angles_in_pairs_have_sixty_bits() -> None:
    y, x = spread(200), np.abs(spread(200)[::-1])
    usable = (np.abs(y) > 1e-200) & (np.abs(x) > 1e-200)
    y, x = y[usable], x[usable]
    high, low = pair_arctan2((y, np.zeros_like(y)), (x, np.zeros_like(x)))
    with mp.workprec(300):
        for a, b, c, d in zip(*(part.tolist() for part in (high, low, y, x)), strict=True):
            assert abs((mp.mpf(a) + b) / mp.atan2(c, d) - 1) < mp.mpf(2) ** -64


def test_exponentials_beyond_the_range_are_0_and_infinite() -> None:
    with np.errstate(all="ignore"):
        assert exp_pair(np.array([-1e300, 1e300, -800.0]))[0].tolist() == [0.0, np.inf, 0.0]


@pytest.mark.parametrize(("logarithm", "bits"), [(log_pair, 95), (log_long, 74)])
def test_logarithms_in_pairs_undo_exponentials(logarithm: Callable[[Array], Pair], bits: int) -> None:
    x = np.concatenate((np.exp(spread(200) / 2), 1.0 + np.linspace(-1e-3, 1e-3, 201), [5e-324, 2.0**-1022, 1.7e308]))
    with mp.workprec(300):
        for a, b, c in zip(*(part.tolist() for part in logarithm(x)), x.tolist(), strict=True):
            assert abs(mp.mpf(a) + b - mpmath.log(c)) < mp.mpf(2) ** -bits


def test_sums_of_rows_keep_what_three_scales_leave() -> None:
    rows = np.array([[1e30, 1.0, -1e30, 1e-30], [1e300, -1e300, 3.0, 0.0], [0.1] * 4, [0.0] * 4])
    assert row_sums_exact(rows).tolist() == [1.0, 3.0, 0.4, 0.0]


def test_signs_are_those_of_numpy() -> None:
    x = np.array([-np.inf, -2.5, -5e-324, -0.0, 0.0, 5e-324, 3.0, np.inf])
    np.testing.assert_array_equal(sign(x), np.sign(x))
