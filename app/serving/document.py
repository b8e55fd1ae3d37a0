"""The calls as an OpenAPI document: FastAPI writes it from the functions' own signatures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from inspect import Parameter, Signature, getdoc, signature
from typing import Annotated, Any, get_args

from fastapi import params
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.responses import JSONResponse, PlainTextResponse
from typing_extensions import is_typeddict

from app.serving.accept import EVENTS
from app.serving.address import Header, Mark, Path, Query
from app.serving.call import Call, Stream
from app.serving.pictures import PNG, SVG, THEME, VEGA_LITE, Theme
from app.serving.problems import Problem, phrase

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROTOCOL_ERROR = {
    "application/json": {"schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}
}
THEMED: dict[str, Any] = {
    "name": THEME,
    "in": "query",
    "description": "The colours of a picture: light or dark.",
    "schema": {"type": "string", "enum": [*get_args(Theme)]},
}
PICTURES = (
    f"As a picture with `Accept: {SVG}` or `{PNG}`, or `{VEGA_LITE}` for the definition that it is drawn from; 406 where "
    "Accept names nothing that there is."
)
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Only where the server has keys."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
"""How a key is sent, where keys are asked for. The document is the same where they are not."""
KEY_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""What a call may answer that needs a key."""

ANY = {"4XX": "What is wrong with the request.", "5XX": "The server failed, or cannot answer now."}
"""What any call may answer beside its own statuses."""


def document(calls: Sequence[Call], **about: Any) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these calls."""
    made = get_openapi(routes=[_route(call) for call in calls if call.tag], openapi_version="3.1.0", **about)
    made["security"] = []
    made["components"]["securitySchemes"] = SCHEMES
    schemas: dict[str, Any] = made["components"]["schemas"]
    problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI documents its own 422, which is never sent
        schemas.pop(unused, None)
    return made


def _route(call: Call) -> APIRoute:
    extra = dict(call.document)
    if call.examples:
        body: dict[str, Any] = extra.get("requestBody", {})
        content = {"application/json": {"examples": dict(call.examples)}} | body.get("content", {})
        extra["requestBody"] = body | {"content": content}
    if call.picture:
        extra = _pictured(extra)
    if call.needs != "open":
        scopes = [] if call.needs == "any" else [call.needs]
        extra["security"] = [{scheme: scopes} for scheme in SCHEMES]
    return APIRoute(
        call.path,
        _endpoint(call),
        methods=[call.method],
        status_code=call.status,
        summary=call.summary,
        response_description="The answer.",
        tags=[call.tag],
        operation_id=call.name,
        response_class=TEXTS.get(call.answer, JSONResponse),
        response_model=(str if call.answer is Stream else call.answer) or _returned(call),
        responses=_responses(call),
        openapi_extra=extra,
        description=getdoc(call.function),
    )


class _Events(PlainTextResponse):
    media_type = EVENTS


TEXTS: Mapping[Any, type[PlainTextResponse]] = {str: PlainTextResponse, Stream: _Events}
"""How answers travel that are no JSON, by their types."""


def _pictured(extra: dict[str, Any]) -> dict[str, Any]:
    """With the theme, and a word on pictures. They are in words alone: of an answer of several media types, generated clients
    make one that nobody can use."""
    responses: dict[str, Any] = extra.get("responses", {})
    answer: dict[str, Any] = responses.get("200", {})
    described = {**answer, "description": f"{answer.get('description', 'The answer.')} {PICTURES}"}
    return {**extra, "parameters": [*extra.get("parameters", ()), THEMED], "responses": {**responses, "200": described}}


def _endpoint(call: Call) -> Callable[[], None]:
    """A function with the parameters that a client gives: what FastAPI is to see of the call's own."""

    def endpoint() -> None: ...

    hidden = {name for name, mark in call.address.marks.items() if isinstance(mark, Path) and f"{{{name}}}" not in call.path}
    documented = {*call.address.marks, call.request if call.model else None} - hidden
    shown = [_marked(parameter) for name, parameter in call.parameters.items() if name in documented]
    endpoint.__signature__ = Signature(shown)  # pyright: ignore[reportFunctionMemberAccess]  # which inspect reads
    return endpoint


FASTAPIS: Mapping[type[Mark], Callable[..., params.Param]] = {Path: params.Path, Query: params.Query, Header: params.Header}


def _marked(parameter: Parameter) -> Parameter:
    """The parameter with FastAPI's mark for ours."""
    base, *metadata = get_args(parameter.annotation) or (parameter.annotation,)
    marks = [FASTAPIS[type(mark)](**asdict(mark)) if isinstance(mark, Mark) else mark for mark in metadata]
    return parameter.replace(annotation=Annotated[(base, *marks)] if marks else base)


def _returned(call: Call) -> Any:
    """The type of the answer that the function's annotation says, where it is one that a schema can be made of."""
    returned = signature(call.function, eval_str=True).return_annotation
    return returned if is_typeddict(returned) else None


def _responses(call: Call) -> dict[int | str, dict[str, Any]]:
    content = PROTOCOL_ERROR if call.path.startswith("/v2") else PROBLEM
    statuses = sorted({*call.statuses, *(KEY_STATUSES if call.needs != "open" else ())})
    own: Mapping[int | str, str] = {status: phrase(HTTPStatus(status)) for status in statuses}
    return {status: {"description": description, "content": content} for status, description in {**own, **ANY}.items()}
