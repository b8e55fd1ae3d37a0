"""A client of the service: `pip install criterion[client]`, which takes httpx and NumPy and nothing of the server.

    from app.client import Criterion

    c = Criterion("http://127.0.0.1:8000")
    r = c.evaluate("huber", [2.5, 0.0, 8.0], [3.0, -0.5, 2.0], delta=1.5)
    r.value, r.gradient

Each call is a function that makes a request; Criterion sends it and waits, AsyncCriterion is awaited. Arrays of NumPy, and
whatever becomes one (columns of pandas, polars, pyarrow, tensors), go as bytes by the inference protocol, lists as JSON.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import httpx
import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

URL = "http://127.0.0.1:8000"
RETRIED = (429, 503)
"""What says that the same request may be answered later."""
BACKOFF_SECONDS = 0.5
"""Before the first retry where the server says nothing of when; then twice as long each time."""
ARRAYS = ("per_sample", "per_element", "gradient", "hessian_diagonal")
DATATYPES = {"float64": "FP64", "float32": "FP32", "float16": "FP16", "bool": "BOOL"} | {
    f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
PICTURED = ("/analyze", "/compare", "/train", "/curve")
"""What has a picture."""
EVENTS = {"accept": "text/event-stream"}
SVG = {"accept": "image/svg+xml"}


class Fault(NamedTuple):
    """One thing that is wrong with a request: where, which rule, and why."""

    pointer: str
    code: str
    message: str


class Problem(Exception):
    """The service does not answer: `status`, `code`, `detail`, and `errors` where something of the request is wrong."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code: str = body.get("code", "")
        self.detail: str = body.get("detail") or body.get("error") or ""
        self.errors = [Fault(fault["pointer"], fault["code"], fault["message"]) for fault in body.get("errors", ())]
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.detail}".replace(" :", ":"))


class Answer(Mapping[str, Any]):
    """A JSON object: its members as items and as attributes. Arrays of numbers by sample are of NumPy."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = {name: _read(name, value) for name, value in members.items()}
        named: Any = members.get("non_finite")  # in a catalogue it says which numbers may be so
        for entry in cast("list[dict[str, Any]]", named if isinstance(named, list) else []):
            array = self._members.get(entry["output"])
            if isinstance(array, np.ndarray):
                array[tuple(entry["index"])] = float(entry["value"])
        self.plot: Callable[[], Any] = _no_picture
        """The chart of what was asked, as a Picture: of an analysis, a comparison, a curve, a run."""

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_members"][name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self.__dict__.get('_members', ()))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._members!r})"


def _no_picture() -> NoReturn:
    raise TypeError("there is no picture of this answer")


class Picture(NamedTuple):
    """A chart, which a notebook shows."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def _read(name: str, value: Any) -> Any:
    if name in ARRAYS and isinstance(value, list):
        return np.array(value, dtype=float)  # a null is NaN, until non_finite says what it is
    if isinstance(value, dict):
        return Answer(cast(dict[str, Any], value))
    if isinstance(value, list):
        return [_read("", item) for item in cast(list[Any], value)]
    return value


# --- requests ---------------------------------------------------------------------------------------------------------


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.json())


@dataclass(frozen=True)
class Request(Generic[T]):
    """What is asked, and how the answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def _get(path: str, **params: Any) -> Request[Answer]:
    return Request("GET", path, _answer, {name: value for name, value in params.items() if value is not None})


def _post(path: str, document: Mapping[str, Any]) -> Request[Answer]:
    body = json.dumps({name: _plain(value) for name, value in document.items() if value is not None}, allow_nan=False)
    return Request("POST", path, _answer, body=body.encode(), headers={"content-type": "application/json"})


def _plain(value: Any) -> Any:
    """As JSON can say it. Infinite numbers are words, and NaN is missing."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Sequence[Any], value)]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain(np.asarray(value).tolist())


def evaluate(
    loss: str | Mapping[str, Any],
    predictions: Any,
    targets: Any,
    *,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = None,
    outputs: Sequence[str] | None = None,
    missing: str | None = None,
    classes: Sequence[Any] | None = None,
    **parameters: Any,
) -> Request[Answer]:
    """A loss of some predictions: value, per_sample, gradient, or the `outputs` that are named. Parameters are the loss's."""
    arrays = {"predictions": predictions, "targets": targets, "sample_weight": sample_weight, "mask": mask}
    options = {"reduction": reduction, "missing": missing}
    if isinstance(loss, str) and classes is None and (tensors := _tensors(arrays)):
        return _infer(loss, tensors, {**options, **parameters}, outputs)
    return _post("/v1/evaluate", {"loss": _spec(loss, parameters), **arrays, **options, "outputs": outputs, "classes": classes})


