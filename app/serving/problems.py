"""Errors on the wire: which status each has, and the two forms that clients read.

`/v2` speaks as its protocol does ({"error": "..."}), everything else RFC 9457 (application/problem+json).
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, NotRequired, TypeAlias, cast

import orjson
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from app.errors import (
    MAX_FAULTS,
    CallerError,
    Conflict,
    Fault,
    Forbidden,
    HeadTooLarge,
    IdempotencyKeyReused,
    InvalidInput,
    JobsFull,
    MalformedDocument,
    MalformedRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    NotInstalled,
    Path,
    QuotaExceeded,
    ScopeMissing,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnknownName,
    UnsupportedMediaType,
)
from app.serving.content import Content
from app.serving.content import Field as HeadField
from app.serving.unknown import renamed, unknown_field
from app.wire.exact import LazyList
from app.wire.faults import name as name_of

STATUS: dict[type[CallerError | Unavailable], HTTPStatus] = {
    MalformedRequest: HTTPStatus.BAD_REQUEST,
    MalformedDocument: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    JobsFull: HTTPStatus.TOO_MANY_REQUESTS,
    Conflict: HTTPStatus.CONFLICT,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    NotInstalled: HTTPStatus.NOT_IMPLEMENTED,
    HeadTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnknownName: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each error; a subclass has its parent's."""

TYPES = {"quota_exceeded": "https://iana.org/assignments/http-problem-types#quota-exceeded"}
"""The types of problems that are registered (draft-ietf-httpapi-ratelimit-headers); the others are ours."""

CHALLENGE = 'Bearer realm="criterion"'

RULES = {
    "missing": "missing",
    "finite_number": "not_finite",
    "literal_error": "choice",
    "too_short": "length",
    "too_long": "length",
    "string_too_long": "length",
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal"), "out_of_range"),
}
"""Pydantic's rules under the codes that this service promises; each other one is about a "type"."""

VIOLATED = "violated-policies"

Rendered: TypeAlias = tuple[int, tuple[HeadField, ...], Content]
"""Status, fields of the head, and content of an answer."""


class Problem(TypedDict):
    """RFC 9457 problem details."""

    type: Annotated[str, Field(description="Where the kind of problem is described; it ends with the code.")]
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong, in a sentence.")]
    code: Annotated[str, Field(description="A stable name of the problem, for programs.")]
    errors: Annotated[
        list["FaultBody"], Field(description=f"Each thing that is wrong, {MAX_FAULTS} at most.", max_length=MAX_FAULTS)
    ]
    violated_policies: NotRequired[  # written with a hyphen: see VIOLATED
        Annotated[list[str], Field(description="Only with status 429: which limits are reached.", alias=VIOLATED)]
    ]
    request_id: NotRequired[
        Annotated[str, Field(description="Only with status 500: the id under which the server has logged it.")]
    ]


class FaultBody(TypedDict):
    """One thing that is wrong with the request."""

    pointer: Annotated[str, Field(description="A JSON pointer into the request.", examples=["/targets/2"])]
    code: Annotated[str, Field(description="A stable name of the rule, for programs.", examples=["label"])]
    message: Annotated[
        str, Field(description="Argument, index, rule and value.", examples=["targets[2] must be −1 or +1; got 0.5"])
    ]


# --- from an error to an answer ---------------------------------------------------------------------------------------


def rendered(error: CallerError | Unavailable, path: str) -> Rendered:
    """The answer that says why a request is not answered, as the clients of its path read it."""
    if not _is_protocol(path):
        return status_of(error), _fields(error), as_problem(error)
    status = status_of(error)  # the protocol knows one status for what is wrong with a request
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status, _fields(error), _as_protocol(error)


def server_error(request_id: str, path: str) -> Rendered:
    """The answer to a request over which the server failed."""
    status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log has the reason under the request id"
    if _is_protocol(path):
        return status, (), _json({"error": f"{detail} {request_id}"})
    return status, (), _problem(status, "internal_error", detail, request_id=request_id)


def status_of(error: CallerError | Unavailable) -> HTTPStatus:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def as_problem(error: CallerError | Unavailable) -> Content:
    if isinstance(error, Unavailable):
        return _problem(status_of(error), error.code, str(error))
    more = {VIOLATED: list(error.violated)} if isinstance(error, QuotaExceeded) else {}
    return _problem(status_of(error), error.code, error.detail, error.faults, **more)


def failure(request_id: str) -> Content:
    """The problem of a failure, for a stream whose status has been sent already."""
    return server_error(request_id, "")[2]


