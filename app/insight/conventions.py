"""Why two losses that should be one differ: conventions of writing a loss, as data, and which of them explains a difference."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from app.domains import Simplex
from app.errors import CallerError
from app.insight.agreement import Tolerance, agreeing
from app.losses import LOSSES
from app.losses.batch import AnyBatch, Arrays, Batch, Classes, Missing
from app.losses.encodings import UNIT
from app.losses.evaluate import Reduction
from app.losses.form import Bound, bind
from app.losses.inputs import Numbers
from app.losses.loss import Loss
from app.losses.numerics.stable import Array, sigmoid
from app.losses.outputs import OUTPUTS, arrays_by_name
from app.losses.sums import AnyBound, batch_of, evaluate
from app.registry import Alias

By: TypeAlias = Mapping[str, Array]
"""Arrays by the name of the output that they are of; `gradient.mean` where predictions have names."""
MOST = 5
"""Other losses that are named."""
DEAREST = 50.0
"""How many times the work of the reference another loss may take, to be tried."""
CHEAP = 1e6
"""Steps that any loss may take."""


class Given(NamedTuple):
    """A loss and the arrays that it is evaluated on, as they came."""

    bound: AnyBound
    predictions: Arrays
    targets: Arrays
    sample_weight: Numbers | None = None
    mask: Any = None
    classes: Classes | None = None
    missing: Missing = "refuse"

    def batch(self, bound: AnyBound | None = None, *, weighted: bool = True) -> AnyBatch:
        """The arrays, checked for this loss or for another one."""
        return batch_of(
            bound or self.bound,
            self.predictions,
            self.targets,
            sample_weight=self.sample_weight if weighted else None,
            mask=self.mask,
            classes=self.classes,
            missing=self.missing,
        )


class Case(NamedTuple):
    """What disagrees, and with what."""

    given: Given
    batch: AnyBatch
    reduction: Reduction
    divisor: float | None
    yours: By
    reference: By
    tolerance: Tolerance
    saturated: frozenset[str]
    """The outputs that disagree at saturated predictions only."""

    def same(self, name: str, reference: Array) -> bool:
        """Whether yours is this."""
        return bool(agreeing(self.yours[name], reference, self.tolerance).all())

    @property
    def wrong(self) -> list[str]:
        return [name for name, numbers in self.reference.items() if not self.same(name, numbers)]

    def evaluated(self, bound: AnyBound | None = None, *, weighted: bool = True) -> By:
        """The same outputs of another loss, or without weights: those that there are; none where it does not take the arrays."""
        try:
            batch = self.given.batch(bound, weighted=weighted)
            if batch.cost > max(CHEAP, DEAREST * self.batch.cost):
                return {}
            wanted = dict.fromkeys(name.partition(".")[0] for name in self.reference)
            names = [name for name in wanted if OUTPUTS[name].is_of(batch.loss)]
            found = arrays_by_name(evaluate(batch, reduction=self.reduction, outputs=names).outputs) if names else {}
        except (CallerError, ZeroDivisionError, OverflowError):
            return {}
        arrays = {name: np.asarray(numbers, np.float64) for name, numbers in found.items() if numbers is not None}
        return {name: array for name, array in arrays.items() if name in self.yours and array.shape == self.yours[name].shape}


class Guess(NamedTuple):
    """A convention, and the outputs that it explains."""

    convention: str
    explains: tuple[str, ...]
    text: str
    factor: float | None = None
    """What yours is of the reference."""
    loss: tuple[Loss, Mapping[str, Any]] | None = None
    """What yours is."""
    against: int = 0
    """Outputs that agree, and would not."""


class Convention(NamedTuple):
    """A factor that people differ by."""

    name: str
    factor: Callable[[Case], float | None]
    """None where there is none."""
    text: str
    reduces: bool = False
    """Whether it is of the reduction: the losses of samples are the same."""


def _divisor(case: Case) -> float | None:
    """What the sum is of the mean: of a root of a mean, the root."""
    power = case.batch.mean.power if isinstance(case.batch, Batch) else 1
    return None if case.divisor is None else case.divisor ** (1.0 / (power or 1))


def _divided(case: Case) -> float | None:
    """One over what the mean of these elements divides by, where the reference is a sum."""
    if case.reduction != "sum":
        return None
    factor = _divisor(case._replace(divisor=evaluate(case.batch, outputs=("value",)).divisor))
    return 1.0 / factor if factor else None


def _per_class(case: Case) -> float | None:
    k = case.batch.shapes.length("k") if isinstance(case.batch, Batch) else None
    return 1.0 / k if k else None


def _always(factor: float) -> Callable[[Case], float | None]:
    return lambda case: factor


CONVENTIONS: Sequence[Convention] = (
    Convention("half", _always(0.5), "Yours is half of the reference: the ½ that some write in front, as in ½r², is in it."),
    Convention("double", _always(2.0), "Yours is twice the reference: one ½ less, or one factor 2 more, is in it."),
    Convention("sign", _always(-1.0), "Yours has the other sign: it rises where the reference falls, as a score or an ascent."),
    Convention("sum", _divisor, "Yours is the sum over the batch: the reference divides it by its divisor.", reduces=True),
    Convention("mean", _divided, "Yours is the mean over the batch: the reference, a sum, does not divide.", reduces=True),
    Convention("per_class", _per_class, "Yours is divided by the number of classes: the mean goes over them as well."),
    Convention("log2", _always(1.0 / math.log(2.0)), "Yours has logarithms to the base 2 (bits), the reference natural ones."),
    Convention("natural", _always(math.log(2.0)), "Yours has natural logarithms, the reference ones to the base 2."),
)
"""Factors between yours and the reference, the simplest first."""
UNWEIGHTED = "Yours leaves sample_weight out."
NOT_FINITE = "Yours is infinite or no number where predictions are saturated, and the reference stays finite there."
CLIPS = "Yours differs at saturated predictions only: it limits them elsewhere than the reference does."


def guesses(case: Case) -> tuple[Guess, ...]:
    """The conventions that explain what disagrees, all of it first, then the simplest first; () where all agrees.

    Other losses are looked for where nothing simpler explains it all.
    """
    wrong = case.wrong
    if not wrong:
        return ()
    found = [*_factors(case, wrong), *_unweighted(case, wrong)]
    if not any(len(guess.explains) == len(wrong) and not guess.against for guess in found):
        found += _other_losses(case, wrong)
    return tuple(sorted(found, key=lambda guess: (len(guess.explains) < len(wrong), guess.against, -len(guess.explains))))


def _factors(case: Case, wrong: Sequence[str]) -> Iterator[Guess]:
    for convention in CONVENTIONS:
        factor = convention.factor(case)
        if factor is None or factor == 1.0:
            continue
        scaled = {name: numbers * factor for name, numbers in case.reference.items() if not (convention.reduces and _own(name))}
        guess = _explaining(case, wrong, scaled, Guess(convention.name, (), convention.text, factor))
        if guess:
            yield guess


def _own(name: str) -> bool:
    """Whether an output is each sample's own, whatever becomes of all."""
    return OUTPUTS[name.partition(".")[0]].axes not in ("", None)


