"""One call's arrays, checked: shapes that agree, numbers that mean what the loss says, samples that count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, InvalidInput, InvalidParameter, escape
from app.losses.inputs import Encoding, Input, Numbers, Place, Raw, Shapes
from app.losses.loss import Loss
from app.losses.numerics.stable import Array

Arrays = Raw | Mapping[str, Raw] | None


@dataclass(frozen=True)
class Batch:
    """What a loss is evaluated on: checked arrays in the order of its function, without the rows a mask drops."""

    loss: Loss
    parameters: Mapping[str, Any]
    arrays: tuple[Numbers, ...]
    weights: Array | None
    """(n,) sample weights, None where all are 1."""
    counts: Array | None
    """(n,) what the loss itself counts each sample in the divisor (class weights), None where all count 1."""
    n: int
    """Samples in the request."""
    rows: NDArray[np.intp] | None
    """The rows kept of the request, None where all are."""
    encodings: Mapping[str, str]
    """The encoding in which each array came."""
    warnings: tuple[str, ...]
    shapes: Shapes

    @property
    def cost(self) -> float:
        """Elementary operations that its evaluation takes, about 1e9 of them a second, from its shapes alone."""
        numbers = sum(array.size for array in self.arrays)
        lengths = {**self.shapes.lengths, "n": len(self.arrays[0])} if self.loss.cost.beyond else {}
        return self.loss.cost(numbers, lengths)


def check(
    loss: Loss,
    parameters: Mapping[str, Any],
    predictions: Arrays,
    targets: Arrays = None,
    *,
    sample_weight: Numbers | None = None,
    mask: NDArray[np.bool_] | None = None,
    classes: Sequence[str] | None = None,
) -> Batch:
    """The batch that these arrays are for this loss; InvalidArray or InvalidParameter for everything that does not fit."""
    parameters = {**loss.defaults, **parameters}
    raw = {**_given(loss, predictions, "predictions"), **_given(loss, targets, "targets")}
    shapes, shaped = _shaped(loss, parameters, raw, classes)
    n, k = shaped[0][2].shape[0], shapes.length("k")
    weights = _weights(sample_weight, n)
    rows = _rows(mask, n)
    if classes is not None:
        _check_classes(classes, any("class_names" in encoding.accepts for _, encoding, _ in shaped), k)
    arrays: list[Numbers] = []
    encodings: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    for declared, encoding, array in shaped:
        place = Place(declared.pointer, rows, k, parameters.get("ignore_index"), _hint(declared, parameters))
        reading = encoding.read(array if rows is None else array[rows], place)
        arrays.append(np.ascontiguousarray(reading.array))
        encodings[declared.name] = reading.encoding
        warnings += reading.warnings
    if classes is not None:
        encodings |= {name: "class_names" for name, each in raw.items() if not isinstance(each, np.ndarray)}
    _check_class_weights(parameters, k)
    counts = loss.counts(arrays[-1], **parameters) if loss.counts else None
    kept = weights if weights is None or rows is None else weights[rows]
    _check_total(kept, counts)
    return Batch(loss, parameters, tuple(arrays), kept, counts, n, rows, encodings, warnings, shapes)


def _shaped(
    loss: Loss, parameters: Mapping[str, Any], raw: Mapping[str, Raw], classes: Sequence[str] | None
) -> tuple[Shapes, list[tuple[Input, Encoding, Numbers]]]:
    """The lengths on which the arrays agree; and these in the order of the loss's function, their numbers still to be read."""
    shapes = Shapes()
    shaped: list[tuple[Input, Encoding, Numbers]] = []
    rank = getattr(raw[next(iter(loss.inputs))], "ndim", 1)
    for name, declared in loss.inputs.items():
        encoding = declared.decide(parameters, rank)
        array = _named_classes(raw[name], declared, encoding, classes)
        shapes.agree(encoding, array.shape, declared.place)
        shaped.append((declared, encoding, array))
    return shapes, shaped


@cache
def inputs_on(side: Literal["predictions", "targets"], loss: Loss) -> Mapping[str, Input]:
    """What a loss takes on one side of the request, by name."""
    return MappingProxyType({name: each for name, each in loss.inputs.items() if each.side == side})


def _given(loss: Loss, arrays: Arrays, side: Literal["predictions", "targets"]) -> dict[str, Raw]:
    """One side of the request as arrays by name: exactly the ones that the loss declares there."""
    wanted = inputs_on(side, loss)
    if arrays is None:
        if wanted:
            raise InvalidArray([Fault(f"/{side}", "missing", f"{loss.name} needs {side}{_as_object(wanted)}")])
        return {}
    if not wanted:
        raise InvalidArray([Fault(f"/{side}", "unexpected", f"{loss.name} takes no {side}")])
    if isinstance(arrays, np.ndarray) or not isinstance(arrays, Mapping):
        if side not in wanted:  # an array that stands alone is named for its side
            raise InvalidArray(
                [Fault(f"/{side}", "not_an_object", f"{side} of {loss.name} must be an object of arrays{_as_object(wanted)}")]
            )
        return {side: arrays}
    if side in wanted:
        raise InvalidArray([Fault(f"/{side}", "not_an_array", f"{side} of {loss.name} must be an array, not an object")])
    faults = [Fault(f"/{side}", "missing", f"{side}.{name} is missing") for name in wanted if name not in arrays]
    faults += [
        Fault(f"/{side}/{escape(name)}", "unknown_field", f"{loss.name} has no {side}.{name[:80]}; it takes {', '.join(wanted)}")
        for name in arrays
        if name not in wanted
    ]
    if faults:
        raise InvalidArray(faults)
    return dict(arrays)


