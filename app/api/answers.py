"""What the service answers to the examples of its calls: recorded by `python -m app.api.openapi`, shown in its document.

Recorded, and not made when the document is: a training run has no business in the process that serves.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from starlette.types import Message

from app.api.document import Document, operations, success
from app.serving.pipeline import Service

FILE = Path(__file__).with_name("answers.json")

SECONDS = 0.001
"""What every epoch is said to have taken: the one figure of an answer that is another each time."""
ROWS = 3
"""Of a dataset, as many are shown."""


class Asked(NamedTuple):
    """A request. `length` is what its head says of its body, where that is not so."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = "application/json"
    length: int | None = None
    key: str | None = None


REFUSED = (
    Asked("POST", "/v1/evaluate", b'{"loss": "huber", "predictions": [1, 2'),
    Asked("GET", "/v1/losses/hubert"),
    Asked("POST", "/v1/evaluate", length=2**40),
    Asked("POST", "/v1/evaluate", b"{}", "text/plain"),
    Asked("POST", "/v1/evaluate", b'{"loss": "hinge", "predictions": [0.3, 2.0], "targets": [1, 0.5]}'),
)
"""A request for each status of a problem."""
KEYED = "/v1/losses/huber"
"""What is asked of a server that has keys."""
OTHERS_EACH_TIME = "jobs"
"""The calls whose answers have ids and times."""
JOB = Asked("POST", "/v1/jobs", b'{"kind": "train", "request": {}}')
UNAVAILABLE = Asked("POST", "/v1/train", b"{}")
"""A request that a server cannot answer which is about to end."""


def recorded() -> dict[str, Any]:
    """By operation id an answer, and under "problems" one by status."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"problems": {}}


async def record(app: Service, keyed: Service, key: str, document: Document) -> dict[str, Any]:
    """The same anew, from the service that the document describes; `keyed` has keys, of which this one may ask once, and may
    not train."""
    answers: dict[str, Any] = {}
    _, job = await _ask(app, JOB)
    problems = [await _ask(app, Asked("POST", f"/v1/jobs/{job['id']}/resume"))]
    answers["submit_job"] = {**job, "id": "01K0000000000000000000000Z", "created": "2026-11-29T18:31:02.114Z"}
    await _ask(app, Asked("DELETE", f"/v1/jobs/{job['id']}"))
    async with app.running():
        for name, path, operation in operations(document):
            asked = _example(name.partition(" ")[0], path, operation)
            if asked is not None:
                status, answer = await _ask(app, asked)
                assert status == 200, (asked, answer)
                answers[operation["operationId"]] = _shown(operation["operationId"], answer)
        problems += [await _ask(app, asked) for asked in REFUSED]
    problems.append(await _ask(app, UNAVAILABLE))
    async with keyed.running():
        problems += [await _ask(keyed, Asked("GET", KEYED)), await _ask(keyed, UNAVAILABLE._replace(key=key))]
        await _ask(keyed, Asked("GET", KEYED, key=key))
        problems.append(await _ask(keyed, Asked("GET", KEYED, key=key)))
    return {**_shown_once(answers), "problems": {str(status): problem for status, problem in problems}}


def _shown_once(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Without the lists whose first entry is what its own call is shown to answer."""
    described = [answer for name, answer in answers.items() if name.startswith("describe_")]
    lists = {name for name in answers if name.startswith("list_")}
    return {
        name: answer
        for name, answer in answers.items()
        if not (name in lists and any(entries and entries[0] in described for entries in answer.values()))
    }


def _example(method: str, path: str, operation: Document) -> Asked | None:
    """The operation asked by its own examples; None where it has none, or its answer is no JSON or another each time."""
    if "application/json" not in success(operation)["content"] or operation["tags"] == [OTHERS_EACH_TIME]:
        return None
    for parameter in operation.get("parameters", []):
        if "$ref" in parameter:
            continue
        values = parameter["schema"].get("examples", [])
        if parameter["in"] == "path":
            if not values:
                return None
            path = path.replace(f"{{{parameter['name']}}}", values[0])
        elif values:
            path += f"?{parameter['name']}={values[0]}"
    if "requestBody" not in operation:
        return Asked(method, path)
    examples = operation["requestBody"]["content"]["application/json"].get("examples")
    if examples is None:
        return None
    example = examples.get("short") or next(iter(examples.values()))
    return Asked(method, path, json.dumps(example["value"]).encode())


async def _ask(app: Service, asked: Asked) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    messages: list[Message] = [{"type": "http.request", "body": asked.body, "more_body": False}]
    answered: list[Message] = []
    path, _, query = asked.path.partition("?")
    length = len(asked.body) if asked.length is None else asked.length
    key = [] if asked.key is None else [(b"x-api-key", asked.key.encode())]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.Future()  # a client that waits

    async def send(message: Message) -> None:
        answered.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
        "state": {},
        "headers": [(b"content-type", asked.media_type.encode()), (b"content-length", b"%d" % length), *key],
    }
    await app(scope, receive, send)
    return answered[0]["status"], json.loads(b"".join(message.get("body", b"") for message in answered[1:]))


def _shown(operation_id: str, answer: Mapping[str, Any]) -> Any:
    """The answer, but of a catalogue the first entry, of a dataset the first rows, of several runs what is told of all, and no
    time that is another each time."""
    if operation_id.startswith("list_"):
        return {kind: cast(list[Any], shown)[:1] if isinstance(shown, list) else shown for kind, shown in answer.items()}
    if operation_id == "show_rows":
        return {**answer, **{name: answer[name][:ROWS] for name in ("inputs", "targets")}}
    if operation_id == "compare_runs":
        return _timeless({**answer, "runs": []})
    return _timeless(answer)


def _timeless(value: Any) -> Any:
    match value:
        case dict():
            members = cast(dict[str, Any], value)
            return {key: SECONDS if key == "seconds" else _timeless(item) for key, item in members.items()}
        case list():
            return [_timeless(item) for item in cast(list[Any], value)]
        case _:
            return value
