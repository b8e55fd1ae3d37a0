"""A loss as the thing a model is trained on: whether it fits, what the last layer must be, and its slope per batch.

Nothing here knows any loss by name. Whether a loss fits is asked of the loss: predictions that a last layer could make
are put beside the targets, and either the check of /v1/evaluate takes them or it says why not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses import LOSSES, Batch, Loss, check
from app.losses.inputs import Numbers, Raw
from app.losses.loss import Kernel
from app.losses.numerics.stable import Array
from app.training.activations import OUTPUTS, Activation

MOST_CLASSES = 10_000
"""Classes that indices may imply; one stray label of 10⁹ should not ask for a model of 10⁹ outputs."""
MOST_PREDICTED = 10_000_000
"""Rows times classes: 80 MB, of which a training run needs several."""
SUGGESTED_FROM = 1_000
"""Rows looked at when other losses are suggested."""
SUGGESTED_CLASSES = 100
"""Whole numbers beyond are not taken for classes when other losses are suggested."""


class Labels(NamedTuple):
    """Targets as the kernel takes them, what each row counts in the divisor (None: 1), and in the sums (None: 1)."""

    targets: Numbers
    counts: Array | None
    shares: Array | None = None
    """(n, d): 1/d for each number of a row, and 0 where its label is ignored."""

    def at(self, rows: slice | NDArray[np.intp]) -> "Labels":
        counts, shares = (None if array is None else array[rows] for array in (self.counts, self.shares))
        return Labels(self.targets[rows], counts, shares)


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

    @property
    def width(self) -> int:
        return self.outputs[0] if self.outputs else 1

    @cached_property
    def kernel(self) -> Kernel:
        return self.loss.kernel(self.parameters)

    def losses(self, predictions: Array, labels: Labels) -> tuple[Array, Array]:
        """Each sample's loss (n,), and the derivative of it to its predictions (n, *outputs)."""
        try:
            values, gradient, *_ = self.kernel(predictions.reshape(-1, *self.outputs), labels.targets)
        except InvalidInput as error:  # a parameter that the kernel itself refuses
            raise error.moved({("parameters",): ("loss",)}) from None
        slopes = cast(Array, gradient)  # of one array of predictions, each sample by itself
        if values.ndim == 1 and labels.shares is None:
            return values, slopes
        grid = values.reshape(len(values), -1)
        losses, slope = self.loss.mean.of_rows(grid, labels.shares)
        shares = 1.0 / grid.shape[1] if labels.shares is None else labels.shares
        factor = np.broadcast_to(shares if slope is None else slope * shares, grid.shape)
        return losses, slopes * factor.reshape(*values.shape, *(1,) * (slopes.ndim - values.ndim))

    def slope(self, predictions: Array, labels: Labels, out: Array) -> Array:
        """out (n, width) = the derivative of the batch's mean loss to the predictions; each sample's loss (n,) besides."""
        losses, gradient = self.losses(predictions, labels)
        divisor = self._divisor(labels)
        of_all = self.loss.mean.of_all
        if of_all is None:
            np.divide(gradient.reshape(out.shape), divisor, out=out)
        else:
            np.multiply(gradient.reshape(out.shape), of_all(losses, None, divisor)[1][:, None], out=out)
        return losses

    def value(self, predictions: Array, labels: Labels) -> float:
        """The mean loss."""
        return self.mean(self.losses(predictions, labels)[0], labels)

    def mean(self, losses: Array, labels: Labels) -> float:
        """Of each sample's loss (n,)."""
        of_all = self.loss.mean.of_all
        if of_all is None:
            return float(np.add.reduce(losses)) / self._divisor(labels)
        return of_all(losses, None, self._divisor(labels))[0]

    def _divisor(self, labels: Labels) -> float:
        if labels.counts is None:
            return float(len(labels.targets))
        return float(labels.counts.sum()) or 1.0  # a batch of which nothing counts has losses of 0, and slopes of 0

    def labels(self, targets: Raw, classes: Sequence[str] | None) -> Labels:
        """Further targets for the same loss, such as those of validation rows."""
        return _labels(_probed(self.loss, self.parameters, targets, classes, self.outputs, self.activation))


