"""Numbers that libraries publish or give, entry by entry: vectors.json against the service's own losses.

An entry says its inputs in the words of the library it comes from. `adapted` puts them into ours: what differs between
libraries stands there, a line for each difference, and a parameter that no line mentions fails.
"""

import json
import re
from dataclasses import dataclass, field, replace
from math import lgamma, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidArray, InvalidParameter
from app.losses import LOSSES, Evaluation, check, evaluate
from tests.folding import in_turn
from tests.losses.drawing import gradients_of

Entry = dict[str, Any]
ENTRIES: dict[str, Entry] = {entry["id"]: entry for entry in json.loads((Path(__file__).parent / "vectors.json").read_text())}

PAGE = Path(__file__).parents[2] / "docs/decisions/published-numbers.md"
NOT_TAKEN = dict(re.findall(r"^\| `([a-z_0-9]+/\d+)` \| (request|gradient) \| ", PAGE.read_text(), re.MULTILINE))
"""Entries that the service does not take at their word, and whether this is the whole request or its gradient alone."""
REFUSED = [identity for identity, part in NOT_TAKEN.items() if part == "request"]
UNLIKE = [identity for identity, part in NOT_TAKEN.items() if part == "gradient"]

SAID_BY_THE_ENCODING = {
    "label_encoding",
    "label",
    "input",
    "direction",
    "sign",
    "box_format",
    "var_is",
    "use",
    "real",
    "fake",
    "a",
    "b",
    "gradient_of",
    "mean",
    "target_lengths",
    "constant",
    "divide_by_classes",
    "alpha_weights",
    "class_weight_mean",
    "margin_scale",
    "alpha_detached_in_gradient",
    "length_normalised",
    "form",
    "barron_alpha",
    "normalise",
    "compare_indices",
    "divide_by",
    "normalize",
    "per_sample",
    "iou_weighted",
    "psi",
    "rank_mat_rule",
    "weight",
    "ties",
    "reduction",
    "reduction_note",
    "pairs",
    "denominator",
}
"""Remarks of an entry that describe what our loss is or takes anyway."""

OF_DIFFERENCES, DIFFERENCED = {"cosface/01"}, 1e-10
"""Entries whose gradient is a quotient of differences, larger than 1, and how many of its digits are right."""

RENAMED = {"asymmetric": "asymmetric_multilabel"}
"""Losses whose name there is that of something else here."""
OUR_NAMES = {
    "idx_durations": "interval",
    "interval_frac": "fraction",
    "view1": "first",
    "view2": "second",
    "events": "event",
    "mu": "location",
    "sigma": "scale",
    "loc": "location",
    "df": "degrees",
}
"""What arrays of an entry are called here."""


