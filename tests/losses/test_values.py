"""Every loss against an independent writing of its formula in high precision: value and derivatives, in ULP.

Ordinary numbers come through the encodings' own `draw`, with more digits; the others from `points`. A number is right
within 4 ULP of itself. Where float64 cannot do that, TOLERANCES says how far it may be, and why.
"""

import inspect
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray

from app.losses import LOSSES, Batch, check, evaluate
from app.losses.inputs import Encoding, Sizes
from app.losses.loss import NON_NEGATIVE
from app.losses.parameters import PER_SAMPLE, meaning, pooled_by
from tests.folding import folded, in_turn
from tests.losses.drawing import by_input, gradients_of, more_digits, normalised, others, sides
from tests.losses.exact import BEYOND, Exact, bits_for, constant_of, following, largest_magnitude, total_of, ulps
from tests.losses.oracles import COUNTS, FACTORS, MATRICES, MEANS, OF_BATCH, OF_ROWS, ORACLES, PARAMETERS, Formula, K
from tests.losses.points import FURTHER, batches, points

Array = NDArray[Any]

ULP = 4.0
ROWS = 12


@dataclass(frozen=True)
class Setting:
    name: str
    parameters: Mapping[str, Any]
    rank: int

    def __str__(self) -> str:
        parameters = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}({parameters}){'[n,k]' if self.rank == 2 else ''}"


def tried(name: str) -> list[Mapping[str, Any]]:
    """The parameters under which a loss is compared, and each that is not among them by itself, as its own bounds suggest."""
    given = [*PARAMETERS.get(name, [{}]), *MATRICES.get(name, [])]
    loss = LOSSES[name]
    own = [key for key in loss.own if key != "class_axis"]  # of which test_elements transposes every call
    left = [key for key in own if all(parameters.get(key, loss.defaults[key]) == loss.defaults[key] for parameters in given)]
    derived = ({key: value} for key in left if not pooled_by(loss.own[key]) for value in others(loss, key, 1))
    return [*PARAMETERS.get(name, [{}]), *derived]


SETTINGS = [
    *(Setting(name, parameters, 1) for name in LOSSES for parameters in tried(name)),
    *(Setting(name, parameters, 2) for name in LOSSES for parameters in MATRICES.get(name, [])),
]