def analyze(loss: str | Mapping[str, Any], predictions: Any, targets: Any, **options: Any) -> Request[Answer]:
    """What a loss says of a batch: how sure it is, and which samples cost it. `options` are fields of /v1/analyze."""
    return _post("/v1/analyze", {"loss": loss, "predictions": predictions, "targets": targets, **options})


def compare(models: Mapping[str, Any], targets: Any, *, losses: Sequence[Any], **options: Any) -> Request[Answer]:
    """Which of several models is better, and how sure that is. `options` are fields of /v1/compare."""
    return _post("/v1/compare", {"models": models, "targets": targets, "losses": losses, **options})


def check_gradient(loss: str | Mapping[str, Any], predictions: Any, targets: Any, **yours: Any) -> Request[Answer]:
    """A value, a gradient of yours beside the reference; other fields of /v1/check-gradient too."""
    return _post("/v1/check-gradient", {"reference": loss, "predictions": predictions, "targets": targets, **yours})


def recommend(targets: Any = None, **options: Any) -> Request[Answer]:
    """Which losses suit these targets. `options` are fields of /v1/recommend."""
    return _post("/v1/recommend", {"targets": targets, **options})


def train(request: Mapping[str, Any]) -> Request[Answer]:
    """A training run: fields of /v1/train."""
    return _post("/v1/train", request)


def predict(model: Any, inputs: Any = None, **options: Any) -> Request[Answer]:
    """What the `trained_model` of a run says of new rows, or with `surface` over the plane of its two columns."""
    return _post("/v1/predict", {"model": model, "inputs": inputs, **options})


def compare_runs(**request: Any) -> Request[Answer]:
    """Several runs with one thing changed: fields of /v1/train/compare."""
    return _post("/v1/train/compare", request)


def losses(*, search: str | None = None, family: str | None = None, property: str | None = None) -> Request[Answer]:  # noqa: A002  # the API's word
    """The catalogue of losses, or those that are searched for."""
    return _get("/v1/losses", search=search, family=family, property=property)


def curve(loss: str, **options: Any) -> Request[Answer]:
    """A loss and its slope over the prediction; `options` are parameters of its address."""
    return _get(f"/v1/losses/{loss}/curve", **options)


def describe(kind: str, name: str | None = None) -> Request[Answer]:
    """The catalogue of a kind (losses, datasets, models, optimizers, schedules, metrics), or one entry of it."""
    return _get(f"/v1/{kind}" if name is None else f"/v1/{kind}/{name}")


def dataset_rows(name: str, **parameters: Any) -> Request[Answer]:
    """The rows that a run is given by a dataset's name, and by these parameters of it."""
    return _get(f"/v1/datasets/{name}/rows", **parameters)


def protocol(*path: str) -> Request[Answer]:
    """What the inference protocol tells at /v2/…: of the server without a path, of models/NAME, of its health."""
    return _get("/".join(("/v2", *path)))


def ready() -> Request[Answer]:
    """Whether requests can be taken; a Problem says why not."""
    return _get("/health/ready")


def live() -> Request[Answer]:
    """Whether the server answers at all."""
    return _get("/health/live")


def metrics() -> Request[str]:
    """The server's metrics, as Prometheus reads them."""
    return Request("GET", "/metrics", lambda response: response.text)


def openapi() -> Request[Answer]:
    """The document of the service."""
    return _get("/openapi.json")


