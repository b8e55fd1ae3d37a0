"""One call's arrays, checked: shapes that agree, numbers that mean what the loss says, elements that count."""

import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses.encodings import FLAGS, REAL, UNIT
from app.losses.form import Bound, Form, Selection, Sum, bind, settled
from app.losses.inputs import Encoding, Input, Numbers, Place, Raw, Shape, Shapes, of_flags
from app.losses.layout import Apart, rows_of, some_of
from app.losses.loss import Kernel, Loss
from app.losses.numerics.limits import at_infinity
from app.losses.numerics.means import Mean
from app.losses.numerics.stable import Array
from app.losses.parameters import Per

Arrays: TypeAlias = Raw | Mapping[str, Any] | None
"""An array, an object of arrays, or of what each head of a model has."""
Classes: TypeAlias = Sequence[str] | Sequence[float]
"""Names, or the numbers that labels are where they are no indices."""
Missing: TypeAlias = Literal["refuse", "drop"]
_shape, _size = attrgetter("shape"), attrgetter("size")


class Batch(NamedTuple):
    """What a loss is evaluated on: checked arrays in the order of its function, one row for each element that counts."""

    loss: Loss
    parameters: Mapping[str, Any]
    mean: Mean
    """How the elements' losses become one number."""
    kernel: Kernel
    """The function under these parameters, all but those of `columns`."""
    columns: Mapping[str, Array]
    """Parameters with one number for each column, or for each sample."""
    arrays: tuple[Numbers | Apart, ...]
    elements: Shape
    """The shape (n, *d) in which the elements stand in the request."""
    kept: NDArray[np.intp] | None
    """The flat index of each element that counts, None where all do."""
    weights: Array | None
    """What each counts (m,), None where all count 1."""
    by_element: bool
    """Whether the elements of a sample may differ in weight."""
    counts: Array | None
    """(m,) what the loss itself counts each in the divisor (class weights), None where all count 1."""
    factors: Array | None
    """(m,) what the mean multiplies each by, while its divisor does not, None for 1."""
    n_samples: int
    """Samples that count: those with an element that is not masked nor ignored, whatever it weighs."""
    n_elements: int
    class_axis: int | None
    """Where the request has the classes, None where that is the last axis."""
    encodings: Mapping[str, str]
    """The encoding in which each array came."""
    warnings: tuple[str, ...]
    shapes: Shapes
    shared: Mapping[str, Shape]
    """The arrays of which one number stands for all elements of a sample, with their shape in the request."""
    n_missing: int | None = None
    """Elements that were dropped because a number of them is missing; None where that was not asked for."""
    sums: Array | None = None
    """(m,) what the rows of predictions were divided by, None where they were not."""

    @property
    def size(self) -> int:
        """How many elements count."""
        return self.arrays[0].shape[0]

    def columns_at(self, rows: slice) -> dict[str, Array]:
        """The parameters with one number for each column, as one for each of these elements."""
        if not self.columns:
            return {}
        places: NDArray[np.intp] = np.arange(*rows.indices(self.size), dtype=np.intp) if self.kept is None else self.kept[rows]
        return {name: numbers[places % numbers.size] for name, numbers in self.columns.items()}

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which elements the value depends on (n, *d): those not masked, not ignored and of some weight."""
        counted = np.zeros(math.prod(self.elements), np.bool_)
        kept = slice(None) if self.kept is None else self.kept
        counted[kept] = True
        for weights in (self.weights, self.counts):
            if weights is not None:
                counted[kept] &= weights > 0
        return counted.reshape(self.elements)

    @property
    def targets_encoding(self) -> str | dict[str, Any]:
        """What the targets were taken for, by name where they are named arrays."""
        found = self.encodings.get("targets")
        return found or {name: self.encodings[name] for name in self.loss.sides["targets"]}

    @property
    def cost(self) -> float:
        """Elementary operations that its evaluation takes, about 1e9 of them a second, from its shapes alone."""
        numbers, cost = sum(map(_size, self.arrays)), self.loss.cost_of(self.parameters, self.arrays[-1])
        return cost(numbers, {**self.shapes.lengths, "n": self.size} if cost.beyond else {})


class Batches(NamedTuple):
    """What a sum of losses is evaluated on."""

    loss: Sum
    parts: tuple["AnyBatch", ...]

    @property
    def first(self) -> "AnyBatch":
        return self.parts[0]

    @property
    def arrays(self) -> tuple[Numbers | Apart, ...]:
        """Those of the first part."""
        return self.first.arrays

    @property
    def elements(self) -> Shape:
        """The shape (n, *d) that all parts have in common: (n,) where they differ."""
        shapes = {part.elements for part in self.parts}
        return shapes.pop() if len(shapes) == 1 else self.first.elements[:1]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which samples (n,) the value depends on: those that count in some part."""
        return np.logical_or.reduce([samples_of(part) for part in self.parts])

    @property
    def n_samples(self) -> int:
        """Samples that count in some part."""
        counts = {part.n_samples for part in self.parts}
        return counts.pop() if len(counts) == 1 else int(np.count_nonzero(self.counted))

    @property
    def n_elements(self) -> int:
        """Elements that count, where they are the same in all parts; else of the part that has most."""
        return max(part.n_elements for part in self.parts)

    @property
    def n_missing(self) -> int | None:
        return max((part.n_missing for part in self.parts if part.n_missing is not None), default=None)

    @property
    def encodings(self) -> Mapping[str, str]:
        """The encoding in which each array came; of heads, by their names."""
        if not self.loss.by_head:
            return {name: encoding for part in reversed(self.parts) for name, encoding in part.encodings.items()}
        heads = zip(self.loss.parts, self.parts, strict=True)
        return {f"{part.key}.{name}": encoding for part, batch in heads for name, encoding in batch.encodings.items()}

    @property
    def targets_encoding(self) -> str | dict[str, Any]:
        """What the targets were taken for; of heads, by their names."""
        if not self.loss.by_head:
            return self.first.targets_encoding
        return {str(part.key): batch.targets_encoding for part, batch in zip(self.loss.parts, self.parts, strict=True)}

    @property
    def warnings(self) -> tuple[str, ...]:
        told = [(part, warning) for part, batch in zip(self.loss.parts, self.parts, strict=True) for warning in batch.warnings]
        first, *others = ({*batch.warnings} for batch in self.parts)
        of_all = set[str]() if self.loss.by_head else first.intersection(*others)
        return tuple(dict.fromkeys(text if text in of_all else self.loss.of(part, text) for part, text in told))

    @property
    def cost(self) -> float:
        return sum(part.cost for part in self.parts)