def each_setting(settings: Iterable[Setting]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is made under one of these settings of each loss in `make test`, and under the others in `make test-thorough`."""
    return folded("setting", settings, of=lambda setting: setting.name, long=["barron_nll"])  # a normaliser of 50 digits


# --- tolerances -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be from the truth, in ULP: of themselves, or of what they are counted against."""

    because: str = ""
    value: float = ULP
    gradient: float = ULP
    of_row: bool = False
    """Whether a derivative is counted against the largest of its row."""
    least_value: float = 0.0
    """What a value is counted against at least."""
    least: float = 0.0
    """What a derivative is counted against at least: the size of the terms that cancel in it."""

    def unit(self, derivative: Any, row: Sequence[Any]) -> Any:
        return max(largest_magnitude(row if self.of_row else [derivative]), self.least)


SIGMOID = Tolerance(
    "σ − label, neither above 1, cancels where they meet; between hard labels and σ nothing does", gradient=2, least=1.0
)
SOFTMAX = Tolerance("softmax − label, neither above 1, cancels where they meet", gradient=2, least=1.0)
POSTERIOR = Tolerance("softmax − posterior, neither above 1, cancels where they meet", gradient=2, least=1.0)
POWER = Tolerance("a power γ has γ times the error of its base; soft labels subtract two of them", value=8, gradient=8)
PRODUCT = Tolerance("a product of softmaxes, each rounded", gradient=6)
DEVIANCE = Tolerance("the three powers of a deviance cancel where a prediction is near its target", value=8)
ENTROPY = Tolerance("the terms of a divergence of near distributions cancel", value=32)
ENTROPY_OF_LOGITS = Tolerance("as ENTROPY and SOFTMAX", value=32, gradient=2, least=1.0)
TRIPLET = Tolerance("the anchor's derivative is a difference of unit vectors", least=0.5)
MINKOWSKI = Tolerance("as TRIPLET; for p other than 1 and 2 two rounded distances are subtracted", value=32, least=0.5)
EXPECTATION = Tolerance("the derivatives of several labels, none far above 1, are added and cancel", least=1.0)
CIRCLE = Tolerance("γ multiplies the rounding of a similarity before it is exponentiated", gradient=12, of_row=True)
TURNED = Tolerance("what all others pull is added, and what is along a vector is taken out of it", gradient=16, of_row=True)
VARIED = Tolerance("deviations and correlations nearly 1 cancel with it", value=32, gradient=64, of_row=True, least=0.1)
LEVEL = Tolerance(
    "what the softmax and its divisor pull cancels, with twice the level of the logits",
    value=8,
    gradient=8,
    of_row=True,
    least=1.0,
)
INTERVAL = Tolerance("what pulls on both ends cancels", value=64, gradient=32, least=1.0)
HAZARD = Tolerance("the logarithm of a risk near 1 cancels with risks that are nearly 0", value=8, gradient=4, least=1.0)
RANKED = Tolerance(
    "the width multiplies the rounding of chances, and what two samples pull cancels", value=8, gradient=32, least=1.0
)
QUALITY = Tolerance("a power of what is left of σ − y, where they meet", value=32, gradient=32)
MASK = Tolerance("a pixel's derivative is its pull on errors less its pull on hits", gradient=6, of_row=True)
MASK_AND_POSITIONS = Tolerance("as MASK, and what positions and overlaps pull cancels", gradient=6, of_row=True, least=0.01)
BOX = Tolerance("a corner's derivative sums its pulls on overlap, hull, distance and shape, which cancel", of_row=True)
SIDES = Tolerance("a place or a size moves two edges, and each pull on one is as far off as BOX", gradient=8, of_row=True)
RISK = Tolerance("what earlier events pull and what a sample's own does cancel, each less than its share", least=1.0)
PAIRS = Tolerance("what an item's pairs pull, each no more than 1, is added and cancels", gradient=2, least=1.0)
DISTANCES = Tolerance("what an item's pairs pull is added and cancels", gradient=8, of_row=True)
PLACES = Tolerance(
    "what two items pull at each other's place is a difference, and all of these are added", gradient=16, of_row=True
)
SORTED = Tolerance("what all places pull on an item cancels, each no more than the length of the list", gradient=4, least=1.0)
RELEVANCE = Tolerance("softmax · relevance − relevance cancels where they meet", gradient=8, of_row=True, least=1.0)
TIED_RISK = Tolerance("as RISK; the logarithms of an order nobody knows cancel", value=64, least=1.0)
NEARLY_ALIKE = Tolerance("the shares of components before and after their densities, neither above 1, cancel", least=1e-10)
SETS = Tolerance(
    "what both sets pull at a sample cancels, each no more than 1", value=32, gradient=4, least=0.5, least_value=1e-16
)
BLURRED = Tolerance("over ε the rounding of costs is magnified, and three costs cancel", gradient=16, least=1.0, least_value=1.0)
FAIR = Tolerance("what near members pull at each other cancels with what the outcome pulls, each no more than 1", least=1e-15)
NORMALISER = Tolerance(
    "the normaliser, a little above 1, has the digits of float64, and cancels", gradient=12, least=1.0, least_value=1.0
)
GAMMAS = Tolerance("of logarithms of gamma functions, each with 30 digits, next to nothing is left", least_value=1e-14)

CHANCE = Tolerance("what a grade costs in a sample and by chance cancels", least=1e-20)
MINKOWSKI_ROW = Tolerance("of what is 1e290 times smaller than the largest, nothing is told", of_row=True)
CIRCULAR = Tolerance("what a wrong and a sure angle cost cancels: neither is far from 1 there", least_value=1.0, least=1.0)

Given = Mapping[str, Any]


RATES: Mapping[str, float] = {
    "nt_xent": 1 / 0.07,
    "supervised_contrastive": 10.0,
    "multi_similarity": 2.0,
    "neighbourhood_components": 2.0,
    "info_nce": 1 / 0.07,
    "clip": 1 / 0.07,
    "siglip": 10.0,
    "n_pairs": 1.0,
    "lifted_structure": 4.0,
    "batch_all_triplet": 1.0,
}
"""What a similarity or distance is multiplied by in a loss of all of them, by default: how hard one pulls."""


def turned(rate: float) -> Callable[[Given, Sequence[Array]], Tolerance]:
    def of_parameters(given: Given, _: Sequence[Array]) -> Tolerance:
        return replace(TURNED, least=given.get("scale", 1 / given.get("temperature", 1 / rate)))

    return of_parameters


TOLERANCES: Mapping[str, Callable[[Given, Sequence[Array]], Tolerance | None]] = {
    "tweedie_deviance": lambda given, _: DEVIANCE if given.get("power", 0) not in (0, 1, 2) else None,
    "binary_cross_entropy": lambda given, sample: SIGMOID if given.get("from_logits") and is_soft(given, sample[-1]) else None,
    "binary_focal": lambda *_: POWER,
    "categorical_focal": lambda given, _: POWER if given["from_logits"] else None,
    "generalized_cross_entropy": lambda given, _: PRODUCT if given["from_logits"] else None,
    "categorical_cross_entropy": lambda given, sample: (
        SOFTMAX if given.get("from_logits") and is_soft(given, sample[-1]) else None
    ),
    "kl_divergence": lambda given, _: ENTROPY_OF_LOGITS if given["input_format"] == "logits" else ENTROPY,
    "knowledge_distillation": lambda *_: replace(ENTROPY_OF_LOGITS, least_value=1e-30),
    "weighted_kappa": lambda *_: CHANCE,
    "minkowski": lambda given, _: None if given.get("power", 2) in (1, 2) else MINKOWSKI_ROW,
    "von_mises_nll": lambda *_: CIRCULAR,
    "triplet_margin": lambda given, _: TRIPLET if given.get("p", 2) in (1, 2) else MINKOWSKI,
    "circle": lambda *_: CIRCLE,
    **{name: turned(rate) for name, rate in RATES.items()},
    **dict.fromkeys(("barlow_twins", "vicreg"), lambda *_: VARIED),
    "soft_margin_triplet": lambda *_: TRIPLET,
    "arcface": lambda given, sample: EXPECTATION if is_soft(given, sample[-1]) else None,
    "cosface": lambda given, sample: EXPECTATION if is_soft(given, sample[-1]) else None,
    "sphereface": lambda given, sample: EXPECTATION if is_soft(given, sample[-1]) else None,
    "dice": lambda *_: MASK,
    "tversky": lambda *_: MASK,
    **dict.fromkeys(
        ("giou", "diou", "ciou", "eiou", "focal_eiou", "wiou", "bounded_iou"),
        lambda given, _: SIDES if "box_format" in given else BOX,
    ),
    **dict.fromkeys(
        ("jaccard", "focal_tversky", "log_cosh_dice", "bce_dice", "generalized_dice", "unified_focal"), lambda *_: MASK
    ),
    **dict.fromkeys(("mcc", "lovasz_softmax", "boundary"), lambda *_: MASK),
    "unified_focal": lambda *_: MASK_AND_POSITIONS,
    "iou": lambda given, _: SIDES if "box_format" in given else None,
    "cox_partial_likelihood": lambda given, _: TIED_RISK if given.get("ties") == "efron" else RISK,
    "barron_nll": lambda *_: NORMALISER,
    "beta_nll": lambda *_: GAMMAS,
    "gaussian_mixture_nll": lambda *_: NEARLY_ALIKE,
    "listnet": lambda *_: SOFTMAX,
    **dict.fromkeys(("pairwise_logistic", "pairwise_soft_zero_one", "pairwise_hinge"), lambda *_: PAIRS),
    **dict.fromkeys(("pairwise_mse", "pairwise_quantile", "cosent"), lambda *_: DISTANCES),
    **dict.fromkeys(("listmle", "p_listmle", "unique_softmax", "lambda_loss"), lambda *_: DISTANCES),
    **dict.fromkeys(("approx_ndcg", "approx_mrr"), lambda *_: PLACES),
    "neural_ndcg": lambda *_: SORTED,
    "variogram_score": lambda *_: DISTANCES,
    **dict.fromkeys(("energy_distance", "mmd"), lambda *_: SETS),
    "sinkhorn": lambda *_: BLURRED,
    "energy_score": lambda given, _: FAIR if given.get("estimator") == "fair" else None,
    "query_softmax": lambda *_: RELEVANCE,
    "pointwise_sigmoid": lambda *_: PAIRS,
    "quality_focal": lambda *_: QUALITY,
    "varifocal": lambda *_: POWER,
    "gaussian_focal": lambda *_: POWER,
    "distribution_focal": lambda *_: SOFTMAX,
    "sequence_cross_entropy": lambda given, sample: (
        LEVEL if given.get("z_loss") else SOFTMAX if is_soft(given, sample[-1]) else None
    ),
    "unlikelihood": lambda *_: DISTANCES,
    "aft_nll": lambda *_: INTERVAL,
    "pc_hazard": lambda *_: HAZARD,
    "cox_case_control": lambda given, _: PAIRS if given.get("shrink") else None,
    "deephit_rank": lambda *_: RANKED,
    "rnn_t": lambda *_: POSTERIOR,
    "ctc": lambda given, _: POSTERIOR if given.get("from_logits") else None,
}
"""Where float64 cannot have 4 ULP: by the parameters given and the arrays of one sample (predictions first, targets last)."""


def is_soft(given: Given, label: Array) -> bool:
    """Whether a label is anything but sure: a probability, a row of them, or smoothed."""
    return "label_smoothing" in given or np.ndim(label) > 0 or not float(label).is_integer()


def tolerance(setting: Setting, sample: Sequence[Array]) -> Tolerance:
    if np.ndim(sample[-1]) and "label_smoothing" in LOSSES[setting.name].options:
        return EXPECTATION
    return TOLERANCES.get(setting.name, lambda *_: None)(setting.parameters, sample) or Tolerance()


UNDERFLOWN = 1e-300
"""Of a product whose factors may be below float64 where it is not, not every digit is there."""
SECOND: Mapping[str, Tolerance] = {
    "mean_squared_logarithmic_error": Tolerance("1 − ln((1 + p)/(1 + y)) cancels where the ratio is near e", gradient=8),
    "binary_focal": Tolerance("of a logit, the power γ magnifies the rounding of e^−|x|", gradient=6),
    "categorical_focal": Tolerance("as binary_focal, and a class that is not the label turns elsewhere", gradient=6, of_row=True),
    "generalized_cross_entropy": Tolerance("p(1 − p) − q·p² cancels, each p rounded", gradient=6, of_row=True),
}
EVEN = Tolerance("of q = 1 it is p(1 − 2p), which cancels for both of two classes with p near ½", gradient=6, least=0.05)


def tolerance_of_second(setting: Setting) -> Tolerance:
    even = setting.name == "generalized_cross_entropy" and setting.parameters["q"] == 1.0 and setting.parameters["from_logits"]
    return EVEN if even else SECOND.get(setting.name, Tolerance())


# --- batches --------------------------------------------------------------------------------------------------------


def ordinary(setting: Setting) -> Iterator[tuple[Array, ...]]:
    loss = LOSSES[setting.name]
    rng = np.random.default_rng(zlib.crc32(str(setting).encode()))
    encodings = {name: taken.decide({**loss.defaults, **setting.parameters}, setting.rank) for name, taken in loss.inputs.items()}
    sizes = Sizes(ROWS, K, (K,) if setting.rank == 2 and setting.name not in OF_ROWS else ())
    arrays = {
        name: more_digits(encoding, np.asarray(encoding.draw(rng, sizes), np.float64), rng)
        for name, encoding in encodings.items()
    }
    for name, encoding in encodings.items():
        if encoding.name == "embedding":
            arrays[name] = np.concatenate([arrays[name], more_digits(encoding, encoding.draw(rng, sizes), rng)], axis=1)
            arrays[name] = normalised(arrays[name]) if loss.coupling == "batch" else arrays[name]
        if "probability" in encoding.accepts:
            arrays[name][::2] = rng.uniform(0, 1, arrays[name][::2].shape)
    yield tuple(arrays.values())
    for name, encoding in encodings.items():
        if "distribution" in encoding.accepts and setting.rank > 1:
            yield tuple(rng.dirichlet(np.ones(K), ROWS) if other == name else array for other, array in arrays.items())


def arrays_of(setting: Setting, n: int) -> tuple[list[Encoding], list[Array]]:
    """The encodings of a setting's arrays, and ordinary ones of n samples (n, *row)."""
    loss = LOSSES[setting.name]
    rng, rank = np.random.default_rng(0), setting.rank if setting.name in OF_ROWS else 1
    encodings = [taken.decide({**loss.defaults, **setting.parameters}, rank) for taken in loss.inputs.values()]
    return encodings, [np.asarray(encoding.draw(rng, Sizes(n, K)), np.float64) for encoding in encodings]


def adversarial(setting: Setting) -> list[tuple[Array, ...]]:
    if of_samples(setting):
        return []  # there are as many numbers as ordinary samples
    further = FURTHER.get(setting.name, lambda _: [])(setting.parameters)
    if setting.name in OF_BATCH:
        return [tuple(np.array(array, dtype=np.float64) for array in batch) for batch in further]
    given = {**LOSSES[setting.name].defaults, **setting.parameters}
    found = points(*arrays_of(setting, ROWS), given, K, zlib.crc32(str(setting).encode()))
    if setting.rank == 2 and setting.name not in OF_ROWS:
        found = [in_rows(batch) for batch in found]
    return [*found, *batches(further)]


def in_rows(batch: tuple[Array, ...]) -> tuple[Array, ...]:
    """Single numbers as rows of columns: a residual beyond float64 is infinite, and its share in a row of them undefined."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(batch[0] - batch[-1])
    return tuple(np.resize(array[finite], (max(1, finite.sum() // K), K)) for array in batch)


def checked(setting: Setting, arrays: tuple[Array, ...], weights: Array | None = None) -> Batch:
    loss = LOSSES[setting.name]
    return check(loss, setting.parameters, *sides(loss, dict(zip(loss.inputs, arrays, strict=True))), sample_weight=weights)


# --- the truth ------------------------------------------------------------------------------------------------------


def prediction(array: Array, key: tuple[Any, ...]) -> Any:
    """An array as nested lists of exact numbers, each with a slope of its own."""
    if np.ndim(array):
        return [prediction(part, (*key, index)) for index, part in enumerate(array)]
    return Exact(float(array), {key: mpf(1)})


def target(array: Array) -> Any:
    if np.ndim(array):
        return [target(part) for part in array]
    return int(array) if array.dtype.kind == "i" else Exact(float(array))


def constants(setting: Setting) -> dict[str, Any]:
    return {name: constant_of(parameter) for name, parameter in setting.parameters.items()}


def of_samples(setting: Setting) -> set[str]:
    """The parameters with a number for each sample."""
    parameters = LOSSES[setting.name].parameters
    return {name for name in setting.parameters if meaning(parameters[name]) is PER_SAMPLE}


def true_losses(setting: Setting, batch: Batch) -> list[Exact]:
    """The loss of each sample, its slopes by (input, sample, *index), each in as many bits as its own numbers need."""
    inputs, arrays = batch.loss.inputs.values(), in_samples(batch)
    given = [
        prediction(array, (taken.name,)) if taken.side == "predictions" else target(array)
        for taken, array in zip(inputs, arrays, strict=True)
    ]
    formula, parameters = ORACLES[setting.name], constants(setting)
    if setting.name in OF_BATCH:
        with mp.workprec(bits(in_samples(batch), setting)):
            return formula(*given, **parameters)
    true = []
    for index, sample in enumerate(zip(*given, strict=True)):
        with mp.workprec(bits([array[index] for array in arrays], setting)):
            average = setting.rank == 2 and setting.name not in OF_ROWS
            of_labels = "label_smoothing" in batch.loss.options and "label_smoothing" not in inspect.signature(formula).parameters
            expected = of_labels and isinstance(sample[-1], list)
            how = true_mean if average else true_expectation if expected else true_loss
            own = {name: parameters[name][index] for name in of_samples(setting)}
            true.append(how(formula, sample, {**parameters, **own}))
    return true


def in_samples(batch: Batch) -> list[Array]:
    """The arrays of a batch of which nothing was dropped, a sample a row."""
    return [np.asarray(array[:]).reshape(*batch.elements, *array.shape[1:]) for array in batch.arrays]


def true_expectation(formula: Formula, sample: Sequence[Any], parameters: Mapping[str, Any]) -> Exact:
    """The loss of a row of shares, where the formula is that of a label."""
    row, shares = sample
    return total_of(share * formula(row, label, **parameters) for label, share in enumerate(shares) if share != 0)


def true_loss(formula: Formula, sample: Sequence[Any], parameters: Mapping[str, Any]) -> Exact:
    return formula(*sample, **parameters)


def true_mean(formula: Formula, sample: Sequence[Any], parameters: Mapping[str, Any]) -> Exact:
    """The mean of a row's columns (of the loss's own kind), where a list among the parameters holds one number per column."""
    columns = [
        formula(
            *column,
            **{name: parameter[index] if isinstance(parameter, list) else parameter for name, parameter in parameters.items()},
        )
        for index, column in enumerate(zip(*sample, strict=True))
    ]
    mean = MEANS.get(formula.__name__, lambda losses, weights: total_of(losses) / total_of(weights))
    return mean(columns, [Exact(1)] * len(columns))


def bits(arrays: Iterable[Array], setting: Setting) -> int:
    numbers = [number for array in arrays for number in np.ravel(array).tolist()]
    return bits_for([*numbers, *(parameter for parameter in setting.parameters.values() if isinstance(parameter, float))])


# --- the comparison -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A number of an answer beside the true one."""

    what: str
    got: float
    true: Any
    error: float
    allowed: float
    sample: str

    def __str__(self) -> str:
        return f"{self.what}: {self.got!r}, truly {mp.nstr(self.true, 20)}, {self.error:.3g} ULP off  <- {self.sample}"


