"""A loss as the thing a model is trained on: whether it fits, what the last layer must be, and its slope per batch.

Nothing here knows any loss by name. Whether a loss fits is asked of the loss: the range of the last layer's activation must
lie within the domain of its predictions, and the check of /v1/evaluate takes the targets or says why not.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses import LOSSES, Batch, Loss, check
from app.losses.form import Sum
from app.losses.inputs import Encoding, Numbers, Raw
from app.losses.labels import balanced, by_name
from app.losses.learnable import Span
from app.losses.loss import CONVEX, PROPER, SMOOTH, Kernel, Pullback, Second
from app.losses.numerics.means import ARITHMETIC, divisor_of, reduced, scale, shares_of
from app.losses.numerics.stable import Array
from app.losses.parameters import unsettled
from app.training.activations import IDENTITY, OUTPUTS, Activation, output_of
from app.training.drawn import embeds
from app.training.side_by_side import Heads, SideBySide

TWICE = 2
"""Derivatives of a loss that has a second one."""
ROW = 2
"""Axes of what a model predicts: samples, and what it says of each."""
MOST_CLASSES = 10_000
"""Classes that indices may imply; one stray label of 10⁹ should not ask for a model of 10⁹ outputs."""
MOST_PREDICTED = 10_000_000
"""Rows times classes: 80 MB, of which a training run needs several."""
SUGGESTED_FROM = 1_000
"""Rows looked at when other losses are suggested."""
SUGGESTED = 3
"""Losses that are suggested."""
SUGGESTED_CLASSES = 100
"""Whole numbers beyond are not taken for classes when other losses are suggested."""


class Labels(NamedTuple):
    """Targets as the kernel takes them, and what counts of them; rows first."""

    targets: Numbers
    counts: Array | None = None
    """(n, *d): what the loss itself counts each element in the divisor, as class weights do (None: 1)."""
    weights: Array | None = None
    """(n, *d): 1, and 0 for an element whose label is ignored (None: 1)."""
    within: Array | None = None
    """(n, *row): the same of the numbers within rows, where a loss weighs these."""
    sample: Array | None = None
    """(n, *d): what each counts in sums while no divisor has it: pairs of a list, weights of rows as multiples of their mean
    (None: 1)."""
    draw: Array | None = None
    """(n,) a number from [0, 1) by which each is put together with others, where a loss looks at several."""

    def take(self, rows: slice | NDArray[np.intp]) -> "Labels":
        return Labels(self.targets[rows], *(None if array is None else array[rows] for array in self[1:]))

    def any(self) -> bool:
        """Whether any element counts."""
        counts = [array for array in (self.counts, self.weights, self.sample) if array is not None]
        return not counts or bool(np.logical_and.reduce(counts).any())


class Place(NamedTuple):
    """A parameter of a loss that may be learned."""

    name: str
    path: tuple[str, ...]
    """Where the loss's document has it."""
    span: Span
    start: float
    instead: str = ""
    """What the document may not have beside it."""
    refusal: str = ""
    """Why it may not be, as the loss was asked for."""


class Member(NamedTuple):
    """A loss under some values of its parameters."""

    kernel: Kernel
    slopes: Callable[[Array, Numbers], Mapping[str, Array]]
    """(predictions, targets) -> the derivative of each element's loss (m,) to each parameter."""


class Family(NamedTuple):
    """A loss under any values of some of its parameters."""

    places: Mapping[str, Place]
    """By the name that the loss has for them."""
    words: Mapping[str, str]
    """Other names -> that."""
    under: Callable[[Mapping[str, float]], Member]
    """By that name -> the loss under these."""