AnyBatch: TypeAlias = Batch | Batches


def samples_of(batch: AnyBatch) -> NDArray[np.bool_]:
    """Which samples count (n,)."""
    counted = batch.counted
    return np.logical_or.reduce(counted.reshape(len(counted), -1), axis=1)


def check(
    loss: Loss,
    parameters: Mapping[str, Any],
    predictions: Arrays,
    targets: Arrays = None,
    *,
    sample_weight: Numbers | None = None,
    mask: NDArray[np.bool_] | None = None,
    classes: Classes | None = None,
) -> Batch:
    """The batch that these arrays are for this loss; InvalidArray or InvalidParameter for everything that does not fit.

    Shapes (n, *d): sample_weight and mask are (n,) or of the shape of the elements. What they drop is not looked at.
    """
    return batch_of(bind(loss, parameters), predictions, targets, sample_weight=sample_weight, mask=mask, classes=classes)


def batch_of(
    bound: Bound,
    predictions: Arrays,
    targets: Arrays = None,
    *,
    sample_weight: Numbers | None = None,
    mask: NDArray[np.bool_] | None = None,
    classes: Classes | None = None,
    missing: Missing = "refuse",
) -> Batch:
    """The same for a loss that is bound to its parameters: what has been found out about them is not found out again.

    `missing` says what is done with elements of which a number is NaN: they are refused, or dropped and counted.
    """
    arrays = _given(bound, predictions, targets, classes)
    form = bound.form(tuple(map(_shape, arrays)))
    arrays, elements, selection, within = form.laid_out(arrays), form.elements, form.everything, None
    n_missing = None
    if missing == "drop":
        sample_weight, mask, n_missing = _present(bound, form, arrays, sample_weight, mask)
    if sample_weight is not None or mask is not None or bound.ignored is not None:
        if bound.loss.weighs_rows:
            arrays, within, sample_weight, mask = _within(bound, form, arrays, sample_weight, mask)
        selection = _selected(bound, form, arrays, sample_weight, mask)
    numbered: list[str] = []
    if classes is not None:
        _check_classes(
            classes,
            any({"class_names", "label_sets"} & {*reads.encoding.accepts} for reads in form.inputs),
            _number_of_classes(bound, form, predictions, targets),
        )
        if not isinstance(classes[0], str):
            numbered = [reads.name for reads in form.inputs if "class_names" in reads.encoding.accepts]
            arrays = [
                _indices(array, cast(Sequence[float], classes), reads.place, selection.kept) if reads.name in numbered else array
                for array, reads in zip(arrays, form.inputs, strict=True)
            ]
    rows: list[Numbers | Apart] = []
    encodings: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    infinite = False
    kept = selection.kept
    lead = len(elements) if kept is None else 1
    sums: Array | None = None
    refused: list[InvalidArray] = []
    for array, (name, encoding, place) in zip(arrays, form.inputs, strict=True):
        try:
            if array.dtype.kind not in ("fiu" if encoding.whole else "f"):
                array, encoding = _converted(array, encoding, place)
            if kept is not None:
                array, place = some_of(array, elements, kept), place._replace(kept=kept)
            read, encodings[name], noticed, unbounded, divided = encoding.read(array, place)
        except InvalidArray as error:
            refused.append(error)
            continue
        if read.dtype == np.float16:
            read = read.astype(np.float64)
        rows.append(rows_of(read, lead, "F" if bound.loss.either_order and name == "predictions" else "C"))
        sums = divided.reshape(-1) if divided is not None and name == "predictions" else sums
        warnings += noticed
        infinite |= unbounded
    if refused:
        raise InvalidArray([fault for error in refused for fault in error.faults], detail=refused[0].detail)
    if classes is not None:
        encodings |= dict.fromkeys(numbered, "class_names") or _named(bound.loss, predictions, targets)
    warnings += _exchanged(bound, rows, encodings)
    if bound.unsettled:
        bound = settled(bound, np.asarray(rows[-1][:]), classes, form.shapes.length("k"))
    counts = None if bound.counts is None else bound.counts(rows[-1])
    factors = None if bound.factors is None else bound.factors(rows[-1])
    if within is not None:
        rows.append(rows_of(within if kept is None else some_of(within, elements, kept), lead, "C"))
    if counts is not None or selection.weights is not None:
        _check_total(selection.weights, counts)
    if counts is not None:
        selection = _counted(selection, counts, elements)
    columns = {name: _by_column(per, numbers, elements) for name, per, numbers in bound.columns} if bound.columns else {}
    return Batch(
        bound.loss,
        bound.parameters,
        bound.mean,
        at_infinity(bound.kernel) if infinite else bound.kernel,
        columns,
        tuple(rows),
        elements,
        kept,
        selection.weights,
        selection.by_element,
        counts,
        factors,
        selection.n_samples,
        selection.n_elements,
        form.class_axis,
        encodings,
        warnings,
        form.shapes,
        form.shared,
        n_missing,
        sums,
    )