def compared(setting: Setting, arrays: tuple[Array, ...], second: bool = True) -> Iterator[Compared]:
    """Every value and every derivative of a batch, the second ones too where they are wanted and the loss has them."""
    batch = checked(setting, arrays)
    got = evaluate(batch, reduction="none")
    assert got.per_sample is not None
    with following(second=second and batch.loss.derivatives == 2):
        losses = true_losses(setting, batch)
    samples = ["; ".join(str(array[index].tolist()) for array in arrays) for index in range(batch.elements[0])]
    allowed = [tolerance(setting, [array[index] for array in arrays]) for index in range(batch.elements[0])]
    for position, (value, loss) in enumerate(zip(got.per_sample.tolist(), losses, strict=True)):
        error = (
            ulps(value, loss.value, max(abs(loss.value), allowed[position].least_value))
            if allowed[position].least_value
            else ulps(value, loss.value)
        )
        yield Compared(f"value[{position}]", value, loss.value, error, allowed[position].value, samples[position])
    if not batch.loss.differentiable:
        return
    with mp.workprec(bits(in_samples(batch), setting)):
        total = total_of(losses)
    for name, gradient in gradients_of(got).items():
        for position, row in enumerate(gradient):
            true = {index: total.slope.get((name, position, *index), mpf(0)) for index in np.ndindex(row.shape)}
            for index, exactly in true.items():
                number = float(row[index])
                ended = at_the_end(losses[position].value, number, exactly)
                error = 0.0 if ended else ulps(number, exactly, allowed[position].unit(exactly, list(true.values())))
                yield Compared(
                    f"{name}{[position, *index]}", number, exactly, error, allowed[position].gradient, samples[position]
                )
    if not second or batch.loss.derivatives < 2:
        return
    tolerated = tolerance_of_second(setting)
    for name, found in seconds_of(batch, reduction="none").items():
        for position, row in enumerate(found):
            true = {index: total.bend.get((name, position, *index), mpf(0)) for index in np.ndindex(row.shape)}
            for index, exactly in true.items():
                number = float(row[index])
                unit = max(tolerated.unit(exactly, list(true.values())), UNDERFLOWN)
                error = 0.0 if at_the_end(losses[position].value, number, exactly) else ulps(number, exactly, unit)
                yield Compared(
                    f"second {name}{[position, *index]}", number, exactly, error, tolerated.gradient, samples[position]
                )


