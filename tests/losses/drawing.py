"""Random batches for tests: every loss in every setting, drawn through the encodings it declares.

An encoding draws numbers of few digits, which fall on kinks and ties; here they get more digits, so that a kink has
measure zero. Arrays stand in one flat mapping by name and are read-only: a loss that writes into its inputs fails.
"""

import itertools
import typing
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal

import annotated_types as bounds
import numpy as np
from numpy.typing import NDArray

from app.domains import Domain, Interval, Simplex
from app.errors import InvalidParameter
from app.losses import LOSSES, Batch, Evaluation, Loss, check, evaluate
from app.losses.encodings import DISTRIBUTION, PROBABILITY
from app.losses.inputs import Encoding, Sizes
from app.losses.parameters import PER_CLASS, PER_SAMPLE, meaning
from tests.folding import folded

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]

K = 3
"""Classes in the batches drawn here."""

OTHER_NUMBERS: Mapping[tuple[str, str], tuple[object, ...]] = {
    ("integrated_brier_score", "times"): ([0.5, 2.0, 2.25],),
    ("linex", "a"): (-0.3, 3.0),
    ("tweedie_deviance", "power"): (-1.0, 1.0, 1.5, 2.0, 3.0),
    ("tweedie_nll", "power"): (1.0, 1.2, 2.0, 2.5),
}
"""Parameters whose admissible numbers no bound tells."""

CANDIDATES = (0.0, 0.1, 0.3, 0.8, 1.0, 1.7, 3.0)


# --- settings -------------------------------------------------------------------------------------------------------


def kinds_of(annotation: object) -> tuple[list[object], list[object]]:
    """The plain types of a parameter's annotation, and everything that stands beside them in Annotated.

    A number for each class may be said in words, which are none of the function's: they become a list before it is called.
    """
    if typing.get_origin(annotation) is Annotated:
        inner, *metadata = typing.get_args(annotation)
        kinds, more = kinds_of(inner)
        spoken = (Literal, dict) if PER_CLASS in metadata else ()
        return [kind for kind in kinds if typing.get_origin(kind) not in spoken], [*metadata, *more]
    if typing.get_origin(annotation) in (Literal, list, dict) or not typing.get_args(annotation):
        return [annotation], []
    pairs = [kinds_of(mark) for mark in typing.get_args(annotation)]
    return [kind for kinds, _ in pairs for kind in kinds], [mark for _, metadata in pairs for mark in metadata]


def admits(metadata: Sequence[object], number: float) -> bool:
    """Whether a number lies within the bounds of an annotation."""
    return all(
        (not isinstance(bound, bounds.Gt) or number > typing.cast(float, bound.gt))
        and (not isinstance(bound, bounds.Ge) or number >= typing.cast(float, bound.ge))
        and (not isinstance(bound, bounds.Lt) or number < typing.cast(float, bound.lt))
        and (not isinstance(bound, bounds.Le) or number <= typing.cast(float, bound.le))
        for mark in metadata
        for bound in (mark if isinstance(mark, bounds.GroupedMetadata) else (mark,))
    )


def _other_numbers(default: object, metadata: Sequence[object]) -> list[float]:
    """A number on each side of the default, and the ends of its interval where they belong to it."""
    fitting = [candidate for candidate in CANDIDATES if admits(metadata, candidate)]
    if not isinstance(default, int | float):
        return fitting[:2][-1:]
    below = [number for number in fitting if number < default][-1:]
    above = [number for number in (*fitting, default * 1.5) if number > default and admits(metadata, number)][:1]
    ends = [float(getattr(mark, side)) for mark in metadata for side in ("ge", "le") if hasattr(mark, side)]
    return [number for number in dict.fromkeys((*above, *below, *ends)) if number != default]


