"""Lists of items: an item that is not there changes nothing, scores may be shifted together, and some losses are others."""

import numpy as np
import pytest

from app.errors import InvalidInput
from app.losses import LOSSES, check, evaluate
from app.losses.numerics import soft_order
from tests.losses.drawing import Array

OF_ITEMS = [
    loss
    for loss in LOSSES.values()
    if "targets" in loss.inputs and loss.inputs["targets"].cases[0][1].name in ("grades", "gains")
]
RELATIVE = [loss for loss in OF_ITEMS if loss.name != "pointwise_sigmoid"]
each_loss = pytest.mark.parametrize("loss", OF_ITEMS, ids=lambda loss: loss.name)
SCORES = np.array([[0.3, -1.2, 2.0, 0.5], [1.5, 0.25, -0.5, 0.1]])
GRADES = np.array([[2.0, 0.0, 1.0, 0.0], [0.0, 3.0, 1.0, 1.0]])


def answer(name: str, scores: Array, grades: Array, **parameters: object) -> tuple[Array, Array]:
    """The loss of each list, and its gradient."""
    found = evaluate(check(LOSSES[name], parameters, scores, grades), reduction="none")
    assert found.per_sample is not None
    return found.per_sample, np.asarray(found.gradient)


def test_all_losses_of_items_are_here() -> None:
    assert {loss.family for loss in OF_ITEMS} == {"pairwise", "listwise", "ranking"}
    assert len(OF_ITEMS) == 15


@each_loss
def test_an_item_that_a_list_has_not_changes_nothing(loss: object) -> None:
    name = loss.name  # type: ignore[attr-defined]
    losses, gradient = answer(name, SCORES, GRADES)
    places = [0, 1, 3, 4, 2, 5]
    for score in (-7.0, 0.3, 1e300):
        wider = np.concatenate([SCORES, np.full((2, 2), score)], axis=1)[:, np.argsort(places)]
        grades = np.concatenate([GRADES, np.full((2, 2), -np.inf)], axis=1)[:, np.argsort(places)]
        more, slopes = answer(name, wider, grades)
        np.testing.assert_allclose(more, losses, rtol=1e-14)
        np.testing.assert_allclose(slopes[:, np.asarray(places)[:4]], gradient, rtol=1e-12, atol=1e-15)
        assert not slopes[grades == -np.inf].any()


@pytest.mark.parametrize("loss", RELATIVE, ids=lambda loss: loss.name)
def test_only_differences_of_scores_count(loss: object) -> None:
    name = loss.name  # type: ignore[attr-defined]
    losses, gradient = answer(name, SCORES, GRADES)
    np.testing.assert_allclose(answer(name, SCORES + 8.0, GRADES)[0], losses, rtol=1e-14)
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-13 * np.abs(gradient).max())


@each_loss
def test_the_order_in_which_items_are_sent_does_not_matter(loss: object) -> None:
    name = loss.name  # type: ignore[attr-defined]
    grades = GRADES + np.arange(4) / 8.0  # no two alike: of those, some losses take the first
    losses, gradient = answer(name, SCORES, grades)
    turned = answer(name, SCORES[:, ::-1], grades[:, ::-1])
    np.testing.assert_allclose(turned[0], losses, rtol=1e-14)
    np.testing.assert_allclose(turned[1][:, ::-1], gradient, rtol=1e-12, atol=1e-15)


@each_loss
def test_a_list_without_items_is_refused(loss: object) -> None:
    with pytest.raises(InvalidInput):
        answer(loss.name, SCORES, np.array([[1.0, 0.0, 0.0, 2.0], [-np.inf] * 4]))  # type: ignore[attr-defined]


def test_a_pair_by_each_loss_of_pairs() -> None:
    scores, grades = np.array([[0.75, -0.5]]), np.array([[0.0, 1.0]])
    behind = 1.25
    assert answer("pairwise_logistic", scores, grades)[0][0] == pytest.approx(np.log1p(np.exp(behind)), rel=1e-15)
    assert answer("listmle", scores, grades)[0][0] == pytest.approx(np.log1p(np.exp(behind)), rel=1e-15)
    assert answer("pairwise_hinge", scores, grades)[0][0] == 1.0 + behind
    assert answer("pairwise_soft_zero_one", scores, grades)[0][0] == pytest.approx(1 / (1 + np.exp(-behind)), rel=1e-15)
    assert answer("pairwise_mse", scores, grades, divide_by="nothing")[0][0] == 2 * (1.0 + behind) ** 2
    assert answer("pairwise_quantile", scores, grades, tau=0.25)[0][0] == 0.25 * (1.0 + behind)
    assert answer("cosent", scores, grades, scale=2.0)[0][0] == pytest.approx(np.log1p(np.exp(2 * behind)), rel=1e-15)