def seconds_of(batch: Batch, **more: Any) -> dict[str, Array]:
    return by_input(evaluate(batch, outputs=("hessian_diagonal",), **more).hessian_diagonal)


def at_the_end(loss: Any, got: float, true: Any) -> bool:
    """Whether a loss is beyond float64, and its derivative with it in the right direction; of several poles any may win."""
    return abs(loss) >= BEYOND and math.isinf(got) and (mp.isnan(true) or (got > 0) == (true > 0))


@pytest.mark.no_cover  # what tracing the oracles would cost is more than they do
@each_setting(SETTINGS)
def test_value_and_derivatives_are_those_of_the_formula(setting: Setting) -> None:
    every = [comparison for arrays in (*ordinary(setting), *adversarial(setting)) for comparison in compared(setting, arrays)]
    wrong = [comparison for comparison in every if comparison.error > comparison.allowed]
    assert not wrong, f"{len(wrong)} of {len(every)} numbers:\n" + "\n".join(map(str, wrong[:40]))


# --- means ----------------------------------------------------------------------------------------------------------

REDUCED = [
    *(Setting(name, {}, 1) for name in MEANS),
    Setting("root_mean_squared_error", {}, 2),
    Setting("root_mean_squared_logarithmic_error", {}, 2),
    *(Setting(name, parameters, 1) for name in COUNTS for parameters in PARAMETERS[name]),
    *(Setting("ctc", parameters, 1) for parameters in PARAMETERS["ctc"] if "divide_by_length" in parameters),
    Setting("circle", {}, 1),
    *(Setting("multi_margin", parameters, 1) for parameters in PARAMETERS["multi_margin"]),
    Setting("huber", {}, 1),
    Setting("mean_squared_error", {}, 2),
]