@dataclass(frozen=True)
class Objective:
    """A loss with its parameters, on predictions of a known shape that come from a known activation."""

    loss: Loss
    parameters: Mapping[str, Any]
    outputs: tuple[int, ...]
    """The shape of one sample's prediction: () or (k,)."""
    activation: Activation
    encoding: str
    """What the predictions are, e.g. real, probability, logits."""
    targets_encoding: str
    warnings: tuple[str, ...] = ()

    depth: int = 0
    """How many of the axes of outputs are elements by themselves; the others make up one row."""
    columns: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Parameters with one number for each column."""
    sum: Kernel | None = None
    """What is computed in place of the loss that reads the targets, where that is the first of a sum."""
    heads: Heads | None = None
    """Where the outputs are several arrays, by name: which columns are whose."""
    named: SideBySide | None = None
    """The same of targets that are."""
    parts: Mapping[str, "Objective"] = field(default_factory=dict[str, "Objective"])
    """Where it is a sum of losses that have a head each: what these are by themselves."""
    reads: Callable[[Raw, Sequence[str] | None], Labels] | None = None
    """Reads further targets, where they are not those of one array of predictions."""
    family: Family | None = None
    """What it is under other log variances of its heads, where it is of several tasks."""

    @property
    def width(self) -> int:
        return self.outputs[0] if self.outputs else 1

    @cached_property
    def kernel(self) -> Kernel:
        return self.sum or self.loss.kernel(self.parameters)

    @cached_property
    def _rows(self) -> tuple[int, ...]:
        return -1, *self.outputs[self.depth :]

    def elements(self, predictions: Array, labels: Labels) -> tuple[Array, Array]:
        """Each element's loss (m,), and the derivative of it to what is predicted for it (m, *row)."""
        return self.derivatives(predictions, labels)[:2]

    def derivatives(self, predictions: Array, labels: Labels) -> tuple[Array, Array, Second | None]:
        """The same, and a function to the second derivative to each number (m, *row); None where the loss has none."""
        values, gradient, second = self._computed(predictions, labels)
        return values, gradient(np.ones(len(values))) if callable(gradient) else gradient, second

    def _computed(self, predictions: Array, labels: Labels) -> tuple[Array, Array | Pullback, Second | None]:
        """The same; of a loss that looks at several rows a function from their weights to the derivative of the sum."""
        predictions, targets = self._laid_out(predictions, labels)
        more = [array for array in (labels.within, labels.draw) if array is not None]
        columns = {name: np.resize(numbers, targets.size) for name, numbers in self.columns.items()} if self.columns else {}
        try:
            values, gradient, *second = self.kernel(predictions, targets, *more, **columns)
        except InvalidInput as error:  # a parameter that the kernel itself refuses
            raise error.moved({("parameters",): ("loss",)}) from None
        # of one array of predictions
        return values, cast("Array | Pullback", gradient), cast(Second, second[0]) if second else None

    def _laid_out(self, predictions: Array, labels: Labels) -> tuple[Array, Numbers]:
        """Predictions and targets as the kernel takes them: a row for each element."""
        targets = labels.targets
        if self.depth:
            targets = targets.reshape(-1, *targets.shape[1 + self.depth :])
        return predictions.reshape(self._rows), targets

    def mean_slopes(self, member: Member, predictions: Array, labels: Labels) -> dict[str, float]:
        """The derivatives of the mean loss to parameters, where it is a plain mean."""
        found = member.slopes(*self._laid_out(predictions, labels))
        shares = {name: self._shares(slope, labels) for name, slope in found.items()}
        return {name: reduced(ARITHMETIC, slope, *shares[name])[0] for name, slope in found.items()}

    def pulls(self, losses: Array, labels: Labels) -> Array | None:
        """(m,) what each element counts in a sum that is least where the mean is, near these losses; None: all 1."""
        weights, divisor = self._shares(losses, labels)
        if self.loss.mean.of_all is None or self.loss.mean.power is not None:
            return weights
        return self.loss.mean.of_all(losses, weights, divisor)[1] * divisor

    def losses(self, predictions: Array, labels: Labels) -> tuple[Array, Array]:
        """Each sample's loss (n,), and the derivative of it to its predictions (n, *outputs)."""
        values, gradient = self.elements(predictions, labels)
        n, weights = len(labels.targets), labels.weights
        if not self.depth and weights is None:
            return values, gradient
        shares = None if weights is None else shares_of(weights.reshape(n, -1))
        losses, slope = self.loss.mean.of_rows(values.reshape(n, -1), shares)
        slopes = np.empty_like(gradient)
        scale(gradient, _flat(shares), 1.0 if weights is not None else values.size / n, out=slopes)
        if slope is not None:
            scale(slopes, _flat(slope), 1.0, out=slopes)
        return losses, slopes.reshape(n, *self.outputs)

    def curvature(self, predictions: Array, labels: Labels) -> Array:
        """(n, *outputs) the second derivative of each sample's loss to each of its predictions, where no label weighs."""
        values, _, second = self.derivatives(predictions, labels)
        assert second is not None
        assert labels.weights is None
        n = len(labels.targets)
        return second().reshape(n, *self.outputs) / (values.size / n)

    def slope(self, predictions: Array, labels: Labels, out: Array) -> Array:
        """out (n, width) = the derivative of the mean loss to the predictions; each element's loss (m,) besides."""
        losses, gradient, _ = self._computed(predictions, labels)
        weights, divisor = self._shares(losses, labels)
        if callable(gradient):
            scale(gradient(np.ones(len(losses)) if weights is None else weights).reshape(out.shape), None, divisor, out)
            return losses
        if self.loss.mean.of_all is not None:
            weights, divisor = self.loss.mean.of_all(losses, weights, divisor)[1], 1.0
        if weights is None:
            scale(gradient.reshape(out.shape), None, divisor, out)
        else:
            scale(gradient, weights, divisor, out.reshape(gradient.shape, copy=False))
        return losses

    def value(self, predictions: Array, labels: Labels) -> float:
        """The mean loss."""
        return self.mean(self.elements(predictions, labels)[0], labels)

    def mean(self, losses: Array, labels: Labels) -> float:
        """Of each element's loss (m,)."""
        return reduced(self.loss.mean, losses, *self._shares(losses, labels))[0]

    @staticmethod
    def _shares(losses: Array, labels: Labels) -> tuple[Array | None, float]:
        """The weights of the elements, and what their mean divides by: 1 where nothing counts, as then all losses are 0."""
        if labels.weights is None and labels.counts is None and labels.sample is None:
            return None, float(losses.size)
        weights, sample = _flat(labels.weights), _flat(labels.sample)
        divisor = divisor_of(losses.size, weights, _flat(labels.counts)) or 1.0
        return weights if sample is None else sample if weights is None else weights * sample, divisor

    def by_head(self, predictions: Array) -> Array | dict[str, Array]:
        """Predictions (n, *outputs), by name where they are several arrays."""
        return predictions if self.heads is None else self.heads.apart(predictions)

    def labels(self, targets: Raw, classes: Sequence[str] | None) -> Labels:
        """Further targets for the same loss, such as those of validation rows."""
        if self.reads is not None:
            return self.reads(targets, classes)
        return _labels(_taken(self.loss, self.parameters, targets, classes, self.outputs, self.activation))


