"""The client, against the service itself: in this process, and over a socket."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from app.api.calls import CALLS
from app.client import Answer, AsyncCriterion, Criterion, Fault, Problem, objective
from app.client import sending as module
from tests.conftest import ROOT, Server

pytestmark = pytest.mark.anyio

P, Y = [2.5, 0.0, 8.0], [3.0, -0.5, 2.0]
HUBER = 2.7083333333333335
"""The mean of ½·0.25, ½·0.25 and 1.5·(6 − 0.75), by hand."""


@pytest.fixture(scope="module")
def c(server: Server) -> Iterator[Criterion]:
    with Criterion(server.url, timeout=120) as client:
        yield client


@pytest.fixture
async def a(server: Server) -> AsyncIterator[AsyncCriterion]:
    async with AsyncCriterion(server.url, timeout=120) as client:
        yield client


def test_every_call_of_the_service_has_a_method() -> None:
    """Each path with a method of it is asked by a function of the module; /v2 by one for all that it tells."""
    source = "".join(path.read_text() for path in (ROOT / "app" / "client").glob("*.py"))
    asked = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r'"(/[\w/{}.-]+)"', source)} | {"/v2"}
    for call in (call for call in CALLS if call.tag):
        path = re.sub(r"\{\w+\}", "{}", call.path)
        generic = re.sub(r"^/v1/(?!losses/\{\}/)\w+(/\{\})?$", lambda found: "/v1/{}" + (found[1] or ""), path)
        known = path in asked or generic in asked or (path.startswith("/v2") and call.method == "GET")
        assert known, call.path
    for name in vars(Criterion):
        if not name.startswith("_") and name not in ("train",):
            assert hasattr(AsyncCriterion, name), name


async def test_batches_are_sent_as_they_come(c: Criterion, a: AsyncCriterion) -> None:
    def batches(*more: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        yield np.array(P[:2]), Y[:2], [1.0, 1.0]
        yield from more
        yield P[2:], np.array(Y[2:]), [1]

    for answer in (c.evaluate("huber", batches(), delta=1.5), await a.evaluate({"name": "huber", "delta": 1.5}, batches())):
        assert (answer.value, answer.n_samples, answer.divisor) == (HUBER, 3, 3.0)
        assert answer.standard_error > 0
    assert c.evaluate("mae", batches(([float("nan")], [1], [1])), missing="drop", outputs=["value"]).n_missing == 1
    rows = iter([([[2.0, 1.0], [0.5, 3.0]], ["a", "b"])])
    assert c.evaluate("CrossEntropyLoss", rows, classes=["a", "b"]).n_samples == 2
    with pytest.raises(TypeError, match="has its targets"):
        c.evaluate("mae", batches(), Y)
    with pytest.raises(Problem) as refused:
        c.evaluate("mae", batches((["1"], [1], [1])))
    assert refused.value.errors[0].pointer == "/2/predictions"
    with Criterion("http://127.0.0.1:9", retries=3) as nobody, pytest.raises(httpx.ConnectError):
        nobody.evaluate("mae", batches())


def test_lists_and_arrays_give_the_same(c: Criterion) -> None:
    by_json = c.evaluate("huber", P, Y, delta=1.5)
    by_tensors = c.evaluate("huber", np.array(P), np.array(Y), delta=1.5)
    for answer in (by_json, by_tensors):
        assert answer.value == HUBER
        np.testing.assert_array_equal(answer.gradient, np.array([-0.5, 0.5, 1.5]) / 3)
        assert isinstance(answer.per_sample, np.ndarray)
    assert by_json.loss == {"name": "huber", "delta": 1.5}
    with pytest.raises(AttributeError, match="no 'hessian'; it has loss"):
        _ = by_json.hessian


def test_arrays_of_each_kind_are_taken(c: Criterion) -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(7, 3)).astype(np.float32)[:, ::-1]  # not as it lies in memory
    labels = rng.integers(0, 3, 7).astype(np.int16)
    z = scores.astype(float)
    expected = np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(7), labels])
    weighted = c.evaluate("CrossEntropyLoss", scores, labels, sample_weight=np.arange(7) % 2)
    answer = c.evaluate("CrossEntropyLoss", scores, labels, outputs=["value", "gradient"])
    assert answer.value == pytest.approx(expected, rel=1e-6)
    assert answer.gradient.shape == (7, 3)
    assert weighted.value != answer.value


COLUMNS: dict[str, Any] = {"p": [2.5, 0.0, float("nan")], "y": ["a", "b", "a"]}


class Frame(dict[str, Any]):
    """As data frames of pandas and polars are asked for their columns."""

    columns = np.array(["p", "y"])


KEPT: dict[str, Any] = {
    "columns": COLUMNS,
    "arrays": {name: np.array(column) for name, column in COLUMNS.items()},
    "frame": Frame({name: np.array(column, object) for name, column in COLUMNS.items()}),
    "table": pa.table(COLUMNS),
    "file": b"p,y\n2.5,a\n0,b\n,a\n",
}


@pytest.mark.parametrize("kind", KEPT)
def test_a_table_is_kept_listed_and_deleted(c: Criterion, kind: str) -> None:
    options = {"media_type": "text/csv"} if kind == "file" else {}
    kept = c.keep_dataset(kind, KEPT[kind], **options)
    assert (kept.name, kept.n_rows, kept.columns) == (kind, 3, ["p", "y"])
    assert [found.name for found in c.datasets(limit=1).kept] == [kind]
    assert c.describe("datasets", kind).hash == kept.hash
    assert c.delete_dataset(kind).name == kind
    with pytest.raises(Problem, match="no data set"):
        c.delete_dataset(kind)


async def test_a_table_is_kept_by_a_task(a: AsyncCriterion) -> None:
    kept = await a.keep_dataset("by-a-task", COLUMNS)
    assert kept.hash == (await a.describe("datasets", "by-a-task")).hash
    assert kept.name in [found.name for found in (await a.datasets()).kept]
    await a.delete_dataset("by-a-task")


def test_a_loss_without_targets_is_asked_without_them(c: Criterion) -> None:
    triplet = {"anchor": [[0.0]], "positive": [[1.0]], "negative": [[1.5]]}
    assert c.evaluate("triplet_margin", triplet, margin=1.0).value == pytest.approx(0.5, abs=1e-5)


def test_what_is_infinite_is_read_as_it_is(c: Criterion) -> None:
    answer = c.evaluate("bce_with_logits", [float("inf"), 1.0], [0, 1], outputs=["value", "per_sample"])
    assert answer.per_sample.tolist() == [np.inf, pytest.approx(np.log1p(np.exp(-1.0)))]


def test_what_is_wrong_is_a_problem(c: Criterion) -> None:
    with pytest.raises(Problem) as error:
        c.evaluate("hinge", [0.3], [0.5])
    assert (error.value.status, error.value.code) == (422, "invalid_request")
    assert error.value.errors == [Fault("/targets/0", "label", "targets[0] must be −1 or +1; got 0.5")]
    with pytest.raises(Problem, match=r"400: targets.0. must be"):
        c.evaluate("hinge", np.array([0.3]), np.array([0.5]))
    with pytest.raises(Problem, match="404 not_found"):
        c.describe("losses", "nothing")


def test_catalogues_and_the_state_of_the_server(c: Criterion) -> None:
    assert "huber" in [loss.name for loss in c.losses(search="robust").losses]
    assert c.describe("optimizers").optimizers
    assert c.describe("losses", "mse").name == "mean_squared_error"
    assert c.protocol("models", "mse", "ready").ready is True
    assert c.protocol().name == "criterion"
    assert (c.ready().status, c.live().status) == ("ok", "ok")
    assert c.openapi().info.title == "Criterion"
    assert "criterion_requests_total" in c.metrics()


def test_what_losses_tell(c: Criterion) -> None:
    analysis = c.analyze("mse", P, Y)
    assert analysis.n_samples == 3
    assert analysis.plot()._repr_svg_().startswith("<svg")
    compared = c.compare({"a": [1.0, 2, 3, 4], "b": np.array([2.0, 2, 2, 2])}, [1, 2, 3, 5], losses=["mse"], permutations=0)
    assert compared.plot().svg.startswith("<svg")
    assert c.check_gradient("mse", P, Y, gradient=[0.0, 0.0, 0.0])["agrees"] is False
    assert c.recommend(Y).recommendations
    assert c.curve("huber").plot().svg.startswith("<svg")
    with pytest.raises(TypeError, match="no picture"):
        c.evaluate("mse", P, Y).plot()


def test_a_run_and_its_epochs(c: Criterion) -> None:
    request = {"data": "diabetes", "model": {"name": "linear"}, "loss": "mse", "epochs": 5}
    whole = c.train(**request)
    epochs = c.train(**request, stream=True)
    seen: list[Answer] = []

    def told() -> Iterator[Answer]:
        answer = yield from epochs
        assert answer.stopped == whole.stopped

    seen.extend(told())
    assert [epoch.epoch for epoch in seen if epoch.event == "epoch"] == [*range(1, 6)]
    assert len(c.compare_runs(data={"name": "iris"}, epochs=1, seeds=[1, 2]).runs) == 2
    with pytest.raises(Problem, match="422"):
        next(c.train(data="nothing", stream=True))


@pytest.mark.thorough
def test_to_leave_a_stream_is_to_end_its_run(c: Criterion) -> None:
    for _ in range(3):  # of a server that has one process for runs
        for epoch in c.train(data="circles", epochs=10_000, early_stopping=None, stream=True):
            if epoch.event == "epoch":
                break
    assert c.train(data="circles", epochs=1).stopped


async def test_the_same_by_tasks(a: AsyncCriterion) -> None:
    answer = await a.evaluate("huber", np.array(P), np.array(Y), delta=1.5)
    assert answer.value == HUBER
    assert (await (await a.analyze("mse", P, Y)).plot()).svg.startswith("<svg")
    epochs = [epoch async for epoch in a.epochs(data="diabetes", model={"name": "linear"}, epochs=3)]
    assert epochs[-1].stopped
    with pytest.raises(Problem):
        await a.evaluate("nothing", P, Y)


def test_a_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []

    def answered(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"status": "ok"})

    monkeypatch.setenv("CRITERION_KEY", "crit_variable")
    for key in ("crit_given", None, ""):
        with Criterion("http://test", key=key, transport=httpx.MockTransport(answered)) as c:
            c.live()
    assert sent == ["Bearer crit_given", "Bearer crit_variable", None]


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_refused_for_now_is_asked_again_when_the_server_says(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    answers = [
        httpx.Response(status, json={"code": "busy"}, headers={"retry-after": "7"}),
        httpx.ConnectError("refused"),
        httpx.Response(status, json={"code": "busy"}),
        httpx.Response(200, json={"status": "ok"}),
    ]

    def answered(request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Criterion("http://test", transport=httpx.MockTransport(answered)) as c:
        assert c.live().status == "ok"
    assert waited == [7.0, 1.0, 2.0]
    answers[:] = [httpx.Response(status, json={"code": "busy"}, headers={"retry-after": "7"})] * 2
    with (
        Criterion("http://test", retries=1, transport=httpx.MockTransport(answered)) as c,
        pytest.raises(Problem) as error,
    ):
        c.live()
    assert (error.value.status, error.value.retry_after) == (status, 7.0)


@pytest.mark.parametrize("key", ["tonight", None])
def test_a_run_that_breaks_off_is_asked_for_again_under_its_key_alone(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    answers = [
        httpx.ReadError("reset"),
        httpx.Response(409, json={"code": "idempotency_key_in_use"}, headers={"retry-after": "1"}),
        httpx.RemoteProtocolError("gone"),
        httpx.Response(200, json={"stopped": "converged"}),
    ]

    def answered(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("idempotency-key"))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Criterion("http://test", transport=httpx.MockTransport(answered)) as c:
        if key is None:
            with pytest.raises(httpx.ReadError, match="reset"):
                c.train(data="iris")
        else:
            assert c.train(data="iris", idempotency_key=key).stopped == "converged"
    assert (sent, waited) == (([key] * 4, [0.5, 1.0, 2.0]) if key else ([None], []))


def test_every_call_that_trains_takes_a_key(c: Criterion) -> None:
    c.train(data="iris", epochs=2, idempotency_key="client-run")
    for call in (c.train, c.compare_runs, c.search, c.find_rate, c.learning_curve):
        with pytest.raises(Problem, match="422") as raised:
            call(data="iris", epochs=3, idempotency_key="client-run")
        assert raised.value.code == "idempotency_key_reused"


class Data:
    """What boosting libraries hand to an objective."""

    def __init__(self, labels: list[float], weights: list[float]) -> None:
        self._labels, self._weights = np.array(labels, dtype=np.float32), np.array(weights, dtype=np.float32)

    def get_label(self) -> np.ndarray:
        return self._labels

    def get_weight(self) -> np.ndarray:
        return self._weights


def test_a_loss_as_an_objective_of_boosting(c: Criterion) -> None:
    derivatives = objective(c, "bce_with_logits")
    scores, labels = np.array([0.5, -1.0, 2.0]), [1.0, 0.0, 1.0]
    p = 1 / (1 + np.exp(-scores))
    for weights in ([], [1.0, 2.0, 0.5]):
        w = np.array(weights or [1.0] * 3)
        gradient, second = derivatives(scores, Data(labels, weights))
        np.testing.assert_allclose(gradient, w * (p - labels), rtol=1e-12)
        np.testing.assert_allclose(second, w * p * (1 - p), rtol=1e-12)


@pytest.mark.parametrize("name", ["client.md", "training.md"])
def test_the_snippets_of_the_page_run(name: str, server: Server) -> None:
    page = (ROOT / "docs" / name).read_text().replace("http://127.0.0.1:8000", server.url)
    snippets = re.findall(r"```python\n([^`]+)```", page)
    assert len(snippets) >= 4
    exec(compile("\n".join(snippets), name, "exec"), names := {})
    names["c"].close()


def test_the_client_needs_nothing_of_the_server() -> None:
    code = "import json, sys, app.client; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(result.stdout))
    assert all(name == "app" or name.startswith("app.client") for name in loaded if name.partition(".")[0] == "app")
    assert not loaded & {"fastapi", "starlette", "pydantic", "uvicorn", "orjson", "scipy", "sklearn"}
