"""Right requests, bent at random: whatever comes, the answer is JSON, and never a failure of the service."""

import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.api.calls import CALLS
from app.losses import NAMED
from app.training import DATASETS
from app.wire import json as arrays
from tests.api.problem import problem_of, strictly
from tests.conftest import client_with

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
    if call.method == "POST" and call.lane == "large" and call.examples
}
"""Right requests of every call that takes arrays; a run, which may take its time, is bent elsewhere, and a job is others."""

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


NUMBERS = [[float(row % 5), float(row * row % 7), float(row % 3)] for row in range(12)]
RUN: dict[str, Any] = {
    "data": {
        "inputs": NUMBERS,
        "targets": [0, 1, 1, 0] * 3,
        "features": ["a", "b", "c"],
        "sample_weight": [1, 0, 2, 0.5] * 3,
        "groups": [1, 1, 2, 2, 3, 3] * 2,
    },
    "loss": {"name": "binary_cross_entropy", "from_logits": True},
    "class_weight": "balanced",
    "validation": {"fraction": 0.4, "split": "grouped", "seed": 3},
    "epochs": 2,
    "seed": 1,
}
RUNS: list[dict[str, Any]] = [
    {**RUN, "model": "linear", "optimizer": {"name": "sgd", "learning_rate": 0.1}, "metrics": ["accuracy"]},
    {**RUN, "model": {"name": "mlp", "hidden": [3]}, "outputs": ["parameters", "predictions", "per_sample"]},
    {
        **RUN,
        "model": {
            "name": "boosted_trees",
            "max_depth": 2,
            "monotone_constraints": {"a": 1, "b": -1},
            "categorical_features": ["c"],
        },
    },
    {
        **RUN,
        "model": {"name": "boosted_trees", "categorical_features": [2], "max_bins": 4},
        "validation": {"fraction": 0.25, "split": "stratified"},
    },
    {
        **RUN,
        "data": {
            **RUN["data"],
            "targets": ["no", "yes", "maybe"] * 4,
            "classes": ["no", "maybe", "yes"],
            "groups": ["g", "h"] * 6,
        },
        "loss": "CrossEntropyLoss",
        "class_weight": {"yes": 2},
        "validation": {"last": 3},
    },
    {
        "data": {"rows": [{"x": row, "y": 2 * row, "w": 1, "g": "a"} for row in range(8)], "targets": "y", "sample_weight": "w"},
        "loss": {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.5}, {"loss": "huber"}]},
        "validation": {"inputs": [[1], [2]], "targets": [2, 4], "sample_weight": [1, 2]},
        "epochs": 1,
    },
    {"data": {"name": "moons", "n_samples": 30}, "loss": "hinge", "model": "random_forest", "epochs": 1},
]


def bent_run(seed: int) -> bytes:
    """A run of some rows, weighed and grouped and split, on any loss, with one to three bends."""
    rng = random.Random(f"run-{seed}")
    document: Any = rng.choice(RUNS)
    if rng.random() < 0.4:
        document = {**document, "loss": rng.choice([*NAMED])}
    for _ in range(rng.randint(1, 3)):
        document = bend(rng, document)
    return json.dumps(document).encode()


def bent_rows(seed: int) -> tuple[str, dict[str, str]]:
    """The address of a dataset's rows, with any words for its parameters."""
    rng = random.Random(f"rows-{seed}")
    name = rng.choice([*DATASETS])
    known = [*DATASETS[name].parameters, rng.choice(KEYS[:-1])]
    words = {
        word: rng.choice(["1", "5", "0.5", "-1", "", "x", "null", "[0.2,0.8]", "1e999", "nan", "0,1", "{"]) for word in known
    }
    kept = rng.sample(known, rng.randint(0, len(known)))
    return f"/v1/datasets/{name if rng.random() < 0.9 else 'x'}/rows", {word: words[word] for word in kept}


async def answered(client: httpx.AsyncClient, method: str, path: str, **request: Any) -> int:
    """The status of an answer that keeps to its form, and is no failure."""
    response = await client.request(method, path, **request)
    assert response.status_code in (200, 400, 404, 422), (path, request, response.text[:300])
    if response.status_code == 200:
        strictly(response.text)
    else:
        problem_of(response)
    return response.status_code


async def test_bent_runs_and_rows_are_answered() -> None:
    async with client_with(training_epochs=3, training_seconds=2, max_body_bytes=2**20) as client:
        runs = {await answered(client, "POST", "/v1/train", content=bent_run(seed)) for seed in range(120)}
        rows = {await answered(client, "GET", path, params=query) for path, query in map(bent_rows, range(60))}
    assert runs == {200, 400, 422}
    assert rows == {200, 404, 422}


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