def test_divisors_of_the_sum_over_pairs() -> None:
    by = {word: answer("pairwise_logistic", SCORES, GRADES, divide_by=word)[0] for word in ("pairs", "items", "nothing")}
    np.testing.assert_allclose(by["nothing"], by["items"] * 4.0, rtol=1e-15)
    np.testing.assert_allclose(by["nothing"], by["pairs"] * [5.0, 5.0], rtol=1e-15)
    whole = evaluate(check(LOSSES["pairwise_logistic"], {}, SCORES, GRADES)).value
    assert whole == pytest.approx(by["nothing"].sum() / 10.0, rel=1e-14)


def test_ranknet_is_the_lambda_loss_of_equal_weights() -> None:
    one = answer("lambda_loss", SCORES, GRADES, scheme="ranknet", binary_logarithm=False)
    other = answer("pairwise_logistic", SCORES, GRADES, divide_by="nothing")
    np.testing.assert_allclose(one[0], other[0], rtol=1e-14)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12, atol=1e-15)


def test_both_schemes_of_the_lambda_loss_are_the_sum_of_the_two() -> None:
    both, bound, change = (
        answer("lambda_loss", SCORES, GRADES, scheme=scheme)[0] for scheme in ("ndcg_loss2++", "ndcg_loss2", "lambda_rank")
    )
    np.testing.assert_allclose(both, 10.0 * bound + change, rtol=1e-14)


@pytest.mark.parametrize("name", ["approx_ndcg", "neural_ndcg"])
def test_soft_places_of_scores_far_apart_are_places(name: str) -> None:
    """Then the loss is minus the NDCG."""
    order = np.array([[1.0, 0.0, 3.0, 2.0]])
    gains, places = 2.0 ** GRADES[:1] - 1.0, np.array([[3.0, 4.0, 1.0, 2.0]])
    best = (np.sort(gains)[:, ::-1] / np.log2(np.arange(2.0, 6.0))).sum()
    assert answer(name, 1e3 * order, GRADES[:1])[0][0] == pytest.approx(-(gains / np.log2(1.0 + places)).sum() / best, rel=1e-12)


def test_a_softmax_of_queries_is_one_of_lists() -> None:
    np.testing.assert_allclose(
        answer("query_softmax", SCORES, GRADES)[0], answer("ranking_softmax", SCORES, GRADES)[0], rtol=1e-14
    )
    scaled = answer("query_softmax", SCORES, GRADES, beta=3.0)
    plain = answer("ranking_softmax", 3.0 * SCORES, GRADES)
    np.testing.assert_allclose(scaled[0], plain[0], rtol=1e-14)
    np.testing.assert_allclose(scaled[1], 3.0 * plain[1], rtol=1e-12, atol=1e-15)


def test_one_relevant_item_is_a_class() -> None:
    one = np.array([[0.0, 0.0, 1.0, 0.0]] * 2)
    np.testing.assert_allclose(answer("unique_softmax", SCORES, one)[0], answer("ranking_softmax", SCORES, one)[0], rtol=1e-14)


def test_a_list_that_fits_but_for_its_level_costs_nothing() -> None:
    losses, gradient = answer("query_rmse", GRADES + np.array([[3.0], [-0.5]]), GRADES)
    assert not losses.any()
    assert not gradient.any()


@pytest.mark.parametrize("name", ["neural_ndcg", "approx_ndcg", "approx_mrr"])
def test_a_list_has_the_same_bits_beside_others_and_by_itself(name: str) -> None:
    rng = np.random.default_rng(8)
    scores, grades = rng.standard_normal((40, 31)), rng.integers(0, 5, (40, 31)).astype(np.float64)
    scores[::3, 4:9] = scores[::3, 3:4]
    losses, gradient = answer(name, scores, grades)
    for row in range(0, 40, 3):
        alone = answer(name, scores[row : row + 1], grades[row : row + 1])
        assert alone[0][0] == losses[row]
        assert (alone[1][0] == gradient[row]).all()


def test_neural_ndcg_of_a_long_list_is_taken_so_many_places_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    scores, grades = 0.1 * rng.standard_normal((3, 20)), rng.integers(0, 5, (3, 20)).astype(np.float64)
    scores[1, 5:8], grades[2, 15:] = scores[1, 4], -np.inf
    losses, gradient = answer("neural_ndcg", scores, grades)
    monkeypatch.setattr(soft_order, "PAIRS_AT_ONCE", 70)
    found = answer("neural_ndcg", scores, grades)
    np.testing.assert_allclose(found[0], losses, rtol=1e-15)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-15)


@pytest.mark.parametrize("name", ["approx_ndcg", "approx_mrr"])
def test_soft_ranks_pull_as_much_in_lists_too_long_for_twice_the_digits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, gradient = answer(name, SCORES, GRADES)
    monkeypatch.setattr(soft_order, "PAIRS_AT_ONCE", 0)
    found = answer(name, SCORES, GRADES)
    np.testing.assert_array_equal(found[0], losses)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-12)
