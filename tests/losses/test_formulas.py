"""The formulas that the catalogue shows: regular, explained, and true of the numbers that the losses give."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, Loss, check, evaluate
from app.losses.formula import read, written
from app.losses.numerics.special import special
from app.losses.symbols import choices_of, symbols_of
from tests.losses.drawing import Case, cases, gradients_of, kernel_of
from tests.losses.formulas import FUNCTIONS, Numbers, evaluated, slopes

# --- symbols that a loss explains itself ------------------------------------------------------------------------------


class Box:
    """A box, of which & is what it has in common with another, and | the area of both."""

    def __init__(self, corners: Any) -> None:
        self.low, self.high = np.asarray(corners[:2]), np.asarray(corners[2:])

    def __abs__(self) -> float:
        return float(np.prod(np.maximum(self.high - self.low, 0.0)))

    def __and__(self, other: "Box") -> float:
        return abs(Box([*np.maximum(self.low, other.low), *np.minimum(self.high, other.high)]))

    def __or__(self, other: "Box") -> float:
        return abs(self) + abs(other) - (self & other)


def of_boxes(numbers: Numbers) -> Numbers:
    """What is said of two boxes, and of the first moved along one coordinate."""

    def known(corners: Any) -> dict[str, Any]:
        a, b = Box(corners), Box(numbers["y"])
        around = Box([*np.minimum(a.low, b.low), *np.maximum(a.high, b.high)])
        gap = (a.low + a.high - b.low - b.high) / 2
        ends = {"c": float(np.hypot(*(around.high - around.low)))} if "c" not in numbers.defined else {}
        (w, h), (w_true, h_true) = a.high - a.low, b.high - b.low
        sides = dict(zip("bd", (around.high - around.low).tolist(), strict=True)) if "b" not in numbers.defined else {}
        return {
            "A": a,
            "B": b,
            "C": abs(around),
            "ρ": np.sqrt(gap @ gap),
            "w": w,
            "h": h,
            "w′": w_true,
            "h′": h_true,
            **ends,
            **sides,
        }

    def moved(step: float) -> Numbers:
        corners = np.array(numbers["p"])
        corners[numbers["j"]] += step
        return numbers.beside(**known(corners))

    return replace(numbers.beside(**known(numbers["p"])), moved=moved)


def of_sequences(numbers: Numbers) -> Numbers:
    """The alignments of a sequence, one by one, and what each frame stands for in them."""
    x, labels, blank = numbers["x"], [label for label in numbers["y"] if label >= 0], numbers["blank"]
    p = FUNCTIONS["softmax"](x) if numbers["from_logits"] else np.exp(x)
    ways = [
        way
        for way in itertools.product(range(x.shape[1]), repeat=len(x))
        if [label for label, _ in itertools.groupby(way) if label != blank] == labels
    ]
    chances = np.array([np.prod([p[t, way[t]] for t in range(len(x))]) for way in ways])

    def share(t: int, j: int) -> float:
        return float(chances[[way[t] == j for way in ways]].sum() / chances.sum())

    return Numbers({**numbers.known, "p": lambda t, j: p[t, j], "γ": share}, {"a": ways, "t": range(len(x))})


ARRAYS = {
    "m": ("mean", "location"),
    "s": ("scale",),
    "v": ("variance",),
    "ν": ("degrees",),
    "h": ("shape",),
    "κ": ("concentration",),
    "a": ("a",),
    "b": ("b",),
    "μ": ("rate",),
    "α": ("dispersion",),
    "q": ("zero_share",),
    "w": ("exposure",),
    "g": ("logits",),
}
"""What formulas call the arrays by which distributions are predicted."""


def of_distributions(numbers: Numbers) -> Numbers:
    """Where a distribution lies, how wide it is, and what shape it has."""
    found = {symbol: numbers[name] for symbol, several in ARRAYS.items() for name in several if name in numbers.known}
    components = max(map(np.size, found.values()))
    return numbers.beside({symbol: number for symbol, number in found.items() if symbol not in numbers.defined}, k=components)


def best_wrong(numbers: Numbers) -> Numbers:
    return numbers.beside(c=int(np.argmax(np.where(np.arange(numbers["k"]) == numbers["y"], -np.inf, numbers["s"]))))


def halved(numbers: Numbers) -> Numbers:
    binary, asked = np.ndim(numbers["p"]) == 0, numbers["scale_by_half"]
    return numbers.beside(binary=binary, h=0.5 if asked or (asked is None and binary) else 1.0)


def of_answers(numbers: Numbers) -> Numbers:
    """Log-probabilities of two answers, those of the reference where there is one, and lengths."""
    spelled = {
        "a": "chosen",
        "b": "rejected",
        "a′": "reference_chosen",
        "b′": "reference_rejected",
        "c": "chosen_length",
        "d": "rejected_length",
        "ε": "label_smoothing",
    }
    return numbers.beside({symbol: numbers.known[name] for symbol, name in spelled.items() if name in numbers.known})


def of_lists(numbers: Numbers) -> Numbers:
    """What the sum over the pairs of a list is divided by."""
    items = len(numbers["y"])
    differ = sum(a > b for a in numbers["y"] for b in numbers["y"])
    pairs = items**2 if numbers["every_pair"] else differ
    return numbers.beside(N=max(1, {"pairs": pairs, "items": items}.get(numbers["divide_by"], 1)))


def of_order(numbers: Numbers) -> Numbers:
    """The items from each on in the order of their grades, and the weight of its place."""
    order = list(np.argsort(-numbers["y"], kind="stable"))
    after = {int(item): frozenset(map(int, order[place:])) for place, item in enumerate(order)}
    weights = np.array([2.0 ** len(after[item]) - 1 for item in range(len(order))])
    sets = np.empty(len(order), object)
    sets[:] = [after[item] for item in range(len(order))]
    return numbers.beside(A=sets, w=weights)


def of_gains(numbers: Numbers) -> Numbers:
    """The gain of the best order, and what NeuralSort gives each item of each place."""
    s, k = numbers["s"], len(numbers["y"])
    best = sum((2.0**y - 1) / np.log(2.0 + place) for place, y in enumerate(sorted(numbers["y"], reverse=True)))
    apart = np.abs(s[:, None] - s).sum(axis=1)
    shares = FUNCTIONS["softmax"](((k - 1 - 2 * np.arange(k))[:, None] * s - apart) / numbers["temperature"])
    return numbers.beside(M=best, P=lambda i, j: shares[i, j])


def of_tokens(numbers: Numbers) -> Numbers:
    """Logits of each token at each place, and which one came."""
    x = numbers["x"]
    known = {**numbers.known, "x": lambda t, j: x[int(t), int(j)], "n": len(x), "k": x.shape[1]}
    return replace(numbers, known=known, ranges={"t": range(len(x))})


ANSWERS = (
    "dpo",
    "cdpo",
    "robust_dpo",
    "dpo_hinge",
    "ipo",
    "dpo_norm",
    "simpo",
    "orpo",
    "exo",
    "discopop",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "apo_zero",
    "apo_down",
)


OWN: Mapping[str, Callable[[Numbers], Numbers]] = {
    **dict.fromkeys(("iou", "giou", "diou", "ciou", "eiou", "focal_eiou", "wiou"), of_boxes),
    **dict.fromkeys(("categorical_hinge", "crammer_singer_hinge"), best_wrong),
    **dict.fromkeys(
        (
            "dice",
            "tversky",
            "boundary",
            "unified_focal",
            "class_distance_weighted",
            "knowledge_distillation",
            "minkowski",
        ),
        lambda numbers: numbers,
    ),
    "cross_entropy_lambda": lambda numbers: numbers.beside(y=numbers["outcome"], w=numbers["exposure"]),
    "bradley_terry": lambda numbers: numbers.beside(a=numbers["winner"], b=numbers["loser"]),
    "margin_mse": lambda numbers: numbers.beside(a=numbers["positive"], b=numbers["negative"]),
    **dict.fromkeys(
        ("cosine_embedding", "margin_ranking"), lambda numbers: numbers.beside(a=numbers["first"], b=numbers["second"])
    ),
    **dict.fromkeys(ANSWERS, of_answers),
    "kto": lambda numbers: numbers.beside(
        {
            "p′": numbers["reference"],
            "y": numbers["desirable"],
            "z": numbers["kl"],
            "c": numbers["desirable_weight"],
            "d": numbers["undesirable_weight"],
        }
    ),
    "brier_score": halved,
    **dict.fromkeys(("dawid_sebastiani_score", "crps_normal", "crps_laplace", "crps_logistic"), of_distributions),
    **{loss.name: of_distributions for loss in LOSSES.values() if loss.family in ("distribution", "shape")},
    "von_mises_nll": lambda numbers: of_distributions(numbers.beside(I=special("iv"))),
    "interval_score": lambda numbers: numbers.beside(l=numbers["lower"], u=numbers["upper"]),
    "weighted_interval_score": lambda numbers: numbers.beside(
        l=numbers["lower"],
        u=numbers["upper"],
        m=numbers["median"],
        k=len(numbers["lower"]),
        α=np.arange(1, 2 * len(numbers["lower"]), 2) / (2 * len(numbers["lower"]) + 1),
    ),
    **dict.fromkeys(
        ("logistic_hazard", "pmf_nll", "mtlr", "survival_bce"),
        lambda numbers: numbers.beside(t=int(numbers["interval"]), δ=numbers["event"]),
    ),
    "contrastive": lambda numbers: numbers.beside(d=numbers["p"]),
    **dict.fromkeys(
        ("triplet_margin", "soft_margin_triplet"),
        lambda numbers: numbers.beside(a=numbers["anchor"], u=numbers["positive"], v=numbers["negative"]),
    ),
    "angular": lambda numbers: numbers.beside(
        a=numbers["anchor"], u=numbers["positive"], v=numbers["negative"], b=np.tan(np.deg2rad(numbers["alpha"])) ** 2
    ),
    "balanced_l1": lambda numbers: numbers.beside(b=np.expm1(numbers["gamma"] / numbers["alpha"])),
    "pc_hazard": lambda numbers: numbers.beside(t=int(numbers["interval"]), δ=numbers["event"], c=numbers["fraction"]),
    "arcface": lambda numbers: numbers.beside(
        c=numbers["p"], a=numbers["scale"], A=np.cos(numbers["margin"]), B=np.sin(numbers["margin"])
    ),
    "cosface": lambda numbers: numbers.beside(c=numbers["p"], a=numbers["scale"]),
    "proxy_nca": lambda numbers: numbers.beside(c=numbers["p"], b=numbers["scale"]),
    "ctc": of_sequences,
    **dict.fromkeys(
        ("pairwise_logistic", "pairwise_hinge", "pairwise_soft_zero_one", "pairwise_quantile"),
        lambda numbers: of_lists(numbers.beside(every_pair=False)),
    ),
    "pairwise_mse": lambda numbers: of_lists(numbers.beside(every_pair=True)),
    "cosent": lambda numbers: numbers.beside(λ=numbers["scale"]),
    "listmle": lambda numbers: of_order(numbers).beside(N=len(numbers["y"]) if numbers["divide_by_items"] else 1),
    "p_listmle": of_order,
    "pointwise_sigmoid": lambda numbers: numbers.beside(N=len(numbers["y"]) if numbers["divide_by_items"] else 1),
    "unique_softmax": lambda numbers: numbers,
    **dict.fromkeys(("approx_ndcg", "neural_ndcg"), of_gains),
    "approx_mrr": lambda numbers: numbers,
    "mcc": lambda numbers: numbers,
    "cumulative_link": lambda numbers: numbers.beside(
        s=numbers["score"], a=numbers["thresholds"], y=int(numbers["y"]), k=len(numbers["thresholds"])
    ),
    "perplexity": of_tokens,
}
"""Numbers for the symbols that losses explain themselves. A loss of such symbols that is not here is not evaluated."""
WITH_RESPECT_TO = {
    loss.name: re.findall(r"∂ℓ/∂(.)", loss.gradient) for loss in LOSSES.values() if len(loss.sides["predictions"]) > 1
}
"""By what the formula of a gradient calls the arrays of predictions: in their order."""


# --- evaluation -------------------------------------------------------------------------------------------------------


def decided(numbers: Mapping[str, Any]) -> Any:
    """What a prediction stands for, where it is no decision itself."""
    p = numbers["p"]
    return int(np.argmax(p)) if np.ndim(p) else p if p == np.floor(p) else float(p > numbers.get("threshold", 0.5))


def numbers_of(loss: Loss, parameters: Mapping[str, Any], arrays: Mapping[str, Any]) -> Numbers:
    """What the symbols of a loss stand for, of these arrays."""
    known: dict[str, Any] = {**parameters, **arrays, **{str(word): word for word in choices_of(loss)}}
    for symbol in symbols_of(loss):
        if symbol.parameter:
            known[symbol.symbol] = parameters[symbol.parameter]
    p: Any = arrays.get("predictions")
    y: Any = arrays.get("targets")
    taken = {symbol.symbol for symbol in symbols_of(loss) if symbol.parameter}
    known |= {name: array for name, array in {"p": p, "x": p, "s": p, "y": y}.items() if array is not None and name not in taken}
    known["k"] = 1 if p is None or not np.ndim(p) else len(p)
    if p is not None and y is not None:
        known["ŷ"] = decided({**parameters, "p": p}) if np.ndim(p) < 2 and "ŷ" in loss.formula else None
        known["r"] = p - y if np.shape(p) == np.shape(y) else None
    if y is not None and np.ndim(y) and "Y" in loss.formula:
        known["Y"] = frozenset(np.flatnonzero(y).tolist())
    if known.get("w") is None:
        known["w"] = 1.0  # weights that are left out
    numbers = Numbers(known).reading(loss.formula, loss.gradient)
    return OWN[loss.name](numbers) if loss.symbols else numbers


def covered(case: Case) -> bool:
    """Whether the formula says something of every parameter that is set, of arrays of this shape."""
    told = {symbol.parameter for symbol in symbols_of(case.loss)} | {"target_format", "scale_by_half", "threshold"}
    lists = any(isinstance(number, list) or number == 1000 for number in case.parameters.values())  # 1000: overflows here
    plain = case.parameters.keys() <= told and not lists and case.parameters.get("full") != "stirling"
    evaluable = not case.loss.symbols or case.loss.name in OWN
    return plain and evaluable and case.d == () and "soft " not in case.words and not case.parameters.get("swap")


CASES = [case for case in cases() if covered(case)]
EVALUATED = {case.loss.name for case in CASES}


def samples(case: Case) -> Iterator[tuple[Numbers, float, dict[str, Any]]]:
    """Numbers for the formula, the loss that they give, and its gradient by array."""
    batch = case.batch(case.draw())
    parameters = {**case.loss.defaults, **case.parameters}
    names = list(case.loss.inputs)
    arrays = dict(zip(names, (np.asarray(array[:]) for array in batch.arrays), strict=True))
    if case.loss.mean.of_all is not None:
        evaluation = evaluate(batch)
        gradient = gradients_of(evaluation)["predictions"].reshape(-1)
        numbers = numbers_of(case.loss, parameters, arrays)
        yield numbers.beside(n=float(batch.size)), float(evaluation.value or 0.0), {"predictions": gradient}
        return
    values, pull, *_ = kernel_of(batch)
    with np.errstate(all="ignore"):
        given: Any = pull(np.ones(len(values))) if callable(pull) else pull
    slopes = dict(zip(case.prediction_names, given if isinstance(given, tuple) else (given,), strict=True))
    for row, loss in enumerate(values):
        mine = {name: array[row] for name, array in arrays.items()}
        yield (
            numbers_of(case.loss, parameters, mine),
            float(loss),
            {name: None if slope is None else slope[row] for name, slope in slopes.items()},
        )


def test_formulas_say_what_the_losses_give() -> None:
    for case in CASES:
        if case.coupling != "sample":
            continue
        for numbers, loss, _ in samples(case):
            with np.errstate(all="ignore"):
                assert evaluated(case.loss.formula, numbers) == pytest.approx(loss, rel=1e-9, abs=1e-9), (
                    f"{case}: {numbers.known}"
                )


def test_formulas_of_gradients_say_what_the_losses_give() -> None:
    for case in CASES:
        if case.coupling != "sample" or not case.loss.gradient:
            continue
        for numbers, loss, gradient in samples(case):
            with np.errstate(all="ignore"):
                for name, found in gradient_of(case.loss, numbers.beside({"ℓ": loss}), gradient).items():
                    near = 1e-5 if numbers.moved else 1e-9
                    assert found == pytest.approx(gradient[name], rel=near, abs=near), f"{case} {name}: {numbers.known}"


def gradient_of(loss: Loss, numbers: Numbers, like: Mapping[str, Any]) -> dict[str, Any]:
    """What the formula says of the gradient, in the shape of the predictions."""
    if loss.name in WITH_RESPECT_TO:
        rows = [slopes(loss.gradient, numbers.beside(j=j)) for j in range(max(map(np.size, like.values())))]
        found = rows[0] if np.ndim(rows[0][WITH_RESPECT_TO[loss.name][0]]) or len(rows) == 1 else _columns(rows)
        return {name: found[symbol] for name, symbol in zip(like, WITH_RESPECT_TO[loss.name], strict=True)}
    row = like["predictions"]
    one = "∂ℓ/∂z" in loss.gradient

    def value_at(**index: int) -> float:
        inside = OWN[loss.name](numbers.beside(**index)) if one else numbers.beside(**index)
        return float(slopes(loss.gradient, inside)["z"] if one else evaluated(loss.gradient, inside))

    if np.ndim(row) == 2:
        return {"predictions": np.array([[value_at(t=t, j=j) for j in range(row.shape[1])] for t in range(row.shape[0])])}
    whole = None if one or np.ndim(row) == 0 else np.asarray(evaluated(loss.gradient, numbers.beside(i=0, j=0)))
    if np.ndim(row) == 0 or (whole is not None and whole.shape == np.shape(row)):
        return {"predictions": evaluated(loss.gradient, numbers)}
    return {"predictions": np.array([value_at(i=index, j=index) for index in range(len(row))])}


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_the_formulas_of_a_batch_say_what_it_gives() -> None:
    """Of circle: each sample's loss of its distances to all others, and what these do to it."""
    (case,) = [case for case in cases("circle") if not case.parameters]
    loss, arrays = case.loss, case.draw()
    p, groups = arrays["predictions"], arrays["targets"]
    values, pull, *_ = kernel_of(case.batch(arrays))
    gradient = np.zeros_like(p)
    for i in range(len(p)):
        others = [j for j in range(len(p)) if j != i]
        same = frozenset(j for j in others if groups[j] == groups[i])
        known = {"p": p, "i": i, "k": len(p), "P": same, "N": frozenset(others) - same, "γ": 80.0, "m": 0.4}
        numbers = Numbers(known).reading(loss.formula, loss.gradient)
        if same and known["N"]:
            assert evaluated(loss.formula, numbers) == pytest.approx(values[i], rel=1e-9)
            for j in others:
                slope = slopes(loss.gradient, numbers.beside(j=j))["D"]
                gradient[j] -= slope * p[i]
                gradient[i] -= slope * p[j]
        else:
            assert values[i] == 0
    assert np.any(values)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(pull((values != 0) * 1.0), gradient, rtol=1e-9, atol=1e-9)