@dataclass(frozen=True)
class Call:
    """An entry in our words."""

    loss: str
    predictions: Any
    targets: Any
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    factor: float = 1.0
    """What our numbers are multiplied by to be the entry's."""
    root: float = 1.0
    """Which root of our value is the entry's."""
    constant: float = 0.0
    """What is added to the losses afterwards."""
    columns: float = 1.0
    """How many of our elements the entry adds up to one loss."""
    reduction: str = "sum"
    """What gives the entry's aggregate, and what its gradient is of."""
    unlike: tuple[str, ...] = ()
    """What the entry gives of each step or logit, where ours is of whole series or of probabilities."""
    divisor: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the entry divides its predictions by, by the names that ours have."""

    def with_parameters(self, **parameters: Any) -> "Call":
        return replace(self, parameters={**self.parameters, **parameters})


def numbers(written: Any) -> Any:
    """Nested lists as an array, {"__float__": "-inf"} as what it says; an object of arrays by name."""
    if isinstance(written, dict) and "__float__" not in written:
        return {name: numbers(array) for name, array in written.items() if not isinstance(array, str)}
    return None if written is None else np.array(_floats(written), dtype=np.float64)


def _floats(written: Any) -> Any:
    if isinstance(written, dict):
        return float(written["__float__"])
    return [_floats(item) for item in written] if isinstance(written, list) else float(written)


def adapted(entry: Entry) -> Call:
    """The entry as a call of ours."""
    call = Call(RENAMED.get(entry["loss"]) or entry["loss"], numbers(entry["predictions"]), numbers(entry["targets"]))
    for name, value in entry["params"].items():
        call = _with_parameter(call, name, value)
    return _with_arrays(call, entry)


def _with_parameter(call: Call, name: str, value: Any) -> Call:
    match name, value:
        case ("scale", "T^2") if call.loss == "knowledge_distillation":
            return call
        case ("eps", amount) if call.loss == "mcc":
            return call.with_parameters(smooth=amount, pool="batch")
        case ("w_type", word) if call.loss == "generalized_dice":
            return call.with_parameters(size_weight=word)
        case ("tp" | "tn", temperature) if call.loss == "two_way":
            return call.with_parameters(**{"positive" if name == "tp" else "negative": temperature})
        case ("denominator", _) if call.loss == "symmetric_mean_absolute_percentage_error":
            return call
        case ("classes", which) if call.loss == "lovasz_softmax":
            return call.with_parameters(averaged_classes=which)
        case ("ties", way) if call.loss == "cox_partial_likelihood":
            return call.with_parameters(ties=way)
        case ("input", "log_probs") if call.loss == "generalized_kl_divergence":
            return replace(call, predictions=np.exp(call.predictions))
        case ("input", "log_probs") if call.loss == "kl_divergence":
            return call.with_parameters(input_format="log_probabilities")
        case ("from_logits", flag) if call.loss == "kl_divergence":
            return call.with_parameters(input_format="logits" if flag else "probabilities")
        case ("from_logits", True) if call.loss == "multilabel_soft_margin":
            return call  # it takes nothing else
        case ("ignore_index", label) if call.loss == "sequence_cross_entropy":
            return call.with_parameters(ignore_index=label)
        case _ if call.loss in OF_LISTS_AND_BATCHES and name in CALLED_HERE.get(call.loss, {}):
            return call.with_parameters(**CALLED_HERE[call.loss][name](value))
        case _ if name in SAID_BY_THE_ENCODING:
            return call
        case ("scale", factor) if call.loss not in (
            "mean_absolute_percentage_error",
            "cosent",
            "arcface",
            "cosface",
            "sphereface",
        ):
            return replace(call, factor=factor)
        case ("quantiles", levels):
            return replace(call, loss="quantile").with_parameters(quantile=levels)
        case ("weights", str()) if call.loss == "weighted_interval_score":
            return call
        case ("tau", level) if call.loss == "quantile_huber":
            return call.with_parameters(quantile=level)
        case ("alpha", {"__float__": "-inf"}):
            return replace(call, loss="welsch")  # the limit, by its own name
        case ("estimator", "nrg") if call.loss == "variogram_score":
            return call  # it has no other
        case ("parameterisation", _) if call.loss == "negative_binomial_nll":
            return call
        case ("parameter", "rate") if call.loss == "exponential_nll":
            return call  # it takes nothing else
        case ("f_divergence", "js_divergence"):
            return call.with_parameters(divergence="jensen_shannon")
        case ("s", score) if call.loss == "ramp":
            return call.with_parameters(cut=score)
        case ("support" | "levels" | "temperature" | "per_image", _):
            return call
        case ("from_logits", True) if call.loss in ("asymmetric_multilabel", "lovasz_hinge"):
            return call  # they take nothing else
        case ("m", steps):
            return call.with_parameters(season=steps)
        case ("normalize", flag):
            return call.with_parameters(normalized=flag)
        case ("lambda_bce", weight):
            return call.with_parameters(entropy_weight=weight)
        case ("lambda_dice", weight):
            return call.with_parameters(dice_weight=weight)
        case ("curvature", epsilon):
            return call.with_parameters(epsilon=epsilon)
        case ("p", power) if call.loss == "lp_loss":
            return call.with_parameters(power=power)
        case ("root", True):  # of the sum, which the entry gives
            return replace(call, root=call.parameters["power"])
        case ("clip_below", least):
            return call.with_parameters(clip=least)
        case ("full", "exact"):
            return call.with_parameters(full=True)
        case ("activation", "sigmoid"):
            return call.with_parameters(from_logits=True)
        case ("activation", "softmax"):
            return call.with_parameters(from_logits=True, class_axis=1)
        case ("squared_pred", flag):
            return call.with_parameters(squared=flag)
        case ("smooth_nr" | "smooth_dr", amount):  # the same above and below in every entry
            assert call.parameters.get("smooth", amount) == amount
            return call.with_parameters(smooth=amount)
        case ("axis", axes):  # all axes: the whole batch is one mask; all but the first: a mask each, as we do
            return (
                replace(call, predictions=call.predictions.reshape(1, -1), targets=call.targets.reshape(1, -1))
                if axes is None
                else call
            )
        case ("variant", "crammer_singer"):
            return replace(call, loss="crammer_singer_hinge")
        case ("variant", "keras"):
            return call
        case ("variant", "one_vs_all"):  # one row a class, so that the mean of a row is that class's hinge
            one_hot = np.eye(call.predictions.shape[1])[call.targets.astype(int)]
            return replace(call, predictions=call.predictions.T, targets=one_hot.T)
        case ("ignored_in_divisor", True):  # divided by all four samples, where ours divides by the three with a label
            return replace(call, factor=3 / 4)
        case ("tau", width) if call.loss == "discopop":
            return call.with_parameters(temperature=width)
        case ("parameterisation", "shape,rate"):  # a/rate is the mean, and the rest does not depend on it
            a, y = float(call.predictions["shape"][0]), float(call.targets[0])
            rest = lgamma(a) - a * log(a) - (a - 1) * log(y)
            return replace(call, predictions=call.predictions["shape"] / call.predictions["rate"], factor=a, constant=rest)
        case _:
            assert name in LOSSES[call.loss].parameters, f"{name} of {call.loss} is not adapted"
            return call.with_parameters(**{name: value})


CALLED_HERE: dict[str, dict[str, Any]] = {
    "barlow_twins": {"lambda": lambda value: {"redundancy": value, "unbiased": True}},  # the entry is MONAI's
    "siglip": {"temperature": lambda value: {"scale": value}},
    "neighbourhood_components": {"softmax_scale": lambda value: {"temperature": 1 / value}},
    "batch_all_triplet": {
        "mean": lambda _: {"only_active": True},
        "normalize": lambda flag: {"unit_length": flag},
    },
    "arcface": {"margin_rad": lambda value: {"margin": value}},
    "angular": {"alpha_degrees": lambda value: {"alpha": float(value)}},
    "deephit_rank": {"sigma": lambda value: {"width": value}},
    "lambda_loss": {
        "scheme": lambda word: {"scheme": {"rankNet": "ranknet", "ndcgLoss1": "ndcg_loss1"}[word]},
        "log_base": lambda base: {"binary_logarithm": base == 2},
    },
    "info_nce": {"negatives": lambda _: {}},
    "approx_ndcg": {"alpha": lambda _: {}},  # allRank's name of the temperature, which is there too
    "balanced_l1": {"beta": lambda value: {} if value == 1.0 else {"beta": value}},
    "p_listmle": {"normalise": lambda word: {"relative": word != "none"}},
}
"""What parameters of an entry are called here, by loss."""
OF_LISTS_AND_BATCHES = {*CALLED_HERE}
OF_MEANS = {
    "supervised_contrastive",
    "multi_similarity",
    "neighbourhood_components",
    "lifted_structure",
    "batch_all_triplet",
    "vicreg",
    "deephit_rank",
    "query_rmse",
    "two_way",
    "weighted_kappa",
    "perplexity",
    "survival_bce",
}
"""Losses of which an entry gives the mean as one number."""


def _of_lists(call: Call, entry: Entry) -> Call:
    """Lists as rows, and what their sums are divided by."""
    scores, grades = call.predictions, call.targets
    if isinstance(grades, dict):  # lists of one length, one after the other
        lists = len(set(grades["groups"].tolist()))
        scores, grades = scores.reshape(lists, -1), grades["targets"].reshape(lists, -1)
    scores, grades = np.atleast_2d(scores), np.atleast_2d(grades)
    call = replace(call, predictions=scores, targets=grades)
    if "divide_by" in LOSSES[call.loss].parameters:
        by_size = "list size" in entry["params"].get("reduction_note", "")
        divisor = "items" if by_size else "nothing" if "sum" in entry["expected"] else "pairs"
        return call.with_parameters(divide_by=divisor)
    return call.with_parameters(divide_by_items=False) if call.loss == "pointwise_sigmoid" else call


def _with_arrays(call: Call, entry: Entry) -> Call:
    if call.loss in OF_MEANS:
        call = replace(call, reduction="mean")
    call = replace(call, predictions=_renamed(call.predictions), targets=_renamed(call.targets))
    match call.loss:
        case "info_nce":  # both views are one batch, of which two each belong together
            views = list(call.predictions.values())
            labels = np.tile(np.arange(len(views[0]), dtype=np.float64), 2)
            return replace(call, loss="nt_xent", predictions=np.concatenate(views), targets=labels)
        case "clip" | "siglip" | "vicreg":
            return replace(call, predictions={"first": call.predictions, "second": call.targets["other"]}, targets=None)
        case "cox_case_control":
            return replace(call, predictions={"case": call.predictions, "controls": call.targets["controls"].T}, targets=None)
        case "varifocal" | "quality_focal":
            return replace(call, columns=call.predictions.shape[1])
        case loss if LOSSES[loss].family in ("pairwise", "listwise") or loss in (
            "query_softmax",
            "query_rmse",
            "pointwise_sigmoid",
        ):
            return _of_lists(call, entry)
        case "dice" if call.predictions.ndim == 1:  # one mask
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "ctc" if call.predictions.ndim == 2:  # one sequence
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "ctc":
            longest = entry["params"]["target_lengths"][0]
            return replace(call, targets=call.targets[:, :longest])
        case "lovasz_hinge":
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "generalized_jensen_shannon":  # of logits there
            shares = [np.exp(array) / np.exp(array).sum(axis=1, keepdims=True) for array in (call.predictions, call.targets)]
            return replace(call, predictions=shares[0], targets=shares[1], unlike=("gradient",))
        case "mean_absolute_scaled_error" | "root_mean_squared_scaled_error" | "mean_scaled_interval_score":
            ends = {name: array[None] for name, array in call.predictions.items()}
            known = {"actual": call.targets["targets"][None], "insample": call.targets["insample"][None]}
            return replace(call, predictions=ends.get("predictions", ends), targets=known, unlike=("per_sample", "sum"))
        case "negative_binomial_nll":
            return replace(call, predictions={"rate": call.predictions["mean"], "dispersion": call.predictions["dispersion"]})
        case "beta_weighted_nll":
            pair = {"mean": call.predictions, "variance": call.targets["variance"]}
            return replace(call, predictions=pair, targets=call.targets["targets"])
        case "cosine_embedding" | "margin_ranking":
            pair = {"first": call.predictions, "second": call.targets["other"]}
            return replace(call, predictions=pair, targets=call.targets["y"])
        case "ranking_softmax" if "inputs" in entry:  # an item that a list has not
            absent = np.array(entry["inputs"]["mask"]) == 0
            return replace(call, predictions=np.where(absent, -np.inf, call.predictions))
        case "weighted_kappa":
            return replace(call, targets=call.targets.argmax(axis=1))
        case "lovasz_softmax":  # of positions that are one map
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "unified_focal":  # background and foreground, which are one mask
            return replace(call, predictions=call.predictions[:, 1], targets=call.targets[:, 1])
        case "cross_entropy_lambda":
            return replace(call, targets={"outcome": call.targets, "exposure": numbers(entry["weights"]["exposure"])})
        case "bradley_terry" if "pairs" in call.targets:  # of the scores of items, by their places
            winner, loser = call.targets["pairs"].astype(int).T
            pair = {"winner": call.predictions[winner], "loser": call.predictions[loser]}
            return replace(call, predictions=pair, targets=None, unlike=("gradient",))
        case "bradley_terry":
            return replace(call, predictions={"winner": call.predictions, "loser": call.targets["negative"]}, targets=None)
        case "margin_mse":
            pair = {"positive": call.predictions, "negative": call.targets["negative"]}
            return replace(call, predictions=pair, targets=call.targets["teacher_margin"])
        case "kto":
            answers, kl = call.predictions, float(call.predictions["kl"])
            targets = {"reference": answers["ref_logps"], "desirable": call.targets["desirable"]}
            return replace(call.with_parameters(kl=kl), predictions=answers["policy_logps"], targets=targets)
        case loss if LOSSES[loss].family in ("preference", "preference_order", "rewards"):
            return _with_answers(
                replace(call, unlike=("per_sample",)) if loss == "aot" else call
            )  # which the entry gives in order
        case "energy_score" | "variogram_score":  # one forecast
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "triplet_margin" | "soft_margin_triplet" | "angular" if call.targets is not None:
            return replace(call, predictions={"anchor": call.predictions, **call.targets}, targets=None)
        case "diou":  # the entries are torchvision's, whose ciou has a gradient that holds α fixed
            return call.with_parameters(eps=1e-7)
        case "ciou":
            return call.with_parameters(eps=1e-7, detach_alpha=True)
        case _:
            return call


def _renamed(arrays: Any) -> Any:
    """Arrays by the names that they have here."""
    return {OUR_NAMES.get(name, name): array for name, array in arrays.items()} if isinstance(arrays, dict) else arrays


def _with_answers(call: Call) -> Call:
    """Two answers, which ours wants as means of their tokens for some losses and as sums for the others."""
    given, names = call.predictions, LOSSES[call.loss].inputs
    if "chosen_avg_logps" in given:
        return replace(call, predictions={side: given[f"{side}_avg_logps"] for side in ("chosen", "rejected")})
    divisor = {side: given[f"{side}_lengths"] if call.loss in ("ipo", "simpo") else 1.0 for side in ("chosen", "rejected")}
    arrays = {
        **{side: given[f"policy_{side}_logps"] / divisor[side] for side in divisor},
        **{f"reference_{side}": given[f"ref_{side}_logps"] / divisor[side] for side in divisor if f"ref_{side}_logps" in given},
        **{f"{side}_length": given[f"{side}_lengths"] for side in divisor},
    }
    chosen = {name: array for name, array in arrays.items() if name in names}
    targets = {name: array for name, array in chosen.items() if names[name].side == "targets"}
    return replace(call, predictions={side: chosen[side] for side in divisor}, targets=targets or None, divisor=divisor)


def answer(call: Call, entry: Entry, reduction: Any, weighted: bool = False) -> Evaluation:
    weights = np.array(entry["weights"]["sample_weight"], dtype=np.float64) if weighted else None
    return evaluate(
        check(LOSSES[call.loss], call.parameters, call.predictions, call.targets, sample_weight=weights), reduction=reduction
    )


def found(call: Call, entry: Entry, key: str) -> Any:
    """What we say for one key of an entry's `expected`."""
    weighted = "weights" in entry and key.startswith("weighted")
    if key == "gradient":  # of the sum
        gradients = {
            name: call.factor * array / call.divisor.get(name, 1.0)
            for name, array in gradients_of(answer(call, entry, call.reduction)).items()
        }
        named = isinstance(entry["expected"]["gradient"], dict)
        only = next(iter(gradients.values()))  # the entry's first input, where ours has several
        gradients |= {f"policy_{side}_logps": gradients[side] for side in call.divisor}
        return gradients if named else only.reshape(np.shape(entry["expected"]["gradient"]))
    if key in ("per_sample", "per_output"):
        losses = answer(call, entry, "none").per_sample
        assert losses is not None
        return call.factor * call.columns * losses + call.constant
    if call.loss == "sequence_cross_entropy" and key in ("mean", "sum"):  # of the sequences' own losses
        losses = answer(call, entry, "none").per_sample
        assert losses is not None
        return losses.mean() if key == "mean" else losses.sum()
    if key == "aggregate" and LOSSES[call.loss].family == "relative":
        key = "mean"
    reductions = {
        "mean": "mean",
        "sum": "sum",
        "aggregate": call.reduction,
        "token_mean": "mean",
        "weighted_mean": "mean",
        "weighted_mean_over_n": "mean_over_samples",
    }
    result = answer(call, entry, reductions[key], weighted)
    value = result.value
    assert value is not None
    if key == "sum" and result.n_elements:  # here of the samples' means, as Keras has it
        value *= result.n_samples / result.n_elements
    return (call.factor * call.columns * value) ** (1 / call.root) + call.constant


