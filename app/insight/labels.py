"""Labels that put samples into groups or clusters: which there are, and which of them each sample has."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, Path

Level: TypeAlias = str | float | bool
Codes: TypeAlias = NDArray[np.intp]


class Labels(NamedTuple):
    """One label for each sample."""

    levels: tuple[Level, ...]
    codes: Codes
    """(n,) which of the levels each sample has."""
    path: Path
    """Where the caller has them."""

    def of(self, index: NDArray[np.intp], n: int) -> "Labels":
        """Those of the samples that count, with the levels that occur among them.

        InvalidArray where there is not one for each of the n samples of the batch (`shape_mismatch`), or where all of them
        are the same (`one_group`).
        """
        name = ".".join(map(str, self.path))[:200]
        if self.codes.size != n:
            message = f"{name} must have one label per sample: {n}, not {self.codes.size}"
            raise InvalidArray([Fault(self.path, "shape_mismatch", message)])
        present, codes = np.unique(self.codes[index], return_inverse=True)
        if present.size < 2:
            message = f"{name} has only one label among the samples that count: there is nothing to tell apart; send two or more"
            raise InvalidArray([Fault(self.path, "one_group", message)])
        places: list[int] = present.tolist()
        levels = tuple(self.levels[place] for place in places)
        return Labels(levels, np.asarray(codes, np.intp), self.path)