def _as_object(wanted: Mapping[str, Input]) -> str:
    names = [name for name, each in wanted.items() if each.named]
    return f": {{{', '.join(names)}}}" if names else ""


def _hint(declared: Input, parameters: Mapping[str, Any]) -> str:
    if declared.side == "predictions" and parameters.get("from_logits") is False:
        return " (set from_logits to true if these are logits)"
    return ""


def _named_classes(raw: Raw, declared: Input, encoding: Encoding, classes: Sequence[str] | None) -> Numbers:
    """Class names become class indices; numbers pass through."""
    if isinstance(raw, np.ndarray):
        return raw if raw.dtype.kind == "f" else raw.astype(np.float64)
    place = declared.place
    if "class_names" not in encoding.accepts:
        place.refuse("not_a_number", f"{place.name} must be numbers, not strings")
    if classes is None:
        raise InvalidArray([Fault("/classes", "missing", f'{place.name} are class names: say their order in "classes"')])
    index = {name: at for at, name in enumerate(classes)}
    unknown = [(at, str(name)) for at, name in enumerate(raw) if name not in index]
    if unknown:
        raise InvalidArray([
            Fault(f"{place.pointer}/{at}", "unknown_class", f"{place.name}[{at}] is {name[:80]!r}, which is not in classes")
            for at, name in unknown[:MAX_FAULTS]
        ])  # fmt: skip
    return np.array([index[str(name)] for name in raw], dtype=np.float64)


def _check_classes(classes: Sequence[str], taken: bool, k: int | None) -> None:
    if not taken:
        raise InvalidInput([Fault("/classes", "unexpected", "this loss takes no class names")])
    if k not in (None, len(classes)):
        raise InvalidInput([Fault("/classes", "length", f"classes must have one name per class: {k}, not {len(classes)}")])
    first = {name: at for at, name in reversed([*enumerate(classes)])}
    twice = [(at, name) for at, name in enumerate(classes) if first[name] != at]
    if twice:
        raise InvalidInput([
            Fault(f"/classes/{at}", "duplicate", f"classes[{at}] is {name[:80]!r} again") for at, name in twice[:MAX_FAULTS]
        ])  # fmt: skip


def _weights(sample_weight: Numbers | None, n: int) -> Array | None:
    if sample_weight is None:
        return None
    place = Place("/sample_weight")
    if sample_weight.shape != (n,):
        place.refuse("shape_mismatch", f"sample_weight must have shape ({n},), one weight per sample; got {sample_weight.shape}")
    bad = ~(np.isfinite(sample_weight) & (sample_weight >= 0))
    if bad.any():
        place.refuse_numbers(bad, sample_weight, "finite and at least 0")
    return sample_weight.astype(np.float64, copy=False)


def _rows(mask: NDArray[np.bool_] | None, n: int) -> NDArray[np.intp] | None:
    if mask is None:
        return None
    if mask.shape != (n,):
        Place("/mask").refuse("shape_mismatch", f"mask must have shape ({n},), one flag per sample; got {mask.shape}")
    if not mask.any():
        raise InvalidInput([Fault("/mask", "no_samples", "mask drops every sample: nothing is left to evaluate")])
    return None if mask.all() else np.flatnonzero(mask)


def _check_class_weights(parameters: Mapping[str, Any], k: int | None) -> None:
    """Parameters that hold one number per class must hold k of them."""
    for name in ("class_weight", "alpha", "pos_weight"):
        given = parameters.get(name)
        if isinstance(given, list) and k is not None and (length := len(cast(list[float], given))) != k:
            message = f"{name} must have one number per class: {k}, not {length}"
            raise InvalidParameter([Fault(f"/loss/{name}", "length", message)])


def _check_total(weights: Array | None, counts: Array | None) -> None:
    """What the mean divides by is neither 0 nor infinite."""
    if weights is None and counts is None:
        return
    with np.errstate(over="ignore"):
        given = np.float64(1.0) if weights is None else weights
        total = given if counts is None else given * counts
        finite = np.isfinite(np.sum(given)), np.isfinite(np.sum(total))
    if np.all(given == 0):
        message = "sample_weight is 0 for every sample: nothing is left to average"
        raise InvalidArray([Fault("/sample_weight", "no_samples", message)])
    if np.all(total == 0):
        message = "no sample counts: every target is ignored, weighs 0 or has nothing to be compared with"
        raise InvalidInput([Fault("/targets", "no_samples", message)])
    for pointer, holds in zip(("/sample_weight", "/loss/class_weight"), finite, strict=True):
        if not holds:
            name = pointer.rpartition("/")[2]
            raise InvalidInput([Fault(pointer, "out_of_range", f"{name} must have a finite sum; it overflows")])
