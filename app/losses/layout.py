"""Where the elements of a batch lie: the rows that a kernel takes, from an array and back, without a copy of the whole."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers, Shape

Order: TypeAlias = Literal["C", "F"]
FEW = 64
"""Positions of a sample below which it costs more to go from one sample to the next than to turn all at once."""


class Apart:
    """Rows (m, k) whose numbers lie apart, as the classes of maps (n, k, d) do: they are brought together block by block."""

    def __init__(self, view: Numbers, order: Order) -> None:
        self.view = view
        """(n, d, k)"""
        self.order: Order = order
        """How the numbers of a block lie: row by row, or column by column, as they do here."""
        self.shape: Shape = (view.shape[0] * view.shape[1], view.shape[2])
        self.dtype, self.nbytes, self.size = view.dtype, view.nbytes, view.size

    def __getitem__(self, rows: slice) -> Numbers:
        start, stop, _ = rows.indices(self.shape[0])
        block = np.empty((stop - start, self.shape[1]), order=self.order)
        for sample, within, part in self._pieces(start, stop):
            numbers = self.view[sample, within]
            # widened as they lie: to widen and to turn them in one go takes twice as long
            block[part] = numbers if self.order == "F" else numbers.astype(np.float64)
        return block

    def __setitem__(self, rows: slice, numbers: Numbers) -> None:
        for sample, within, part in self._pieces(rows.start, rows.stop):
            self.view[sample, within] = numbers[part].astype(self.dtype, copy=False)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """Each sample that the rows touch, the positions in it, and which of the rows these are."""
        d = self.view.shape[1]
        for sample in range(start // d, -(-stop // d)):
            low, high = max(start, sample * d), min(stop, (sample + 1) * d)
            yield sample, slice(low - sample * d, high - sample * d), slice(low - start, high - start)


def rows_of(array: Numbers, lead: int, order: Order) -> Numbers | Apart:
    """An array (*lead, *row) as rows (m, *row): the first `lead` axes as one. Blocks of rows that lie apart have this order."""
    row = array.shape[lead:]
    if array.flags.c_contiguous or len(row) != 1:
        return np.ascontiguousarray(array).reshape(-1, *row)
    view = array.reshape(1 if lead == 1 else array.shape[0], -1, *row)  # a copy only where the axes before the row lie apart too
    if view.flags.c_contiguous or view.shape[1] < FEW:
        return np.ascontiguousarray(view).reshape(-1, *row)
    return Apart(view, order)


def some_of(array: Numbers, elements: Shape, kept: NDArray[np.intp]) -> Numbers:
    """The rows of these elements; they lie apart as before where those of all do."""
    if len(elements) == 1:
        return array[kept]
    row = array.shape[len(elements) :]
    if array.flags.c_contiguous:
        return array.reshape(-1, *row)[kept]
    if len(row) != 1:
        return array[np.unravel_index(kept, elements)]
    view = array.reshape(elements[0], -1, *row)
    n, d, k = view.shape
    if view.flags.c_contiguous or d < FEW:
        return np.ascontiguousarray(view).reshape(-1, k)[kept]
    columns = np.empty((k, kept.size), array.dtype)
    ends = np.searchsorted(kept, np.arange(n + 1) * d)
    for sample, (start, stop) in enumerate(pairwise(ends)):
        columns[:, start:stop] = view[sample].T.take(kept[start:stop] - sample * d, axis=1, mode="clip")
    return columns.T


def empty_like(array: Numbers | Apart) -> Numbers | Apart:
    """Room for a gradient that lies as these rows do."""
    if isinstance(array, Apart):
        n, d, k = array.view.shape
        return Apart(np.empty((n, k, d), array.dtype).transpose(0, 2, 1), array.order)
    return np.empty(array.shape, array.dtype)


def restored(rows: Numbers | Apart, elements: Shape, kept: NDArray[np.intp] | None, class_axis: int | None) -> NDArray[Any]:
    """Rows as the array that the request has: 0 for what was dropped, the classes along their axis."""
    if isinstance(rows, np.ndarray) and kept is None and class_axis is None:
        return rows if len(elements) == 1 else rows.reshape(*elements, *rows.shape[1:])
    array = rows.view if isinstance(rows, Apart) else rows
    if kept is not None and isinstance(rows, Apart):
        array = _spread(array[0].T, math.prod(elements), kept, elements[0]).reshape(*elements, -1)
    elif kept is not None:
        whole = np.zeros((*elements, *array.shape[1:]), array.dtype)
        whole.reshape(-1, *array.shape[1:])[kept] = array
        array = whole
    elif len(elements) > 1:
        array = array.reshape(*elements, array.shape[-1]) if isinstance(rows, Apart) else rows.reshape(*elements, *rows.shape[1:])
    if class_axis is None or array.ndim == len(elements):
        return array
    return np.ascontiguousarray(np.moveaxis(array, -1, class_axis))


def _spread(columns: Numbers, size: int, kept: NDArray[np.intp], n: int) -> Numbers:
    """Columns (k, m) of the elements that count as (n, d, k), the classes of each sample apart: 0 for what was dropped."""
    count = np.zeros(size, np.bool_)
    count[kept] = True
    places = (np.cumsum(count) - 1).reshape(n, -1)  # of what was dropped, one beside it
    whole = np.empty((n, len(columns), size // n), columns.dtype)
    for sample, numbers, dropped in zip(whole, places, ~count.reshape(n, -1), strict=True):
        columns.take(numbers, axis=1, out=sample, mode="clip")
        np.copyto(sample, 0.0, where=dropped)
    return whole.transpose(0, 2, 1)