def phrase(status: HTTPStatus) -> str:
    """The status in words: those of RFC 9110, which Python has from 3.13 on only."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, status.phrase)


def _is_protocol(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _as_protocol(error: CallerError | Unavailable) -> Content:
    faults = error.faults if isinstance(error, CallerError) else ()
    return _json({"error": "; ".join(fault.message for fault in faults) or str(error)})


def _fields(error: CallerError | Unavailable) -> tuple[HeadField, ...]:
    if isinstance(error, Unavailable | QuotaExceeded | JobsFull):
        return ((b"retry-after", b"%d" % error.retry_after),)
    if isinstance(error, Unauthorized):
        return ((b"www-authenticate", (CHALLENGE + (', error="invalid_token"' if error.sent else "")).encode()),)
    if isinstance(error, ScopeMissing):
        return ((b"www-authenticate", f'{CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'.encode()),)
    return ((b"allow", ", ".join(error.allowed).encode()),) if isinstance(error, MethodNotAllowed) else ()


def _problem(status: HTTPStatus, code: str, detail: str, faults: Sequence[Fault] = (), **more: object) -> Content:
    body = Problem(
        type=TYPES.get(code, f"/docs/errors#{code}"),
        title=phrase(status),
        status=status.value,
        detail=detail,
        code=code,
        errors=[FaultBody(pointer=_pointer(fault.path), code=fault.code, message=fault.message) for fault in faults],
    )
    return Content((orjson.dumps({**body, **more}),), "application/problem+json")


def _pointer(path: Path) -> str:
    """A path as a JSON pointer (RFC 6901), each key cut to a length worth reading."""
    return "".join(f"/{str(key)[:80].replace('~', '~0').replace('/', '~1')}" for key in path)


def _json(body: object) -> Content:
    return Content((orjson.dumps(body),))


# --- from Pydantic's errors to ours ---------------------------------------------------------------------------------------


def from_pydantic(error: ValidationError, document: object, model: type[BaseModel] | None = None) -> InvalidInput | UnknownName:
    """Pydantic's errors as ours, and those of ours that it has gathered: paths in the document, no echo of the input."""
    moves = renamed(model, document) if model else {}
    details = error.errors(include_url=False, include_input=True)[: 2 * MAX_FAULTS]
    causes = [detail.get("ctx", {}).get("error") for detail in details]
    if len(causes) == 1 and isinstance(causes[0], InvalidInput | UnknownName):
        return causes[0].moved(moves)
    faults: list[Fault] = []
    meant: set[Path | None] = set()
    for detail, cause in zip(details, causes, strict=True):
        if isinstance(cause, CallerError):
            faults += cause.faults
        elif detail["type"] == "extra_forbidden":
            unknown = unknown_field(model, detail["loc"], _path(detail, document), document)
            faults.append(unknown.fault)
            meant.add(unknown.meant)
        else:
            faults.append(_fault(detail, document))
    faults = [fault for fault in faults if fault.code != "missing" or fault.path not in meant]  # it has another name
    names_only = all(fault.code.startswith("unknown_") and fault.code != "unknown_field" for fault in faults)
    return (UnknownName if names_only else InvalidInput)(faults).moved(moves)


def _fault(detail: ErrorDetails, document: object) -> Fault:
    path = _path(detail, document)
    name, code = name_of(path), RULES.get(detail["type"], "type")
    if code == "missing":
        return Fault(path, code, f"{name} is missing")
    rule = detail["msg"].partition(" should ")[2].replace(" after validation", "") or "be valid"
    if detail["type"] in ("model_type", "dict_type"):  # a class of ours, or a word of Python's
        rule = "be an object"
    return Fault(path, code, f"{name} must {rule}{_got(detail['input'])}")


def _path(detail: ErrorDetails, document: object) -> Path:
    """Where it is in the document: what Pydantic adds (a union's member, a validator) no caller has written."""
    path: list[str | int] = []
    value = document
    *above, last = detail["loc"]
    for key in above:
        found, inner = _inside(value, key)
        if found:
            value = inner
            path.append(key)
    if detail["type"] in ("missing", "extra_forbidden") or _inside(value, last)[0]:
        path.append(last)
    return tuple(path)


def _inside(value: object, key: int | str) -> tuple[bool, object]:
    """Whether a document has such a member or element, and which."""
    if isinstance(value, Mapping):
        members = cast(Mapping[object, object], value)
        return key in members, members.get(key)
    if not isinstance(key, int):
        return False, None
    if isinstance(value, LazyList):
        return True, value.item(key)
    return True, cast(list[object], value)[key] if isinstance(value, list) else None


def _got(value: object) -> str:
    """The offending value, where it is short and plain."""
    return f"; got {json.dumps(value, ensure_ascii=False)[:80]}" if isinstance(value, str | int | float | bool | None) else ""
