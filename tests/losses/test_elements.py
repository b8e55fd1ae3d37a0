"""A sample may have many elements: each is worth what it is worth alone, and what is dropped is as if it had not been sent."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidInput, InvalidParameter
from app.losses import LOSSES, Evaluation, Loss, check, evaluate, layout
from tests.folding import in_turn
from tests.losses.drawing import Array, Arrays, Case, cases, default_cases, frozen, gradients_of, over, sides

pytestmark = pytest.mark.no_cover  # test_values runs these lines as well, and to trace them takes as long as they do

N = 5
OUTPUTS = ("value", "per_sample", "per_element", "gradient")


def has_elements(case: Case) -> bool:
    return case.coupling == "sample" and len(case.batch(case.draw(n=3)).elements) > 1


SINGLE = [case for case in cases() if len(case.parameters) < 2]
CASES = [case for case in SINGLE if case.d and "ignore_index" not in case.parameters and has_elements(case)]
DEFAULTS = [case for case in CASES if not case.parameters]
ALIKE = [case for case in CASES if not (case.batch().columns or case.batch().mean.by_column)]
"""Those whose elements are all alike: no parameter has one number for each column, nor is the mean taken of each column."""
BY_COLUMN = [case for case in CASES if case.batch().mean.by_column]
OF_CLASSES = [case for case in CASES if "class_axis" in case.loss.options]
LABELLED = [
    case
    for case in cases()
    if case.parameters.keys() == {"ignore_index"} and [*case.draw().values()][-1].ndim == len(case.batch().elements)
]

each_case = over(CASES)
each_alike = over(ALIKE)
each_default = over(DEFAULTS)


def flattened(case: Case, arrays: Arrays) -> dict[str, Array]:
    """Every element a sample of its own."""
    depth = len(case.batch(arrays).elements)
    return frozen({name: array.reshape(-1, *array.shape[depth:]) for name, array in arrays.items()})


def evaluated(case: Case, arrays: Arrays, reduction: Any = "mean", parameters: Any = None, **more: Any) -> Evaluation:
    batch = check(case.loss, {**case.parameters, **(parameters or {})}, *sides(case.loss, arrays), **more)
    return evaluate(batch, reduction=reduction, outputs=OUTPUTS)


def same_gradients(one: Evaluation, other: Evaluation) -> bool:
    if one.gradient is None:
        return other.gradient is None
    pairs = zip(gradients_of(one).values(), gradients_of(other).values(), strict=True)
    return all(np.array_equal(a.ravel(), b.ravel()) for a, b in pairs)


def pattern(shape: tuple[int, ...], every: int = 3) -> NDArray[np.bool_]:
    """False for every third element, and for the whole of the last sample."""
    kept = (np.arange(np.prod(shape)) % every != 1).reshape(shape)
    kept[-1] = False
    return kept


def test_losses_of_numbers_and_of_classes_are_here() -> None:
    assert len({case.loss.name for case in CASES}) >= 45
    assert {case.loss.name for case in OF_CLASSES} >= {"categorical_cross_entropy", "kl_divergence", "coverage_error"}


# --- an element is a sample of its own ----------------------------------------------------------------------------------


@each_alike
def test_every_element_is_worth_what_it_is_alone(case: Case) -> None:
    arrays = case.draw(n=N)
    alone = flattened(case, arrays)
    for reduction in case.reductions:
        whole, flat = evaluated(case, arrays, reduction), evaluated(case, alone, reduction)
        assert whole.value == flat.value
        assert whole.divisor == flat.divisor
        assert whole.per_element is not None
        assert np.array_equal(whole.per_element.ravel(), np.asarray(flat.per_sample))
        assert same_gradients(whole, flat)
        assert (whole.n_samples, whole.n_elements) == (N, flat.n_samples)
        assert flat.n_elements is None


@each_case
def test_a_sample_is_the_mean_of_its_elements(case: Case) -> None:
    arrays = case.draw(n=N)
    answer = evaluated(case, arrays)
    for index in range(N):
        sample = evaluated(case, frozen({name: array[index : index + 1] for name, array in arrays.items()}))
        counted = case.parameters.get("class_weight") is not None  # which are in the divisor of the value alone
        if sample.value is not None and not counted:
            assert np.asarray(answer.per_sample)[index] == pytest.approx(sample.value, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("few", [1, layout.FEW], ids=["in blocks", "at once"])
@over(OF_CLASSES)
def test_class_axis_is_the_transposed_call(case: Case, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "FEW", few)
    arrays = case.draw(n=N)
    rank = next(iter(arrays.values())).ndim
    moved = frozen({name: np.moveaxis(array, -1, 1) if array.ndim == rank else array for name, array in arrays.items()})
    shape = case.batch(arrays).elements
    weights = np.arange(shape[0] * shape[1]).reshape(shape) + 0.0
    choices: list[dict[str, Any]] = [{}, {"mask": pattern(shape)}, {"sample_weight": weights}]
    for more in choices:
        whole = evaluated(case, arrays, **more)
        for axis in (1,) if more else (1, -2):
            batch = check(case.loss, {**case.parameters, "class_axis": axis}, *sides(case.loss, moved), **more)
            for block_bytes in (None, 50):
                other = evaluate(batch, outputs=OUTPUTS, block_bytes=block_bytes)
                assert other.value == whole.value
                assert np.array_equal(np.asarray(other.per_element), np.asarray(whole.per_element))
                if whole.gradient is not None:
                    gradient = gradients_of(other)["predictions"]
                    assert gradient.flags.c_contiguous
                    assert np.array_equal(np.moveaxis(gradient, 1, -1), gradients_of(whole)["predictions"])


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 8, 9, 21, 63, 64, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_any_number_of_classes_are_rows(k: int, dtype: Any) -> None:
    """Sums along a row may be taken in another order where its numbers lie apart: they must not be."""
    rng = np.random.default_rng(k)
    shape = (3, 5000 // k)
    scores = rng.normal(scale=4.0, size=(*shape, k)).astype(dtype)
    scores[1, :40] *= 300.0
    labels = rng.integers(0, k, shape)
    labels[0, 7:90], labels[1, 0], labels[2, 30:] = -100, -100, -100
    labels[0, rng.random(shape[1]) < 0.3] = -100
    loss = LOSSES["categorical_cross_entropy"]
    moved = np.ascontiguousarray(np.moveaxis(scores, -1, 1))
    choices: list[dict[str, Any]] = [{}, {"label_smoothing": 0.1}, {"class_weight": rng.uniform(size=k).tolist()}]
    for more in choices:
        for known in (labels, np.abs(labels) % k):
            parameters = {"from_logits": True, "ignore_index": -100, **more}
            rows = evaluate(check(loss, parameters, scores, known), outputs=[*OUTPUTS, "hessian_diagonal"])
            batch = check(loss, {**parameters, "class_axis": 1}, moved, known)
            for block_bytes in (None, 2000, 40 * 1024):
                columns = evaluate(batch, outputs=[*OUTPUTS, "hessian_diagonal"], block_bytes=block_bytes)
                assert columns.value == rows.value
                assert np.array_equal(np.asarray(columns.per_element), np.asarray(rows.per_element))
                for name in ("gradient", "hessian_diagonal"):
                    assert np.array_equal(np.moveaxis(getattr(columns, name), 1, -1), getattr(rows, name)), name


def test_an_axis_between_others_may_be_that_of_the_classes() -> None:
    rng = np.random.default_rng(4)
    scores, labels = rng.normal(size=(2, 3, 5, 4)), rng.integers(0, 4, (2, 3, 5)).astype(float)
    loss = LOSSES["categorical_cross_entropy"]
    whole = evaluate(check(loss, {"from_logits": True}, scores, labels))
    for axis in (1, 2):
        moved = np.ascontiguousarray(np.moveaxis(scores, -1, axis))
        other = evaluate(check(loss, {"from_logits": True, "class_axis": axis}, moved, labels))
        assert other.value == whole.value
        assert np.array_equal(np.moveaxis(np.asarray(other.gradient), axis, -1), np.asarray(whole.gradient))


@pytest.mark.parametrize("axis", [0, 3, -3, -4])
def test_an_axis_that_there_is_not_is_refused(axis: int) -> None:
    with pytest.raises(InvalidParameter, match="class_axis must be an axis of predictions beyond the first"):
        check(LOSSES["categorical_hinge"], {"class_axis": axis}, np.zeros((2, 4, 3)), np.zeros((2, 4)))


def test_shapes_that_fit_another_axis_are_refused_with_its_number() -> None:
    with pytest.raises(InvalidInput, match="then set class_axis to 1"):
        check(LOSSES["categorical_hinge"], {}, np.zeros((2, 4, 3)), np.zeros((2, 3)))


# --- what is dropped ----------------------------------------------------------------------------------------------------


@each_alike
def test_mask_of_elements_is_the_call_without_them(case: Case) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    mask = pattern(shape)
    alone = frozen({name: array[mask.ravel()] for name, array in flattened(case, arrays).items()})
    for reduction in case.reductions:
        masked, fewer = evaluated(case, arrays, reduction, mask=mask), evaluated(case, alone, reduction)
        assert masked.value == fewer.value
        assert (masked.divisor, masked.n_elements) == (fewer.divisor, fewer.n_samples)
        assert np.array_equal(np.asarray(masked.per_element)[mask], np.asarray(fewer.per_sample))
        assert not np.asarray(masked.per_element)[~mask].any()
        assert np.asarray(masked.per_sample)[-1] == 0.0
        for name, gradient in ({} if masked.gradient is None else gradients_of(masked)).items():
            other = gradients_of(fewer)[name]
            assert np.array_equal(gradient[mask], other)
            assert not gradient[~mask].any()


@each_case
def test_weight_of_zero_is_a_mask(case: Case) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    mask, weights = pattern(shape), np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape)
    one = evaluated(case, arrays, sample_weight=np.where(mask, weights, 0.0))
    other = evaluated(case, arrays, sample_weight=weights, mask=mask)
    assert (one.value, one.divisor) == (other.value, other.divisor)
    assert np.array_equal(np.asarray(one.per_sample), np.asarray(other.per_sample))
    assert same_gradients(one, other)


@each_alike
def test_weight_two_is_the_element_twice(case: Case) -> None:
    arrays = flattened(case, case.draw(n=N))
    size = len(next(iter(arrays.values())))
    weights = 1.0 + np.arange(size) % 2
    grouped = frozen({name: array.reshape(2, size // 2, *array.shape[1:]) for name, array in arrays.items()})
    for reduction in set(case.reductions) - {"mean_over_samples"}:
        one = evaluated(case, grouped, reduction, sample_weight=weights.reshape(2, -1))
        twice = frozen({name: np.repeat(array, weights.astype(int), axis=0) for name, array in arrays.items()})
        assert one.value == pytest.approx(evaluated(case, twice, reduction).value, rel=1e-13, abs=1e-300)


@each_case
def test_weights_of_samples_are_those_of_all_their_elements(case: Case) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    weights = np.linspace(0.5, 2.0, N)
    spread = np.broadcast_to(weights.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    one, other = evaluated(case, arrays, sample_weight=weights), evaluated(case, arrays, sample_weight=spread)
    assert (one.value, one.divisor) == (other.value, other.divisor)
    assert same_gradients(one, other)
    np.testing.assert_allclose(np.asarray(one.per_sample), np.asarray(other.per_sample), rtol=1e-14)


@over([case for case in default_cases() if case.coupling == "sample"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_dropped_is_not_looked_at(case: Case, bad: float) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    mask = pattern(shape)
    spoiled = {name: array.copy() for name, array in arrays.items()}
    for array in spoiled.values():
        array[~mask] = bad
    for more in ({"mask": mask}, {"sample_weight": mask * 1.0}):
        one, other = evaluated(case, arrays, **more), evaluated(case, frozen(spoiled), **more)
        assert one.value == other.value
        assert np.array_equal(np.asarray(one.per_sample), np.asarray(other.per_sample))
        assert same_gradients(one, other)
        with pytest.raises(InvalidInput):  # the same number where it counts
            evaluated(case, frozen(spoiled), **{name: np.ones_like(extra) for name, extra in more.items()})


@over(LABELLED)
def test_an_ignored_label_is_a_mask(case: Case) -> None:
    arrays = {name: array.copy() for name, array in case.draw(n=6).items()}
    shape = case.batch(frozen(arrays)).elements
    mask = pattern(shape)
    labels = [*arrays][-1]
    ignored = {**arrays, labels: np.where(mask, arrays[labels], 255.0)}
    for name in case.prediction_names:
        ignored[name][~mask] = np.nan
    one = evaluated(case, frozen(ignored), parameters={"ignore_index": 255})
    other = evaluated(case, frozen(arrays), parameters={"ignore_index": None}, mask=mask)
    assert (one.value, one.divisor, one.n_samples, one.n_elements) == (
        other.value,
        other.divisor,
        other.n_samples,
        other.n_elements,
    )
    assert np.array_equal(np.asarray(one.per_sample), np.asarray(other.per_sample))
    assert same_gradients(one, other)


WITHOUT_OPTIONS = {
    "group": "an identity: samples are compared by it, and none of them is right or wrong",
    "count": "a quantity",
    "event": "whether a sample was seen to its end: of one that nobody knows this of, nothing is known",
    "interval": "a time",
    "grade": "one of several grades: a share of two of them is not the loss of either",
    "proxy": "what its samples and all others lie like around a proxy is one number: a share of two classes is of neither side",
    "level": "a grade, by how many thresholds it passes",
    "index_list": "its padding stands for no label, and the labels that it does not list are false",
    "label_sequence": "its padding stands for no label, and an alignment has no place for one that is unknown",
}
"""Encodings of whole numbers that the options of labels say nothing about, and why."""
NOTHING_TO_IGNORE = {
    "unlikelihood": "a 0 says already that nothing is known against a token; its logit counts all the same",
    "two_way": "a label that is known of some samples only would be neither true nor false of the others",
}


@in_turn("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_every_loss_of_labels_takes_all_options_of_labels(loss: Loss) -> None:
    encodings = [encoding for declared in loss.inputs.values() if declared.side == "targets" for _, encoding in declared.cases]
    assert {encoding.name for encoding in encodings if not encoding.labels and encoding.domain.discrete} <= {*WITHOUT_OPTIONS}
    kinds = {encoding.labels for encoding in encodings} - {None}
    if kinds:
        assert ("ignore_index" in loss.parameters) == (loss.name not in NOTHING_TO_IGNORE)
    if "class" in kinds:
        assert {"class_axis", "label_smoothing", "class_weight"} <= loss.parameters.keys()
        assert all("distribution" in encoding.accepts for encoding in encodings if encoding.labels == "class")


# --- options of labels ----------------------------------------------------------------------------------------------------


OPTIONAL = [
    case
    for case in default_cases()
    if "label_smoothing" in case.loss.options and "soft" not in case.words and case.encodings["targets"].labels == "class"
]
WITH_CLASS_WEIGHT = [
    case
    for case in default_cases()
    if {"class_weight", "class_axis"} <= case.loss.parameters.keys()
    and case.encodings["targets"].labels == "class"
    and "soft" not in case.words
    and case.loss.name != "multi_margin"  # whose mean does not divide by them, as in PyTorch
]


@over(OPTIONAL)
def test_soft_and_smoothed_labels_are_an_expectation(case: Case) -> None:
    arrays = case.draw(n=N)
    k = arrays["predictions"].shape[-1]
    hot = (arrays["targets"][..., None] == np.arange(k)) * 1.0
    shares = 0.7 * hot + 0.3 / k
    by_label = [evaluated(case, frozen({**arrays, "targets": np.full_like(arrays["targets"], c)})) for c in range(k)]
    expected = sum(shares[..., c] * np.asarray(labelled.per_element) for c, labelled in enumerate(by_label))
    smoothed = evaluated(case, arrays, parameters={"label_smoothing": 0.3})
    soft = evaluated(case, frozen({**arrays, "targets": shares}))
    for answer in (smoothed, soft):
        np.testing.assert_allclose(np.asarray(answer.per_element), expected, rtol=1e-13)
    if case.loss.differentiable:
        np.testing.assert_allclose(np.asarray(soft.gradient), np.asarray(smoothed.gradient), rtol=1e-12, atol=1e-15)
    assert evaluated(case, frozen({**arrays, "targets": hot})).value == evaluated(case, arrays).value


@over(WITH_CLASS_WEIGHT)
def test_class_weights_are_weights_of_elements(case: Case) -> None:
    arrays = case.draw(n=N)
    weights = np.array([0.5, 2.0, 1.25])
    weighed = evaluated(case, arrays, parameters={"class_weight": weights.tolist()})
    of_elements = evaluated(case, arrays, sample_weight=weights[arrays["targets"].astype(int)])
    assert weighed.value == pytest.approx(of_elements.value, rel=1e-14)
    assert weighed.divisor == of_elements.divisor
    if case.loss.differentiable:
        np.testing.assert_allclose(np.asarray(weighed.gradient), np.asarray(of_elements.gradient), rtol=1e-13)


def test_a_smoothed_brier_score_is_that_of_the_smoothed_row() -> None:
    rng = np.random.default_rng(5)
    rows, labels, loss = rng.dirichlet(np.ones(3), 6), rng.integers(0, 3, 6) + 0.0, LOSSES["brier_score"]
    shares = 0.7 * np.eye(3)[labels.astype(int)] + 0.1
    weights = {"class_weight": [0.5, 2.0, 1.25]}
    for more in ({}, weights):
        smoothed = evaluate(check(loss, {"label_smoothing": 0.3, **more}, rows, labels), reduction="none")
        soft = evaluate(check(loss, more, rows, shares), reduction="none")
        np.testing.assert_allclose(np.asarray(smoothed.per_sample), np.asarray(soft.per_sample), rtol=1e-13)
        np.testing.assert_allclose(np.asarray(smoothed.gradient), np.asarray(soft.gradient), rtol=1e-12)


@pytest.mark.parametrize("parameters", [{"label_smoothing": 0.1}, {"class_weight": [1.0, 2.0]}], ids=str)
def test_options_of_classes_need_an_axis_of_classes(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="axis of classes"):
        check(LOSSES["zero_one"], parameters, np.array([0.2, 0.7]), np.array([0.0, 1.0]))


# --- the gradient, blocks and order ---------------------------------------------------------------------------------------


@over([case for case in DEFAULTS if case.loss.differentiable])
def test_gradient_is_the_derivative_with_weights_of_elements(case: Case) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    weights = np.where(pattern(shape), np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape), 0.0)
    rng = np.random.default_rng(3)
    for reduction in (*case.reductions, "none"):
        whole = evaluated(case, arrays, reduction, sample_weight=weights)
        assert same_gradients(whole, evaluated(case, arrays, reduction, sample_weight=weights))
        for name, gradient in gradients_of(whole).items():
            direction = rng.normal(size=gradient.shape)
            if case.encodings[name].name in ("distribution", "log_probabilities"):
                continue  # moving them leaves what the check takes: test_contract moves them unchecked
            step = 1e-5

            def value_at(by: float, name: str = name, direction: Array = direction, reduction: Any = reduction) -> float:
                moved = evaluated(case, frozen({**arrays, name: arrays[name] + by * direction}), reduction, sample_weight=weights)
                return float(np.asarray(moved.per_sample).sum()) if moved.value is None else moved.value

            numeric = (8 * (value_at(step) - value_at(-step)) - (value_at(2 * step) - value_at(-2 * step))) / (12 * step)
            exact = gradient * direction
            assert abs(numeric - exact.sum()) <= 1e-7 * np.abs(exact).sum() + 1e-9, (reduction, name)


@each_default
def test_blocks_and_order_change_no_bit(case: Case) -> None:
    arrays = case.draw(n=31)
    shape = case.batch(arrays).elements
    weights = np.where(pattern(shape), np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape), 0.0)
    batch = case.batch(arrays, sample_weight=weights)
    order = np.random.default_rng(1).permutation(31)
    shuffled = case.batch(frozen({name: array[order] for name, array in arrays.items()}), sample_weight=weights[order])
    whole, other = evaluate(batch, outputs=OUTPUTS), evaluate(shuffled, outputs=OUTPUTS)
    assert whole.value == pytest.approx(other.value, rel=0.0 if case.loss.mean.of_all is None else 1e-14)
    assert np.array_equal(np.asarray(whole.per_element)[order], np.asarray(other.per_element))
    for block_bytes in (1, 100, 1000, 2**40):
        cut = evaluate(batch, outputs=OUTPUTS, block_bytes=block_bytes)
        assert cut.value == whole.value
        assert np.array_equal(np.asarray(cut.per_element), np.asarray(whole.per_element))
        assert np.array_equal(np.asarray(cut.per_sample), np.asarray(whole.per_sample))
        assert same_gradients(cut, whole)


# --- weights within a row, and numbers that elements share -----------------------------------------------------------------


WEIGHED = [
    case
    for case in cases()
    if case.loss.weighs_rows
    and case.encodings["targets"].labels
    and not {"ignore_index", "class_weight"} & case.parameters.keys()
]


def of_maps(case: Case) -> bool:
    """Whether the rows are maps of classes."""
    return (
        case.batch().loss.own.get("class_axis") is not None
        and {**case.loss.defaults, **case.parameters}["class_axis"] is not None
    )


@over([case for case in WEIGHED if not of_maps(case) and case.encodings["targets"].axes != ("n t",)])
def test_numbers_that_are_dropped_within_a_row_are_out_of_its_sums(case: Case) -> None:
    arrays = {name: array.copy() for name, array in case.draw(n=4).items()}
    mask = np.ones(arrays["targets"].shape, np.bool_)
    mask[..., 1] = False  # the same numbers in each row, so that what is left is a batch as well
    fewer = frozen({name: np.delete(array, 1, axis=-1) for name, array in arrays.items()})
    spoiled = frozen({name: np.where(mask, array, np.nan) for name, array in arrays.items()})
    ignored = frozen({**spoiled, "targets": np.where(mask, arrays["targets"], 255.0)})
    alone = evaluated(case, fewer)
    for answer in (
        evaluated(case, spoiled, mask=mask),
        evaluated(case, spoiled, sample_weight=mask * 1.0),
        evaluated(case, ignored, parameters={"ignore_index": 255}),
    ):
        np.testing.assert_allclose(np.asarray(answer.per_element), np.asarray(alone.per_element), rtol=1e-14)
        assert answer.value == pytest.approx(alone.value, rel=1e-14)
        if case.loss.differentiable:
            gradient = gradients_of(answer)["predictions"]
            assert not gradient[~mask].any()
            np.testing.assert_allclose(gradient[mask], gradients_of(alone)["predictions"].ravel(), rtol=1e-13, atol=1e-16)


@over([case for case in WEIGHED if case.coupling == "sample"])
def test_rows_of_which_nothing_counts_are_left_out(case: Case) -> None:
    arrays = case.draw(n=4)
    elements = case.batch(arrays).elements
    mask = np.ones(arrays["targets"].shape, np.bool_)
    mask[1] = mask[2, ..., 0] = False
    rows = np.ones(elements, np.bool_)
    rows[1] = False
    within = evaluated(case, arrays, mask=mask)
    part = {
        name: np.where(np.arange(4).reshape(-1, *(1,) * (array.ndim - 1)) == 1, np.nan, array) for name, array in arrays.items()
    }
    other = evaluated(case, frozen(part), mask=mask)
    assert (within.value, within.n_samples) == (other.value, 3)
    assert np.array_equal(np.asarray(within.per_element), np.asarray(other.per_element))
    whole = evaluated(case, arrays, mask=rows)
    assert np.array_equal(np.asarray(within.per_element)[[0, 3]], np.asarray(whole.per_element)[[0, 3]])


@over([case for case in WEIGHED if not case.d])
def test_weight_two_within_a_row_is_the_number_twice(case: Case) -> None:
    arrays = case.draw(n=4)
    weights = np.broadcast_to(1.0 + np.arange(arrays["targets"].shape[1]) % 2, arrays["targets"].shape)
    twice = frozen({name: np.repeat(array, weights[0].astype(int), axis=1) for name, array in arrays.items()})
    one, other = evaluated(case, arrays, sample_weight=weights), evaluated(case, twice)
    np.testing.assert_allclose(np.asarray(one.per_sample), np.asarray(other.per_sample), rtol=1e-14)


@over([case for case in WEIGHED if case.loss.differentiable])
def test_gradient_is_the_derivative_with_weights_within_rows(case: Case) -> None:
    arrays = case.draw(n=4)
    shape = arrays["targets"].shape
    weights = np.where(np.arange(np.prod(shape)) % 5 == 1, 0.0, np.linspace(0.5, 2.0, int(np.prod(shape)))).reshape(shape)
    direction, step = np.random.default_rng(3).normal(size=arrays["predictions"].shape), 1e-5

    def value(by: float) -> float:
        moved = frozen({**arrays, "predictions": arrays["predictions"] + by * direction})
        return float(evaluated(case, moved, sample_weight=weights).value or 0.0)

    numeric = (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step)
    exact = gradients_of(evaluated(case, arrays, sample_weight=weights))["predictions"] * direction
    assert abs(numeric - exact.sum()) <= 1e-7 * np.abs(exact).sum() + 1e-9


def test_labels_of_a_list_are_masked_by_their_column() -> None:
    rng = np.random.default_rng(8)
    scores, hot = rng.normal(size=(4, 5)), rng.integers(0, 2, (4, 5)) + 0.0
    hot[:, 0] = 1.0
    lists = np.full((4, 5), -1.0)
    for row, flags in enumerate(hot):
        lists[row, : int(flags.sum())] = np.flatnonzero(flags)
    loss, mask = LOSSES["multilabel_margin"], pattern((4, 5))
    one = evaluate(check(loss, {}, scores, lists, mask=mask))
    other = evaluate(check(loss, {"target_format": "multi_hot"}, scores, hot, mask=mask))
    assert one.value == other.value
    assert np.array_equal(np.asarray(one.gradient), np.asarray(other.gradient))
    with pytest.raises(InvalidParameter, match="ignore_index says nothing of targets that are the indices"):
        check(loss, {"ignore_index": 3}, scores, lists)


def test_the_mean_of_labels_is_of_those_that_are_known() -> None:
    logits, labels = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]]), np.array([[1.0, -1.0, 0.0], [1.0, 0.0, 1.0]])
    answer = evaluate(check(LOSSES["multilabel_soft_margin"], {"ignore_index": -1}, logits, labels))
    rows = [np.log1p(np.exp([-0.5, 2.0])).mean(), np.log1p(np.exp([0.0, 1.0, 0.5])).mean()]
    np.testing.assert_allclose(np.asarray(answer.per_sample), rows, rtol=1e-15)
    assert answer.value == pytest.approx(np.mean(rows), rel=1e-15)


def test_one_variance_may_stand_for_all_columns_of_a_row() -> None:
    mean, targets = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.5, 1.0], [0.5, 0.0]])
    loss = LOSSES["gaussian_nll"]
    spread = evaluate(check(loss, {}, {"mean": mean, "variance": np.array([[1.0, 1.0], [2.0, 2.0]])}, targets))
    for shape in ((2,), (2, 1)):
        one = evaluate(check(loss, {}, {"mean": mean, "variance": np.array([1.0, 2.0]).reshape(shape)}, targets))
        assert one.value == spread.value == pytest.approx(0.40766179513998635, rel=1e-12)
        gradient = gradients_of(one)["variance"]
        assert gradient.shape == shape
        assert np.array_equal(gradient.ravel(), gradients_of(spread)["variance"].sum(axis=1))


def test_a_variance_of_zero_counts_as_eps() -> None:
    predictions = {"mean": np.array([1.0, 2.0]), "variance": np.array([0.0, 2.0])}
    answer = evaluate(check(LOSSES["gaussian_nll"], {}, predictions, np.array([1.001, 1.0])))
    assert answer.value == pytest.approx(-2.905590844351137, rel=1e-9)
    assert gradients_of(answer)["variance"][0] == 0.0
    with pytest.raises(InvalidInput):
        check(LOSSES["gaussian_nll"], {"eps": 0.0}, predictions, np.array([1.001, 1.0]))


def test_several_quantiles_are_a_column_each() -> None:
    predictions, targets = np.array([[1.0, 2.0, 4.0], [0.5, 3.0, 3.5]]), np.array([3.0, 1.0])
    loss, quantiles = LOSSES["quantile"], [0.1, 0.5, 0.9]
    one = evaluate(check(loss, {"quantile": quantiles}, predictions, targets))
    assert one.value == pytest.approx(0.35, rel=1e-14)
    apart = [evaluate(check(loss, {"quantile": q}, predictions[:, index].copy(), targets)) for index, q in enumerate(quantiles)]
    np.testing.assert_allclose(
        np.asarray(one.gradient), np.stack([np.asarray(a.gradient) for a in apart], axis=1) / 3, rtol=1e-15
    )
    with pytest.raises(InvalidParameter, match="one number per column: 3, not 2"):
        check(loss, {"quantile": [0.1, 0.9]}, predictions, targets)
    with pytest.raises(InvalidInput):
        check(loss, {}, predictions, targets)


@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_over_samples"])
@over(BY_COLUMN)
def test_the_mean_by_column_is_that_of_the_columns(case: Case, reduction: Any) -> None:
    arrays = case.draw(n=N)
    shape = case.batch(arrays).elements
    mask, weights = pattern(shape), np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape)
    choices: list[dict[str, Any]] = [{}, {"mask": mask}, {"sample_weight": weights}, {"mask": mask, "sample_weight": weights}]
    for more in choices:
        whole = evaluated(case, arrays, reduction, **more)
        columns = [
            evaluated(
                case,
                frozen({name: array[:, column] for name, array in arrays.items()}),
                reduction,
                **{name: array[:, column] for name, array in more.items()},
            )
            for column in range(shape[1])
        ]
        assert whole.value == pytest.approx(np.mean([column.value for column in columns if column.value is not None]), rel=1e-15)
        for name, gradient in gradients_of(whole).items():
            expected = np.stack([gradients_of(column)[name] for column in columns], axis=1) / len(columns)
            np.testing.assert_allclose(gradient, expected, rtol=1e-15)


def test_losses_of_another_mean_have_one_by_column() -> None:
    names = {name for name, loss in LOSSES.items() if "multioutput" in loss.parameters}
    assert {case.loss.name for case in BY_COLUMN} == names >= {"root_mean_squared_error", "root_mean_squared_logarithmic_error"}
    predictions, targets = np.array([[2.5, 1.0], [0.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.5]])
    parameters = {"multioutput": "uniform_average"}  # scikit-learn's own default
    answer = evaluate(check(LOSSES["root_mean_squared_error"], parameters, predictions, targets))
    assert answer.value == pytest.approx(1.5811388300841898, rel=1e-15)


# --- maps of classes, and masks poured together -----------------------------------------------------------------------------

MAPS = {"class_axis": 1, "from_logits": True}
OVERLAPS = ["dice", "tversky"]


def a_map(n: int = 3, k: int = 4) -> tuple[Array, Array]:
    """Logits (n, k, 2, 3) and class indices (n, 2, 3)."""
    rng = np.random.default_rng(9)
    return rng.normal(0.0, 2.0, (n, k, 2, 3)), rng.integers(0, k, (n, 2, 3)).astype(np.float64)


def one_hot(labels: Array, k: int) -> Array:
    return np.moveaxis((labels[..., None] == np.arange(k)) * 1.0, -1, 1)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("name", OVERLAPS)
def test_a_map_is_the_mean_over_the_masks_of_its_classes(name: str, background: bool) -> None:
    logits, labels = a_map()
    loss, more = LOSSES[name], {"smooth": 1.0, "include_background": background}
    whole = evaluate(check(loss, {**MAPS, **more}, logits, labels))
    rows = evaluate(check(loss, {**MAPS, **more}, logits, one_hot(labels, 4)))
    probabilities, masks = softmax(logits), one_hot(labels, 4)
    alone = [
        np.asarray(evaluate(check(loss, {"smooth": 1.0}, probabilities[:, c].copy(), masks[:, c].copy())).per_sample)
        for c in range(0 if background else 1, 4)
    ]
    np.testing.assert_allclose(np.asarray(whole.per_sample), np.mean(alone, axis=0), rtol=1e-13)
    assert whole.encodings["targets"] == "class_map"
    assert rows.encodings["targets"] == "multi_hot"
    assert rows.value == whole.value
    assert np.array_equal(np.asarray(rows.gradient), np.asarray(whole.gradient))


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize("hard", [True, False])
def test_class_axis_of_a_map_is_the_transposed_call(name: str, hard: bool) -> None:
    logits, labels = a_map()
    loss, targets = LOSSES[name], labels if hard else one_hot(labels, 4)
    last = evaluate(
        check(loss, {**MAPS, "class_axis": -1}, np.moveaxis(logits, 1, -1), labels if hard else np.moveaxis(targets, 1, -1))
    )
    for axis in (1, -3):
        moved = evaluate(check(loss, {**MAPS, "class_axis": axis}, logits, targets))
        assert moved.value == last.value
        assert np.array_equal(np.asarray(moved.gradient), np.moveaxis(np.asarray(last.gradient), -1, 1))


@pytest.mark.parametrize("pool", ["sample", "batch"])
@pytest.mark.parametrize("name", OVERLAPS)
def test_ignored_positions_of_a_map_are_out_of_its_sums(name: str, pool: str) -> None:
    logits, labels = a_map()
    loss, parameters = LOSSES[name], {**MAPS, "pool": pool}
    mask = np.ones(labels.shape, np.bool_)
    mask[:, 0, 1] = mask[:, 1, 1] = False
    spoiled = np.where(mask[:, None], logits, np.nan)
    alone = evaluate(check(loss, parameters, np.delete(logits, 1, axis=3), np.delete(labels, 1, axis=2)))
    hot = one_hot(labels, 4)
    calls: list[tuple[Array, dict[str, Any], dict[str, Any]]] = [
        (np.where(mask, labels, 255.0), {"ignore_index": 255}, {}),
        (labels, {}, {"mask": mask}),
        (labels, {}, {"sample_weight": mask * 1.0}),
        (hot, {}, {"mask": mask}),
        (hot, {}, {"sample_weight": np.broadcast_to(mask[:, None] * 1.0, hot.shape)}),
    ]
    for targets, more, given in calls:
        answer = evaluate(check(loss, {**parameters, **more}, spoiled, targets, **given))
        assert answer.value == pytest.approx(alone.value, rel=1e-14)
        gradient = np.asarray(answer.gradient)
        assert not np.moveaxis(gradient, 1, -1)[~mask].any()
        np.testing.assert_allclose(np.delete(gradient, 1, axis=3), np.asarray(alone.gradient), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("parameters", [{}, {"from_logits": True}, {"squared": True, "smooth": 1.0}], ids=str)
def test_a_pooled_batch_is_one_mask(parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    masks, targets = rng.uniform(0.05, 0.95, (4, 2, 3)), rng.integers(0, 2, (4, 2, 3)) + 0.0
    loss, pooled = LOSSES["dice"], {**parameters, "pool": "batch"}
    weights, mask = np.array([1.0, 2.0, 0.5, 1.0]), np.array([True, True, False, True])
    one = evaluate(check(loss, pooled, masks, targets))
    flat = evaluate(check(loss, parameters, masks.reshape(1, -1), targets.reshape(1, -1)))
    assert one.value == flat.value
    assert np.array_equal(np.asarray(one.per_sample), np.full(4, flat.value))
    assert np.array_equal(np.asarray(one.gradient).ravel(), np.asarray(flat.gradient).ravel())
    weighed = evaluate(check(loss, pooled, masks, targets, sample_weight=weights, mask=mask))
    spread = np.repeat(np.where(mask, weights, 0.0), 6).reshape(1, -1)
    alike = evaluate(check(loss, parameters, masks.reshape(1, -1), targets.reshape(1, -1), sample_weight=spread))
    assert weighed.value == pytest.approx(alike.value, rel=1e-15)
    np.testing.assert_allclose(np.asarray(weighed.gradient).ravel(), np.asarray(alike.gradient).ravel(), rtol=1e-14)
    assert weighed.n_samples == 3
    with pytest.raises(InvalidParameter, match="is the one loss of the whole batch"):
        evaluate(check(loss, pooled, masks, targets), reduction="sum")


def test_the_dice_of_keras_and_that_of_each_mask() -> None:
    """The numbers of keras-team/keras#19637."""
    predictions = np.array([[[[0.0], [1.0]], [[0.0], [1.0]]], [[[0.4], [0.0]], [[0.0], [0.9]]]])
    targets = np.array([[[[1.0], [1.0]], [[0.0], [0.0]]], [[[0.0], [1.0]], [[1.0], [0.0]]]])
    loss = LOSSES["dice"]
    apart = evaluate(check(loss, {}, predictions, targets))
    pooled = evaluate(check(loss, {"pool": "batch"}, predictions, targets))
    np.testing.assert_allclose(np.asarray(apart.per_sample), [0.5, 1.0], rtol=1e-15)
    assert pooled.value == pytest.approx(1 - 2 / (3.3 + 4.0), rel=1e-14)