def agree(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None, output: Activation | None = None
) -> tuple[Objective, Labels]:
    """The objective that this loss is on these targets; InvalidInput that names the losses that fit where it does not.

    `output` is the activation of the last layer; None takes the first of OUTPUTS whose range the loss takes.
    """
    _refuse_untrainable(loss)
    parameters = {**loss.defaults, **parameters}
    if loss.pooled(parameters):
        message = f"a model cannot be trained on {loss.name} of a whole batch; leave its samples apart"
        raise InvalidParameter([Fault(("loss",), "not_trainable", message)])
    if not isinstance(targets, np.ndarray) and classes is None:
        raise InvalidArray([Fault(("classes",), "missing", 'targets are class names: say their order in "classes"')])
    found = _first_that_fits(loss, parameters, targets, classes, [output] if output else list(OUTPUTS.values()))
    if isinstance(found, list):
        raise _misfit(loss, parameters, found, targets, classes, output)
    if found[0].width > 1 and loss.mean_of(parameters).by_column:
        message = f"a model cannot be trained on {loss.name} of each column apart; leave multioutput pooled"
        raise InvalidParameter([Fault(("parameters", "multioutput"), "not_trainable", message)])
    return found


def _first_that_fits(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None, activations: Sequence[Activation],
    most_classes: int = MOST_CLASSES,
) -> tuple[Objective, Labels] | list[InvalidInput]:  # fmt: skip
    """The first objective that the loss's own check takes; what it said of each where there is none."""
    refusals: list[InvalidInput] = []
    for outputs in _shapes(targets, classes, most_classes):
        for activation in activations:
            try:
                batch = _probed(loss, parameters, targets, classes, outputs, activation)
            except InvalidInput as refusal:
                refusals.append(refusal)
                if not _of_predicted_numbers(refusal):
                    break  # no other activation would change that
                continue
            encodings = batch.encodings["predictions"], batch.encodings["targets"]
            return Objective(loss, parameters, outputs, activation, *encodings, batch.warnings), _labels(batch)
    return refusals


def _of_predicted_numbers(refusal: InvalidInput) -> bool:
    path = refusal.faults[0].path
    return path[0] == "predictions" and len(path) > 1


def trainable(loss: Loss) -> bool:
    """Whether there is a slope to follow: one array of predictions beside targets, each sample by itself, differentiable."""
    plain = set(loss.inputs) == {"predictions", "targets"} and not any(each.named for each in loss.inputs.values())
    return plain and loss.differentiable and loss.coupling == "sample"


def _refuse_untrainable(loss: Loss) -> None:
    if trainable(loss):
        return
    arrays = ", ".join(each.place.name for each in loss.inputs.values())
    why = (
        "it has no useful derivative" if not loss.differentiable
        else "it couples the samples of a batch" if loss.coupling != "sample"
        else f"it takes {arrays}, not predictions and targets"
    )  # fmt: skip
    raise InvalidParameter([Fault(("loss",), "not_trainable", f"a model cannot be trained on {loss.name}: {why}")])


def _shapes(targets: Raw, classes: Sequence[str] | None, most_classes: int) -> Iterator[tuple[int, ...]]:
    """The shapes of one sample's prediction that may fit: that of its target, or one number per class."""
    yield targets.shape[1:] if isinstance(targets, np.ndarray) else ()
    k = _implied(targets, most_classes) if classes is None else len(classes)
    if len(targets) * k > MOST_PREDICTED:
        said = f"{len(targets)} rows of {k} classes are {len(targets) * k} numbers to predict, of at most {MOST_PREDICTED}"
        raise InvalidArray([Fault(("targets",), "limit", f"{said}; use fewer rows")])
    if k:
        yield (k,)


def _implied(targets: Raw, most: int) -> int:
    """The number of classes that indices imply, from 2 up to the most; 0 where targets are none."""
    if not isinstance(targets, np.ndarray):
        return 0
    largest = float(targets.max())
    return int(largest) + 1 if 1 <= largest < most and (targets == np.floor(targets)).all() else 0