SHARES_OF_LABELS = {"probability", "distribution", "soft_map"}
"""Encodings of targets that are not decided."""


def _exchanged(bound: Bound, rows: Sequence[Numbers | Apart], encodings: Mapping[str, str]) -> tuple[str, ...]:
    """What is said of predictions that are decided beside targets that are not."""
    if not bound.pair or rows[0][:1].item(0) not in (0.0, 1.0):  # the first is seldom one, and quickly looked at
        return ()
    if not (encodings["targets"] in SHARES_OF_LABELS or bound.loss.inputs["targets"].encoding is REAL):
        return ()
    predictions = rows[0][:]
    if not FLAGS.holds(predictions) or np.ptp(predictions) == 0:
        return ()
    targets = rows[1][:]
    if encodings["targets"] == "real" and (not UNIT.holds(targets) or FLAGS.holds(targets)):
        return ()
    return ("predictions are all 0 or 1, and targets are not: are they exchanged?",)


class _Present(NamedTuple):
    """A call without the elements of which a number is missing."""

    sample_weight: Numbers | None
    mask: NDArray[np.bool_] | None
    n_missing: int
    """Those that no mask drops anyway."""


class _Gaps(NamedTuple):
    """Where a number is missing."""

    missing: NDArray[np.bool_]
    """Which elements (n, d) have one that is."""
    given: NDArray[np.bool_] | None
    """The mask as one of elements; None where there is none, or it is one of the numbers within rows."""
    n_missing: int


