"""Where the elements of a batch lie: the rows that a kernel takes, from an array and back, without a copy of the whole."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers, Shape

Order: TypeAlias = Literal["C", "F"]
FEW = 4096
"""Numbers of a sample below which it costs more to go from one sample to the next than to turn all at once."""
STEP = 16384
"""Elements that are brought together at a time: many are a run of neighbours even where not all of them count."""


class Apart:
    """Rows (m, k) whose numbers lie apart, as the classes of maps (n, k, d) do: they are brought together block by block."""

    def __init__(self, view: Numbers, order: Order, kept: NDArray[np.intp] | None = None) -> None:
        self.view = view
        """(n, d, k)"""
        self.order: Order = order
        """How the numbers of a block lie: row by row, or column by column, as they do here."""
        self.kept = kept
        """The flat index (m,) of the elements whose rows these are: they can be set only. None: all."""
        self.shape: Shape = (view.shape[0] * view.shape[1] if kept is None else kept.size, view.shape[2])
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
        if self.kept is not None:
            self._set_some(self.kept[rows], numbers)
            return
        for sample, within, part in self._pieces(rows.start, rows.stop):
            self.view[sample, within] = numbers[part].astype(self.dtype, copy=False)

    def _set_some(self, kept: NDArray[np.intp], numbers: Numbers) -> None:
        """The rows of these elements, and 0 for those between them."""
        for sample, within, part in _by_sample(kept, self.view.shape[1]):
            low, high = within[0], within[-1] + 1
            columns = numbers[part].T.astype(self.dtype, copy=False)
            if columns.shape[1] < high - low:
                count = np.zeros(high - low, np.bool_)
                count[within - low] = True
                columns = columns.take(np.cumsum(count) - 1, axis=1, mode="clip")
                bits = columns.view(f"i{self.dtype.itemsize}")  # all or none: 0 times what is not finite would not be 0
                bits &= -count.astype(bits.dtype)
            self.view[sample, low:high] = columns.T

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """Each sample that the rows touch, the positions in it, and which of the rows these are."""
        d = self.view.shape[1]
        for sample in range(start // d, -(-stop // d)):
            low, high = max(start, sample * d), min(stop, (sample + 1) * d)
            yield sample, slice(low - sample * d, high - sample * d), slice(low - start, high - start)


def rows_of(array: Numbers, lead: int, order: Order) -> Numbers | Apart:
    """An array (*lead, *row) as rows (m, *row): the first `lead` axes as one. Blocks of rows that lie apart have this order."""
    if lead == 1 and array.flags.c_contiguous:
        return array
    row = array.shape[lead:]
    if array.flags.c_contiguous or len(row) != 1:
        return np.ascontiguousarray(array).reshape(-1, *row)
    view = array.reshape(1 if lead == 1 else array.shape[0], -1, *row)  # a copy only where the axes before the row lie apart too
    if view.flags.c_contiguous or view[0].size < FEW:
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
    _, d, k = view.shape
    if view.flags.c_contiguous or d * k < FEW:
        return np.ascontiguousarray(view).reshape(-1, k)[kept]
    columns = np.empty((k, kept.size), array.dtype)
    for start in range(0, kept.size, STEP):
        for sample, within, part in _by_sample(kept[start : start + STEP], d):
            whole = within.size == within[-1] + 1 - within[0]
            some = view[sample, within[0] : within[-1] + 1].T if whole else view[sample].T.take(within, axis=1, mode="clip")
            columns[:, start + part.start : start + part.stop] = some
    return columns.T


def _by_sample(kept: NDArray[np.intp], d: int) -> Iterator[tuple[int, NDArray[np.intp], slice]]:
    """Each sample that has some of these elements, the positions of its own, and which of all these are."""
    first, last = int(kept[0]) // d, int(kept[-1]) // d
    ends = kept.searchsorted(np.arange(first, last + 2) * d)
    for sample, (start, stop) in enumerate(pairwise(ends.tolist()), first):
        if start < stop:
            yield sample, kept[start:stop] - sample * d, slice(start, stop)


def empty_like(array: Numbers | Apart, elements: Shape, kept: NDArray[np.intp] | None) -> Numbers | Apart:
    """Room for a gradient that lies as these rows do; where they are apart, for the elements that do not count too."""
    if isinstance(array, Apart):
        n, d, k = elements[0], math.prod(elements[1:]), array.shape[1]
        make = np.empty if kept is None else np.zeros
        return Apart(make((n, k, d), array.dtype).transpose(0, 2, 1), array.order, kept)
    return np.empty(array.shape, array.dtype)


def restored(rows: Numbers | Apart, elements: Shape, kept: NDArray[np.intp] | None, class_axis: int | None) -> NDArray[Any]:
    """Rows as the array that the request has: 0 for what was dropped, the classes along their axis."""
    if isinstance(rows, Apart):
        array = rows.view.reshape(*elements, -1)
    elif kept is not None:
        array = np.zeros((*elements, *rows.shape[1:]), rows.dtype)
        array.reshape(-1, *rows.shape[1:])[kept] = rows
    else:
        array = rows if len(elements) == 1 else rows.reshape(*elements, *rows.shape[1:])
    if class_axis is None or array.ndim == len(elements):
        return array
    return np.ascontiguousarray(np.moveaxis(array, -1, class_axis))