def test_classes_of_a_pooled_map_are_poured_together_each_by_itself() -> None:
    logits, labels = a_map()
    loss = LOSSES["dice"]
    whole = evaluate(check(loss, {**MAPS, "pool": "batch"}, logits, labels))
    probabilities, masks = softmax(logits), one_hot(labels, 4)
    alone = [
        evaluate(check(loss, {"pool": "batch"}, probabilities[:, c].copy(), masks[:, c].copy())).value or 0.0 for c in range(4)
    ]
    assert whole.value == pytest.approx(np.mean(alone), rel=1e-13)


def test_settings_of_maps_that_have_no_meaning_are_refused() -> None:
    logits, labels = a_map()
    choices: list[tuple[dict[str, Any], str]] = [
        ({}, "then set class_axis to 1"),
        ({"class_axis": 1}, "targets must be a class index from 0 to 3"),
        ({"class_axis": 4}, "class_axis must be an axis of predictions"),
    ]
    for parameters, words in choices:
        with pytest.raises(InvalidInput, match=words):
            check(LOSSES["dice"], {"from_logits": True, **parameters}, logits, labels + 4.0 * bool(parameters))
    alone: list[dict[str, Any]] = [{"include_background": False}, {"activation": "softmax"}]
    for parameters in alone:
        with pytest.raises(InvalidParameter, match="class_axis"):
            evaluate(check(LOSSES["dice"], {"from_logits": True, **parameters}, logits, logits * 0.0))


