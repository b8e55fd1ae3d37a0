"""What an oracle is: a formula of one sample, registered under the name of its loss, and the settings it is compared under.

@oracle
@tried({}, {"c": 0.3})
def cauchy(p: Exact, y: Exact, c: Any = 1) -> Exact:
    return log(1 + ((p - y) / c) ** 2 / 2)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.losses.exact import Exact, constant_of

Formula = Callable[..., Any]
Row = Sequence[Exact]

ORACLES: dict[str, Formula] = {}
OF_BATCH: set[str] = set()
OF_ROWS: set[str] = set()
TRIED: dict[str, Sequence[Mapping[str, Any]]] = {}


def oracle(formula: Formula) -> Formula:
    formula.__defaults__ = tuple(constant_of(default) for default in formula.__defaults__ or ())
    ORACLES[formula.__name__] = formula
    return formula


def of_batch(formula: Formula) -> Formula:
    OF_BATCH.add(formula.__name__)
    return formula


def of_rows(formula: Formula) -> Formula:
    OF_ROWS.add(formula.__name__)
    return formula


def tried(*settings: Mapping[str, Any]) -> Callable[[Formula], Formula]:
    """The settings in which the loss is compared with this; each parameter that is in none is tried by itself as well."""

    def note(formula: Formula) -> Formula:
        TRIED[formula.__name__] = settings
        return formula

    return note
