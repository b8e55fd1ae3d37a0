"""What every error of the service looks like on the wire."""

import json
import re
from http import HTTPStatus
from typing import Any

import httpx

KEYS = {"type", "title", "status", "detail", "code", "errors"}
RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
"""RFC 9110's words, which Python has from 3.13 on only."""
POINTER = re.compile(r"(/([^~/]|~[01])*)*")


def not_a_number(token: str) -> None:
    raise AssertionError(f"{token} is no JSON")


def strictly(text: str) -> Any:
    """JSON without the tokens that Python's parser takes beyond the standard."""
    return json.loads(text, parse_constant=not_a_number)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The body of an error, after a look at everything that all errors have in common."""
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 20_000
    body = strictly(response.text)
    assert body.keys() == KEYS | ({"request_id"} if response.status_code == 500 else set())
    assert body["status"] == response.status_code
    assert body["title"] == RENAMED.get(response.status_code, HTTPStatus(response.status_code).phrase)
    assert body["type"] == f"/docs/errors#{body['code']}"
    assert len(body["errors"]) <= 20
    for error in body["errors"]:
        assert error.keys() == {"pointer", "code", "message"}
        assert all(isinstance(value, str) for value in error.values())
        assert POINTER.fullmatch(error["pointer"])
    return body
