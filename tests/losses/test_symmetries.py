"""What may be done to the numbers of a sample that its loss does not see: for every loss of a group."""

from collections.abc import Callable

import numpy as np

from tests.losses.drawing import Array, Case, default_cases, frozen, gradients_of, over

CASES = [case for case in default_cases() if case.coupling == "sample" and list(case.draw()) == ["predictions", "targets"]]


def among(wanted: Callable[[Case], bool]) -> list[Case]:
    return [case for case in CASES if wanted(case)]


def answer(case: Case, predictions: Array, targets: Array) -> tuple[Array, Array | None]:
    """The loss of each sample, and the gradient where there is one."""
    found = case.evaluate(frozen({"predictions": predictions, "targets": targets}), reduction="none")
    assert found.per_sample is not None
    return found.per_sample, gradients_of(found)["predictions"] if case.loss.differentiable else None


def same(case: Case, one: tuple[Array, Array | None], other: tuple[Array, Array | None]) -> None:
    np.testing.assert_allclose(other[0], one[0], rtol=1e-12, atol=1e-12, err_msg=str(case))
    if one[1] is not None and other[1] is not None:
        np.testing.assert_allclose(other[1], one[1], rtol=1e-11, atol=1e-12, err_msg=str(case))


NOT_OF_RESIDUALS = {
    "mean_absolute_percentage_error",
    "symmetric_mean_absolute_percentage_error",
    "tweedie_deviance",
    "log_lin_quantile",
}
"""Losses of two real numbers that see how large these are."""
IN_ORDER = {"wasserstein_1d"}
"""Losses of two distributions whose classes are in order."""


def of_numbers(case: Case) -> bool:
    """Whether predictions and targets are real numbers."""
    return {encoding.name for encoding in case.encodings.values()} in ({"real"}, {"value"})


def of_classes(case: Case) -> bool:
    """Whether a label is one of several classes that are in no order, or each class is true or not."""
    return "k" in case.encodings["predictions"].axes[0].split() and case.encodings["targets"].name in ("class_index", "multi_hot")


def of_distributions(case: Case) -> bool:
    here, there = case.encodings.values()
    return here.name == there.name in ("distribution", "logits") or there.name == "amounts"


def of_masks(case: Case) -> bool:
    return "m" in case.encodings["predictions"].axes[0].split() and not case.d


def test_there_are_losses_of_each_group() -> None:
    groups = (of_numbers, 30), (of_classes, 20), (of_distributions, 9), (of_masks, 9)
    assert not [group.__name__ for group, least in groups if len({case.loss.name for case in among(group)}) < least]


@over([case for case in among(of_numbers) if case.loss.name not in NOT_OF_RESIDUALS])
def test_a_residual_is_all_that_is_seen_of_two_numbers(case: Case) -> None:
    arrays = case.draw(n=20, seed=1)
    predictions, targets = (np.round(array * 64.0) / 64.0 for array in arrays.values())  # so that sums are exact
    same(case, answer(case, predictions, targets), answer(case, predictions + 32.0, targets + 32.0))


@over(among(of_classes))
def test_classes_may_be_renamed(case: Case) -> None:
    arrays = case.draw(n=20, seed=2)
    scores, labels = arrays["predictions"], arrays["targets"]
    order = np.random.default_rng(3).permutation(scores.shape[-1])
    hot = np.shape(labels) == scores.shape
    others = labels[..., order] if hot else np.argsort(order)[labels.astype(int)].astype(np.float64)
    losses, gradient = answer(case, scores, labels)
    same(case, (losses, None if gradient is None else gradient[..., order]), answer(case, scores[..., order], others))


@over([case for case in among(of_distributions) if case.loss.name not in IN_ORDER])
def test_distributions_may_be_renamed_together(case: Case) -> None:
    shares, true = case.draw(n=20, seed=6).values()
    order = np.random.default_rng(7).permutation(shares.shape[-1])
    losses, gradient = answer(case, shares, true)
    same(case, (losses, None if gradient is None else gradient[..., order]), answer(case, shares[..., order], true[..., order]))


@over(among(of_masks))
def test_positions_of_a_mask_may_stand_in_any_order(case: Case) -> None:
    arrays = case.draw(n=10, seed=4)
    masks, true = arrays["predictions"], arrays["targets"]
    order = np.random.default_rng(5).permutation(masks.shape[1])
    losses, gradient = answer(case, masks, true)
    turned = answer(case, masks[:, order], true[:, order])
    same(case, (losses, None if gradient is None else gradient[:, order]), turned)
