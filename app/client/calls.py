"""Each call of the service as a function that makes its request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from app.client.answers import Answer
from app.client.frames import columns_of
from app.client.request import Request, answered, get, json_of, post, post_rows
from app.client.tensors import infer, tensors_of

SIDES = ("predictions", "targets", "sample_weight", "mask")
"""The arrays of a batch, in their order."""


def evaluate(
    loss: str | Mapping[str, Any],
    predictions: Any,
    targets: Any = None,
    *,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = None,
    outputs: Sequence[str] | None = None,
    missing: str | None = None,
    classes: Sequence[Any] | None = None,
    **parameters: Any,
) -> Request[Answer]:
    """A loss of some predictions: value, per_sample, gradient, or the `outputs` that are named. Parameters are the loss's.

    `predictions` may be an iterator of batches, each (predictions, targets), with sample_weight and mask behind them if there are
    any: these are sent as they come, however many, and answered by value and standard_error.
    """
    if isinstance(predictions, Iterator):
        if not (targets is sample_weight is mask is None):
            raise TypeError("what comes in batches has its targets, weights and masks in these")
        asked = {
            "loss": _spec(loss, parameters),
            "reduction": reduction,
            "outputs": outputs,
            "missing": missing,
            "classes": classes,
        }
        options = {name: value for name, value in asked.items() if value is not None}
        return post_rows("/v1/evaluate", options, SIDES, cast(Iterator[Sequence[Any]], predictions))
    arrays = {"predictions": predictions, "targets": targets, "sample_weight": sample_weight, "mask": mask}
    options = {"reduction": reduction, "missing": missing}
    if isinstance(loss, str) and classes is None and (tensors := tensors_of(arrays)):
        return infer(loss, tensors, {**options, **parameters}, outputs)
    return post("/v1/evaluate", {"loss": _spec(loss, parameters), **arrays, **options, "outputs": outputs, "classes": classes})


def analyze(loss: str | Mapping[str, Any], predictions: Any, targets: Any, **options: Any) -> Request[Answer]:
    """What a loss says of a batch: how sure it is, and which samples cost it. `options` are fields of /v1/analyze."""
    return post("/v1/analyze", {"loss": loss, "predictions": predictions, "targets": targets, **options})


def compare(models: Mapping[str, Any], targets: Any, *, losses: Sequence[Any], **options: Any) -> Request[Answer]:
    """Which of several models is better, and how sure that is. `options` are fields of /v1/compare."""
    return post("/v1/compare", {"models": models, "targets": targets, "losses": losses, **options})


def check_gradient(loss: str | Mapping[str, Any], predictions: Any, targets: Any, **yours: Any) -> Request[Answer]:
    """A value, a gradient of yours beside the reference; other fields of /v1/check-gradient too."""
    return post("/v1/check-gradient", {"reference": loss, "predictions": predictions, "targets": targets, **yours})


def recommend(targets: Any = None, **options: Any) -> Request[Answer]:
    """Which losses suit these targets. `options` are fields of /v1/recommend."""
    return post("/v1/recommend", {"targets": targets, **options})


def train(request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Request[Answer]:
    """A training run: fields of /v1/train."""
    return post("/v1/train", request).under(idempotency_key)


def predict(model: Any, inputs: Any = None, **options: Any) -> Request[Answer]:
    """What the `trained_model` of a run says of new rows, or with `surface` over the plane of its two columns."""
    return post("/v1/predict", {"model": model, "inputs": inputs, **options})


def compare_runs(*, idempotency_key: str | None = None, **request: Any) -> Request[Answer]:
    """Several runs, of every combination of what is listed: fields of /v1/train/compare."""
    return post("/v1/train/compare", request).under(idempotency_key)


def search(*, idempotency_key: str | None = None, **request: Any) -> Request[Answer]:
    """Settings that train better, and what they are worth on rows held out: fields of /v1/train/search."""
    return post("/v1/train/search", request).under(idempotency_key)


def find_rate(*, idempotency_key: str | None = None, **request: Any) -> Request[Answer]:
    """The loss by the learning rate, and a rate that trains: fields of /v1/train/learning-rate."""
    return post("/v1/train/learning-rate", request).under(idempotency_key)


def learning_curve(*, idempotency_key: str | None = None, **request: Any) -> Request[Answer]:
    """What more rows to train on would bring: fields of /v1/train/learning-curve."""
    return post("/v1/train/learning-curve", request).under(idempotency_key)


def submit_job(
    kind: str, request: Mapping[str, Any], *, priority: int = 0, idempotency_key: str | None = None
) -> Request[Answer]:
    """Work that outlives its request: what the call of this kind would answer is the job's result."""
    return post("/v1/jobs", {"kind": kind, "request": request, "priority": priority}).under(idempotency_key)


