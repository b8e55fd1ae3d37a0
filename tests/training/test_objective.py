"""A loss as an objective: its value and slope are those of /v1/evaluate, its output fits, and misfits are named."""

import re
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError, InvalidArray, InvalidParameter
from app.losses import LOSSES, Loss, check, evaluate
from app.training.activations import OUTPUTS
from app.training.objective import (
    MOST_CLASSES,
    MOST_PREDICTED,
    Labels,
    Objective,
    agree,
    fitting,
    is_of_one,
    trainable,
    untrainable_because,
)
from tests.folding import in_turn
from tests.losses.drawing import Case
from tests.training.plans import Array, default_training_cases, targets, training_cases

each_case = in_turn("case", training_cases(), ids=str)
each_default = in_turn("case", default_training_cases(), ids=str)


def agreed(case: Case, n: int = 8, output: str | None = None) -> tuple[Objective, Labels]:
    return agree(case.loss, case.parameters, targets(case, n), None, OUTPUTS[output] if output else None)


def predicted(objective: Objective, n: int, seed: int = 0) -> Array:
    """Predictions (n, width), as the objective's activation makes them of random sums."""
    out = np.empty((n, objective.width))
    objective.activation.forward(np.random.default_rng([seed, 20]).normal(size=out.shape), out)
    return out


def refusal(name: str, labels: Any, names: list[str] | None = None, output: str | None = None, **parameters: Any) -> CallerError:
    with pytest.raises(CallerError) as caught:
        agree(LOSSES[name], parameters, labels, names, OUTPUTS[output] if output else None)
    return caught.value


# --- value and slope --------------------------------------------------------------------------------------------------


@each_case
def test_value_and_slope_are_those_of_evaluate(case: Case) -> None:
    n = 8
    objective, labels = agreed(case, n)
    predictions = predicted(objective, n)
    wanted = evaluate(check(case.loss, case.parameters, predictions.reshape(n, *objective.outputs), targets(case, n)))
    slope = np.full(predictions.shape, np.nan)
    objective.slope(predictions, labels, slope)
    assert wanted.value is not None
    largest = float(np.abs(np.asarray(wanted.per_sample)).max())  # losses below 0 cancel in their mean
    assert objective.value(predictions, labels) == pytest.approx(wanted.value, rel=1e-15, abs=2**-54 * largest)
    np.testing.assert_allclose(slope, np.asarray(wanted.gradient).reshape(slope.shape), rtol=1e-15)
    np.testing.assert_allclose(objective.losses(predictions, labels)[0], np.asarray(wanted.per_sample), rtol=1e-15)


@in_turn("case", [case for case in training_cases() if case.loss.counts], ids=str)
def test_a_batch_is_divided_by_what_its_own_rows_count(case: Case) -> None:
    """So that class weights mean in a batch what they mean in /v1/evaluate; a batch that counts nothing has no slope."""
    objective, labels = agreed(case, 12)
    predictions = predicted(objective, 12)
    for cut in (slice(0, 5), slice(5, 12), slice(3, 4)):
        part = labels.take(cut)
        slope = np.full((len(part.targets), objective.width), np.nan)
        objective.slope(predictions[cut], part, slope)
        shaped = predictions[cut].reshape(-1, *objective.outputs)
        if not part.any():
            assert not slope.any()
            assert objective.value(predictions[cut], part) == 0.0
            continue
        wanted = evaluate(check(case.loss, case.parameters, shaped, targets(case, 12)[cut]))
        np.testing.assert_allclose(slope, np.asarray(wanted.gradient).reshape(slope.shape), rtol=1e-15)


IGNORING = [
    case
    for case in default_training_cases()
    if "ignore_index" in case.loss.parameters and case.encodings["targets"].labels and " soft" not in case.words
]


