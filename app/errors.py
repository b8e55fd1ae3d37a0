"""What can be wrong with a caller's request, said without a word of HTTP.

CallerError             anything the caller can mend
├── MalformedRequest    the bytes are not one HTTP request
│   └── UnknownHost     or it is for a host that this is not
├── MalformedDocument   the bytes are not one JSON document
│   └── MalformedTable  nor a CSV or npz file, where they should be
├── UnknownName         no such loss (or model, optimizer, ...), or no such parameter of it
├── Unauthorized        nobody that is known asks
├── Forbidden           whoever asks may not
│   ├── CrossSite       a page of another origin asks, and no setting allows it
│   ├── ScopeMissing    the key does not allow this call
│   └── SourceForbidden data lies where this server reads none
├── QuotaExceeded       the key has had what it may have for now
├── JobsFull            no more jobs may be queued for now
├── Conflict            what there is does not allow it
│   ├── JobEnded            a job that is over cannot be cancelled
│   ├── JobNotResumable     only one that was cancelled or has failed is resumed
│   ├── DatasetExists       other data has the name under which some is to be kept
│   ├── DatasetsFull        as many data sets, or bytes of them, are kept as may be
│   └── IdempotencyKeyInUse the first request of this key is still being answered
├── IdempotencyKeyReused  another request had this key
├── NotFound            the address names something that does not exist
├── MethodNotAllowed    the address is right, the method is not
├── NotAcceptable       the client takes none of the forms that the answer can have
├── HeadTooLarge        more bytes or fields before the body than the service takes
├── TooSlow             the request did not arrive within its time
├── UnsupportedMediaType  the body is of another type than the one accepted, or packed in an unknown way
├── NotInstalled        what is asked for needs a library that this server was built without
├── TooLarge            more bytes than the service takes
│   └── StillArriving   known before they have all come
└── InvalidInput        the document can be read, but not taken at its word
    ├── InvalidArray    shapes that do not agree, numbers out of range, labels of no known encoding
    ├── InvalidParameter  a parameter that does not fit the loss or the data
    ├── SourceEmpty     no file is where data is said to be
    ├── FormatUnavailable  files of a kind that this server cannot read
    └── JobTooLarge     a job that needs more memory than one may have

Unavailable             the request may be right, but it cannot be answered now
├── Busy                too much is open already
│   ├── QueueFull       or waiting
│   └── OverBudget      or in memory
├── TooLate             it was not done within its time
│   └── JobTooLong          nor was the job within its
├── ProcessLost         the process that worked on it has ended
├── WorkerDied          and so have those that tried again
└── ShuttingDown        the server is about to end

ClientLeft              nobody waits for an answer any more
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeAlias

MAX_FAULTS = 20
"""Faults reported at most: a person reads three, and 100,000 would be an answer larger than the question."""


Path: TypeAlias = tuple[str | int, ...]
"""Where something is: names of arguments, keys and indices from the outside in, as ("predictions", 2, 0)."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where (in the arguments of whoever refuses them), which rule (a stable code), and why."""

    path: Path
    code: str
    message: str


class CallerError(Exception):
    """A request that cannot be answered, with up to MAX_FAULTS reasons."""

    code: ClassVar[str] = "invalid_request"
    reason: ClassVar[str] = "invalid"
    """Under which word refusals are counted."""

    def __init__(self, faults: Sequence[Fault] | str, *, detail: str | None = None) -> None:
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults[:MAX_FAULTS])
        self.detail = faults if isinstance(faults, str) else detail or _summary(faults)
        super().__init__(self.detail)

    def moved(self, fields: Mapping[Path, Path]) -> Self:
        """The same for a caller who has these arguments elsewhere; what lies within an argument goes with it."""
        if not self.faults:
            return self
        return type(self)([replace(fault, path=_moved(fault.path, fields)) for fault in self.faults], detail=self.detail)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, vars(self))


class MalformedRequest(CallerError):
    code = "malformed_request"
    reason = "malformed"


class UnknownHost(MalformedRequest):
    reason = "host"


class MalformedDocument(CallerError):
    code = "malformed_json"
    reason = "malformed"


class MalformedTable(MalformedDocument):
    code = "malformed_table"


class UnknownName(CallerError, ValueError):
    """A ValueError, as InvalidInput is, so that Pydantic goes on and gathers what else is wrong with a document."""

    code = "unknown_name"


class Unauthorized(CallerError):
    """No key, or none that is valid; `sent` says whether there was one."""

    code = "unauthorized"
    reason = "unauthorized"

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class Forbidden(CallerError):
    code = "forbidden"
    reason = "forbidden"


class CrossSite(Forbidden):
    reason = "cross_site"