def of_maps(numbers: Numbers) -> Numbers:
    """Probabilities of each class at each position of a map, and which of them is true."""
    p, y = numbers.known["p"], numbers.known["y"].astype(int)
    positions, k = range(len(p)), p.shape[1]
    known = {"p": lambda i, c: p[i, c], "y": lambda i, c: float(y[i] == c), "s": 0.0, "k": k}
    indices = {"i": positions, "j": positions, "c": range(k), "b": range(k)}
    return Numbers({**numbers.known, **known, "C": frozenset(y.tolist())}, indices, numbers.defined)


def lost_of(p: Any, y: Any) -> Callable[[int, int], float]:
    """How much of its intersection over union each class loses by each position beside those that are further off."""
    lost = np.zeros_like(p)
    for c in range(p.shape[1]):
        order = np.argsort(-np.abs((y == c) - p[:, c]), kind="stable")
        unions = (y == c).sum() + np.cumsum(y[order] != c)
        lost[order, c] = np.diff(1.0 - ((y == c).sum() - np.cumsum(y[order] == c)) / unions, prepend=0.0)
    return lambda i, c: float(lost[i, c])


def test_the_formulas_of_maps_say_what_they_cost() -> None:
    """Of maps in which every class occurs: of one that does not the weight is infinite, and counts as the largest."""
    rng = np.random.default_rng(9)
    p, y = rng.dirichlet(np.ones(3), (4, 6)), np.array([rng.permutation([0, 1, 2, *rng.integers(0, 3, 3)]) for _ in range(4)])
    for name, settings in (
        ("generalized_dice", [{"size_weight": word} for word in ("square", "simple", "uniform")]),
        ("lovasz_softmax", [{}]),
    ):
        loss = LOSSES[name]
        for parameters in settings:
            answer = evaluate(check(loss, parameters, p, y * 1.0), reduction="none")
            assert answer.per_sample is not None
            for row, value in enumerate(answer.per_sample):
                words = {str(word): word for word in choices_of(loss)}
                known = {**words, **loss.defaults, **parameters, "p": p[row], "y": y[row]}
                numbers = of_maps(Numbers(known).reading(loss.formula, loss.gradient))
                hot = numbers if name == "generalized_dice" else numbers.beside(y=y[row], v=lost_of(p[row], y[row]))
                assert evaluated(loss.formula, hot) == pytest.approx(value, rel=1e-12), parameters
                slope = [
                    [slopes(loss.gradient, hot.beside({"ℓ": value}, i=i, c=c))["p"] for c in range(3)] for i in range(len(y[row]))
                ]
                np.testing.assert_allclose(slope, gradients_of(answer)["predictions"][row], rtol=1e-9, err_msg=name)