@pytest.mark.parametrize("case", IGNORING, ids=str)
def test_ignored_labels_are_ignored_as_by_evaluate(case: Case) -> None:
    """Every third label, of rows in part and of rows as a whole."""
    n, parameters = 8, {**case.parameters, "ignore_index": -100}
    labels = targets(case, n).copy()
    labels.reshape(-1)[::3] = labels[3] = -100.0
    objective, known = agree(case.loss, parameters, labels, None)
    predictions = predicted(objective, n)
    wanted = evaluate(check(case.loss, parameters, predictions.reshape(n, *objective.outputs), labels))
    slope = np.full(predictions.shape, np.nan)
    objective.slope(predictions, known, slope)
    assert objective.value(predictions, known) == pytest.approx(wanted.value, rel=1e-15)
    np.testing.assert_allclose(slope, np.asarray(wanted.gradient).reshape(slope.shape), rtol=1e-15)
    np.testing.assert_allclose(objective.losses(predictions, known)[0], np.asarray(wanted.per_sample), rtol=1e-15)
    assert not slope[3].any()


def test_class_weights_and_ignored_labels_weigh_by_hand() -> None:
    labels = np.array([0.0, 1.0, 2.0, -100.0, 1.0])
    parameters: dict[str, Any] = {"class_weight": [1.0, 2.0, 4.0], "ignore_index": -100}
    objective, known = agree(LOSSES["categorical_cross_entropy"], parameters, labels, ["a", "b", "c"])
    assert known.counts is not None
    np.testing.assert_array_equal(known.counts, [1, 2, 4, 0, 2])
    rows = np.array([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4]])
    of_truth, weights = np.array([0.5, 0.6, 0.8, 0.3]), np.array([1.0, 2.0, 4.0, 2.0])
    assert objective.value(rows, known) == pytest.approx(-(weights * np.log(of_truth)).sum() / 9.0, rel=1e-15)
    slope = np.empty((5, 3))
    objective.slope(rows, known, slope)
    np.testing.assert_allclose(slope[[0, 1, 2, 4], [0, 1, 2, 1]], -weights / of_truth / 9.0, rtol=1e-15)
    assert not slope[3].any()
    assert np.count_nonzero(slope) == 4


def test_the_root_of_a_mean_is_pulled_back_by_hand() -> None:
    objective, labels = agree(LOSSES["root_mean_squared_error"], {}, np.zeros((2, 2)), None)
    slope = np.empty((2, 2))
    objective.slope(np.array([[3.0, 1.0], [1.0, 1.0]]), labels, slope)
    np.testing.assert_allclose(slope, np.array([[3.0, 1.0], [1.0, 1.0]]) / 4.0 / np.sqrt(3.0), rtol=1e-15)


# --- which output -----------------------------------------------------------------------------------------------------


@each_default
def test_the_output_is_the_sensible_one_and_nothing_warns(case: Case) -> None:
    objective, labels = agreed(case)
    domain = case.loss.inputs["predictions"].decide(objective.parameters, 1 + len(objective.outputs)).domain
    sums = np.random.default_rng(1).normal(0.0, 5.0, (300, objective.width))
    fitting = [
        name
        for name, output in OUTPUTS.items()
        if domain.holds(output.of(sums).reshape(-1, *objective.outputs)) and (objective.outputs or not output.range.of_rows)
    ]
    assert objective.activation.name == fitting[0]
    assert objective.encoding == case.encodings["predictions"].name or len(case.loss.inputs["predictions"].cases) > 1
    assert objective.warnings == ()
    assert len(labels.targets) == 8


def test_logits_need_no_output() -> None:
    two, three = np.arange(6.0) % 2, np.arange(6.0) % 3
    for name, labels in (("binary_cross_entropy", two), ("categorical_cross_entropy", three)):
        objective, _ = agree(LOSSES[name], {"from_logits": True}, labels, None)
        assert (objective.activation.name, objective.encoding) == ("identity", "logit" if labels is two else "logits")


def test_a_softmax_before_a_loss_of_logits_is_warned_of() -> None:
    objective, _ = agree(LOSSES["categorical_cross_entropy"], {"from_logits": True}, np.arange(6.0) % 3, None, OUTPUTS["softmax"])
    assert any("from_logits" in warning for warning in objective.warnings)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", ["mean_squared_error", "binary_cross_entropy", "hinge", "gamma_deviance", "nll"])