class ScopeMissing(Forbidden):
    """A key that does not allow this; `scope` is what it would have to allow."""

    def __init__(self, detail: str, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class SourceForbidden(Forbidden):
    """Data that lies nowhere where this server may read or write."""

    code = "source_forbidden"


class QuotaExceeded(CallerError):
    """More than a key may have for now: the names of the limits that are reached, and the seconds until there is more."""

    code = "quota_exceeded"
    reason = "quota"

    def __init__(self, detail: str, violated: Sequence[str], retry_after: int) -> None:
        super().__init__(detail)
        self.violated, self.retry_after = tuple(violated), retry_after


class JobsFull(CallerError):
    code = "queue_full"
    reason = "queue_full"
    retry_after: ClassVar[int] = 1


class Conflict(CallerError):
    code = "conflict"


class JobEnded(Conflict):
    code = "job_ended"


class JobNotResumable(Conflict):
    code = "job_not_resumable"


class DatasetExists(Conflict):
    code = "dataset_exists"


class DatasetsFull(Conflict):
    code = "datasets_full"


class IdempotencyKeyInUse(Conflict):
    code = "idempotency_key_in_use"


class IdempotencyKeyReused(CallerError):
    code = "idempotency_key_reused"


class NotFound(CallerError):
    code = "not_found"
    reason = "not_found"


class MethodNotAllowed(CallerError):
    """An address that is asked by another method; `allowed` are the ones that it has."""

    code = "method_not_allowed"
    reason = "method"

    def __init__(self, detail: str, allowed: Sequence[str]) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class NotAcceptable(CallerError):
    code = "not_acceptable"
    reason = "media_type"


class NotInstalled(CallerError):
    code = "not_installed"


class HeadTooLarge(CallerError):
    code = "head_too_large"
    reason = "head"


class TooSlow(CallerError):
    code = "request_timeout"
    reason = "timeout"


class UnsupportedMediaType(CallerError):
    code = "unsupported_media_type"
    reason = "media_type"


class TooLarge(CallerError):
    code = "body_too_large"
    reason = "too_large"


class StillArriving(TooLarge):
    """A body that is refused before it is there."""


class InvalidInput(CallerError, ValueError):
    code = "invalid_request"


class InvalidArray(InvalidInput):
    """An array whose shape, numbers or labels cannot be taken."""


class InvalidParameter(InvalidInput):
    """A parameter that does not fit the loss or the arrays beside it."""


class SourceEmpty(InvalidInput):
    """Data by reference of which there is no file."""

    code = "source_empty"


class FormatUnavailable(InvalidInput):
    """Data in files that this server has no reader for."""

    code = "format_unavailable"


class JobTooLarge(InvalidInput):
    """A piece of a job that needs more memory than one may have."""

    code = "limit"
    reason = "limit"


class Unavailable(Exception):
    """Not the caller's fault: the same request may be answered `retry_after` seconds later."""

    code: ClassVar[str] = "unavailable"
    retry_after: ClassVar[int] = 1
    reason: ClassVar[str | None] = None
    """Under which word refusals are counted; a failure is none."""


class Busy(Unavailable):
    reason = "busy"


class QueueFull(Busy):
    reason = "queue_full"


class OverBudget(Busy):
    reason = "budget"


class TooLate(Unavailable):
    reason = "timeout"


class ProcessLost(Unavailable):
    pass


class WorkerDied(Unavailable):
    """The process that did a piece of a job has died as often as it may."""

    code = "worker_died"


class JobTooLong(TooLate):
    code = "deadline"


class ShuttingDown(Unavailable):
    code = "shutting_down"
    reason = "shutting_down"


class ClientLeft(Exception):
    """The client has gone before its answer was whole."""

    reason: ClassVar[str] = "client_left"


def reason_of(error: CallerError | Unavailable) -> str | None:
    """The word under which a refusal is counted; None where it is no refusal but a failure."""
    limit = isinstance(error, InvalidInput) and any(fault.code == "limit" for fault in error.faults)
    return "limit" if limit else error.reason


def _restored(kind: type[CallerError], arguments: tuple[object, ...], state: Mapping[str, object]) -> CallerError:
    """An error as it was in another process, whatever its class is made of."""
    error = kind.__new__(kind, *arguments)
    vars(error).update(state)
    return error


def _moved(path: Path, fields: Mapping[Path, Path]) -> Path:
    """The path with the longest of its beginnings that is among the fields put elsewhere."""
    for end in range(len(path), -1, -1):
        if path[:end] in fields:
            return (*fields[path[:end]], *path[end:])
    return path


def _summary(faults: Sequence[Fault]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return faults[0].message + more
