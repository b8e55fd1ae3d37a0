"""A loss as the thing a model is trained on: whether it fits, what the last layer must be, and its slope per batch.

Nothing here knows any loss by name. Whether a loss fits is asked of the loss: predictions that a last layer could make
are put beside the targets, and either the check of /v1/evaluate takes them or it says why not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses import LOSSES, Batch, Loss, check
from app.losses.inputs import Numbers, Raw
from app.losses.stable import Array
from app.training.activations import OUTPUTS, Activation

MOST_CLASSES = 10_000
"""Classes that indices may imply; one stray label of 10⁹ should not ask for a model of 10⁹ outputs."""
SUGGESTED_FROM = 1_000
"""Rows looked at when other losses are suggested."""


class Labels(NamedTuple):
    """Targets as the kernel takes them, and what each counts in the divisor (None: 1)."""

    targets: Numbers
    counts: Array | None


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

    @property
    def width(self) -> int:
        return self.outputs[0] if self.outputs else 1

    def losses(self, predictions: Array, labels: Labels) -> tuple[Array, Array]:
        """Each sample's loss (n,), and the derivative of it to its predictions (n, *outputs)."""
        values, gradient = self.loss(predictions.reshape(-1, *self.outputs), labels.targets, **self.parameters)
        slopes = cast(Array, gradient)  # of one array of predictions, each sample by itself
        if values.ndim == 1:
            return values, slopes
        columns = values.size // len(values)
        losses, slope = self.loss.mean.of_columns(values.reshape(-1, columns))
        return losses, (slopes if slope is None else slopes * slope.reshape(slopes.shape)) / columns

    def slope(self, predictions: Array, labels: Labels, out: Array) -> None:
        """out (n, width) = the derivative of the batch's mean loss to the predictions."""
        losses, gradient = self.losses(predictions, labels)
        divisor = self._divisor(labels)
        of_samples = self.loss.mean.of_samples
        if of_samples is None:
            np.divide(gradient.reshape(out.shape), divisor, out=out)
        else:
            np.multiply(gradient.reshape(out.shape), of_samples(losses, None, divisor)[1][:, None], out=out)

    def value(self, predictions: Array, labels: Labels) -> float:
        """The mean loss."""
        losses, _ = self.losses(predictions, labels)
        of_samples = self.loss.mean.of_samples
        if of_samples is None:
            return float(np.add.reduce(losses)) / self._divisor(labels)
        return of_samples(losses, None, self._divisor(labels))[0]

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
    refusals: list[InvalidInput] = []
    for outputs in _shapes(targets, classes):
        for activation in [output] if output else OUTPUTS.values():
            try:
                batch = _probed(loss, parameters, targets, classes, outputs, activation)
            except InvalidInput as refusal:
                refusals.append(refusal)
                continue
            encodings = batch.encodings
            objective = Objective(loss, parameters, outputs, activation, encodings["predictions"], encodings["targets"])
            return objective, _labels(batch)
    raise _misfit(loss, refusals, targets, classes, output)


def trainable(loss: Loss) -> bool:
    """Whether there is a slope to follow: one array of predictions beside targets, each sample by itself, differentiable."""
    plain = set(loss.inputs) == {"predictions", "targets"} and not any(each.named for each in loss.inputs.values())
    return plain and loss.differentiable and loss.coupling == "sample"


def _refuse_untrainable(loss: Loss) -> None:
    if trainable(loss):
        return
    arrays = ", ".join(each.pointer[1:].replace("/", ".") for each in loss.inputs.values())
    why = (
        "it has no useful derivative" if not loss.differentiable
        else "it couples the samples of a batch" if loss.coupling != "sample"
        else f"it takes {arrays}, not predictions and targets"
    )  # fmt: skip
    raise InvalidParameter([Fault("/loss", "not_trainable", f"a model cannot be trained on {loss.name}: {why}")])


def _shapes(targets: Raw, classes: Sequence[str] | None) -> Iterator[tuple[int, ...]]:
    """The shapes of one sample's prediction that may fit: that of its target, or one number per class."""
    yield targets.shape[1:] if isinstance(targets, np.ndarray) else ()
    if classes is not None:
        yield (len(classes),)
    elif isinstance(targets, np.ndarray) and targets.ndim == 1:
        most = float(targets.max())
        if 1 <= most < MOST_CLASSES and (targets == np.floor(targets)).all():
            yield (int(most) + 1,)


def _probed(
    loss: Loss, parameters: Mapping[str, Any], targets: Raw, classes: Sequence[str] | None,
    outputs: tuple[int, ...], activation: Activation,
) -> Batch:  # fmt: skip
    """The loss's own check of what the activation makes of sums on both sides of 0."""
    shape = (len(targets), outputs[0] if outputs else 1)
    sums = np.linspace(-3.0, 3.0, shape[0] * shape[1]).reshape(shape)
    if activation.name.endswith("softmax") and not outputs:
        raise InvalidParameter([Fault("/predictions", "shape", f"{activation.name} needs more than one output")])
    for probe in (-sums, sums):
        predictions = np.empty(shape)
        activation.forward(probe, predictions)
        named = None if isinstance(targets, np.ndarray) else classes
        batch = check(loss, parameters, predictions.reshape(-1, *outputs), targets, classes=named)
    return batch  # pyright: ignore[reportPossiblyUnboundVariable]  # the loop runs twice


def _labels(batch: Batch) -> Labels:
    return Labels(batch.arrays[-1], batch.counts)


def _misfit(
    loss: Loss, refusals: Sequence[InvalidInput], targets: Raw, classes: Sequence[str] | None, output: Activation | None
) -> InvalidInput:
    """Why nothing fitted: what is wrong with the targets or parameters, if that was it, and which losses do fit."""
    told = next((each for each in refusals if not each.faults[0].pointer.startswith("/predictions")), refusals[0])
    first = told.faults[0]
    if first.pointer.startswith("/loss"):
        return told
    if first.pointer.startswith("/predictions"):
        made = f"the output {output.name}" if output else "no output of a model"
        said = f"{loss.name} does not take what {made} makes" if output else f"{made} is what {loss.name} takes"
        faults = [Fault("/model/output" if output else "/loss", "does_not_fit", f"{said}: {first.message}")]
    else:
        faults = [Fault(f"/data{each.pointer}", each.code, each.message) for each in told.faults]
    others = [name for name in fitting(targets, classes) if name != loss.name]
    hint = f" Losses that fit these targets: {', '.join(others)}." if others else ""
    return InvalidArray(faults, detail=f"{loss.name} and these targets do not fit: {faults[0].message}.{hint}")


def fitting(targets: Raw, classes: Sequence[str] | None) -> list[str]:
    """The names of the losses that train on targets such as these, with their default parameters."""
    return [name for name, loss in LOSSES.items() if trainable(loss) and _fits(loss, targets[:SUGGESTED_FROM], classes)]


def _fits(loss: Loss, targets: Raw, classes: Sequence[str] | None) -> bool:
    for outputs in _shapes(targets, classes):
        for activation in OUTPUTS.values():
            try:
                _probed(loss, loss.defaults, targets, classes, outputs, activation)
            except InvalidInput:
                continue
            return True
    return False