def _probed(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None,
    outputs: tuple[int, ...], activation: Activation,
) -> Batch:  # fmt: skip
    """The loss's own check of what the activation makes of sums on both sides of 0, in each row as far apart as can be."""
    shape = (len(targets), outputs[0] if outputs else 1)
    sums = np.linspace(-3.0, 3.0, shape[0] * shape[1]).reshape(shape, order="F")
    for probe in (-sums, sums):
        predictions = np.ascontiguousarray(activation.of(probe)).reshape(-1, *outputs)
        named = None if isinstance(targets, np.ndarray) else classes
        batch = check(loss, parameters, predictions, targets, classes=named)
    if activation.name.endswith("softmax") and not outputs:
        raise InvalidParameter([Fault(("predictions", 0), "one_output", f"{activation.name} needs more than one output")])
    return batch  # pyright: ignore[reportPossiblyUnboundVariable]  # the loop runs twice


def _labels(batch: Batch) -> Labels:
    """The targets of every row of a batch, those with an ignored label as well: they get one that can be computed with."""
    targets = np.asarray(batch.arrays[-1][:])
    if batch.kept is None:
        return Labels(targets.reshape(*batch.elements, *targets.shape[1:]), batch.counts)
    whole = np.zeros((math.prod(batch.elements), *targets.shape[1:]), targets.dtype)
    whole[:] = targets[0]
    whole[batch.kept] = targets
    grid = np.zeros(batch.elements).reshape(batch.elements[0], -1)
    grid.reshape(-1)[batch.kept] = 1.0
    known = grid.sum(axis=1, keepdims=True)
    counts = (known[:, 0] > 0).astype(np.float64)
    if batch.counts is not None:
        counts[batch.kept] = batch.counts
    shares = np.divide(grid, known, out=grid, where=known > 0)
    return Labels(whole.reshape(*batch.elements, *targets.shape[1:]), counts, shares)


def _misfit(
    loss: Loss, parameters: Mapping[str, Any], refusals: Sequence[InvalidInput], targets: Raw, classes: Sequence[str] | None,
    output: Activation | None,
) -> InvalidInput:  # fmt: skip
    """Why nothing fitted, and which losses do fit these targets."""
    told = min(refusals, key=_how_far_off)
    first = told.faults[0]
    if first.path[0] == "parameters":
        return told
    if _of_predicted_numbers(told) and output:
        return _other_output(loss, parameters, targets, classes, output, first.message.partition("; got")[0])
    if first.path[0] == "predictions":
        said = f"no output of a model is what {loss.name} takes: {first.message.partition('; got')[0]}"
        uncounted = None if _of_predicted_numbers(told) else _uncounted(loss, parameters, targets)
        faults = [uncounted or Fault(("loss",), "does_not_fit", said)]
    else:
        faults = told.faults
    others = [name for name in fitting(targets, classes) if name != loss.name]
    hint = f" Losses that fit these targets: {', '.join(others)}." if others else ""
    return InvalidArray(faults, detail=f"{loss.name} and these targets do not fit: {faults[0].message}.{hint}")


def _other_output(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None, output: Activation, rule: str
) -> InvalidParameter:
    others = [
        name
        for name, each in OUTPUTS.items()
        if not isinstance(_first_that_fits(loss, parameters, targets, classes, [each]), list)
    ]
    hint = f"; outputs that fit: {', '.join(others)}" if others else ""
    said = f"{loss.name} does not take what the output {output.name} makes: {rule}{hint}"
    return InvalidParameter([Fault(("output",), "does_not_fit", said)])


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
        said = f"targets[{bad[0]}] must be {encoding.meaning}{rule}; got {targets[bad[0]]:.15g}"
        return Fault(("targets", int(bad[0])), "label", said)
    if targets.any():
        return None
    said = 'targets are all 0, which is one class; name all of them in "classes" if there are more'
    return Fault(("targets",), "label", said)


def fitting(targets: Raw, classes: Sequence[str] | None) -> list[str]:
    """The names of the losses that train on targets such as these, with their default parameters."""
    rows = min(SUGGESTED_FROM, MOST_PREDICTED // max(1, len(classes or ())))
    seen, outputs = targets[:rows], list(OUTPUTS.values())

    def fits(loss: Loss) -> bool:
        return not isinstance(_first_that_fits(loss, loss.defaults, seen, classes, outputs, SUGGESTED_CLASSES), list)

    return [name for name, loss in LOSSES.items() if trainable(loss) and fits(loss)]