def _spec(loss: str | Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    if not parameters:
        return loss
    return {"name": loss, **parameters} if isinstance(loss, str) else {**loss, **parameters}


# --- tensors ----------------------------------------------------------------------------------------------------------


def _tensors(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays as tensors, where all of them are; of lists and words JSON says more when they are wrong."""
    given = {name: array for name, array in arrays.items() if array is not None}
    if any(isinstance(array, list | tuple | str | Mapping) or np.isscalar(array) for array in given.values()):
        return {}
    tensors = {name: np.asarray(array) for name, array in given.items()}
    return tensors if all(tensor.dtype.name in DATATYPES and tensor.ndim for tensor in tensors.values()) else {}


def _infer(
    loss: str, tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any], outputs: Sequence[str] | None
) -> Request[Answer]:
    contents = [np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<"), copy=False) for tensor in tensors.values()]
    header: dict[str, Any] = {
        "parameters": {name: _plain(value) for name, value in parameters.items() if value is not None}
        | {"binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "shape": content.shape,
                "datatype": DATATYPES[content.dtype.name],
                "parameters": {"binary_data_size": content.nbytes},
            }
            for name, content in zip(tensors, contents, strict=True)
        ],
    }
    if outputs is not None:
        header["outputs"] = [{"name": name} for name in outputs]
    head = json.dumps(header).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    body = b"".join((head, *(content.tobytes() for content in contents)))
    return Request("POST", f"/v2/models/{loss}/infer", _inferred, body=body, headers=headers)


def _inferred(response: httpx.Response) -> Answer:
    """The tensors of an answer, and what else its header says."""
    content = response.content
    length = int(response.headers.get("inference-header-content-length", len(content)))
    header, place = json.loads(content[:length]), length
    dtypes = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}
    answer = Answer(header.get("parameters") or {})
    for output in header["outputs"]:
        dtype, shape = dtypes[output["datatype"]], output["shape"]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], dtype=dtype).reshape(shape)
        else:
            array = np.frombuffer(content, dtype, offset=place, count=size // dtype.itemsize).reshape(shape).copy()
            place += size
        answer._members[output["name"]] = array if array.size != 1 or output["name"] != "value" else float(array.ravel()[0])  # pyright: ignore[reportPrivateUsage]
    return answer


# --- sending ----------------------------------------------------------------------------------------------------------


class Options(TypedDict, total=False):
    """How the service is asked."""

    key: str | None
    """An API key; if nothing is said, that of the variable CRITERION_KEY."""
    timeout: float
    """Seconds."""
    retries: int
    """How often a request is sent again that was refused for now."""
    transport: Any
    """What httpx is to send by."""


class _Client:
    """What both clients have: where the service is, and how often they try."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: Any = None,
    ) -> None:
        key = key if key is not None else os.environ.get("CRITERION_KEY")
        self._retries = retries
        self._set_up: dict[str, Any] = {
            "base_url": url.rstrip("/"),
            "timeout": timeout,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "transport": transport,
        }

    def _wait(self, attempt: int, outcome: httpx.Response | httpx.ConnectError) -> float:
        """The seconds until the next try; where there is none, the error or the Problem is raised."""
        error = _problem(outcome) if isinstance(outcome, httpx.Response) else outcome
        if attempt >= self._retries or (isinstance(error, Problem) and error.status not in RETRIED):
            raise error
        after = error.retry_after if isinstance(error, Problem) else None
        return BACKOFF_SECONDS * 2**attempt if after is None else after


def _problem(response: httpx.Response) -> Problem:
    after = response.headers.get("retry-after", "")
    is_json = "json" in response.headers.get("content-type", "")  # a proxy's answer may be a page
    return Problem(response.status_code, response.json() if is_json else {}, float(after) if after.isdigit() else None)


class _Events:
    """Server-sent events out of lines."""

    def __init__(self) -> None:
        self._name, self._data = "", list[str]()

    def feed(self, line: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The event that this line ends, if any; the Problem that it tells of is raised."""
        if line.startswith("event: "):
            self._name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            self._data.append(line.removeprefix("data: "))
        elif not line and self._data:
            name, document = self._name, json.loads("\n".join(self._data))
            self._name, self._data = "", []
            if name == "error":
                raise Problem(document["status"], document)
            yield name, document


def _built(http: httpx.Client | httpx.AsyncClient, request: Request[Any]) -> httpx.Request:
    params = dict(request.params) or None
    return http.build_request(request.method, request.path, params=params, content=request.body, headers=dict(request.headers))


def _with_picture(answer: T, request: Request[T], send: Callable[[Request[Picture]], Any]) -> T:
    if request.path.endswith(PICTURED) and isinstance(answer, Answer):
        answer.plot = partial(send, _pictured(cast("Request[Answer]", request)))
    return answer


def _pictured(request: Request[Answer]) -> Request[Picture]:
    headers = {**request.headers, **SVG}
    return Request(request.method, request.path, lambda response: Picture(response.text), request.params, request.body, headers)


def _streamed(request: Request[T]) -> Request[T]:
    return replace(request, headers={**request.headers, **EVENTS})


def _sync(make: Callable[P, Request[T]]) -> Callable[Concatenate["Criterion", P], T]:
    def call(self: "Criterion", *arguments: P.args, **options: P.kwargs) -> T:
        return self.send(make(*arguments, **options))

    call.__name__, call.__doc__ = make.__name__, make.__doc__
    return call


def _async(make: Callable[P, Request[T]]) -> Callable[Concatenate["AsyncCriterion", P], Awaitable[T]]:
    def call(self: "AsyncCriterion", *arguments: P.args, **options: P.kwargs) -> Awaitable[T]:
        return self.send(make(*arguments, **options))

    call.__name__, call.__doc__ = make.__name__, make.__doc__
    return call


class Criterion(_Client):
    """The service, asked in turn. As a context it closes its connections."""

    evaluate = _sync(evaluate)
    analyze = _sync(analyze)
    compare = _sync(compare)
    check_gradient = _sync(check_gradient)
    recommend = _sync(recommend)
    predict = _sync(predict)
    compare_runs = _sync(compare_runs)
    losses = _sync(losses)
    curve = _sync(curve)
    describe = _sync(describe)
    dataset_rows = _sync(dataset_rows)
    protocol = _sync(protocol)
    ready = _sync(ready)
    live = _sync(live)
    metrics = _sync(metrics)
    openapi = _sync(openapi)

    def __init__(self, url: str = URL, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._http = httpx.Client(**self._set_up)

    def send(self, request: Request[T]) -> T:
        """The answer to a request; Problem where there is none."""
        attempt = 0
        while True:
            try:
                outcome = self._http.send(_built(self._http, request))
            except httpx.ConnectError as error:
                outcome = error
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return _with_picture(request.read(outcome), request, self.send)
            time.sleep(self._wait(attempt, outcome))
            attempt += 1

    @overload
    def train(self, *, stream: Literal[False] = False, **request: Any) -> Answer: ...
    @overload
    def train(self, *, stream: Literal[True], **request: Any) -> Generator[Answer, None, Answer]: ...
    def train(self, *, stream: bool = False, **request: Any) -> Answer | Generator[Answer, None, Answer]:
        """A training run: fields of /v1/train. As a stream, its epochs as they come; to leave it is to end the run."""
        return self._epochs(train(request)) if stream else self.send(train(request))

    def _epochs(self, request: Request[Answer]) -> Generator[Answer, None, Answer]:
        built = _built(self._http, _streamed(request))
        with closing(self._http.send(built, stream=True)) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            reader = _Events()
            for line in response.iter_lines():
                for name, document in reader.feed(line):
                    if name == "end":
                        return Answer(document)
                    yield Answer({"event": name, **document})
        raise httpx.RemoteProtocolError("the stream ended before its run")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncCriterion(_Client):
    """The service, asked by tasks. As an asynchronous context it closes its connections."""

    evaluate = _async(evaluate)
    analyze = _async(analyze)
    compare = _async(compare)
    check_gradient = _async(check_gradient)
    recommend = _async(recommend)
    predict = _async(predict)
    compare_runs = _async(compare_runs)
    losses = _async(losses)
    curve = _async(curve)
    describe = _async(describe)
    dataset_rows = _async(dataset_rows)
    protocol = _async(protocol)
    ready = _async(ready)
    live = _async(live)
    metrics = _async(metrics)
    openapi = _async(openapi)

    def __init__(self, url: str = URL, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._http = httpx.AsyncClient(**self._set_up)

    async def send(self, request: Request[T]) -> T:
        """The answer to a request; Problem where there is none."""
        attempt = 0
        while True:
            try:
                outcome = await self._http.send(_built(self._http, request))
            except httpx.ConnectError as error:
                outcome = error
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return _with_picture(request.read(outcome), request, self.send)
            await asyncio.sleep(self._wait(attempt, outcome))
            attempt += 1

    async def train(self, **request: Any) -> Answer:
        """A training run: fields of /v1/train."""
        return await self.send(train(request))

    async def epochs(self, **request: Any) -> AsyncGenerator[Answer]:
        """The epochs of a training run as they come, and its whole answer as the last; to leave is to end the run."""
        built = _built(self._http, _streamed(train(request)))
        response = await self._http.send(built, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise _problem(response)
            reader = _Events()
            async for line in response.aiter_lines():
                for name, document in reader.feed(line):
                    yield Answer({"event": name, **document})
        finally:
            await response.aclose()

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


# --- in other libraries -----------------------------------------------------------------------------------------------


def objective(client: Criterion, loss: str, **parameters: Any) -> Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]:
    """A loss as `xgboost.train` and `lightgbm.train` take it: (scores, data) -> the gradient and the second derivative of the
    sum. One that has none is refused with a Problem."""

    def derivatives(scores: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
        weights, targets = data.get_weight(), np.asarray(data.get_label(), dtype=float)
        answer = client.evaluate(
            loss,
            np.asarray(scores, dtype=float),
            targets,
            sample_weight=None if weights is None or not len(weights) else np.asarray(weights, dtype=float),
            reduction="sum",
            outputs=["gradient", "hessian_diagonal"],
            **parameters,
        )
        return answer.gradient, answer.hessian_diagonal

    return derivatives