def _explaining(case: Case, wrong: Sequence[str], other: By, guess: Guess) -> Guess | None:
    """The guess with what it explains, where yours is rather these; None where it explains nothing."""
    same = {name for name, numbers in other.items() if case.same(name, numbers)}
    explains = tuple(name for name in wrong if name in same)
    against = sum(name not in same and name not in wrong for name in other)
    return guess._replace(explains=explains, against=against) if explains else None


def _unweighted(case: Case, wrong: Sequence[str]) -> Iterator[Guess]:
    if case.given.sample_weight is None:
        return
    guess = _explaining(case, wrong, case.evaluated(weighted=False), Guess("unweighted", (), UNWEIGHTED))
    if guess:
        yield guess


def _other_losses(case: Case, wrong: Sequence[str]) -> Iterator[Guess]:
    """Other limits of the same loss, and other losses of the same inputs, that yours is throughout."""
    bound = case.given.bound
    if not isinstance(bound, Bound):
        return
    limit, others = None, list[Guess]()
    for loss, parameters, times in _candidates(bound):
        found = case.evaluated(bind(loss, parameters))
        if found.keys() != case.reference.keys():
            continue
        scaled = {name: numbers / times for name, numbers in found.items()}
        if not all(case.same(name, numbers) for name, numbers in scaled.items()):
            continue
        factor = None if times == 1.0 else 1.0 / times
        if loss is bound.loss and factor is None and _limits(case, bind(loss, parameters)):
            limit = limit or Guess("clip", tuple(wrong), CLIPS, loss=(loss, parameters))
        elif len(others) < MOST:
            text = f"Yours is {loss.name}{_written(parameters)}{'' if factor is None else f', times {factor:g}'}."
            others.append(Guess("other_loss", tuple(wrong), text, factor, (loss, parameters)))
    clips = limit or _clip(case, wrong)
    yield from [clips, *others] if clips else others