def of_differences(objective: Objective, labels: Labels) -> bool:
    """Whether targets are real numbers that may be shifted with the predictions: percentages, for one, may not."""
    if {objective.encoding, objective.targets_encoding} - {"real", "value"}:
        return False
    targets = labels.targets.reshape(len(labels.targets), -1)
    far = float(np.abs(targets).max()) or 1.0
    with np.errstate(all="ignore"):
        predictions = targets + far * np.linspace(-3.0, 3.0, targets.size).reshape(targets.shape)
        here, _ = objective.losses(predictions, labels)
        there, _ = objective.losses(predictions + far, labels._replace(targets=labels.targets + far))
    return np.allclose(here, there, rtol=1e-6)


def _flat(array: Array | None) -> Array | None:
    return None if array is None else array.reshape(-1)


def agree(
    loss: Loss,
    parameters: Mapping[str, Any],
    targets: Raw,
    classes: Sequence[str] | None,
    output: Activation | None = None,
    trained: NDArray[np.intp] | None = None,
) -> tuple[Objective, Labels]:
    """The objective that this loss is on these targets; InvalidInput that names the losses that fit where it does not.

    `output` is the activation of the last layer; None takes the first of OUTPUTS whose range the loss takes. `trained` are the
    rows whose labels balance the weights of classes where that is asked for; None takes all.
    """
    refuse_untrainable(loss)
    parameters = _with_weights_by_name({**loss.defaults, **parameters}, loss, classes)
    if loss.pooled(parameters):
        message = f"a model cannot be trained on {loss.name} of a whole batch; leave its samples apart"
        raise InvalidParameter([Fault(("parameters",), "not_trainable", message)])
    if not isinstance(targets, np.ndarray) and classes is None:
        raise InvalidArray([Fault(("classes",), "missing", 'targets are class names: say their order in "classes"')])
    found = _first_that_fits(loss, parameters, targets, classes, [output] if output else list(OUTPUTS.values()))
    if isinstance(found, list):
        raise _misfit(loss, parameters, found, targets, classes, output)
    if trained is not None and (names := unsettled(loss.parameters, parameters)):
        objective, labels = found[0], found[1].take(trained)
        own = labels.targets if labels.weights is None else labels.targets[labels.weights > 0]
        return agree(loss, {**parameters, **dict.fromkeys(names, balanced(own, objective.width))}, targets, classes, output)
    if found[0].width > 1 and loss.mean_of(parameters).by_column:
        message = f"a model cannot be trained on {loss.name} of each column apart; leave multioutput pooled"
        raise InvalidParameter([Fault(("parameters", "multioutput"), "not_trainable", message)])
    return found