@each_setting([setting for setting in SETTINGS if NON_NEGATIVE in LOSSES[setting.name].properties])
def test_what_costs_nothing_is_zero_without_a_sign(setting: Setting) -> None:
    for arrays in adversarial(setting):
        losses = np.asarray(evaluate(checked(setting, arrays), reduction="none", outputs=("per_sample",)).per_sample)
        assert not np.signbit(losses[losses == 0]).any()


@each_setting(REDUCED)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_is_that_of_the_formula(setting: Setting, weighted: bool) -> None:
    for arrays in ordinary(setting):
        weights = np.arange(len(arrays[0])) % 4.0 if weighted else None
        batch = checked(setting, arrays)
        got = evaluate(checked(setting, arrays, weights))
        shares = [Exact(1.0 if weights is None else float(weights[index])) for index in range(batch.elements[0])]
        with mp.workprec(1280):
            true = true_reduction(setting, batch, shares)
        wrong = [f"value {got.value!r}, truly {mp.nstr(true.value, 20)}"] if ulps(float(got.value or 0), true.value) > ULP else []
        for name, gradient in gradients_of(got).items():
            exact = {index: true.slope.get((name, *index), mpf(0)) for index in np.ndindex(gradient.shape)}
            unit = largest_magnitude(exact.values())
            wrong += [
                f"{gradient[index]!r} at {name}{list(index)}, truly {mp.nstr(exactly, 20)}"
                for index, exactly in exact.items()
                if ulps(float(gradient[index]), exactly, unit) > ULP
            ]
        assert not wrong, "\n".join(wrong)