def test_an_output_is_taken_if_its_range_fits_and_otherwise_refused_by_name(name: str, output: str) -> None:
    takes = {
        "mean_squared_error": {"identity", "softplus", "exp", "sigmoid", "tanh"},
        "hinge": {"identity", "softplus", "exp", "sigmoid", "tanh"},
        "binary_cross_entropy": {"sigmoid"},
        "gamma_deviance": {"softplus", "exp", "sigmoid"},
        "nll": {"log_softmax"},
    }[name]
    labels = np.arange(9.0) % 3 if name == "nll" else np.arange(9.0) % 2 + (name == "gamma_deviance")
    if output in takes:
        objective, _ = agree(LOSSES[name], {}, labels, None, OUTPUTS[output])
        assert objective.activation.name == output
        return
    refused = refusal(name, labels, output=output)
    assert refused.faults[0].path == ("output",)
    assert refused.faults[0].code == "does_not_fit"
    assert refused.faults[0].message.startswith(f"{name} does not take what the output {output} makes: ")
    assert "shape_mismatch" not in str(refused)
    assert "; got" not in refused.faults[0].message  # a number that nobody has sent


def test_the_range_of_an_output_is_probed_within_rows_too() -> None:
    """Of sums that differ little, logarithms of the softmax are all above −1."""
    refused = refusal("mean_squared_logarithmic_error", np.ones((7, 2)), output="log_softmax")
    assert refused.faults[0].path == ("output",)
    assert "above −1" in refused.faults[0].message


def test_a_row_of_one_number_has_no_softmax() -> None:
    refused = refusal("mean_squared_error", np.linspace(0.0, 1.0, 5), output="softmax")
    assert refused.faults[0].path == ("output",)
    assert "more than one output" in refused.faults[0].message


# --- what targets may look like -----------------------------------------------------------------------------------------

TWO = [0, 1, 1, 0, 1, 0]
THREE = [0, 1, 2, 2, 1, 0]


@pytest.mark.parametrize(
    ("labels", "names", "encoding"),
    [
        (np.array(TWO, float), None, "binary"),
        (np.array(TWO) * 2.0 - 1.0, None, "sign"),
        (np.array(TWO, float), ["no", "yes"], "binary"),
        ([["no", "yes"][label] for label in TWO], ["no", "yes"], "class_names"),
    ],
)
@pytest.mark.parametrize("name", ["binary_cross_entropy", "hinge", "logistic", "brier_score"])
def test_two_classes_may_be_written_in_any_way(name: str, labels: Any, names: list[str] | None, encoding: str) -> None:
    objective, known = agree(LOSSES[name], {}, labels, names)
    assert objective.outputs == ()
    assert objective.targets_encoding == encoding
    as_probability = (known.targets + 1) / 2 if known.targets.min() < 0 else known.targets
    np.testing.assert_array_equal(as_probability, TWO)


@pytest.mark.parametrize(
    ("labels", "names", "encoding"),
    [
        (np.array(THREE, float), None, "class_index"),
        (np.array(THREE, float), ["a", "b", "c"], "class_index"),
        ([["a", "b", "c"][label] for label in THREE], ["a", "b", "c"], "class_names"),
        (np.eye(3)[THREE], None, "one_hot"),
    ],
)
@pytest.mark.parametrize("name", ["categorical_cross_entropy", "nll", "multi_margin", "brier_score"])
def test_three_classes_may_be_written_in_any_way(name: str, labels: Any, names: list[str] | None, encoding: str) -> None:
    objective, known = agree(LOSSES[name], {}, labels, names)
    assert objective.outputs == (3,)
    assert objective.targets_encoding == encoding
    np.testing.assert_array_equal(known.targets, THREE)


def test_soft_rows_stay_rows() -> None:
    soft = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    objective, known = agree(LOSSES["categorical_cross_entropy"], {}, soft, None)
    assert (objective.outputs, objective.targets_encoding) == ((4,), "distribution")
    np.testing.assert_array_equal(known.targets, soft)


def test_there_are_as_many_classes_as_names_even_if_some_do_not_occur() -> None:
    objective, _ = agree(LOSSES["categorical_cross_entropy"], {}, np.array(THREE, float), ["a", "b", "c", "d", "e"])
    assert objective.outputs == (5,)


