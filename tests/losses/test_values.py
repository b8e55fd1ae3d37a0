"""Every loss against an independent writing of its formula in high precision: value and gradient, in ULP.

Ordinary numbers come through the encodings' own `draw`, with more digits; the others from `points`. A number is right
within 4 ULP of itself. Where float64 cannot do that, TOLERANCES says how far it may be, and why.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.typing import NDArray

from app.losses import LOSSES, Batch, check, evaluate
from app.losses.inputs import Sizes
from tests.losses.drawing import gradients_of, more_digits, normalised, sides
from tests.losses.exact import Exact, bits_for, largest_magnitude, settled, total_of, ulps
from tests.losses.oracles import MATRICES, OF_BATCH, OF_ROWS, ORACLES, PARAMETERS, Formula, K
from tests.losses.points import POINTS, batches

Array = NDArray[Any]

ULP = 4.0
ROWS = 12


@dataclass(frozen=True)
class Tolerance:
    """How far a loss may be from the truth, in ULP of the number itself or of the largest of its row's gradient."""

    because: str
    value: float = ULP
    gradient: float = ULP
    of_row: bool = False


TOLERANCES: Mapping[str, Tolerance] = {}


@dataclass(frozen=True)
class Setting:
    name: str
    parameters: Mapping[str, Any]
    rank: int

    def __str__(self) -> str:
        said = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}({said}){'[n,k]' if self.rank == 2 else ''}"


SETTINGS = [
    *(Setting(name, parameters, 1) for name in LOSSES for parameters in PARAMETERS.get(name, [{}])),
    *(Setting(name, parameters, 2) for name in LOSSES for parameters in MATRICES.get(name, [])),
]


# --- batches --------------------------------------------------------------------------------------------------------


def ordinary(setting: Setting) -> Iterator[tuple[Array, ...]]:
    loss = LOSSES[setting.name]
    rng = np.random.default_rng(zlib.crc32(str(setting).encode()))
    encodings = {name: each.decide({**loss.defaults, **setting.parameters}, setting.rank) for name, each in loss.inputs.items()}
    sizes = Sizes(ROWS, K, (K,) if setting.rank == 2 else ())
    arrays = {name: more_digits(each, np.asarray(each.draw(rng, sizes), np.float64), rng) for name, each in encodings.items()}
    for name, each in encodings.items():
        if each.name == "embedding":
            arrays[name] = np.concatenate([arrays[name], more_digits(each, each.draw(rng, sizes), rng)], axis=1)
            arrays[name] = normalised(arrays[name]) if loss.coupling == "batch" else arrays[name]
        if "probability" in each.accepts:
            arrays[name][::2] = rng.uniform(0, 1, arrays[name][::2].shape)
    yield tuple(arrays.values())
    for name, each in encodings.items():
        if "distribution" in each.accepts and "ignore_index" not in setting.parameters:
            yield tuple(rng.dirichlet(np.ones(K), ROWS) if other == name else array for other, array in arrays.items())