def _gaps(
    bound: Bound, form: Form, arrays: Sequence[Numbers], sample_weight: Numbers | None, mask: NDArray[np.bool_] | None
) -> _Gaps:
    elements = form.elements
    grid = (elements[0], form.everything.n_elements // elements[0])
    missing = np.zeros(grid, np.bool_)
    for array in arrays:
        missing |= np.isnan(array.reshape(*grid, -1)).any(axis=2)
    if sample_weight is not None and sample_weight.shape in ((elements[0],), elements):
        missing |= np.isnan(sample_weight).reshape(grid[0], -1)
    within = mask is not None and bound.loss.weighs_rows and mask.ndim > len(elements)
    given = None if mask is None or within else _on_elements(mask, elements, "mask", "flag")
    return _Gaps(missing, given, int(np.count_nonzero(missing if given is None else missing & given)))


def count_missing(
    bound: Bound,
    predictions: Arrays,
    targets: Arrays = None,
    *,
    sample_weight: Numbers | None = None,
    mask: NDArray[np.bool_] | None = None,
    classes: Classes | None = None,
) -> int:
    """The elements that no mask drops and of which a number is missing: what a batch says that has others."""
    arrays = _given(bound, predictions, targets, classes)
    form = bound.form(tuple(map(_shape, arrays)))
    return _gaps(bound, form, form.laid_out(arrays), sample_weight, mask).n_missing


def _present(
    bound: Bound, form: Form, arrays: Sequence[Numbers], sample_weight: Numbers | None, mask: NDArray[np.bool_] | None
) -> _Present:
    """Weights and a mask that drop the elements of which a number is missing (NaN)."""
    elements = form.elements
    missing, given, n_missing = _gaps(bound, form, arrays, sample_weight, mask)
    if sample_weight is not None and sample_weight.shape in ((elements[0],), elements):
        sample_weight = np.where(np.isnan(sample_weight), 0.0, sample_weight)
    within = mask is not None and given is None
    if missing.all():
        message = "every element has a number that is missing: nothing is left to evaluate"
        raise InvalidInput([Fault(("missing",), "no_samples", message)])
    if n_missing and mask is not None and within:
        mask = mask & ~missing.reshape(*elements, *(1,) * (mask.ndim - len(elements)))
    elif n_missing:
        mask = (~missing if given is None else ~missing & given).reshape(elements)
    return _Present(sample_weight, mask, n_missing)


def _converted(array: Numbers, encoding: Encoding, place: Place) -> tuple[Numbers, Encoding]:
    """Integers and booleans as float64, and how these are read; booleans are labels, and nothing else."""
    if array.dtype.kind != "b":
        return array.astype(np.float64), encoding
    if encoding.labels is None and encoding.domain != FLAGS:
        place.refuse("not_a_number", f"{place.name} must be numbers, not booleans")
    return array.astype(np.float64), of_flags(encoding)


def _by_column(per: Per, numbers: Sequence[float], elements: Shape) -> Numbers:
    """One number for each column, in the order in which the elements lie; of a number per sample, one for each element."""
    return np.repeat(np.array(numbers), math.prod(elements[1:])) if per.what == "sample" else np.array(numbers)


class _Within(NamedTuple):
    """What is left once weights and marks of the numbers within rows are taken out of a call."""

    arrays: Sequence[Numbers]
    weights: Array | None
    """What each number counts in the sums of its row, None where all count 1."""
    sample_weight: Numbers | None
    mask: NDArray[np.bool_] | None


def _within(
    bound: Bound, form: Form, arrays: Sequence[Numbers], sample_weight: Numbers | None, mask: NDArray[np.bool_] | None
) -> _Within:
    """Weights, mask and ignored labels of the numbers within rows: what they drop counts 0, and its number is made a 0."""
    elements, targets, ignore = form.elements, form.inputs[-1], bound.ignored
    labels = targets.encoding.labels
    position = -1 if labels else 0
    reference, numbers = form.inputs[position].place, arrays[position]
    class_axis = form.class_axis if reference.classes else None
    if ignore is not None and not labels:
        message = f"ignore_index says nothing of targets that are {targets.encoding.meaning}"
        raise InvalidParameter([Fault(("parameters", "ignore_index"), "ignore_index", message)])
    keep = np.ones(numbers.shape, np.bool_) if ignore is None else numbers != ignore
    pooled = bound.loss.pooled(bound.parameters)
    classes = reference.classes and form.inputs[0].encoding.axes[0].endswith(" k")
    given = _for_numbers(mask, numbers.shape, class_axis, elements, classes, pooled)
    if given is not None:
        keep, mask = keep & given, None
    weights = _for_numbers(sample_weight, numbers.shape, class_axis, elements, classes, pooled)
    if weights is not None:
        weights, sample_weight = weights.astype(np.float64), None
        bad = keep & ~(np.isfinite(weights) & (weights >= 0))
        if bad.any():
            place = Place(("sample_weight",), elements, row_axes=weights.ndim - len(elements), class_axis=class_axis)
            place.refuse_numbers(bad, weights, "finite and at least 0")
        keep = keep & (weights > 0)
    if weights is None and keep.all():
        return _Within(arrays, None, sample_weight, mask)
    rows: NDArray[np.bool_] = np.logical_or.reduce(keep.reshape(elements[0], math.prod(elements[1:]), -1), axis=2)
    if not rows.any():
        raise _nothing_counts()
    if mask is not None:
        rows = rows & _on_elements(mask, elements, "mask", "flag")
    marked = arrays if labels else arrays[:-1]
    filled = [*(_filled(array, keep) for array in marked), *arrays[len(marked) :]]
    return _Within(filled, np.where(keep, 1.0 if weights is None else weights, 0.0), sample_weight, rows.reshape(elements))


def _filled(array: Numbers, keep: NDArray[np.bool_]) -> Numbers:
    """The array with 0 for what is dropped; all classes of a position that is."""
    return np.where(keep if array.ndim == keep.ndim else keep[..., None], array, 0.0)


def _for_numbers(
    given: Numbers | None, shape: Shape, class_axis: int | None, elements: Shape, classes: bool, pooled: bool
) -> Numbers | None:
    """What was given for each number within rows, laid out as these are; None where it was given for whole rows.

    Of classes, all at a position may have one; of samples that are pooled, all numbers of one.
    """
    if given is None:
        return None
    moved = np.moveaxis(given, class_axis, -1) if class_axis is not None and given.ndim == len(shape) else given
    if classes and moved.shape == shape[:-1] != elements:
        return np.broadcast_to(moved[..., None], shape)
    if pooled and moved.shape == elements:
        return np.broadcast_to(moved.reshape(*elements, *(1,) * (len(shape) - len(elements))), shape)
    return moved if moved.shape == shape else None


def _selected(
    bound: Bound, form: Form, arrays: Sequence[Numbers], sample_weight: Numbers | None, mask: NDArray[np.bool_] | None
) -> Selection:
    """The elements that no mask, no ignored label and no weight of 0 drops."""
    elements = form.elements
    ignored = None if bound.ignored is None or form.inputs[-1].place.row_axes else _equal(arrays[-1], bound.ignored)
    if sample_weight is None and mask is None and ignored is None:
        return form.everything
    grid = (elements[0], form.everything.n_elements // elements[0])
    keep = np.ones(grid, np.bool_)
    if mask is not None:
        keep &= _on_elements(mask, elements, "mask", "flag")
        if not keep.any():
            raise InvalidInput([Fault(("mask",), "no_samples", "mask drops every sample: nothing is left to evaluate")])
    if ignored is not None:
        keep &= ~ignored.reshape(grid)
        if not keep.any():
            raise _nothing_counts()
    n_samples, n_elements = int(np.count_nonzero(keep.any(axis=1))), int(np.count_nonzero(keep))
    if sample_weight is None:
        return Selection(_flat(keep), None, False, n_samples, n_elements)
    weights = _on_elements(sample_weight, elements, "sample_weight", "weight")
    seen = keep if weights.shape == grid else keep.any(axis=1, keepdims=True)
    bad = seen & ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        place = Place(("sample_weight",))
        place.refuse_numbers(bad.reshape(sample_weight.shape), sample_weight, "finite and at least 0")
    if bound.loss.coupling == "sample":  # in a batch whose samples are compared, one of no weight is still compared with
        keep &= weights > 0
    if not (keep & (weights > 0)).any():
        message = "sample_weight is 0 for every sample: nothing is left to average"
        raise InvalidArray([Fault(("sample_weight",), "no_samples", message)])
    kept = _flat(keep)
    flat = np.broadcast_to(weights, grid).astype(np.float64).reshape(-1)
    by_element = weights.shape[1] > 1
    return Selection(kept, flat if kept is None else flat[kept], by_element, n_samples, n_elements)


def _flat(keep: NDArray[np.bool_]) -> NDArray[np.intp] | None:
    return None if keep.all() else np.flatnonzero(keep)


def _equal(targets: Numbers, label: int) -> NDArray[np.bool_] | None:
    """Where a label is this one; None where none is. A row of shares has no label of its own."""
    equal: NDArray[np.bool_] = targets == label
    return equal if equal.any() else None


def _on_elements(array: Numbers, elements: Shape, name: str, noun: str) -> Numbers:
    """One for each sample (n, 1) or for each element (n, d)."""
    n = elements[0]
    if array.shape not in ((n,), elements):
        shapes = f"({n},), one {noun} per sample" + (f", or {elements}, one per element" if len(elements) > 1 else "")
        Place((name,)).refuse("shape_mismatch", f"{name} must have shape {shapes}; got {array.shape}")
    return array.reshape(n, -1)


def _counted(selection: Selection, counts: Array, elements: Shape) -> Selection:
    """Without what the loss itself counts for nothing."""
    nothing = np.flatnonzero(counts == 0)
    if not nothing.size:
        return selection
    counted = np.ones(elements, np.bool_).reshape(elements[0], -1)
    if selection.n_elements < counted.size and selection.kept is not None:
        counted[:] = False
        counted.reshape(-1)[selection.kept] = True
    counted.reshape(-1)[nothing if selection.kept is None else selection.kept[nothing]] = False
    return selection._replace(n_samples=int(np.count_nonzero(counted.any(axis=1))), n_elements=int(np.count_nonzero(counted)))


def _given(bound: Bound, predictions: Arrays, targets: Arrays, classes: Classes | None) -> Sequence[Numbers]:
    """The arrays in the order of the loss's function."""
    if bound.pair and isinstance(predictions, np.ndarray) and isinstance(targets, np.ndarray):
        return predictions, targets
    loss, raw = bound.loss, _by_name(bound.loss, predictions, targets)
    rank = getattr(raw[next(iter(loss.inputs))], "ndim", 1)
    return [
        _numbers(raw[name], declared, declared.decide(bound.parameters, rank), classes) for name, declared in loss.inputs.items()
    ]


def _by_name(loss: Loss, predictions: Arrays, targets: Arrays) -> dict[str, Raw]:
    return {**_side(loss, predictions, "predictions"), **_side(loss, targets, "targets")}


def _named(loss: Loss, predictions: Arrays, targets: Arrays) -> dict[str, str]:
    """The encodings of the arrays that came as class names, or as sets of these."""
    named = {name: raw for name, raw in _by_name(loss, predictions, targets).items() if not isinstance(raw, np.ndarray)}
    return {name: "label_sets" if isinstance(raw[0], list) else "class_names" for name, raw in named.items()}


def _side(loss: Loss, arrays: Arrays, side: Literal["predictions", "targets"]) -> dict[str, Raw]:
    """One side of the request as arrays by name: exactly the ones that the loss declares there."""
    wanted = loss.sides[side]
    if arrays is None:
        if wanted:
            raise InvalidArray([Fault((side,), "missing", f"{loss.name} needs {side}{_as_object(wanted)}")])
        return {}
    if not wanted:
        raise InvalidArray([Fault((side,), "unexpected", f"{loss.name} takes no {side}")])
    if isinstance(arrays, np.ndarray) or not isinstance(arrays, Mapping):
        if side not in wanted:  # an array that stands alone is named for its side
            raise InvalidArray(
                [Fault((side,), "not_an_object", f"{side} of {loss.name} must be an object of arrays{_as_object(wanted)}")]
            )
        return {side: arrays}
    if side in wanted:
        raise InvalidArray([Fault((side,), "not_an_array", f"{side} of {loss.name} must be an array, not an object")])
    faults = [Fault((side,), "missing", f"{side}.{name} is missing") for name in wanted if name not in arrays]
    faults += [
        Fault((side, name), "unknown_field", f"{loss.name} has no {side}.{name[:80]}; it takes {', '.join(wanted)}")
        for name in arrays
        if name not in wanted
    ]
    faults += [
        Fault((side, name), "not_an_array", f"{side}.{name[:80]} must be an array, not an object")
        for name, array in arrays.items()
        if isinstance(array, Mapping)
    ]
    if faults:
        raise InvalidArray(faults)
    return dict(cast(Mapping[str, Raw], arrays))


def _as_object(wanted: Mapping[str, Input]) -> str:
    names = [name for name, taken in wanted.items() if taken.named]
    return f": {{{', '.join(names)}}}" if names else ""


def _numbers(raw: Raw, declared: Input, encoding: Encoding, classes: Classes | None) -> Numbers:
    """Class names become class indices; numbers pass through."""
    if isinstance(raw, np.ndarray):
        return raw
    place = declared.place
    sets = bool(raw) and isinstance(raw[0], list)
    if ("label_sets" if sets else "class_names") not in encoding.accepts:
        place.refuse("not_a_number", f"{place.name} must be numbers, not {'lists of ' * sets}strings{_instead(raw, declared)}")
    if classes is None:
        raise InvalidArray([Fault(("classes",), "missing", f'{place.name} are class names: say their order in "classes"')])
    index = {name: position for position, name in enumerate(classes)}
    if sets:
        return _flags_of(cast(Sequence[Sequence[str]], raw), index, place)
    unknown = [(position, str(name)) for position, name in enumerate(raw) if name not in index]
    if unknown:
        raise InvalidArray(
            [
                Fault(place.path_to([index]), "unknown_class", f"{place.name}[{index}] is {name[:80]!r}, which is not in classes")
                for index, name in unknown[:MAX_FAULTS]
            ]
        )
    return np.array([index[str(name)] for name in raw], dtype=np.float64)


def _instead(raw: Sequence[object], declared: Input) -> str:
    """What probably should have been sent instead of strings."""
    if not raw:
        return ""
    first = str(raw[0])
    if not isinstance(raw[0], list) and first.strip().removeprefix("-").replace(".", "", 1).isdecimal():
        return f" ({first[:80]} without quotes)"
    if declared.side == "predictions":
        return " (what a model says of each class, as predict_proba or decision_function of scikit-learn, not predict)"
    return " (several labels of one sample are for losses of the family multilabel)" if isinstance(raw[0], list) else ""


def _flags_of(sets: Sequence[Sequence[str]], index: Mapping[Any, int], place: Place) -> Numbers:
    """Sets of class names as 0 or 1 for each class."""
    flags = np.zeros((len(sets), len(index)))
    faults: list[Fault] = []
    for row, names in enumerate(sets):
        for column, name in enumerate(names):
            if name in index and not flags[row, index[name]]:
                flags[row, index[name]] = 1.0
            elif len(faults) < MAX_FAULTS:
                known = name in index
                why = " again: a row has the names of the classes that hold, each once" if known else ", which is not in classes"
                message = f"{place.name}[{row}, {column}] is {name[:80]!r}{why}"
                faults.append(Fault(place.path_to([row, column]), "duplicate" if known else "unknown_class", message))
    if faults:
        raise InvalidArray(faults)
    return flags


def _indices(array: Numbers, classes: Sequence[float], place: Place, kept: NDArray[np.intp] | None) -> Numbers:
    """Labels that are numbers as indices of their classes; NaN for one that is none, where it does not count."""
    numbers = np.array(classes)
    order = np.argsort(numbers)
    index = order[np.searchsorted(numbers, array, sorter=order).clip(max=len(numbers) - 1)]
    known = numbers[index] == array
    unknown = ~(known | np.isnan(array))
    if kept is not None:
        unknown &= np.isin(np.arange(array.size), kept).reshape(array.shape)
    if unknown.any():
        place.refuse_numbers(unknown, array, "one of classes", "unknown_class")
    return np.where(known, index, np.nan)


def _number_of_classes(bound: Bound, form: Form, predictions: Arrays, targets: Arrays) -> int | None:
    """How many classes there are: those of an axis, or two where a label is one of two; None where nothing tells.

    Sets of names say of each column's class whether it holds.
    """
    if "label_sets" in _named(bound.loss, predictions, targets).values():
        return None  # a column for each, which shapes have told
    flags = any(reads.encoding.labels == "flag" for reads in form.inputs)
    return 2 if flags else form.shapes.length("k")


def _check_classes(classes: Classes, taken: bool, k: int | None) -> None:
    if not taken:
        raise InvalidInput([Fault(("classes",), "unexpected", "this loss takes no class names")])
    if k not in (None, len(classes)):
        raise InvalidInput([Fault(("classes",), "length", f"classes must have one name per class: {k} here, not {len(classes)}")])
    first = {name: index for index, name in reversed([*enumerate(classes)])}
    twice = [(index, str(name)) for index, name in enumerate(classes) if first[name] != index]
    if twice:
        raise InvalidInput(
            [
                Fault(("classes", index), "duplicate", f"classes[{index}] is {name[:80]!r} again")
                for index, name in twice[:MAX_FAULTS]
            ]
        )


def _nothing_counts() -> InvalidInput:
    message = "no sample counts: every target is ignored, weighs 0 or has nothing to be compared with"
    return InvalidInput([Fault(("targets",), "no_samples", message)])


def _check_total(weights: Array | None, counts: Array | None) -> None:
    """What the mean divides by is neither 0 nor infinite."""
    with np.errstate(over="ignore"):
        given = np.float64(1.0) if weights is None else weights
        total = given if counts is None else given * counts
        finite = np.isfinite(np.sum(given)), np.isfinite(np.sum(total))
    if np.all(total == 0):
        raise _nothing_counts()
    for path, holds in zip((("sample_weight",), ("parameters", "class_weight")), finite, strict=True):
        if not holds:
            raise InvalidInput([Fault(path, "out_of_range", f"{path[-1]} must have a finite sum; it overflows")])