def test_the_formula_of_an_agreement_by_chance_says_what_it_costs() -> None:
    """Of weighted_kappa, which is of a whole batch."""
    rng = np.random.default_rng(10)
    p, y, loss = rng.dirichlet(np.ones(4), 6), rng.integers(0, 4, 6), LOSSES["weighted_kappa"]
    for weightage in ("linear", "quadratic"):
        answer = evaluate(check(loss, {"weightage": weightage}, p, y * 1.0))
        known = {"p": lambda i, j: p[i, j], "y": y, "n": 6, "k": 4, "ε": loss.defaults["epsilon"], "weightage": weightage}
        numbers = replace(Numbers({**known, "linear": "linear"}), ranges={"i": range(6), "l": range(6)}).reading(
            loss.formula, loss.gradient
        )
        assert evaluated(loss.formula, numbers) == pytest.approx(answer.value, rel=1e-12)
        slope = [[slopes(loss.gradient, numbers.beside(i=i, j=j))["p"] for j in range(4)] for i in range(6)]
        np.testing.assert_allclose(slope, gradients_of(answer)["predictions"], rtol=1e-9)


def test_the_formula_of_labels_both_ways_says_what_they_cost() -> None:
    """Of two_way, which is of a whole batch; some of its samples have no true label, and one has all."""
    rng = np.random.default_rng(11)
    s, true, loss = rng.normal(size=(5, 4)), rng.integers(0, 2, (5, 4)), LOSSES["two_way"]
    true[0], true[1], true[:, 0] = 0, 1, (0, 1, 1, 0, 1)
    answer = evaluate(check(loss, {}, s, true * 1.0))
    rows, columns = (np.empty(count, object) for count in true.shape)
    rows[:], columns[:] = ([frozenset(np.flatnonzero(line).tolist()) for line in lines] for lines in (true, true.T))
    known = {
        **loss.defaults,
        "s": lambda i, j: s[i, j],
        "Y": rows,
        "Z": columns,
        "A": frozenset(np.flatnonzero(true.any(axis=1)).tolist()),
        "B": frozenset(np.flatnonzero(true.any(axis=0)).tolist()),
        "k": 4,
    }
    numbers = Numbers(known, {"i": range(5), "m": range(5)}).reading(loss.formula, loss.gradient)
    with np.errstate(divide="ignore"):  # of all labels none is false
        assert evaluated(loss.formula, numbers) == pytest.approx(answer.value, rel=1e-12)
        slope = [[slopes(loss.gradient, numbers.beside(i=i, j=j))["s"] for j in range(4)] for i in range(5)]
    np.testing.assert_allclose(slope, gradients_of(answer)["predictions"], rtol=1e-9, atol=1e-15)