# --- refusals -------------------------------------------------------------------------------------------------------------


def test_masks_and_weights_of_other_shapes_are_refused() -> None:
    numbers = np.zeros((2, 3))
    choices: list[dict[str, Any]] = [{"mask": np.ones((3, 2), np.bool_)}, {"sample_weight": np.ones((2, 1))}]
    for more in choices:
        with pytest.raises(InvalidInput, match=r"must have shape \(2,\), one \w+ per sample, or \(2, 3\), one per element"):
            check(LOSSES["huber"], {}, numbers, numbers, **more)


def test_a_bad_number_is_named_by_its_place_in_the_request() -> None:
    scores = np.zeros((2, 3, 4))
    scores[1, 2, 3] = np.nan
    mask = np.ones((2, 4), np.bool_)
    mask[0] = False
    for dropped in (None, mask):
        with pytest.raises(InvalidInput) as caught:
            check(LOSSES["categorical_hinge"], {"class_axis": 1}, scores, np.zeros((2, 4)), mask=dropped)
        assert caught.value.faults[0].path == ("predictions", 1, 2, 3)
        assert "predictions[1, 2, 3] must be a number" in caught.value.faults[0].message
    weights = np.ones((2, 3))
    weights[1, 2] = -1.0
    with pytest.raises(InvalidInput) as caught:
        check(LOSSES["huber"], {}, np.zeros((2, 3)), np.zeros((2, 3)), sample_weight=weights)
    assert caught.value.faults[0].path == ("sample_weight", 1, 2)
