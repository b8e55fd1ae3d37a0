"""What can be wrong with a caller's request, said without a word of HTTP.

CallerError             anything the caller can mend
├── MalformedDocument   the bytes are not one JSON document
├── UnknownName         no such loss (or model, optimizer, ...), or no such parameter of it
├── NotFound            the address names something that does not exist
├── UnsupportedMediaType  the body is of another type than the one accepted, or packed in an unknown way
├── TooLarge            more bytes than the service takes
│   └── StillArriving   known before they have all come
└── InvalidInput        the document can be read, but not taken at its word
    ├── InvalidArray    shapes that do not agree, numbers out of range, labels of no known encoding
    └── InvalidParameter  a parameter that does not fit the loss or the data
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

MAX_FAULTS = 20
"""Faults reported at most: a person reads three, and 100,000 would be an answer larger than the question."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where (a JSON pointer into the request), which rule (a stable code), and why."""

    pointer: str
    code: str
    message: str


class CallerError(Exception):
    """A request that cannot be answered, with up to MAX_FAULTS reasons. Not a ValueError, so that Pydantic lets it pass."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, faults: Sequence[Fault] | str, *, detail: str | None = None) -> None:
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults[:MAX_FAULTS])
        self.detail = faults if isinstance(faults, str) else detail or _summary(faults)
        super().__init__(self.detail)

    def __reduce__(self) -> tuple[type["CallerError"], tuple[Sequence[Fault] | str], dict[str, object]]:
        return type(self), (self.faults or self.detail,), {"detail": self.detail}


class MalformedDocument(CallerError):
    code = "malformed_json"


class UnknownName(CallerError):
    code = "unknown_name"


class NotFound(CallerError):
    code = "not_found"


class UnsupportedMediaType(CallerError):
    code = "unsupported_media_type"


class TooLarge(CallerError):
    code = "body_too_large"


class StillArriving(TooLarge):
    """A body that is refused before it is there."""


class InvalidInput(CallerError):
    code = "invalid_request"


class InvalidArray(InvalidInput):
    """An array whose shape, numbers or labels cannot be taken."""


class InvalidParameter(InvalidInput):
    """A parameter that does not fit the loss or the arrays beside it."""


def escape(key: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901), cut to a length worth reading."""
    return key[:80].replace("~", "~0").replace("/", "~1")


def _summary(faults: Sequence[Fault]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return faults[0].message + more
