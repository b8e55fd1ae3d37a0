"""What an analysis finds as the answer's JSON values: null for what JSON has no number for, and what that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.api.evaluate import NonFiniteNumber
from app.losses.outputs import NON_FINITE_LISTED, word

PAIRS = {"t", "percentile", "bca", "interval", "difference_interval"}
"""Intervals: null as a whole where an end is no number."""


class Plain:
    """Values as they are on the wire; `non_finite` has the numbers among them that were none."""

    def __init__(self) -> None:
        self.non_finite: list[NonFiniteNumber] = []

    def __call__(self, value: object, name: str = "", index: tuple[int, ...] = ()) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else self._named(value, name, index)
        if isinstance(value, tuple) and hasattr(cast(object, value), "_asdict"):
            return self._members(cast(Any, value)._asdict(), name, index)
        if is_dataclass(cast(object, value)):
            return self._members(cast(dict[str, object], vars(value)), name, index)
        if isinstance(value, Mapping):
            return self._members(cast(Mapping[str, object], value), name, index)
        if isinstance(value, np.ndarray):
            array = cast(NDArray[Any], value)
            return array if array.dtype.kind in "iu" or np.isfinite(array).all() else self(array.tolist(), name, index)
        if isinstance(value, tuple | list):
            items = cast(Sequence[object], value)
            if name.rpartition(".")[2] in PAIRS and len(items) == 2 and not all(map(_finite, items)):
                return self._named(cast(float, next(item for item in items if not _finite(item))), name, index)
            return [self(item, name, (*index, position)) for position, item in enumerate(items)]
        return value

    def _members(self, members: Mapping[str, object], name: str, index: tuple[int, ...]) -> dict[str, Any]:
        return {key: self(member, f"{name}.{key}" if name else key, index) for key, member in members.items()}

    def _named(self, number: float, name: str, index: tuple[int, ...]) -> None:
        if len(self.non_finite) < NON_FINITE_LISTED:
            self.non_finite.append(NonFiniteNumber(output=name, index=[*index], value=word(number)))


def _finite(item: object) -> bool:
    return not isinstance(item, float) or math.isfinite(item)
