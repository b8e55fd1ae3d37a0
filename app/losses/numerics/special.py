"""Special functions that NumPy has not: SciPy's, loaded when one is first called, since that takes longer than all else."""

from collections.abc import Callable
from typing import Any


def special(name: str) -> Callable[..., Any]:
    """The function of this name in `scipy.special`."""

    def compute(*inputs: Any) -> Any:
        from scipy import special as functions

        return getattr(functions, name)(*inputs)

    return compute