def test_the_formula_of_anchors_says_what_they_cost() -> None:
    """Of proxy_anchor, which is of a whole batch; one of its proxies has no sample."""
    c, labels, loss = np.random.default_rng(12).uniform(-1, 1, (5, 4)), np.array([0, 1, 1, 3, 3]), LOSSES["proxy_anchor"]
    answer = evaluate(check(loss, {"alpha": 3.0}, c, labels * 1.0))
    own = np.empty(4, object)
    own[:] = [frozenset(np.flatnonzero(labels == proxy).tolist()) for proxy in range(4)]
    known = {"α": 3.0, "δ": 0.1, "c": lambda i, j: c[i, j], "Z": own, "A": frozenset({0, 1, 3}), "k": 4}
    numbers = Numbers(known, {"i": range(5), "l": range(5)}).reading(loss.formula, loss.gradient)
    assert evaluated(loss.formula, numbers) == pytest.approx(answer.value, rel=1e-12)
    slope = [[slopes(loss.gradient, numbers.beside(i=i, j=j))["c"] for j in range(4)] for i in range(5)]
    np.testing.assert_allclose(slope, gradients_of(answer)["predictions"], rtol=1e-9)


# --- notation ---------------------------------------------------------------------------------------------------------

FORMULAS = [(loss, formula) for loss in LOSSES.values() for formula in (loss.formula, loss.gradient) if formula]


def test_every_formula_is_read_and_written_as_it_stands() -> None:
    for loss, formula in FORMULAS:
        assert written(read(formula)) == formula, loss.name


def test_a_gradient_has_a_formula_where_there_is_one() -> None:
    for loss in LOSSES.values():
        assert bool(loss.gradient) == loss.differentiable, loss.name


def test_every_symbol_is_explained() -> None:
    for loss in LOSSES.values():
        for symbol in symbols_of(loss):
            assert symbol.meaning, f"{loss.name}: {symbol}"
        assert set(loss.symbols) <= {symbol.symbol for symbol in symbols_of(loss)}, f"{loss.name} explains what it does not use"
