"""What losses of labels take beside their own parameters, and what it makes of their kernels: declared once, for all of them.

A kernel of classes takes one label for each row, or the shares that the classes have of it: these are what soft labels,
smoothed ones and weights of classes come to. A weight of a row's only class is a factor, put around the kernel.
"""

import inspect
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.losses.inputs import Encoding, Numbers, Shape
from app.losses.numerics.shares import Shares
from app.losses.numerics.stable import Array, recovered
from app.losses.parameters import PER_CLASS
from app.registry import did_you_mean

LabelSmoothing = Annotated[float, Ge(0), Le(1), Doc("Share of each label that is spread over all classes.")]
OutcomeSmoothing = Annotated[float, Ge(0), Le(1), Doc("Moves every target this share of the way to ½: y becomes y(1 − ε) + ε/2.")]
Weight: TypeAlias = Annotated[float, Ge(0)]
ClassWeight = Annotated[
    list[Weight] | dict[str, Weight] | Literal["balanced"] | None,
    PER_CLASS,
    Doc(
        "Weight of each class, as a list or by name: a class that is not named weighs 1. balanced weighs each by n/(k·its "
        "labels), k the classes that occur, as scikit-learn does. null weighs all alike."
    ),
]
Kernel: TypeAlias = Callable[..., tuple[Any, ...]]


def _options(
    *,
    class_axis: Annotated[int, Doc("The axis of predictions that has the classes: the last, or 1.")] = -1,
    ignore_index: Annotated[int | None, Doc("Label of what is dropped, from the divisor too.")] = None,
    label_smoothing: LabelSmoothing = 0.0,
    class_weight: ClassWeight = None,
    normalize: Annotated[bool, Doc("Whether each row of probabilities is divided by its sum, soft targets too.")] = False,
) -> None:
    """The parameters that losses of labels have in common."""


def _column_options(
    *,
    multioutput: Annotated[
        Literal["pooled", "uniform_average"],
        Doc("Whether all columns are one sample of numbers, or each column has its own mean and these are averaged."),
    ] = "pooled",
) -> None:
    """The parameter of losses whose mean of all numbers is not that of the columns' means, in scikit-learn's words."""


_OPTIONS = inspect.signature(_options, eval_str=True).parameters
COLUMN_OPTIONS = inspect.signature(_column_options, eval_str=True).parameters


def label_options(
    predictions: Iterable[Encoding], targets: Iterable[Encoding], *, weighs_rows: bool
) -> dict[str, inspect.Parameter]:
    """Those of the common parameters that a loss of these encodings takes, which can leave out a part of a row or cannot."""
    predictions = [*predictions]
    rows = any("*d k" in axes for encoding in predictions for axes in encoding.axes)
    targets = [*targets]
    labels = {encoding.labels for encoding in targets}
    names = ["class_axis"] if rows else []
    names += ["ignore_index"] if labels & {"class", "flag"} or (weighs_rows and "part" in labels) else []
    names += ["label_smoothing", "class_weight"] if "class" in labels else []
    names += ["normalize"] if any(encoding.of_shares for encoding in (*predictions, *targets)) else []
    return {name: _OPTIONS[name] for name in names}


def class_axis_of(parameters: Mapping[str, Any], rank: int) -> int | None:
    """Where the classes are, None where that is the last axis or none; InvalidParameter for an axis that there is not."""
    axis: int | None = parameters["class_axis"]
    if axis is None or axis in (-1, rank - 1) or (rank, axis) == (1, 1):  # of one axis, the shape says what is wrong
        return None
    if 1 <= axis < rank or 1 - rank <= axis < 0:
        return axis % rank
    message = f"class_axis must be an axis of predictions beyond the first: from 1 to {rank - 1}, or negative; got {axis}"
    raise InvalidParameter([Fault(("parameters", "class_axis"), "out_of_range", message)])


def check_smoothing(options: Container[str], parameters: Mapping[str, Any], k: int | None) -> None:
    """InvalidParameter for labels that are to be spread over classes where predictions have none."""
    if k is None and "label_smoothing" in options and parameters["label_smoothing"]:
        message = "label_smoothing spreads labels over the classes: predictions must have an axis of classes"
        raise InvalidParameter([Fault(("parameters", "label_smoothing"), "classes", message)])