@in_turn("identity", [identity for identity in ENTRIES if identity not in REFUSED])
def test_published_number(identity: str) -> None:
    entry = ENTRIES[identity]
    call = adapted(entry)
    assert entry["expected"]
    for key, expected in entry["expected"].items():
        if key in call.unlike or NOT_TAKEN.get(identity) == key:
            continue
        ours, theirs = found(call, entry, key), numbers(expected)
        if key == "gradient" and (places := entry["params"].get("compare_indices")):  # the others are another convention's
            ours, theirs = next(iter(ours.values()))[places] if isinstance(ours, dict) else ours[places], theirs[places]
        parts = [(ours[name], theirs[name]) for name in theirs] if isinstance(theirs, dict) else [(ours, theirs)]
        for mine, other in parts:
            rtol = DIFFERENCED if key == "gradient" and identity in OF_DIFFERENCES else entry.get("rtol", 0.0)
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=entry["tol"], err_msg=key)


@pytest.mark.parametrize("identity", REFUSED)
def test_what_is_not_taken_at_its_word_is_refused(identity: str) -> None:
    with pytest.raises((InvalidArray, InvalidParameter)):
        answer(adapted(ENTRIES[identity]), ENTRIES[identity], "mean")


@pytest.mark.parametrize("identity", UNLIKE)
def test_a_gradient_that_is_not_taken_is_not_ours(identity: str) -> None:
    entry = ENTRIES[identity]
    ours, theirs = found(adapted(entry), entry, "gradient"), numbers(entry["expected"]["gradient"])
    assert np.isfinite(ours).all()
    assert not np.isclose(ours, theirs).any()


def test_every_entry_is_of_a_loss_we_have() -> None:
    assert all(LOSSES.resolve(adapted(entry).loss) for entry in ENTRIES.values())
    assert NOT_TAKEN
    assert set(NOT_TAKEN) <= set(ENTRIES)


def test_the_row_of_a_refused_entry_without_a_blank_inside() -> None:
    entry = ENTRIES["ctc/01"]
    call = adapted(entry)
    first = replace(call, predictions=call.predictions[:1], targets=call.targets[:1])
    assert answer(first, entry, "mean").value == pytest.approx(2.442931466194657, abs=entry["tol"])