def jobs(**options: Any) -> Request[Answer]:
    """Jobs, newest first; `options` are parameters of /v1/jobs."""
    return get("/v1/jobs", **options)


def job(identity: str) -> Request[Answer]:
    """A job as it is now, with its result where it has ended."""
    return get(f"/v1/jobs/{identity}")


def cancel_job(identity: str) -> Request[Answer]:
    """Its work ends at once."""
    return replace(get(f"/v1/jobs/{identity}"), method="DELETE")


def resume_job(identity: str) -> Request[Answer]:
    """A job that was cancelled or has failed goes on from its last checkpoint."""
    return post(f"/v1/jobs/{identity}/resume", {})


def job_events(identity: str, after: str = "") -> Request[Answer]:
    """What has happened in a job and what happens, as a stream, from behind the event of this number on."""
    return replace(get(f"/v1/jobs/{identity}/events"), headers={"last-event-id": after} if after else {})


def runs(**options: Any) -> Request[Answer]:
    """What jobs have trained, the newest first, without curves; `options` are parameters of /v1/runs."""
    return get("/v1/runs", **options)


def run(identity: str) -> Request[Answer]:
    """What a job that has ended has trained, with the curves of each run."""
    return get(f"/v1/runs/{identity}")


def losses(*, search: str | None = None, family: str | None = None, property: str | None = None) -> Request[Answer]:  # noqa: A002  # the API's word
    """The catalogue of losses, or those that are searched for."""
    return get("/v1/losses", search=search, family=family, property=property)


def curve(loss: str, **options: Any) -> Request[Answer]:
    """A loss and its slope over the prediction; `options` are parameters of its address."""
    return get(f"/v1/losses/{loss}/curve", **options)


def describe(kind: str, name: str | None = None) -> Request[Answer]:
    """The catalogue of a kind (losses, datasets, models, optimizers, schedules, metrics), or one entry of it."""
    return get(f"/v1/{kind}" if name is None else f"/v1/{kind}/{name}")


def keep_dataset(name: str, table: Any, media_type: str = "application/json") -> Request[Answer]:
    """Keep a table under a name, for jobs and runs: columns by name, a data frame, or the bytes of a file of this media type."""
    body = table if isinstance(table, bytes) else json_of(columns_of(table))
    return Request("POST", "/v1/datasets", answered, {"name": name}, body, {"content-type": media_type})


def datasets(**options: Any) -> Request[Answer]:
    """Those that every run may name, and yours, `kept`, the newest first; `options` are parameters of /v1/datasets."""
    return get("/v1/datasets", **options)


def delete_dataset(name: str) -> Request[Answer]:
    """Keep a data set of yours no longer."""
    return replace(get(f"/v1/datasets/{name}"), method="DELETE")


def dataset_rows(name: str, **parameters: Any) -> Request[Answer]:
    """The rows that a run is given by a dataset's name, and by these parameters of it."""
    return get(f"/v1/datasets/{name}/rows", **parameters)


def protocol(*path: str) -> Request[Answer]:
    """What the inference protocol tells at /v2/…: of the server without a path, of models/NAME, of its health."""
    return get("/".join(("/v2", *path)))


def ready() -> Request[Answer]:
    """Whether requests can be taken; a Problem says why not."""
    return get("/health/ready")


def live() -> Request[Answer]:
    """Whether the server answers at all."""
    return get("/health/live")


def metrics() -> Request[str]:
    """The server's metrics, as Prometheus reads them."""
    return Request("GET", "/metrics", lambda response: response.text)


def openapi() -> Request[Answer]:
    """The document of the service."""
    return get("/openapi.json")


def _spec(loss: str | Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    if not parameters:
        return loss
    return {"name": loss, **parameters} if isinstance(loss, str) else {**loss, **parameters}
