"""How the bytes of a request become what a call's function takes, and its result the bytes of an answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ValidationError

from app.errors import MalformedDocument, UnsupportedMediaType
from app.serving.content import Content
from app.serving.exchange import Exchange
from app.serving.problems import from_pydantic
from app.settings import Settings
from app.wire.json import decode, encode

Check: TypeAlias = Callable[[Any, Mapping[str, Any], Settings], Any]
"""(what was decoded, the arguments of the address, settings) -> the request; CallerError for what does not fit."""
OWNER = "owner"
"""Among these arguments: the name of who asks, whose data it is that is kept under a name."""


WHITESPACE = b" \t\n\r"
MUCH_WHITESPACE = 64 * 1024


class Wire(NamedTuple):
    """One way in which requests and answers travel. All of it are functions of modules."""

    head: Callable[[Exchange], Any]
    """What the request's head says about the body, or UnsupportedMediaType."""
    decode: Callable[..., Any]
    """(body, head, quick) -> a document. Where it is to be quick it may raise app.wire.json.Slow."""
    encode: Callable[[Any, Any], Content]
    """(result, request) -> the answer."""
    queried: bool = False
    """Whether the address says what is asked: then its query is the wire's to check."""


def check_model(model: type[BaseModel]) -> Check:
    """The check of a request that a Pydantic model describes."""
    return partial(as_model, model)


def as_model(model: type[BaseModel], document: Any, arguments: Mapping[str, Any], settings: Settings) -> Any:
    try:
        return model.model_validate(document, context=settings)
    except ValidationError as error:
        raise from_pydantic(error, document, model) from None


def json_head(exchange: Exchange) -> None:
    """JSON, or nothing said: many clients send JSON without saying so."""
    given = exchange.fields.get(b"content-type")
    if given is None or given == b"application/json":
        return
    media_type = given.decode("latin-1").partition(";")[0].strip().lower() or "application/json"
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType(f"send application/json, not {media_type[:80]!r} (curl says so with --json)")


def json_document(body: bytes | memoryview, head: None, quick: bool) -> Any:
    if len(body) > MUCH_WHITESPACE:
        body = _trimmed(body)
    if not body:
        raise MalformedDocument("the body is empty: send a JSON object")
    return decode(body, quick=quick)


def _trimmed(body: bytes | memoryview) -> bytes | memoryview:
    """The body without much whitespace around it, for which a parser would take fourteen times its bytes.

    A little is left, so that what is said about a line and a column is true.
    """
    start, end = 0, len(body)
    while start < end and body[start] in WHITESPACE:
        block = bytes(body[start : min(start + MUCH_WHITESPACE, end)])
        start += len(block) - len(block.lstrip(WHITESPACE))
    while start < end and body[end - 1] in WHITESPACE:
        block = bytes(body[max(start, end - MUCH_WHITESPACE) : end])
        end -= len(block) - len(block.rstrip(WHITESPACE))
    return body[start:end] if len(body) - (end - start) > MUCH_WHITESPACE else body


def json_content(result: Any, request: Any = None) -> Content:
    return result if isinstance(result, Content) else Content((encode(result),))


JSON = Wire(json_head, json_document, json_content)
