"""Errors on the wire: which status each has, and its body (RFC 9457, application/problem+json)."""

import json
import logging
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, NotRequired

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from app.errors import (
    MAX_FAULTS,
    CallerError,
    Fault,
    InvalidInput,
    MalformedDocument,
    NotFound,
    StillArriving,
    TooLarge,
    Unavailable,
    UnknownName,
    UnsupportedMediaType,
    escape,
)
from app.serving.bodies import Refusal
from app.serving.headers import headers_for
from app.wire.faults import name as name_of

log = logging.getLogger("criterion")

STATUS: dict[type[CallerError], HTTPStatus] = {
    MalformedDocument: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    UnknownName: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The status of each error; a subclass has its parent's."""

CODES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}
"""The codes of errors that come from outside the CallerError tree."""


RULES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "finite_number": "not_finite",
    "literal_error": "choice",
    "too_short": "length",
    "too_long": "length",
    "string_too_long": "length",
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal"), "out_of_range"),
}
"""Pydantic's rules under the codes that this service promises; each other one is about a "type"."""


ONE_OF = {"loss", "data", "model", "optimizer", "schedule"}
LISTS_OF = {"metrics", "losses", "optimizers"}
"""Fields that hold members of a union, whose names Pydantic puts after the field or the index, and no caller has written."""


class Problem(TypedDict):
    """RFC 9457 problem details."""

    type: Annotated[str, Field(description="A URI for the kind of problem; it ends with the code.")]
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong, in a sentence.")]
    code: Annotated[str, Field(description="A stable name of the problem, for programs.")]
    errors: Annotated[
        list["FaultBody"], Field(description=f"Each thing that is wrong, {MAX_FAULTS} at most.", max_length=MAX_FAULTS)
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


PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

EVERYWHERE: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong with the request.", "content": PROBLEM},
    "5XX": {"description": "The server failed, or cannot answer now.", "content": PROBLEM},
}
"""What any operation may answer beside its own statuses."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses for an operation's document, each answered as a Problem."""
    return {status: {"description": phrase(HTTPStatus(status)), "content": PROBLEM} for status in statuses}


def phrase(status: HTTPStatus) -> str:
    """The status in words: those of RFC 9110, which Python has from 3.13 on only."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, status.phrase)


def problem(status: HTTPStatus, code: str, detail: str, faults: Iterable[Fault] = (), **more: str) -> Response:
    body = Problem(
        type=f"urn:criterion:problem:{code}",
        title=phrase(status),
        status=status.value,
        detail=detail,
        code=code,
        errors=[FaultBody(pointer=each.pointer, code=each.code, message=each.message) for each in faults],
    )
    return Response(orjson.dumps({**body, **more}), status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(CallerError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _query_error)
    app.add_exception_handler(Unavailable, _refused)
    app.add_exception_handler(Exception, _server_error)


def refusal(error: CallerError | Unavailable) -> Response:
    """The problem that says why a request is not answered."""
    if isinstance(error, Unavailable):
        answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, CODES[HTTPStatus.SERVICE_UNAVAILABLE], str(error))
        answer.headers["retry-after"] = "1"
        return answer
    answer = problem(status_of(error), error.code, error.detail, error.faults)
    return Refusal(answer.body, answer.status_code, media_type=answer.media_type) if isinstance(error, StillArriving) else answer


def status_of(error: CallerError) -> HTTPStatus:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def from_pydantic(error: ValidationError) -> InvalidInput:
    """Pydantic's errors as ours: pointers without the names of union members, no echo of the input."""
    return InvalidInput(_faults(error.errors(include_url=False, include_input=True)))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CallerError | Unavailable)
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = (
        f"there is no {request.method} {request.url.path[:200]}"
        if status in (404, 405) and error.detail == status.phrase
        else str(error.detail)
    )
    answer = problem(status, CODES.get(status, "http_error"), detail)
    answer.headers.update(error.headers or {})
    return answer


async def _query_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: list[Any] = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # loc[0] says "query" or "path"
    return refusal(InvalidInput(_faults(errors)))


async def _server_error(request: Request, error: Exception) -> Response:
    request_id = str(request.scope.get("request_id", ""))
    log.error("request %s failed", request_id, exc_info=error)
    status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log has the reason under the request id"
    answer = problem(status, CODES[status], detail, request_id=request_id)
    answer.headers.update(headers_for(request_id))  # Starlette answers this one outside of every middleware
    return answer


def _faults(errors: Sequence[ErrorDetails]) -> list[Fault]:
    return [_fault(each) for each in errors[:MAX_FAULTS]]


def _fault(error: ErrorDetails) -> Fault:
    loc = [str(each) for each in error["loc"]]
    tag = 1 if loc[0] in ONE_OF else 2 if loc[0] in LISTS_OF else len(loc)
    del loc[tag : tag + 1]
    loc = [each for each in loc if not each.startswith(("function-", "list[", "constrained-"))]
    if len(loc) > tag + 1 and not loc[tag + 1].isdigit():
        del loc[tag + 1 :]
    pointer = "".join(f"/{escape(each)}" for each in loc)
    name, code = name_of(pointer), RULES.get(error["type"], "type")
    if code == "missing":
        return Fault(pointer, code, f"{name} is missing")
    if code == "unknown_field":
        return Fault(pointer, code, f"there is no field {loc[-1][:80]!r}")
    rule = error["msg"].partition(" should ")[2].replace(" after validation", "") or "be valid"
    if error["type"] == "model_type":  # its message names a class of ours
        rule = "be an object"
    return Fault(pointer, code, f"{name} must {rule}{_got(error['input'])}")


def _got(value: object) -> str:
    """The offending value, where it is short and plain."""
    return f"; got {json.dumps(value, ensure_ascii=False)[:80]}" if isinstance(value, str | int | float | bool | None) else ""
