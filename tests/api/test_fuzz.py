"""Right requests, bent at random: whatever comes, the answer is JSON, and never a failure of the service."""

import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.api.calls import CALLS
from app.losses import NAMED
from app.wire import json as arrays
from tests.api.problem import problem_of, strictly

pytestmark = pytest.mark.anyio

STRANGE: list[Any] = [
    None,
    True,
    False,
    "",
    "x",
    "0",
    0,
    -1,
    1,
    0.5,
    -0.0,
    1e-308,
    1e308,
    -1e308,
    2**31,
    2**53 + 1,
    2**64,
    -(2**63),
    10**400,
    float("nan"),
    float("inf"),
    [],
    [[]],
    [[], []],
    {},
    [None],
    ["a", "b"],
    [True, False],
    [0, 1],
    [[1, 2], [3]],
    {"a": [1]},
    {"name": "huber"},
    "huber",
    "CrossEntropyLoss",
    "mean",
    "none",
    "sum",
    "mean_over_samples",
    ["value"],
    ["gradient"],
    "string",
    "Infinity",
    [["a"], ["b", "a"], [], ["a"]],
    {"name": "expression", "value": "1/r"},
    "log_loss",
    "hinge_loss",
    [1.7e308, -1.7e308, 1.7e308, 0],
    [2, 2, 1, 1],
    [0, 0, 0, 0],
    [1, 1, 1, 1],
    [1e308] * 4,
    [-1, 1, -1, 1],
    [[0, 1], [1, 0], [0, 1], [1, 0]],
    [True, False, True, True],
]
KEYS = [
    "loss",
    "predictions",
    "targets",
    "sample_weight",
    "mask",
    "classes",
    "reduction",
    "outputs",
    "non_finite_as",
    "missing",
    "normalize",
    "groups",
    "clusters",
    "name",
    "first",
    "",
    "a/b",
    "\ud800",
]

REQUESTS = {
    call.path: [example["value"] for example in call.examples.values()]
    for call in CALLS
    if call.method == "POST" and call.lane != "training" and call.examples
}
"""Right requests of every call that takes arrays; a run, which may take its time, is bent elsewhere."""

Mutation = Callable[[random.Random, Any], Any]


def bend(rng: random.Random, document: Any) -> Any:
    """The document with one thing in it replaced, removed, added, doubled or moved."""
    if isinstance(document, dict) and document and rng.random() < 0.85:
        key = rng.choice(list(document))
        return {**document, key: bend(rng, document[key])}
    if isinstance(document, list) and document and rng.random() < 0.7:
        place = rng.randrange(len(document))
        return [*document[:place], bend(rng, document[place]), *document[place + 1 :]]
    return rng.choice(MUTATIONS)(rng, document)


def _replace(rng: random.Random, value: Any) -> Any:
    return rng.choice(STRANGE)


def _resize(rng: random.Random, value: Any) -> Any:
    if isinstance(value, list):
        return rng.choice(
            [value[:-1], value[1:], value + value, value * 100, [value], [item for item in value for _ in range(2)]]
        )
    if isinstance(value, dict):
        kept = rng.sample(list(value.items()), max(0, len(value) - 1))
        return dict(kept) | ({rng.choice(KEYS): rng.choice(STRANGE)} if rng.random() < 0.7 else {})
    return [value]


def _rescale(rng: random.Random, value: Any) -> Any:
    factor = rng.choice([0, -1, 1e-300, 1e300, 1e160, 0.3, 700, float("inf")])
    return _each(value, lambda number: number * factor)


def _each(value: Any, change: Callable[[float], float]) -> Any:
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(float(value)) if isinstance(value, int | float) and abs(value) < 1e308 else value


MUTATIONS: list[Mutation] = [_replace, _replace, _resize, _rescale]


def bent(seed: int) -> tuple[str, bytes]:
    """A request of some loss or of another call, with one to three bends, and now and then a torn text."""
    rng = random.Random(seed)
    path = "/v1/evaluate" if rng.random() < 0.6 else rng.choice([*REQUESTS])
    document: Any = rng.choice(REQUESTS[path])
    if path == "/v1/evaluate" and rng.random() < 0.5:
        document = document | {  # another one: the examples are the service's own
            "sample_weight": [1, 0, 2, 0.5],
            "mask": [True, True, False, True],
            "reduction": rng.choice(["none", "sum", "mean"]),
        }
    for _ in range(rng.randint(1, 3)):
        document = bend(rng, document)
    body = json.dumps(document).encode()
    if rng.random() < 0.15:
        place = rng.randrange(len(body) + 1)
        body = (
            body[:place]
            + bytes(rng.choices(b'[]{},:"0e-\\\xff\x00 tfn', k=rng.randint(0, 3)))
            + body[place + rng.randint(0, 3) :]
        )
    return path, body


def test_every_loss_has_a_request_to_bend() -> None:
    names = {request["loss"]["name"] for request in REQUESTS["/v1/evaluate"]}
    assert names >= NAMED.keys()
    assert len(REQUESTS) > 4


@pytest.mark.parametrize("seed", range(0, 500, 50))
async def test_bent_requests_are_answered(seed: int, inline_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(seed, seed + 50):
        path, body = bent(number)
        first = await inline_client.post(path, content=body)
        assert first.status_code in (200, 400, 422), body
        if first.status_code == 200:
            strictly(first.text)
        else:
            problem_of(first)
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "simdjson", None)
            second = await inline_client.post(path, content=body)
        assert (second.status_code, second.text) == (first.status_code, first.text), body


async def test_the_bends_reach_answers_and_refusals_of_every_kind(inline_client: httpx.AsyncClient) -> None:
    responses = [await inline_client.post(path, content=body) for path, body in map(bent, range(500, 800))]
    assert {response.status_code for response in responses} == {200, 400, 422}
    codes = {error["code"] for response in responses if response.status_code == 422 for error in response.json()["errors"]}
    assert len(codes) > 10