def others(loss: Loss, name: str, columns: int) -> list[object]:
    """Values of a parameter beside its default: every flag and word, and some numbers."""
    if (loss.name, name) in OTHER_NUMBERS:
        return list(OTHER_NUMBERS[loss.name, name])
    parameter = loss.parameters[name]
    if meaning(parameter) is PER_SAMPLE:
        return []  # a number for each sample is no setting: test_relations tries them
    kinds, metadata = kinds_of(parameter.annotation)
    values: list[object] = []
    for kind in kinds:
        if kind is bool:
            values += [False, True]
        elif kind is int:
            values += [1 if parameter.default is not None else K - 1]
        elif kind is float:
            values += _other_numbers(parameter.default, metadata)
        elif typing.get_origin(kind) is Literal:
            values += typing.get_args(kind)
        elif typing.get_origin(kind) is list and columns > 1:
            values += [[0.5, 0.75, 0.25][:columns]]
    return [
        value
        for value in values
        if value is not parameter.default and not (value == parameter.default and type(value) is type(parameter.default))
    ]


def switches(loss: Loss) -> list[str]:
    """Parameters that choose between words or yes and no."""
    return [
        name
        for name, parameter in loss.parameters.items()
        if any(kind is bool or typing.get_origin(kind) is Literal for kind in kinds_of(parameter.annotation)[0])
    ]


def settings(loss: Loss, columns: int) -> list[dict[str, object]]:
    """The defaults, every other value of each parameter, and every switch together with one other value of each.

    Where the classes are is no setting: test_elements transposes every call. Whether there are any may be one.
    """
    values = {name: others(loss, name, columns) for name in loss.parameters if name != "class_axis"}
    if "class_axis" in loss.own:
        values["class_axis"] = [-1]
    singles: list[dict[str, object]] = [{name: value} for name in values for value in values[name]]
    flipped = [single for single in singles if set(single) <= set(switches(loss))]
    firsts: list[dict[str, object]] = [{name: values[name][0]} for name in values if values[name]]
    pairs = [{**one, **other} for one, other in itertools.product(flipped, firsts) if one.keys() != other.keys()]
    distinct: list[dict[str, object]] = []
    for chosen in ({}, *singles, *pairs):
        if chosen not in distinct:
            distinct.append(chosen)
    return distinct


# --- batches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A loss with parameters and shapes, of which batches can be drawn."""

    loss: Loss
    parameters: Mapping[str, Any]
    encodings: Mapping[str, Encoding]
    d: tuple[int, ...]
    words: str = field(compare=False)

    def draw(self, n: int = 5, seed: int = 0) -> dict[str, Array]:
        rng = np.random.default_rng([seed, zlib.crc32(self.words.encode())])
        sizes = Sizes(n=n, k=K, d=self.d)
        arrays = {
            name: more_digits(encoding, np.asarray(encoding.draw(rng, sizes), np.float64), rng)
            for name, encoding in self.encodings.items()
        }
        if self.loss.coupling == "batch":  # similarities of all pairs: embeddings are meant to have length 1
            arrays |= {name: normalised(array) for name, array in arrays.items() if self.encodings[name].name == "embedding"}
        return frozen(arrays)

    def batch(self, arrays: Arrays | None = None, **more: Any) -> Batch:
        return check(self.loss, self.parameters, *sides(self.loss, self.draw() if arrays is None else arrays), **more)

    def evaluate(self, arrays: Arrays | None = None, *, reduction: Any = "mean", **more: Any) -> Evaluation:
        return evaluate(self.batch(arrays, **more), reduction=reduction)

    @property
    def reductions(self) -> tuple[Any, ...]:
        sums = self.loss.mean_of({**self.loss.defaults, **self.parameters}).sums
        return ("mean", "sum", "mean_over_samples") if sums else ("mean",)

    @property
    def coupling(self) -> str:
        """That of the loss, or of the whole batch where a parameter pools it."""
        return "batch" if self.loss.pooled({**self.loss.defaults, **self.parameters}) else self.loss.coupling

    @property
    def prediction_names(self) -> list[str]:
        return [name for name, taken in self.loss.inputs.items() if taken.side == "predictions"]

    def __str__(self) -> str:
        return self.words