def axis_hint(predictions: Shape, targets: Shape, taken: int | None) -> str:
    """Where the classes may be meant, if these shapes fit with another axis than the one that is taken (None: the last)."""
    rank = len(predictions)
    others = (axis for axis in range(1, rank) if axis != (rank - 1 if taken is None else taken))
    fitting = [axis for axis in others if (*predictions[:axis], *predictions[axis + 1 :]) == targets]
    return f" (the classes are along axis {fitting[0]}? then set class_axis to {fitting[0]})" if fitting else ""


def class_counts(targets: Numbers, *, class_weight: list[float] | None = None, **_: object) -> Array | None:
    """What each label counts in the divisor of the mean: the weight of its class. None where all count 1, as soft rows do."""
    return None if class_weight is None or len(targets.shape) > 1 else np.asarray(class_weight, np.float64)[targets]


def balanced(targets: Numbers, k: int) -> list[float]:
    """Under these weights (k,) all classes that occur among labels (m,) or shares (m, k) count alike; others weigh 1.

    n/(k·nᵢ), n the labels, k the classes that occur, nᵢ the labels of a class: King and Zeng (2001),
    doi:10.1093/oxfordjournals.pan.a004868, and scikit-learn's compute_class_weight("balanced", ...).
    """
    labels = np.bincount(targets.astype(np.intp), minlength=k) if targets.ndim == 1 else targets.sum(axis=0)
    occurs = labels > 0
    weights = np.ones(k)
    weights[occurs] = labels.sum() / (np.count_nonzero(occurs) * labels[occurs])
    return weights.tolist()


def by_name(weights: Mapping[str, float], classes: Sequence[str] | Sequence[float] | None, k: int, parameter: str) -> list[float]:
    """Weights (k,) by the names of classes, by their numbers, or by their indices where they have neither; 1 where none is said.

    InvalidParameter for what is no class.
    """
    names = [str(index) for index in range(k)] if classes is None else [name_of(label) for label in classes]
    unknown = [name for name in weights if name not in names]
    if unknown:
        hint = did_you_mean("class", unknown[0], names)
        raise InvalidParameter([Fault(("parameters", parameter, unknown[0]), "unknown_class", hint)])
    return [weights.get(name, 1.0) for name in names]


def name_of(label: str | float) -> str:
    """A class as the key of an object says it."""
    return label if isinstance(label, str) else str(int(label)) if float(label).is_integer() else repr(label)


def one_hot(labels: Numbers, k: int) -> Array:
    """Labels (m,) as rows (m, k)."""
    return (labels[:, None] == np.arange(k, dtype=np.int64)).astype(np.float64)


def with_label_options(kernel: Kernel, smoothing: float, class_weight: list[float] | None) -> Kernel:
    """The kernel for labels (m,) or shares of labels (m, k), smoothed and weighed."""
    weight = None if class_weight is None else np.asarray(class_weight, np.float64)

    def of_labels(predictions: Array, targets: Numbers) -> tuple[Any, ...]:
        if targets.ndim == 2:
            return kernel(predictions, Shares.of_rows(targets, smoothing, weight))
        if smoothing:
            return kernel(predictions, Shares.of_labels(targets, predictions.shape[-1], smoothing, weight))
        values, *slopes = kernel(predictions, targets)
        if weight is None:
            return values, *slopes
        weighed, *slopes = _weighed(weight[targets], values, *slopes)

        def of_shares() -> Array:  # a loss may be beyond float64 where its share is not
            return kernel(predictions, Shares.of_rows(one_hot(targets, predictions.shape[-1]), 0.0, weight))[0]

        return recovered(weighed, of_shares), *slopes

    return of_labels


def _weighed(weight: Array, values: Array, gradient: Any, second: Callable[[], Array] | None = None) -> tuple[Any, ...]:
    """All times the weight of each row; a weight of 0 leaves nothing, of whatever number."""
    column = weight[:, None]

    def times(rows: Array) -> Array:
        return np.where(column == 0, 0.0, column * rows)

    weighed = np.where(weight == 0, 0.0, weight * values), None if gradient is None else times(gradient)
    return weighed if second is None else (*weighed, lambda: times(second()))
