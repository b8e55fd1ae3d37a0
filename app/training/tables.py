"""Rows as a caller has them: checked, and standardized."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, Path
from app.losses.inputs import Numbers, Raw
from app.losses.numerics.stable import Array
from app.training.side_by_side import SideBySide

LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Table:
    """Rows to train on or to validate with, as the caller has them."""

    inputs: Numbers
    """(n, d)"""
    targets: Raw
    """(n,) or (n, m): numbers, labels, or a list of n class names."""
    classes: Sequence[str] | None = None
    name: str | None = None
    """Of a dataset that is known by one; its columns are what they are, also those that are constant."""
    features: tuple[str, ...] | None = None
    """Names of the inputs' columns, d of them."""
    sample_weight: Array | None = None
    """(n,) what each row counts; None: 1."""
    groups: Sequence[object] | None = None
    """Of each row, the group that is not to be torn apart."""
    named: SideBySide | None = None
    """Where the targets are several arrays, by name: which columns of (n, m) are whose."""
    classes_by_name: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """The names of the classes of those that are labels, in the order of their indices."""
    words: Mapping[int, Sequence[str]] = field(default_factory=dict[int, Sequence[str]])
    """What the numbers of columns of words stand for, in their order."""


def taken(table: Table, which: NDArray[np.intp]) -> Table:
    """Some rows of a table."""
    targets, places = table.targets, which.tolist()
    return replace(
        table,
        inputs=table.inputs[which],
        targets=targets[which] if isinstance(targets, np.ndarray) else [targets[place] for place in places],
        sample_weight=None if table.sample_weight is None else table.sample_weight[which],
        groups=None if table.groups is None else [table.groups[place] for place in places],
    )


class Scale(NamedTuple):
    """What was taken from each column, and what the rest was divided by."""

    mean: Array
    deviation: Array

    def apply(self, array: Numbers) -> Array:
        return (array - self.mean) / self.deviation

    def restored(self, array: Array) -> Array:
        """The same in the units that it was taken from."""
        return array * self.deviation + self.mean


def check_table(table: Table, path: Path, columns: int | None = None, *, gaps: bool = False) -> None:
    """Refuse a table that has no rows or columns, rows without target, or numbers that are none, but for NaN in `gaps`."""
    inputs, targets = table.inputs, table.targets
    if isinstance(targets, np.ndarray) and targets.ndim not in (1, 2):
        message = f"targets must have shape (n,), one per row of inputs, or (n, m); got {targets.shape}"
        refuse_at((*path, "targets"), "shape", message)
    if inputs.ndim != 2:
        one = "; one column is [[1], [2]]" if inputs.ndim == 1 else ""
        refuse_at((*path, "inputs"), "shape", f"inputs must have shape (n, d), one row per sample{one}; got {inputs.shape}")
    if not inputs.size:
        refuse_at((*path, "inputs"), "empty", f"inputs are empty: shape {inputs.shape}")
    if columns is not None and inputs.shape[1] != columns:
        refuse_at((*path, "inputs"), "shape_mismatch", f"inputs have {inputs.shape[1]} columns here and {columns} in data.inputs")
    if len(targets) != len(inputs):
        message = f"targets must have one entry per row of inputs: {len(inputs)}, not {len(targets)}"
        refuse_at((*path, "targets"), "shape_mismatch", message)
    if isinstance(targets, np.ndarray) and not targets.size:
        refuse_at((*path, "targets"), "empty", f"targets are empty: shape {targets.shape}")
    for name, array in (("inputs", inputs), ("targets", targets)):
        if isinstance(array, np.ndarray):
            bad = np.isinf(array) if gaps and name == "inputs" else ~np.isfinite(array)
            _refuse_numbers(bad, (*path, name), "not_finite", "must be finite")


def refuse_at(path: Path, code: str, message: str) -> NoReturn:
    raise InvalidArray([Fault(path, code, message)])


def _refuse_numbers(bad: NDArray[np.bool_], path: Path, code: str, rule: str) -> None:
    """Name every bad number of an array by its index; nothing where there is none."""
    faults = [
        Fault((*path, *index), code, f"{path[-1]}[{', '.join(map(str, index))}] {rule}")
        for index in np.argwhere(bad)[:MAX_FAULTS].tolist()
    ]
    if faults:
        raise InvalidArray(faults)


def scale_of(array: Numbers, kept: NDArray[np.intp], name: str, weights: Array | None = None) -> Scale:
    """Mean and deviation of the rows that are trained on, by what these count; a constant column is only moved to 0."""
    rows = np.asarray(array[kept], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if weights is None:
            mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        else:
            mean = np.average(rows, axis=0, weights=weights[kept])
            deviation = np.sqrt(np.average(np.square(rows - mean), axis=0, weights=weights[kept]))
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        message = f"{name} are too large to be standardized, as their squares overflow; set standardize.{name} to false"
        refuse_at(("data", name), "out_of_range", message)
    constant = rows.min(axis=0) == rows.max(axis=0)  # their deviation may differ from 0 by a rounding error
    return Scale(np.where(constant, rows[0], mean), np.where(constant | (deviation == 0), 1.0, deviation))


def check_columns(table: Table) -> None:
    """Refuse columns that standardizing would make all 0: they carry nothing, and may be a mistake."""
    constant = np.flatnonzero(table.inputs.min(axis=0) == table.inputs.max(axis=0))
    if constant.size:
        first: list[int] = constant[:MAX_FAULTS].tolist()
        listed = ", ".join(str(column) if table.features is None else repr(table.features[column][:80]) for column in first)
        listed += (", ..." if constant.size > MAX_FAULTS else "") + (" (counted from 0)" if table.features is None else "")
        message = f"columns of inputs that are the same in every row cannot be standardized: {listed}"
        refuse_at(("data", "inputs"), "constant_column", f"{message}; remove them or set standardize.inputs to false")


def scaled(array: Numbers, scale: Scale | None, path: Path, largest: float = LARGEST, *, gaps: bool = False) -> Array:
    """The array, standardized where there is a scale; InvalidArray for numbers beyond the largest, and NaN but for `gaps`."""
    with np.errstate(over="ignore"):
        moved = np.asarray(array, dtype=np.float64) if scale is None else scale.apply(array)
    after = "" if scale is None else " after it was standardized"
    bad = ~(np.abs(moved) <= largest)
    _refuse_numbers(bad & ~np.isnan(moved) if gaps else bad, path, "out_of_range", f"must be at most {largest:.4g}{after}")
    return moved
