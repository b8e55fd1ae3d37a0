"""What a request asks for: a loss, on how many samples, at which cost. Known before work begins, and told to whoever counts."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from app.errors import UnknownName
from app.losses import NAMED

UNKNOWN = "unknown"
"""Instead of a name that no loss has: nothing that a caller writes is repeated."""


class Usage(NamedTuple):
    """What a request asks for."""

    loss: str = ""
    """The loss by its own name, whatever it was called; nothing where there is none, or several."""
    samples: int = 0
    cost: float = 0.0
    """Steps that it is estimated to take."""
    timed: bool = False
    """Whether its time has a limit of its own, which is instead of that on cost."""

    def plus(self, more: "Usage") -> "Usage":
        """With what is asked for beyond it."""
        return more._replace(samples=self.samples + more.samples, cost=self.cost + more.cost)


NO_USAGE = Usage()

STEPS_A_SECOND = 1e9
"""What makes a cost the seconds that it is charged as."""

Admit: TypeAlias = Callable[[Usage], None]
"""Called once a request is known, before work on it begins; QuotaExceeded where it may not."""


def anything(usage: Usage) -> None:
    """Nobody counts."""


class Counted(Protocol):
    """A batch, of which these are counted."""

    @property
    def loss(self) -> Any: ...
    @property
    def n_samples(self) -> int: ...


def usage_of(batch: Counted, cost: float) -> Usage:
    """Of the evaluation of a batch."""
    return Usage(batch.loss.name, batch.n_samples, cost)


def usage_named(document: object, arguments: Mapping[str, Any]) -> Usage:
    """Of what has become no request: the loss that a document names, or an address."""
    named: object = cast("Mapping[str, Any]", document).get("loss") if isinstance(document, Mapping) else None
    if isinstance(named, Mapping):
        named = cast("Mapping[str, Any]", named).get("name")
    if named is None:
        named = arguments.get("name")
    if named is None:
        return NO_USAGE
    try:
        return Usage(NAMED.resolve(named)[0].name if isinstance(named, str) else UNKNOWN)
    except UnknownName:
        return Usage(UNKNOWN)