def more_digits(encoding: Encoding, array: Array, rng: np.random.Generator) -> Array:
    """The array with all digits that float64 has, still within its domain; labels and counts stay whole."""
    if encoding.domain.discrete or not np.mod(array, 1.0).any():
        return array
    if isinstance(encoding.domain, Simplex):
        return encoding.domain.of_reals(encoding.domain.to_reals(array) + rng.uniform(-0.3, 0.3, array.shape))
    moves = rng.uniform(-0.024, 0.024, array.shape)
    return np.where(encoding.domain.outside(array + moves), array - moves, array + moves)


def meant(source: Encoding, first: Array, wanted: Domain) -> Array | None:
    """The first array as numbers of the domain, or None where the two have nothing to do with each other."""
    if wanted == source.domain:
        return first
    with np.errstate(all="ignore"):
        if isinstance(wanted, Simplex) and wanted.logarithms:
            goal = meant(source, first, Simplex())
            return None if goal is None else np.log(np.maximum(goal, 1e-300))
        if source.link is not None:
            return np.exp(first) if source.domain == Simplex(logarithms=True) else source.link.of_reals(first)
        if wanted.includes(source.domain):
            return first
        if source.domain == Interval() and not wanted.of_rows and np.abs(first).max() < 700.0:
            return np.exp(first)  # the logarithm of a positive number
    return first if wanted.span == replace(source.domain.span, open_low=wanted.span.open_low) else None


def normalised(rows: Array) -> Array:
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def frozen(arrays: Arrays) -> dict[str, Array]:
    copies = {name: np.array(array, dtype=np.float64, order="C") for name, array in arrays.items()}
    for array in copies.values():
        array.flags.writeable = False
    return copies


def sides(loss: Loss, arrays: Arrays) -> tuple[Any, Any]:
    """The flat arrays as `check` takes them: predictions and targets, each an array, an object of arrays or None."""
    given: list[Any] = []
    for side in ("predictions", "targets"):
        declared = {name: taken for name, taken in loss.inputs.items() if taken.side == side}
        named = {name: arrays[name] for name in declared}
        given.append(None if not named else named if any(taken.named for taken in declared.values()) else named[side])
    return given[0], given[1]


def kernel_of(batch: Batch) -> tuple[Any, ...]:
    """Values and derivatives of all elements of a batch, as its kernel gives them."""
    with np.errstate(all="ignore"):
        return batch.kernel(*(array[:] for array in batch.arrays), **batch.columns_at(slice(None)))


def as_rows(batch: Batch, array: Array) -> Array:
    """An array of the shape that the predictions have in the request, as the rows of the batch."""
    moved = array if batch.class_axis is None else np.moveaxis(array, batch.class_axis, -1)
    rows = np.ascontiguousarray(moved).reshape(-1, *moved.shape[len(batch.elements) :])
    return rows if batch.kept is None else rows[batch.kept]


def rows_of(arrays: Arrays, rows: Any) -> dict[str, Array]:
    return frozen({name: array[rows] for name, array in arrays.items()})


def gradients_of(evaluation: Evaluation) -> dict[str, Array]:
    """The gradient by name, also where the predictions are a single array."""
    assert evaluation.gradient is not None
    return by_input(evaluation.gradient)


def by_input(derivatives: Any) -> dict[str, Array]:
    """Derivatives by the name of the array that they belong to."""
    named = derivatives if isinstance(derivatives, Mapping) else {"predictions": derivatives}
    return {name: np.asarray(array) for name, array in named.items()}


