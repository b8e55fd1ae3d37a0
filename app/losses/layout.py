"""Where the elements of a batch lie: the rows that a kernel takes, from an array and back, without a copy of the whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers, Shape


class Apart:
    """Rows (n · d, k) whose numbers lie apart, as the classes of a map (n, k, d) do: they are brought together block by block."""

    def __init__(self, view: Numbers) -> None:
        self.view = view
        """(n, d, k)"""
        self.shape: Shape = (view.shape[0] * view.shape[1], view.shape[2])
        self.dtype, self.nbytes, self.size = view.dtype, view.nbytes, view.size

    def __getitem__(self, rows: slice) -> Numbers:
        start, stop, _ = rows.indices(self.shape[0])
        block = np.empty((stop - start, self.shape[1]))
        for sample, within, part in self._pieces(start, stop):
            # widened as they lie: to widen and to turn them in one go takes twice as long
            block[part] = self.view[sample, within].astype(np.float64)
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


def rows_of(array: Numbers, lead: int) -> Numbers | Apart:
    """An array (*lead, *row) as rows (m, *row): the first `lead` axes as one."""
    if lead == 1:
        return np.ascontiguousarray(array)
    row = array.shape[lead:]
    if array.flags.c_contiguous:
        return array.reshape(-1, *row)
    if len(row) != 1:
        return np.ascontiguousarray(array).reshape(-1, *row)
    view = array.reshape(array.shape[0], -1, *row)  # a copy only where the axes before the row lie apart as well
    return view.reshape(-1, *row) if view.flags.c_contiguous else Apart(view)


def some_of(array: Numbers, elements: Shape, kept: NDArray[np.intp]) -> Numbers:
    """The rows of these elements."""
    if len(elements) == 1:
        return array[kept]
    if array.flags.c_contiguous:
        return array.reshape(-1, *array.shape[len(elements) :])[kept]
    return array[np.unravel_index(kept, elements)]


def empty_like(array: Numbers | Apart) -> Numbers | Apart:
    """Room for a gradient that lies as these rows do."""
    if isinstance(array, Apart):
        n, d, k = array.view.shape
        return Apart(np.empty((n, k, d), array.dtype).transpose(0, 2, 1))
    return np.empty(array.shape, array.dtype)


def restored(rows: Numbers | Apart, elements: Shape, kept: NDArray[np.intp] | None, class_axis: int | None) -> NDArray[Any]:
    """Rows as the array that the request has: 0 for what was dropped, the classes along their axis."""
    if isinstance(rows, np.ndarray) and kept is None and class_axis is None:
        return rows if len(elements) == 1 else rows.reshape(*elements, *rows.shape[1:])
    array = rows.view if isinstance(rows, Apart) else rows
    if kept is not None:
        whole = np.zeros((*elements, *array.shape[1:]), array.dtype)
        whole.reshape(-1, *array.shape[1:])[kept] = array
        array = whole
    elif len(elements) > 1:
        array = array.reshape(*elements, array.shape[-1]) if isinstance(rows, Apart) else rows.reshape(*elements, *rows.shape[1:])
    if class_axis is None or array.ndim == len(elements):
        return array
    return np.ascontiguousarray(np.moveaxis(array, -1, class_axis))
