"""What a rule says of a run: a verdict, in one sentence, by these numbers, and what to try."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

Verdict: TypeAlias = Literal[
    "converged",
    "still_improving",
    "underfitting",
    "overfitting",
    "diverging",
    "oscillating",
    "plateau",
    "misfit",
    "inconclusive",
]


class Finding(NamedTuple):
    """One thing that the numbers of a run say."""

    verdict: Verdict
    summary: str
    """One sentence: what happened."""
    evidence: Mapping[str, float | int | str]
    """The numbers that made it say so, by name; finite ones only."""
    advice: str
    """What to try: fields of the request, with values."""


def evidence_of(**numbers: Any) -> dict[str, float | int | str]:
    """What is known of these, as plain numbers; what is not finite is left out."""
    plain: dict[str, Any] = {name: number.item() if isinstance(number, np.number) else number for name, number in numbers.items()}
    return {
        name: number
        for name, number in plain.items()
        if isinstance(number, str) or (number is not None and math.isfinite(number))
    }