def _with_weights_by_name(parameters: dict[str, Any], loss: Loss, classes: Sequence[str] | None) -> dict[str, Any]:
    """The parameters with weights by the names of classes as numbers, where the classes have names."""
    named = {name: parameters[name] for name in unsettled(loss.parameters, parameters) if parameters[name] != "balanced"}
    if classes is None:
        return parameters
    return {**parameters, **{name: by_name(weights, classes, len(classes), name) for name, weights in named.items()}}


def _first_that_fits(
    loss: Loss,
    parameters: Mapping[str, Any],
    targets: Raw,
    classes: Sequence[str] | None,
    activations: Sequence[Activation],
    most_classes: int = MOST_CLASSES,
) -> tuple[Objective, Labels] | list[InvalidInput]:
    """The first objective that the loss's own check takes; what it said of each where there is none."""
    refusals: list[InvalidInput] = []
    for outputs in _shapes(targets, classes, most_classes):
        encoding = loss.inputs["predictions"].decide(parameters, 1 + len(outputs))
        fitting = [activation for activation in (*activations, *OUTPUTS.values()) if _makes(activation, encoding, outputs)]
        try:
            batch = _taken(loss, parameters, targets, classes, outputs, fitting[0] if fitting else IDENTITY)
        except InvalidInput as refusal:
            refusals.append(refusal)
            continue
        if not fitting or fitting[0] not in activations:
            rule = _rule(encoding, outputs, activations[0])
            refusals.append(InvalidParameter([Fault(("predictions", 0), "out_of_range", rule)]))
            continue
        encodings = batch.encodings["predictions"], batch.encodings["targets"]
        depth = len(batch.elements) - 1
        objective = Objective(loss, batch.parameters, outputs, fitting[0], *encodings, batch.warnings, depth, batch.columns)
        return objective, _labels(batch)
    return refusals


def _makes(activation: Activation, encoding: Encoding, outputs: tuple[int, ...]) -> bool:
    """Whether all that the activation makes of so many outputs is what the encoding takes."""
    return encoding.domain.includes(activation.range) and (bool(outputs) or not activation.range.of_rows)


def _rule(encoding: Encoding, outputs: tuple[int, ...], activation: Activation) -> str:
    """Why the encoding does not take what the activation makes."""
    if activation.range.of_rows and not outputs:
        return f"{activation.name} needs more than one output"
    return f"predictions must be {encoding.domain.rule}"


def _of_predicted_numbers(refusal: InvalidInput) -> bool:
    path = refusal.faults[0].path
    return path[0] == "predictions" and len(path) > 1


def trainable(loss: Loss) -> bool:
    """Whether there is a slope to follow, and targets that tell how."""
    return untrainable_because(loss) is None


def untrainable_because(loss: Loss | Sum) -> str | None:
    """Why no model can be trained on a loss, None for one on which it can."""
    if isinstance(loss, Sum):
        return None  # its parts are asked for themselves
    if not loss.differentiable:
        return "it has no useful derivative"
    if embeds(loss):
        return None
    if loss.coupling != "sample":
        return "it couples the samples of a batch"
    if not loss.sides["targets"]:
        return "it has no targets, by which alone rows are told apart"
    told = {axis for taken in loss.sides["targets"].values() for case in taken.cases for axis in _told_by(case)}
    for taken in loss.sides["predictions"].values():
        name = taken.place.name
        shapes = [axes.split() for _, encoding in taken.cases for axes in encoding.axes]
        if all(len([axis for axis in axes if not axis.startswith("*")]) > ROW for axes in shapes):
            return f"it takes {name} of shape ({', '.join(shapes[0])}), and a model predicts a row for each sample"
        if any(all(axis in axes for axes in shapes) and axis not in told for axis in ("k", "d")):
            return f"it takes {name} of shape ({', '.join(shapes[0])}), and targets do not tell how long a row is"
        if not any(_is_made(encoding, loss) for _, encoding in taken.cases):
            return f"no output of a model makes {name}: {taken.cases[0][1].meaning}"
    return None