def _shapes(loss: Loss, parameters: Mapping[str, Any]) -> Iterator[tuple[tuple[int, ...], dict[str, Encoding], tuple[int, ...]]]:
    """Each way in which the arrays of a loss can be shaped: samples of one number, of a row, of more."""
    first = next(iter(loss.inputs))
    seen: list[tuple[tuple[int, ...], ...]] = []
    for d, rank in itertools.product(((), (2,)), (1, 2, 3, 4)):
        encodings = {name: taken.decide(parameters, rank) for name, taken in loss.inputs.items()}
        drawn = {name: _shape(encoding, d) for name, encoding in encodings.items()}
        shapes = tuple(drawn.values())
        if len(drawn[first]) == rank and shapes not in seen:
            seen.append(shapes)
            yield drawn[first], encodings, d


@cache
def _shape(encoding: Encoding, d: tuple[int, ...]) -> tuple[int, ...]:
    return np.shape(encoding.draw(np.random.default_rng(0), Sizes(4, K, d)))


def _soft(encodings: Mapping[str, Encoding]) -> dict[str, Encoding] | None:
    """The same arrays with probabilities for labels, where the loss takes them."""
    soft = {name: _softened(encoding) for name, encoding in encodings.items()}
    return soft if any(soft[name] is not encodings[name] for name in soft) else None


def _softened(encoding: Encoding) -> Encoding:
    if encoding.soft is None:
        return encoding
    if encoding.soft == DISTRIBUTION.domain:
        return DISTRIBUTION

    def draw(rng: np.random.Generator, sizes: Sizes) -> Array:
        return rng.uniform(0.05, 0.95, encoding.draw(rng, sizes).shape)

    return replace(PROBABILITY, axes=encoding.axes, draw=draw)


def refused(case: Case) -> bool:
    """Whether the loss refuses these parameters beside each other or beside such arrays: clipped logits, no label to ignore.

    That each of their values is taken somewhere is a test.
    """
    try:
        case.evaluate()
    except InvalidParameter:
        return True
    return False


@cache
def all_cases() -> tuple[Case, ...]:
    """Every loss with its defaults in every shape, and in every setting in one shape; with labels hard and soft."""
    found: dict[str, Case] = {}
    for loss, width in itertools.product(LOSSES.values(), (1, 2, K)):
        for parameters in settings(loss, width):
            lists = {len(parameter) for parameter in parameters.values() if isinstance(parameter, list)}
            shapes = [
                drawn
                for drawn in _shapes(loss, {**loss.defaults, **parameters})
                if not lists or lists == {drawn[0][-1]} != {drawn[0][0]}
            ]
            if parameters:
                shapes = list({tuple(encoding.name for encoding in drawn[1].values()): drawn for drawn in shapes}.values())
            listed = ",".join(f"{name}={value}" for name, value in parameters.items())
            for shape, encodings, d in shapes:
                for softness, chosen in (("", encodings), ("soft ", _soft(encodings))):
                    words = f"{loss.name}({listed}) {softness}{'x'.join(map(str, ('n', *shape[1:])))}"
                    if chosen is not None and words not in found:
                        case = Case(loss, parameters, chosen, d, words)
                        if not (parameters and refused(case)):
                            found[words] = case
    return tuple(found.values())


def cases(*names: str) -> list[Case]:
    return [case for case in all_cases() if not names or case.loss.name in names]


def default_cases(*names: str) -> list[Case]:
    return [case for case in cases(*names) if not case.parameters]


def one_of_each_form(cases: Iterable[Case]) -> list[Case]:
    """The first case of each form that a batch can have: what knows no loss by its name need not see those like it."""
    forms: dict[object, Case] = {}
    for case in cases:
        inputs = tuple((name, encoding.name, encoding.axes) for name, encoding in case.encodings.items())
        forms.setdefault((inputs, case.d, case.coupling, case.loss.mean), case)
    return [*forms.values()]


def over(cases: Iterable[Case]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is made with one of these cases of each loss in `make test`, and with the others in `make test-thorough`."""
    return folded("case", cases, of=lambda case: case.loss.name)
