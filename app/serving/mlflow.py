"""Trainings that have ended, as runs of an MLflow server, by its REST API: none of MLflow is installed here.

Whoever does jobs tells of them, one after the other, from a row that each leaves when it ends; the row goes once the server has
all of it. What was begun before is found by its tag and gone on with, so that a job is there once however often it is told.
https://mlflow.org/docs/latest/rest-api.html
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPMessage
from itertools import zip_longest
from typing import IO, Any, NamedTuple, TypeAlias, cast
from urllib.parse import quote, urlencode

import orjson

from app.jobs.job import Job
from app.jobs.store import Export
from app.settings import Settings

SECONDS = 20.0
"""How long an answer is waited for."""
MOST_METRICS, MOST_PARAMS = 900, 100
"""In one request: MLflow takes 1000 and 100, and 1000 together with tags."""
LONGEST = 6000
"""Characters of a parameter, or of a tag, and of a key 250."""
JOB, NUMBER, PARENT = "criterion.job", "criterion.run", "mlflow.parentRunId"
STATUSES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
Entry: TypeAlias = Mapping[str, Any]
"""A run as GET /v1/runs/{id} has it."""


class NotExported(Exception):
    """The server is away, or does not take it; in words that have no secret in them."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a server sends us elsewhere, the token would go along."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


OPENER = urllib.request.build_opener(_NoRedirect)


class Mlflow(NamedTuple):
    """An MLflow server, and where its runs go."""

    url: str
    experiment: str
    token: str | None

    @classmethod
    def of(cls, settings: Settings) -> "Mlflow | None":
        """That of the settings; None where nothing is exported."""
        if not settings.mlflow_url:
            return None
        token = None if settings.mlflow_token is None else settings.mlflow_token.get_secret_value()
        return cls(settings.mlflow_url.rstrip("/"), settings.mlflow_experiment, token)

    def send(self, job: Export) -> None:
        """Tell of a job all that it has trained; NotExported. It waits, so it is for a thread."""
        experiment = self._experiment()
        known = self._known(experiment, job.job.id)
        entries: Sequence[Entry] = orjson.loads(job.runs) or [{}]
        parent: str | None = None
        if len(entries) > 1:
            parent = self._run(experiment, known, job, "job", None, {})
        for number, entry in enumerate(entries):
            self._run(experiment, known, job, str(number), parent, entry)
        if parent is not None:
            self._end(parent, job.job)

    def _experiment(self) -> str:
        named = urlencode({"experiment_name": self.experiment})
        try:
            found = self._asked("GET", f"experiments/get-by-name?{named}")
        except NotExported as error:
            if "RESOURCE_DOES_NOT_EXIST" not in str(error):
                raise
            return self._asked("POST", "experiments/create", {"name": self.experiment})["experiment_id"]
        return found["experiment"]["experiment_id"]

    def _known(self, experiment: str, job: str) -> dict[str, str]:
        """The runs that were made of a job before, by which of its runs they are."""
        found: dict[str, str] = {}
        page: str | None = ""
        while page is not None:
            asked = {"experiment_ids": [experiment], "filter": f"tags.`{JOB}` = '{job}'", "max_results": 1000, "page_token": page}
            answer = self._asked("POST", "runs/search", {key: value for key, value in asked.items() if value})
            for run in answer.get("runs", []):
                tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
                found[tags.get(NUMBER, "")] = run["info"]["run_id"]
            page = answer.get("next_page_token") or None
        return found

    def _run(self, experiment: str, known: Mapping[str, str], job: Export, number: str, parent: str | None, entry: Entry) -> str:
        """One run, with everything that is known of it."""
        began, ended = (int(1000 * (moment or job.job.created)) for moment in (job.job.started, job.job.ended))
        run = known.get(number)
        if run is None:
            name = str(entry["name"]) if "name" in entry else job.job.id if number in ("0", "job") else f"{job.job.id} {number}"
            tags = {JOB: job.job.id, NUMBER: number, "criterion.kind": job.job.kind, "mlflow.source.name": "criterion"}
            tags |= {"mlflow.user": job.job.owner} if job.job.owner else {}
            tags |= {PARENT: parent} if parent else {}
            tags |= {"criterion.problem": json.loads(job.problem)["code"]} if job.problem else {}
            document = {"experiment_id": experiment, "run_name": name, "start_time": began, "tags": _pairs(tags)}
            run = cast(str, self._asked("POST", "runs/create", document)["run"]["info"]["run_id"])
        metrics, params = [*metrics_of(entry, ended)], _pairs(params_of(entry))
        batches = zip_longest(_cut(metrics, MOST_METRICS), _cut(params, MOST_PARAMS), fillvalue=())
        for some_metrics, some_params in batches:
            self._asked("POST", "runs/log-batch", {"run_id": run, "metrics": [*some_metrics], "params": [*some_params]})
        if number != "job":
            self._end(run, job.job)
        return run

    def _end(self, run: str, job: Job) -> None:
        ended = int(1000 * (job.ended or job.created))
        self._asked("POST", "runs/update", {"run_id": run, "status": STATUSES[job.status], "end_time": ended})

    def _asked(self, method: str, path: str, document: object = None) -> Any:
        head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        body = None if document is None else orjson.dumps(document)
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", body, head, method=method)
        what = path.partition("?")[0]
        try:
            with OPENER.open(request, timeout=SECONDS) as answer:
                return orjson.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(2000).decode(errors="replace")
            raise NotExported(f"{what} was answered with {error.code}: {text[:300]}") from None
        except (OSError, ValueError) as error:  # ValueError: what is answered is no JSON
            raise NotExported(f"{what} failed: {type(error).__name__}: {str(error)[:200]}") from None