def true_reduction(setting: Setting, batch: Batch, shares: Sequence[Exact]) -> Exact:
    losses = true_losses(setting, batch)
    if setting.name in MEANS:
        return MEANS[setting.name](losses, shares)
    counts = [Exact(1)] * batch.elements[0]
    if setting.name in COUNTS:
        counts = [COUNTS[setting.name](target(labels), **constants(setting)) for labels in in_samples(batch)[-1]]
    if setting.name == "circle":
        counts = [Exact(len(loss.slope) > 0) for loss in losses]
    total = total_of(share * count for share, count in zip(shares, counts, strict=True))
    if setting.name in FACTORS:
        factors = [FACTORS[setting.name](labels.astype(int), **constants(setting)) for labels in in_samples(batch)[-1]]
        losses = [factor * loss for factor, loss in zip(factors, losses, strict=True)]
    return total_of(share * loss for share, loss in zip(shares, losses, strict=True)) / total


# --- the tables -----------------------------------------------------------------------------------------------------


def test_every_loss_has_an_oracle() -> None:
    assert set(ORACLES) == set(LOSSES)
    assert set(FURTHER) <= set(LOSSES)


@each_setting([setting for setting in SETTINGS if setting.rank == 1 or setting.name in OF_ROWS])
def test_points_reach_the_ends_of_every_domain(setting: Setting) -> None:
    """But for labels by the row, and for losses whose hard samples FURTHER lists."""
    if setting.name in FURTHER:
        assert FURTHER[setting.name](setting.parameters)
        return
    encodings, drawn = arrays_of(setting, ROWS)
    found = adversarial(setting)
    for index, (encoding, ordinary_array) in enumerate(zip(encodings, drawn, strict=True)):
        domain = encoding.domain
        numbers = np.concatenate([batch[index].reshape(-1) for batch in found])
        if domain.discrete:
            assert ordinary_array.ndim > 1 or set(domain.extremes(K).tolist()) <= set(numbers.tolist())
            continue
        assert numbers.min() <= (-1e4 if math.isinf(domain.span.low) else domain.span.low + 1e-8)
        assert numbers.max() >= (1e4 if math.isinf(domain.span.high) else domain.span.high - 1e-8)


@in_turn("name", ORACLES)
def test_every_parameter_is_tried_off_its_default(name: str) -> None:
    compared = [setting.parameters for setting in SETTINGS if setting.name == name]
    defaults = LOSSES[name].defaults
    assert {key for parameters in compared for key, value in parameters.items() if value != defaults[key]} >= {
        key
        for key, parameter in LOSSES[name].own.items()
        if pooled_by(parameter) is None and key != "class_axis"  # test_elements compares these
    }


@in_turn("name", ORACLES)
def test_an_oracle_has_the_parameters_and_defaults_of_its_loss(name: str) -> None:
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(ORACLES[name]).parameters.items()
        if parameter.default is not parameter.empty
    }
    plain = {key: float(default.value) if isinstance(default, Exact) else default for key, default in defaults.items()}
    assert plain.items() <= LOSSES[name].defaults.items()
    assert plain.keys() >= LOSSES[name].own.keys()