def test_two_classes_are_also_classes() -> None:
    objective, _ = agree(LOSSES["categorical_cross_entropy"], {}, np.array(TWO, float), None)
    assert objective.outputs == (2,)


def test_lists_of_label_indices_imply_as_many_labels_as_the_largest() -> None:
    objective, _ = agree(LOSSES["multilabel_margin"], {}, np.array([[4.0, -1.0], [0.0, 2.0]]), None)
    assert objective.outputs == (5,)


def test_several_targets_are_several_outputs() -> None:
    objective, _ = agree(LOSSES["mean_squared_error"], {}, np.zeros((6, 4)), None)
    assert (objective.outputs, objective.width) == ((4,), 4)


# --- misfits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["binary_cross_entropy", "hinge", "logistic"])
@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_losses_of_two_classes_refuse_a_third_and_name_those_that_fit(name: str, names: list[str] | None) -> None:
    for labels in (np.array(THREE, float), *([[["a", "b", "c"][label] for label in THREE]] if names else [])):
        refused = refusal(name, labels, names)
        assert isinstance(refused, InvalidArray)
        assert refused.faults[0].path == (("targets", 2) if isinstance(labels, np.ndarray) else ("classes",))
        assert "categorical_cross_entropy" in refused.detail
        suggested = refused.detail.partition("Losses that fit these targets: ")[2].rstrip(".").split(", ")
        assert name not in suggested
        assert len(suggested) == 3
        for loss in suggested:
            agree(LOSSES[loss], {}, labels, names)


def test_a_stray_label_asks_for_no_model_of_a_billion_outputs() -> None:
    labels = np.array([*THREE, 1e9])
    refused = refusal("categorical_cross_entropy", labels)
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("targets", 6), "label")]
    assert f"0 to {MOST_CLASSES - 1}" in refused.faults[0].message
    assert "1000000000" in refused.faults[0].message
    agree(LOSSES["categorical_cross_entropy"], {}, np.array([*THREE, MOST_CLASSES - 1.0]), None)
    assert refusal("categorical_cross_entropy", np.array([*THREE, float(MOST_CLASSES)])).faults[0].path == ("targets", 6)


def test_more_numbers_than_can_be_predicted_are_refused_before_they_are_made() -> None:
    rows = MOST_PREDICTED // 200 + 1
    labels = np.arange(float(rows)) % 200
    refused = refusal("categorical_cross_entropy", labels)
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("targets",), "limit")]
    assert f"{rows} rows of 200 classes" in refused.faults[0].message
    assert refusal("nll", np.zeros(rows), [str(number) for number in range(200)]).faults[0].code == "limit"
    agree(LOSSES["mean_squared_error"], {}, labels, None)


def test_many_whole_numbers_are_not_suggested_to_be_classes() -> None:
    """Though they may be, if a loss of classes is asked for."""
    counts = np.arange(0.0, 400.0, 7.0)
    assert "mean_squared_error" in fitting(counts, None)
    assert "categorical_cross_entropy" not in fitting(counts, None)
    assert "categorical_cross_entropy" in fitting(counts % 3, None)
    assert agree(LOSSES["categorical_cross_entropy"], {}, counts, None)[0].outputs == (400,)


@pytest.mark.parametrize(("labels", "place"), [([0.5, 1.0, 2.0], 0), ([0.0, 1.0, 2.5], 2), ([0.0, -1.0, 1.5], 1)])
def test_numbers_that_are_no_classes_are_refused_as_such(labels: list[float], place: int) -> None:
    refused = refusal("categorical_cross_entropy", np.array(labels))
    assert refused.faults[0].path == ("targets", place)
    assert "class" in refused.faults[0].message
    assert "mean_squared_error" in refused.detail


def test_a_single_class_is_nothing_to_tell_apart() -> None:
    refused = refusal("categorical_cross_entropy", np.zeros(5))
    assert refused.faults[0].path == ("targets",)
    assert "classes" in refused.faults[0].message


def test_class_names_need_their_order() -> None:
    refused = refusal("categorical_cross_entropy", ["a", "b", "a"])
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("classes",), "missing")]


