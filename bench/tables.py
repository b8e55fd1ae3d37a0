"""A file of a million rows into arrays: CPU time of reading CSV, in this process, against NumPy's own reader."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.wire.csv import Csv

ROWS = 1_000_000
FORMS = {
    "two columns of six decimals": (2, "%.6f"),
    "two columns of all digits": (2, "%r"),
}
SHARE = 10
"""NumPy's reader is given one row in so many: it takes that much longer."""


@dataclass
class Read:
    """One form of the file: its size, and the CPU seconds that each reading took."""

    form: str
    megabytes: float
    ours: list[float] = field(default_factory=list[float])
    numpy: list[float] = field(default_factory=list[float])
    """Per reading of the whole, from a share of it."""

    @property
    def rates(self) -> Sequence[float]:
        """Our megabytes a second, of each round."""
        return [self.megabytes / seconds for seconds in self.ours]


def read(rounds: int) -> list[Read]:
    """Each form read so many times, in turn with NumPy's `loadtxt`."""
    return [_read(form, rounds) for form in FORMS]


def _read(form: str, rounds: int) -> Read:
    columns, digits = FORMS[form]
    lines = _lines(columns, digits)
    body = "\n".join(lines).encode()
    share = "\n".join(lines[: ROWS // SHARE])
    found = Read(form, len(body) / 1e6)
    for _ in range(rounds):
        began = time.process_time()
        table = Csv(body)
        table.read(table.names, 2**40)
        found.ours.append(time.process_time() - began)
        began = time.process_time()
        np.loadtxt(io.StringIO(share), delimiter=",", skiprows=1)
        found.numpy.append((time.process_time() - began) * SHARE)
    return found


def _lines(columns: int, digits: str) -> list[str]:
    """The file, its header first."""
    row = ",".join([digits] * columns)
    numbers = np.random.default_rng(0).normal(size=(ROWS, columns)).tolist()
    return [",".join(f"column {index}" for index in range(columns)), *(row % tuple(cells) for cells in numbers)]