def params_of(entry: Entry) -> dict[str, str]:
    """What a run was asked for: each name of a loss, a model or the like with its parameters behind it, and what data it had."""
    found: dict[str, str] = {}
    for field in ("loss", "model", "optimizer", "schedule", "parameters"):
        spec = cast(Mapping[str, Any], entry.get(field) or {})
        for name, value in spec.items():
            key = name if field == "parameters" else field if name == "name" else f"{field}.{name}"
            found[_key(key)] = _word(value)
    plain = {name: entry.get(name) for name in ("seed", "fold", "n_parameters", "stopped")}
    data = cast(Mapping[str, Any], entry.get("data") or {})
    plain |= {f"data.{name}": value for name, value in data.items()}
    return found | {_key(name): _word(value) for name, value in plain.items() if value is not None}


def metrics_of(entry: Entry, moment: int) -> Iterator[dict[str, Any]]:
    """What was measured: a curve as one number for each epoch, and what the model that is kept comes to."""
    curves = cast(Mapping[str, Any], entry.get("curves") or {})
    steps: Sequence[int] = curves.get("epoch", ())
    lines = {name: curves[name] for name in ("training_loss", "validation_loss", "learning_rate") if name in curves}
    lines |= {f"{part}_{name}": line for name, parts in curves.get("metrics", {}).items() for part, line in parts.items()}
    final = cast(Mapping[str, Any], entry.get("final") or {})
    ends = {f"final_{name}": final.get(name) for name in ("training_loss", "validation_loss")}
    ends |= {f"final_{part}_{name}": value for name, parts in final.get("metrics", {}).items() for part, value in parts.items()}
    ends |= {name: entry.get(name) for name in ("best_epoch", "seconds", "score", "epochs")}
    last = steps[-1] if steps else 0
    told = [(name, step, value) for name, line in lines.items() for step, value in zip(steps, line, strict=True)]
    for name, step, value in (*told, *((name, last, value) for name, value in ends.items())):
        if value is not None:
            yield {"key": _key(name), "value": value, "timestamp": moment, "step": step}


def _pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in found.items()]


def _cut(found: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (found[start : start + most] for start in range(0, len(found), most))


def _key(name: str) -> str:
    """Of the letters that MLflow takes in one."""
    return re.sub(r"[^\w\-. :/]", lambda other: quote(other[0]).replace("%", "_"), name, flags=re.ASCII)[:250]


def _word(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:LONGEST]