def _limits(case: Case, bound: Bound) -> bool:
    """Whether these parameters give the reference wherever predictions are not saturated."""
    marks = saturated(case.batch)
    if marks is None or not marks.any() or not isinstance(case.batch, Batch):
        return False
    try:
        other = evaluate(case.given.batch(bound), reduction="none", outputs=("per_element",)).per_element
    except CallerError:
        return False
    mine = evaluate(case.batch, reduction="none", outputs=("per_element",)).per_element
    kept = slice(None) if case.batch.kept is None else case.batch.kept
    same = agreeing(other.reshape(-1)[kept], mine.reshape(-1)[kept], case.tolerance)
    return bool((same | marks.reshape(len(marks), -1).any(axis=1)).all())


def _clip(case: Case, wrong: Sequence[str]) -> Guess | None:
    """Where only saturated predictions disagree, or yours is no number because of them."""
    marks = saturated(case.batch)
    if marks is None or not marks.any():
        return None
    lost = [name for name in wrong if case.yours[name].ndim == 0 and not np.isfinite(case.yours[name])]
    explains = tuple(name for name in wrong if name in case.saturated or name in lost)
    infinite = any(not np.isfinite(case.yours[name]).all() for name in explains)
    return Guess("clip", explains, NOT_FINITE if infinite else CLIPS) if explains else None


def _candidates(reference: Bound) -> Iterator[tuple[Loss, dict[str, Any], float]]:
    """Losses of the same inputs, as they are by default and as other libraries have them, and what these multiply them by.

    What the reference is told is told to them too, where they have such a parameter.
    """
    told = {name: value for name, value in reference.parameters.items() if value != reference.loss.defaults.get(name)}
    for loss in LOSSES.values():
        if [*loss.inputs] != [*reference.loss.inputs]:
            continue
        carried = {name: value for name, value in told.items() if name in loss.parameters}
        presets = [alias.parameters for alias in loss.names if isinstance(alias, Alias)]
        variants: list[tuple[Mapping[str, Any], float]] = [({}, 1.0), *((preset, 1.0) for preset in presets)]
        variants += [(equal.parameters, equal.times) for equal in loss.equals]
        tried: list[tuple[dict[str, Any], float]] = []
        for preset, times in variants:
            for kept in (carried, {}):
                parameters = {name: value for name, value in {**kept, **preset}.items() if value != loss.defaults.get(name)}
                same = loss is reference.loss and parameters == told
                for factor in {1.0, times}:
                    if not (same and factor == 1.0) and (parameters, factor) not in tried:
                        tried.append((parameters, factor))
                        yield loss, parameters, factor


def _written(parameters: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{name} {value}' for name, value in parameters.items())}" if parameters else ""


# --- saturated predictions ------------------------------------------------------------------------------------------------

NEARLY = 1e-6
"""Probabilities so near to 0 or 1 are what libraries clip."""


def saturated(batch: AnyBatch) -> Any:
    """Which predictions (m, *row) are, or stand for, probabilities of nearly 0 or 1; None where they are none, and of a sum."""
    if not isinstance(batch, Batch):
        return None
    rank = len(batch.elements) + len(batch.arrays[0].shape) - 1
    encoding = next(iter(batch.loss.inputs.values())).decide(batch.parameters, rank)
    means = encoding.link or encoding.domain
    if means != UNIT and not isinstance(means, Simplex):
        return None
    numbers = np.asarray(batch.arrays[0][:], np.float64)
    if encoding.link is not None and not isinstance(encoding.domain, Simplex):
        numbers = _probabilities(numbers, isinstance(means, Simplex))
    elif encoding.domain == Simplex(logarithms=True):
        numbers = np.exp(numbers)
    return (numbers < NEARLY) | (numbers > 1.0 - NEARLY)


def _probabilities(scores: Array, rows: bool) -> Array:
    if not rows:
        return sigmoid(scores)
    with np.errstate(all="ignore"):
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return cast(Array, exponentials / exponentials.sum(axis=-1, keepdims=True))