def adversarial(setting: Setting) -> list[tuple[Array, ...]]:
    samples = POINTS[setting.name](setting.parameters)
    if setting.name in OF_BATCH:
        return [tuple(np.array(each, dtype=np.float64) for each in batch) for batch in samples]
    if setting.name in OF_ROWS:
        return [batch for batch in batches(samples) if batch[0].ndim == setting.rank]
    if setting.rank == 2:
        return [tuple(array[: array.size // K * K].reshape(-1, K) for array in batch) for batch in batches(samples)]
    return batches(samples)


def checked(setting: Setting, arrays: tuple[Array, ...]) -> Batch:
    loss = LOSSES[setting.name]
    return check(loss, setting.parameters, *sides(loss, dict(zip(loss.inputs, arrays, strict=True))))


# --- the truth ------------------------------------------------------------------------------------------------------


def prediction(array: Array, key: tuple[Any, ...]) -> Any:
    """An array as nested lists of exact numbers, each with a slope of its own."""
    return [prediction(each, (*key, at)) for at, each in enumerate(array)] if np.ndim(array) else Exact(float(array), {key: mpf(1)})


def target(array: Array) -> Any:
    if np.ndim(array):
        return [target(each) for each in array]
    return int(array) if array.dtype.kind == "i" else Exact(float(array))


def constants(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with their numbers made exact, so that 1 − parameter is."""
    lists = {name: [Exact(one) for one in each] for name, each in parameters.items() if isinstance(each, list)}
    return {name: Exact(each) if isinstance(each, float) else lists.get(name, each) for name, each in parameters.items()}


def true_losses(setting: Setting, batch: Batch) -> list[Exact]:
    """The loss of each sample, its slopes by (input, sample, *index), each in as many bits as its own numbers need."""
    inputs = batch.loss.inputs.values()
    given = [
        prediction(array, (each.name,)) if each.side == "predictions" else target(array)
        for each, array in zip(inputs, batch.arrays, strict=True)
    ]
    formula, parameters = ORACLES[setting.name], constants(setting.parameters)
    if setting.name in OF_BATCH:
        with mp.workprec(bits(batch.arrays, setting)):
            return [settled(each) for each in formula(*given, **parameters)]
    true = []
    for at, sample in enumerate(zip(*given, strict=True)):
        with mp.workprec(bits([array[at] for array in batch.arrays], setting)):
            average = setting.rank == 2 and setting.name not in OF_ROWS
            true.append(settled((true_mean if average else true_loss)(formula, sample, parameters)))
    return true


def true_loss(formula: Formula, sample: Sequence[Any], parameters: Mapping[str, Any]) -> Exact:
    return formula(*sample, **parameters)


def true_mean(formula: Formula, sample: Sequence[Any], parameters: Mapping[str, Any]) -> Exact:
    """The mean over the columns of a row, where a list among the parameters holds one number per column."""
    columns = [
        formula(*column, **{name: each[at] if isinstance(each, list) else each for name, each in parameters.items()})
        for at, column in enumerate(zip(*sample, strict=True))
    ]
    return total_of(columns) / len(columns)


def bits(arrays: Iterable[Array], setting: Setting) -> int:
    numbers = [each for array in arrays for each in np.ravel(array).tolist()]
    return bits_for([*numbers, *(each for each in setting.parameters.values() if isinstance(each, float))])


# --- the comparison -------------------------------------------------------------------------------------------------


def errors(setting: Setting, arrays: tuple[Array, ...], of_row: bool) -> Iterator[tuple[str, int, float, str]]:
    """What was compared, the sample, the error in ULP, and the numbers in words: of every value and every derivative."""
    batch = checked(setting, arrays)
    got = evaluate(batch, reduction="none")
    assert got.per_sample is not None
    losses = true_losses(setting, batch)
    for at, loss in enumerate(losses):
        yield "value", at, ulps(float(got.per_sample[at]), loss.value), f"{got.per_sample[at]!r}, truly {mp.nstr(loss.value, 20)}"
    if not batch.loss.differentiable:
        return
    with mp.workprec(256 + 2200 * (setting.name in OF_BATCH)):
        slope = total_of(losses).slope
    for name, gradient in gradients_of(got).items():
        for at, row in enumerate(gradient):
            true = {index: slope.get((name, at, *index), mpf(0)) for index in np.ndindex(row.shape)}
            unit = largest_magnitude(list(true.values())) if of_row else None
            for index, exact in true.items():
                said = f"{row[index]!r} at {name}{[at, *index]}, truly {mp.nstr(exact, 20)}"
                at_pole = mp.isnan(exact) and mp.isinf(losses[at].value)  # ∞ − ∞: of several poles, any may win
                yield "gradient", at, math.isnan(row[index]) if at_pole else ulps(float(row[index]), exact, unit), said


def sample_in_words(arrays: tuple[Array, ...], at: int) -> str:
    return "; ".join(str(array[at].tolist()) for array in arrays)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_value_and_gradient_are_those_of_the_formula(setting: Setting) -> None:
    tolerance = TOLERANCES.get(setting.name, Tolerance(""))
    allowed = {"value": tolerance.value, "gradient": tolerance.gradient}
    wrong = [
        f"{what} {error:.3g} ULP off: {said}  <- {sample_in_words(arrays, at)}"
        for arrays in (*ordinary(setting), *adversarial(setting))
        for what, at, error, said in errors(setting, arrays, tolerance.of_row)
        if error > allowed[what]
    ]
    assert not wrong, f"{len(wrong)} numbers of {setting}:\n" + "\n".join(wrong[:40])


# --- the tables -----------------------------------------------------------------------------------------------------


def test_every_loss_has_an_oracle() -> None:
    assert set(ORACLES) == set(LOSSES)
    assert set(POINTS) == set(LOSSES)


@pytest.mark.parametrize("name", ORACLES)
def test_every_parameter_is_tried_off_its_default(name: str) -> None:
    tried = [*PARAMETERS.get(name, []), *MATRICES.get(name, [])]
    defaults = LOSSES[name].defaults
    assert {key for parameters in tried for key, each in parameters.items() if each != defaults[key]} == set(defaults)
