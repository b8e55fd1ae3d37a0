"""A request, and how its answer is read; JSON as the service takes it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar, cast

import httpx
import numpy as np

from app.client.answers import Answer
from app.client.frames import array_of

T = TypeVar("T")

KEY = "idempotency-key"


@dataclass(frozen=True)
class Request(Generic[T]):
    """What is asked, and how the answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: bytes | Iterator[bytes] | None = None
    """What is to be sent; an iterator as it comes, which can be sent once."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def repeatable(self) -> bool:
        """Whether to send it again does nothing again."""
        return self.method == "GET" or KEY in self.headers

    def under(self, idempotency_key: str | None) -> Self:
        """The same, which the service does once, however often it is sent with this key."""
        return self if idempotency_key is None else replace(self, headers={**self.headers, KEY: idempotency_key})


def answered(response: httpx.Response) -> Answer:
    return Answer(response.json())


def get(path: str, **params: Any) -> Request[Answer]:
    return Request("GET", path, answered, {name: value for name, value in params.items() if value is not None})


def post(path: str, document: Mapping[str, Any]) -> Request[Answer]:
    return Request("POST", path, answered, body=json_of(document), headers={"content-type": "application/json"})


def json_of(document: Mapping[str, Any]) -> bytes:
    """What is given of it as JSON."""
    given = {name: plain(value) for name, value in document.items() if value is not None}
    return json.dumps(given, allow_nan=False).encode()


def post_rows(path: str, options: Mapping[str, Any], names: Sequence[str], batches: Iterator[Sequence[Any]]) -> Request[Answer]:
    """Rows as they come, a line each: of each batch columns of these names, as many as it has."""
    params = {name: value if isinstance(value, str) else json.dumps(plain(value)) for name, value in options.items()}
    lines = (b"".join(_lines(names, batch)) for batch in batches)
    return Request("POST", path, answered, params, lines, {"content-type": "application/x-ndjson"})


def _lines(names: Sequence[str], batch: Sequence[Any]) -> Iterator[bytes]:
    for row in zip(*map(plain, batch), strict=True):
        yield json.dumps(dict(zip(names, row, strict=False)), allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """As JSON can say it. Infinite numbers are words, and NaN is missing."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast(Sequence[Any], value)]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, str | int | float):
        return value
    array = array_of(value)
    if not array.ndim and array.dtype == object:  # which is what it is made of, again and again
        raise TypeError(f"a {type(value).__name__} cannot be sent: numbers, words, lists and arrays can")
    return plain(array.tolist())