def _is_made(encoding: Encoding, loss: Loss) -> bool:
    """Whether some output of a model makes such numbers: no box, whose corners none keeps in order, and no sequence of rows."""
    if "t" in encoding.axes[0].split():
        return False
    if is_of_one(loss):
        return any(encoding.domain.includes(output.range) for output in OUTPUTS.values())
    return output_of(encoding.domain, of_rows="k" in encoding.axes[0].split()) is not None


def is_of_one(loss: Loss) -> bool:
    """Whether it takes one array of predictions beside one of targets, each row of which is one of them."""
    return (
        not embeds(loss)
        and set(loss.inputs) == {"predictions", "targets"}
        and not any(input_.named for input_ in loss.inputs.values())
    )


def _told_by(case: tuple[str, Encoding]) -> set[str]:
    """The axes of predictions whose lengths such targets tell, by what they are or by their shape."""
    _, encoding = case
    return {axis for axes in encoding.axes for axis in axes.split()} | ({"k"} if encoding.domain.discrete else set())


def refuse_untrainable(loss: Loss) -> None:
    why = untrainable_because(loss)
    if why:
        raise InvalidParameter([Fault(("parameters",), "not_trainable", f"a model cannot be trained on {loss.name}: {why}")])


def predicted(targets: Raw, classes: Sequence[str] | None) -> Iterator[Numbers]:
    """What a model may predict of these targets, as arrays of the shapes that may fit."""
    return (np.broadcast_to(0.0, (len(targets), *shape)) for shape in _shapes(targets, classes, MOST_CLASSES))


def _shapes(targets: Raw, classes: Sequence[str] | None, most_classes: int) -> Iterator[tuple[int, ...]]:
    """The shapes of one sample's prediction that may fit: that of its target, or one number per class."""
    yield targets.shape[1:] if isinstance(targets, np.ndarray) else ()
    k = implied(targets, most_classes) if classes is None else len(classes)
    if len(targets) * k > MOST_PREDICTED:
        message = f"{len(targets)} rows of {k} classes are {len(targets) * k} numbers to predict, of at most {MOST_PREDICTED}"
        raise InvalidArray([Fault(("targets",), "limit", f"{message}; use fewer rows")])
    if k:
        yield (k,)


def implied(targets: Raw, most: int) -> int:
    """The number of classes that indices imply, from 2 up to the most; 0 where targets are none."""
    if not isinstance(targets, np.ndarray):
        return 0
    largest = float(targets.max())
    return int(largest) + 1 if 1 <= largest < most and (targets == np.floor(targets)).all() else 0


def _taken(
    loss: Loss,
    parameters: Mapping[str, Any],
    targets: Raw,
    classes: Sequence[str] | None,
    outputs: tuple[int, ...],
    activation: Activation,
) -> Batch:
    """The loss's own check of the targets, beside what the activation makes of sums of 0."""
    predictions = activation.of(np.zeros((len(targets), math.prod(outputs)))).reshape(len(targets), *outputs)
    return check(loss, parameters, predictions, targets, classes=None if isinstance(targets, np.ndarray) else classes)


def _labels(batch: Batch) -> Labels:
    """The targets of every row of a batch, those with an ignored label as well: they get one that can be computed with."""
    _, given, *more = (np.asarray(array[:]) for array in batch.arrays)

    def everywhere(array: Numbers, elsewhere: Any) -> Numbers:
        """What the elements that count have, in the place of each; something else in that of the others."""
        if batch.kept is None:
            return array.reshape(*batch.elements, *array.shape[1:])
        whole = np.full((math.prod(batch.elements), *array.shape[1:]), elsewhere, array.dtype)
        whole[batch.kept] = array
        return whole.reshape(*batch.elements, *array.shape[1:])

    counts = None if batch.counts is None else everywhere(batch.counts, 0.0)
    weights = None if batch.kept is None else everywhere(np.ones(batch.size), 0.0)
    sample = None if batch.factors is None else everywhere(batch.factors, 0.0)
    return Labels(everywhere(given, given[0]), counts, weights, everywhere(more[0], 1.0) if more else None, sample)