def test_an_unknown_class_name_is_named() -> None:
    refused = refusal("categorical_cross_entropy", ["a", "b", "z"], ["a", "b"])
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("targets", 2), "unknown_class")]


def test_class_names_are_no_numbers() -> None:
    refused = refusal("mean_squared_error", ["a", "b", "a"], ["a", "b"])
    assert refused.faults[0].path == ("targets",)
    assert "binary_cross_entropy" in refused.detail


def test_targets_of_another_shape_than_the_loss_takes_are_named() -> None:
    refused = refusal("kl_divergence", np.array(THREE, float))
    assert (refused.faults[0].path, refused.faults[0].code) == (("targets",), "shape")
    refused = refusal("cosine_similarity", np.linspace(0.1, 0.9, 5))
    assert refused.faults[0].path == ("targets", 0)
    assert refused.faults[0].message == "targets[0] must be a vector per sample; got 0.1"
    refused = refusal("ctc", np.array(THREE, float))
    assert refused.faults[0].path == ("parameters",)  # nothing is wrong with the numbers


def test_parameters_that_do_not_fit_the_classes_stay_parameters() -> None:
    refused = refusal("categorical_cross_entropy", np.array(THREE, float), class_weight=[1.0, 2.0])
    assert isinstance(refused, InvalidParameter)
    assert refused.faults[0].path == ("parameters", "class_weight")


def test_a_mean_of_columns_is_nothing_to_train_on() -> None:
    refused = refusal("root_mean_squared_error", np.eye(3), multioutput="uniform_average")
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("parameters", "multioutput"), "not_trainable")]


@in_turn("loss", [loss for loss in LOSSES.values() if not trainable(loss)], ids=lambda loss: loss.name)
def test_losses_that_nothing_can_be_trained_on_say_why(loss: Loss) -> None:
    refused = refusal(loss.name, np.array(TWO, float))
    assert isinstance(refused, InvalidParameter)
    assert [(fault.path, fault.code) for fault in refused.faults] == [(("parameters",), "not_trainable")]
    why = refused.faults[0].message.partition(": ")[2]
    if not loss.differentiable:
        assert why == "it has no useful derivative"
    elif loss.coupling != "sample":
        assert why == "it couples the samples of a batch"
    elif not loss.sides["targets"]:
        assert why == "it has no targets, by which alone rows are told apart"
    else:
        assert re.fullmatch(
            r"no output of a model makes predictions(\.\w+)?: .+"
            r"|it takes predictions(\.\w+)? of shape \(.*\), and "
            r"(a model predicts a row for each sample|targets do not tell how long a row is)",
            why,
        )


def shape_of(loss: Loss) -> str:
    return ", ".join(loss.inputs["predictions"].cases[0][1].axes[0].split())


@pytest.mark.parametrize("name", ["iou", "giou", "ctc", "beta_divergence", "dpo"])
def test_boxes_sequences_and_narrow_ranges_are_what_no_output_makes(name: str) -> None:
    why = untrainable_because(LOSSES[name])
    assert why is not None
    assert why.startswith(("no output of a model makes predictions", "it takes predictions of shape (n, t, k)"))


def test_every_loss_with_a_slope_trains_but_those_that_no_output_fits() -> None:
    # of maps of classes these draw none of one position, which is a row
    alone = {name: loss for name, loss in LOSSES.items() if is_of_one(loss)}
    maps = {name for name, loss in alone.items() if trainable(loss) and shape_of(loss) == "n, *r, k"}
    trained = {name for name, loss in alone.items() if trainable(loss)} - maps
    assert {case.loss.name for case in training_cases()} == trained


@pytest.mark.thorough
def test_what_fits_is_what_agrees() -> None:
    for labels in (np.linspace(-1.0, 1.0, 7), np.array(TWO, float), np.array(THREE, float), np.eye(3)[THREE]):
        found = fitting(labels, None)
        for name, loss in LOSSES.items():
            if trainable(loss) and name in found:
                agree(loss, {}, labels, None)
            elif is_of_one(loss) and trainable(loss):
                refusal(name, labels)
        assert found == [name for name in LOSSES if name in found]
