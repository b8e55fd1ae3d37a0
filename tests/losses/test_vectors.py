"""Numbers that libraries publish or give, entry by entry: vectors.json against the service's own losses.

An entry says its inputs in the words of the library it comes from. `adapted` puts them into ours: what differs between
libraries stands there, a line for each difference, and a parameter that no line mentions fails.
"""

import json
from dataclasses import dataclass, field, replace
from math import lgamma, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidArray, InvalidParameter
from app.losses import LOSSES, Evaluation, check, evaluate
from tests.losses.drawing import gradients_of

Entry = dict[str, Any]
ENTRIES: dict[str, Entry] = {entry["id"]: entry for entry in json.loads((Path(__file__).parent / "vectors.json").read_text())}

REFUSED = {
    "categorical_hinge/01": "a one-hot row without a 1: a sample of no class",
    "kl_divergence/01": "rows that do not sum to 1 are no distributions",
    "ctc/01": "a blank inside a target is no label",
}
"""Entries that the service does not take at their word, and why."""

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
}
"""Remarks of an entry that describe what our loss is or takes anyway."""

OUR_NAMES = {
    "idx_durations": "interval",
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
    divisor: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the entry divides its predictions by, by the names that ours have."""

    def with_parameters(self, **parameters: Any) -> "Call":
        return replace(self, parameters={**self.parameters, **parameters})


def numbers(written: Any) -> Any:
    """Nested lists as an array, {"__float__": "-inf"} as what it says; an object of arrays by name."""
    if isinstance(written, dict) and "__float__" not in written:
        return {name: numbers(array) for name, array in written.items()}
    return None if written is None else np.array(_floats(written), dtype=np.float64)


def _floats(written: Any) -> Any:
    if isinstance(written, dict):
        return float(written["__float__"])
    return [_floats(item) for item in written] if isinstance(written, list) else float(written)


def adapted(entry: Entry) -> Call:
    """The entry as a call of ours."""
    call = Call(entry["loss"], numbers(entry["predictions"]), numbers(entry["targets"]))
    for name, value in entry["params"].items():
        call = _with_parameter(call, name, value)
    return _with_arrays(call, entry)


def _with_parameter(call: Call, name: str, value: Any) -> Call:
    match name, value:
        case ("input", "log_probs") if call.loss == "kl_divergence":
            return call.with_parameters(input_format="log_probabilities")
        case ("from_logits", flag) if call.loss == "kl_divergence":
            return call.with_parameters(input_format="logits" if flag else "probabilities")
        case ("from_logits", True) if call.loss == "multilabel_soft_margin":
            return call  # it takes nothing else
        case _ if name in SAID_BY_THE_ENCODING:
            return call
        case ("scale", factor) if call.loss != "mean_absolute_percentage_error":
            return replace(call, factor=factor)
        case ("quantiles", levels):
            return replace(call, loss="quantile").with_parameters(quantile=levels)
        case ("weights", str()) if call.loss == "weighted_interval_score":
            return call
        case ("tau", level) if call.loss == "quantile_huber":
            return call.with_parameters(quantile=level)
        case ("alpha", {"__float__": "-inf"}):
            return replace(call, loss="welsch")  # the limit, by its own name
        case ("parameterisation", _) if call.loss == "negative_binomial_nll":
            return call
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


def _with_arrays(call: Call, entry: Entry) -> Call:
    call = replace(call, predictions=_renamed(call.predictions), targets=_renamed(call.targets))
    match call.loss:
        case "dice" if call.predictions.ndim == 1:  # one mask
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "ctc" if call.predictions.ndim == 2:  # one sequence
            return replace(call, predictions=call.predictions[None], targets=call.targets[None])
        case "ctc":
            longest = entry["params"]["target_lengths"][0]
            return replace(call, targets=call.targets[:, :longest])
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
        case "bradley_terry":
            return replace(call, predictions={"winner": call.predictions, "loser": call.targets["negative"]}, targets=None)
        case "margin_mse":
            pair = {"positive": call.predictions, "negative": call.targets["negative"]}
            return replace(call, predictions=pair, targets=call.targets["teacher_margin"])
        case "kto":
            answers, kl = call.predictions, float(call.predictions["kl"])
            targets = {"reference": answers["ref_logps"], "desirable": call.targets["desirable"]}
            return replace(call.with_parameters(kl=kl), predictions=answers["policy_logps"], targets=targets)
        case loss if LOSSES[loss].family == "preference":
            return _with_answers(call)
        case "triplet_margin" if call.targets is not None:
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
            name: call.factor * gradient / call.divisor.get(name, 1.0)
            for name, gradient in gradients_of(answer(call, entry, "sum")).items()
        }
        named = isinstance(entry["expected"]["gradient"], dict)
        only = next(iter(gradients.values()))  # the entry's first input, where ours has several
        gradients |= {f"policy_{side}_logps": gradients[side] for side in call.divisor}
        return gradients if named else only.reshape(np.shape(entry["expected"]["gradient"]))
    if key in ("per_sample", "per_output"):
        losses = answer(call, entry, "none").per_sample
        assert losses is not None
        return call.factor * losses + call.constant
    reductions = {
        "mean": "mean",
        "sum": "sum",
        "aggregate": "sum",
        "weighted_mean": "mean",
        "weighted_mean_over_n": "mean_over_samples",
    }
    result = answer(call, entry, reductions[key], weighted)
    value = result.value
    assert value is not None
    if key == "sum" and result.n_elements:  # here of the samples' means, as Keras has it
        value *= result.n_samples / result.n_elements
    return (call.factor * value) ** (1 / call.root) + call.constant


@pytest.mark.parametrize("identity", [identity for identity in ENTRIES if identity not in REFUSED])
def test_published_number(identity: str) -> None:
    entry = ENTRIES[identity]
    call = adapted(entry)
    assert entry["expected"]
    for key, expected in entry["expected"].items():
        ours, theirs = found(call, entry, key), numbers(expected)
        if key == "gradient" and (places := entry["params"].get("compare_indices")):  # the others are another convention's
            ours, theirs = next(iter(ours.values()))[places] if isinstance(ours, dict) else ours[places], theirs[places]
        parts = [(ours[name], theirs[name]) for name in theirs] if isinstance(theirs, dict) else [(ours, theirs)]
        for mine, other in parts:
            np.testing.assert_allclose(mine, other, rtol=entry.get("rtol", 0.0), atol=entry["tol"], err_msg=key)


@pytest.mark.parametrize("identity", REFUSED)
def test_what_is_not_taken_at_its_word_is_refused(identity: str) -> None:
    with pytest.raises((InvalidArray, InvalidParameter)):
        answer(adapted(ENTRIES[identity]), ENTRIES[identity], "mean")


def test_every_entry_is_of_a_loss_we_have() -> None:
    assert all(LOSSES.resolve(entry["loss"]) for entry in ENTRIES.values())
    assert set(REFUSED) <= set(ENTRIES)


def test_the_row_of_a_refused_entry_without_a_blank_inside() -> None:
    entry = ENTRIES["ctc/01"]
    call = adapted(entry)
    first = replace(call, predictions=call.predictions[:1], targets=call.targets[:1])
    assert answer(first, entry, "mean").value == pytest.approx(2.442931466194657, abs=entry["tol"])