def _misfit(
    loss: Loss,
    parameters: Mapping[str, Any],
    refusals: Sequence[InvalidInput],
    targets: Raw,
    classes: Sequence[str] | None,
    output: Activation | None,
) -> InvalidInput:
    """Why nothing fitted, and which losses do fit these targets."""
    told = min(refusals, key=_how_far_off)
    first = told.faults[0]
    if first.path[0] == "parameters":
        return told
    if _of_predicted_numbers(told) and output:
        return _other_output(loss, parameters, targets, classes, output, first.message.partition("; got")[0])
    if first.path[0] == "predictions":
        message = f"no output of a model is what {loss.name} takes: {first.message.partition('; got')[0]}"
        uncounted = None if _of_predicted_numbers(told) else _uncounted(loss, parameters, targets)
        faults = [uncounted or Fault(("parameters",), "does_not_fit", message)]
    else:
        faults = told.faults
    others = suited(loss, targets, classes)
    hint = f" Losses that fit these targets: {', '.join(others)}." if others else ""
    return InvalidArray(faults, detail=f"{loss.name} and these targets do not fit: {faults[0].message}.{hint}")


def _other_output(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None, output: Activation, rule: str
) -> InvalidParameter:
    others = [
        name
        for name, candidate in OUTPUTS.items()
        if not isinstance(_first_that_fits(loss, parameters, targets, classes, [candidate]), list)
    ]
    hint = f"; outputs that fit: {', '.join(others)}" if others else ""
    message = f"{loss.name} does not take what the output {output.name} makes: {rule}{hint}"
    return InvalidParameter([Fault(("output",), "does_not_fit", message)])


def _how_far_off(refusal: InvalidInput) -> int:
    """A parameter, a target or a predicted number is wrong only where the shapes are right."""
    first = refusal.faults[0]
    if first.path[0] == "parameters":
        return 0
    if _of_predicted_numbers(refusal):
        return 2
    if first.code not in ("shape", "shape_mismatch"):
        return 1
    return 3 if first.path == ("targets",) and first.code == "shape" else 4


def _uncounted(loss: Loss, parameters: Mapping[str, Any], targets: Raw) -> Fault | None:
    """What is wrong with targets (n,) that do not tell how many numbers to predict for each."""
    if not isinstance(targets, np.ndarray) or targets.ndim != 1:
        return None
    encoding = loss.inputs["targets"].decide(parameters, 2)
    bad = np.flatnonzero((targets < 0) | (targets >= MOST_CLASSES) | (targets != np.floor(targets)))
    if bad.size:
        rule = f" (an index is a whole number from 0 to {MOST_CLASSES - 1})" if "class_names" in encoding.accepts else ""
        message = f"targets[{bad[0]}] must be {encoding.meaning}{rule}; got {targets[bad[0]]:.15g}"
        return Fault(("targets", int(bad[0])), "label", message)
    if targets.any():
        return None
    message = 'targets are all 0, which is one class; name all of them in "classes" if there are more'
    return Fault(("targets",), "label", message)


def takes_labels(loss: Loss) -> bool:
    """Whether its targets stand for classes, and may be their names."""
    return any("class_names" in encoding.accepts for _, encoding in loss.inputs["targets"].cases)


def suited(loss: Loss, targets: Raw, classes: Sequence[str] | None) -> list[str]:
    """The three losses that suit such targets best instead of this one.

    Those that it names itself, then of the best the first of each family: proper before others, convex, smooth. Of labels where
    this one takes labels, of numbers where it takes these, as long as any of that kind fits.
    """
    fits = [LOSSES[name] for name in fitting(targets, classes) if name != loss.name]
    alike = "targets" in loss.inputs and takes_labels(loss)
    fits = [other for other in fits if takes_labels(other) == alike] or fits
    ranked = sorted(fits, key=_rank)
    own = [other for other in fits if other.name in loss.guide.see_also]
    best = [other for other in ranked if _rank(other) == _rank(ranked[0])]
    of_families = {other.family: other for other in reversed(best)}.values()
    return [*dict.fromkeys(other.name for other in (*own, *reversed(of_families), *ranked))][:SUGGESTED]


def _rank(loss: Loss) -> list[bool]:
    return [mark not in loss.properties for mark in (PROPER, CONVEX, SMOOTH)]


def fitting(targets: Raw, classes: Sequence[str] | None) -> list[str]:
    """The names of the losses that train on targets such as these, with their default parameters."""
    rows = min(SUGGESTED_FROM, MOST_PREDICTED // max(1, len(classes or ())))
    seen, outputs = targets[:rows], list(OUTPUTS.values())

    def fits(loss: Loss) -> bool:
        return not isinstance(_first_that_fits(loss, loss.defaults, seen, classes, outputs, SUGGESTED_CLASSES), list)

    return [name for name, loss in LOSSES.items() if is_of_one(loss) and trainable(loss) and fits(loss)]
