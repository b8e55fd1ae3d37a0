"""Trainings that have ended are told to an MLflow server: here to one that takes what its documentation says, and no more."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.jobs.job import Job
from app.jobs.store import Export
from app.serving.mlflow import Mlflow as Exporter
from app.serving.mlflow import NotExported
from app.settings import WrongSetting, read_settings
from tests.conftest import serving
from tests.jobs.asking import ENDLESS, Jobs
from tests.processes import poll

RUN: dict[str, Any] = {
    "data": {"inputs": [[x / 10, x % 3] for x in range(40)], "targets": [x / 7 for x in range(40)]},
    "model": {"name": "linear"},
    "loss": {"name": "huber", "delta": 1.5},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "metrics": ["r2"],
    "epochs": 30,
}
FIELDS = {
    "experiments/create": {"name"},
    "runs/search": {"experiment_ids", "filter", "max_results", "page_token"},
    "runs/create": {"experiment_id", "run_name", "start_time", "tags"},
    "runs/log-batch": {"run_id", "metrics", "params"},
    "runs/update": {"run_id", "status", "end_time"},
}
"""What may stand in each body."""
KEY = re.compile(r"[\w\-. :/]{1,250}", re.ASCII)


class Mlflow(ThreadingHTTPServer):
    """The runs that it was told of."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []
        self.heads: set[str | None] = set()
        self.fail = 0
        """How many requests more are answered with 503."""

    def one(self, number: str = "0") -> dict[str, Any]:
        """The run that has this number in its job."""
        (found,) = (run for run in self.runs.values() if run["tags"]["criterion.run"] == number)
        return found


class Asked(BaseHTTPRequestHandler):
    """A request, as https://mlflow.org/docs/latest/rest-api.html has it."""

    server: Mlflow

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # its name there

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        assert url.path == "/api/2.0/mlflow/experiments/get-by-name"
        (name,) = parse_qs(url.query)["experiment_name"]
        found = self.server.experiments.get(name)
        if found is None:
            self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})
        else:
            self._answer(200, {"experiment": {"experiment_id": found, "name": name}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        what = self.path.removeprefix("/api/2.0/mlflow/")
        self.server.heads.add(self.headers["authorization"])
        if self.server.fail:
            self.server.fail -= 1
            self._answer(503, {"error_code": "TEMPORARILY_UNAVAILABLE"})
            return
        try:
            assert self.headers["content-type"] == "application/json"
            assert {*body} <= FIELDS[what], body
            self._answer(200, getattr(self, what.replace("/", "_").replace("-", "_"))(**body))
        except (AssertionError, KeyError, TypeError) as error:
            self.server.wrong.append(f"{what}: {error!r}")
            self._answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": str(error)})

    def experiments_create(self, name: str) -> Any:
        assert name not in self.server.experiments
        self.server.experiments[name] = str(len(self.server.experiments) + 1)
        return {"experiment_id": self.server.experiments[name]}

    def runs_search(self, experiment_ids: list[str], filter: str, max_results: int, page_token: str = "") -> Any:  # noqa: A002
        (job,) = re.findall(r"^tags\.`criterion\.job` = '(\w+)'$", filter)
        found = [run for run in self.server.runs.values() if run["tags"]["criterion.job"] == job]
        shown = [{"info": {"run_id": run["id"]}, "data": {"tags": [*map(pair, run["tags"].items())]}} for run in found]
        return {"runs": shown} if shown else {}

    def runs_create(self, experiment_id: str, run_name: str, start_time: int, tags: list[Any]) -> Any:
        assert experiment_id in self.server.experiments.values()
        assert isinstance(start_time, int)
        run = f"run{len(self.server.runs)}"
        kept = {"id": run, "name": run_name, "tags": checked(tags, 100), "metrics": {}, "params": {}, "status": "RUNNING"}
        self.server.runs[run] = kept
        return {"run": {"info": {"run_id": run}}}

    def runs_log_batch(self, run_id: str, metrics: list[Any], params: list[Any]) -> Any:
        assert len(metrics) + len(params) <= 1000
        run = self.server.runs[run_id]
        for metric in metrics:
            assert {*metric} == {"key", "value", "timestamp", "step"}
            assert KEY.fullmatch(metric["key"])
            assert isinstance(metric["value"], float | int)
            assert {*map(type, (metric["timestamp"], metric["step"]))} == {int}
            run["metrics"][metric["key"], metric["step"]] = metric["value"]
        for key, value in checked(params, 100).items():
            assert run["params"].setdefault(key, value) == value, "parameters do not change"
        return {}

    def runs_update(self, run_id: str, status: str, end_time: int) -> Any:
        assert status in ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
        assert isinstance(end_time, int)
        self.server.runs[run_id]["status"] = status
        return {"run_info": {}}

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def pair(item: tuple[str, str]) -> dict[str, str]:
    return {"key": item[0], "value": item[1]}


def checked(pairs: list[dict[str, str]], most: int) -> dict[str, str]:
    """Tags or parameters."""
    assert len(pairs) <= most
    for found in pairs:
        assert {*found} == {"key", "value"}
        assert KEY.fullmatch(found["key"]), found
        assert len(found["value"]) <= 6000
    return {found["key"]: found["value"] for found in pairs}


@contextmanager
def mlflow() -> Iterator[Mlflow]:
    with Mlflow() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
    assert server.wrong == []


def test_trainings_are_told_to_mlflow(tmp_path: Path) -> None:
    """Once, with what was asked for and measured, also where the server is away at first; and how those end that fail."""
    with mlflow() as server:
        server.fail = 2
        settings = {"mlflow_url": f"{server.url}/", "mlflow_experiment": "ours", "mlflow_token": "word"}
        with serving(tmp_path, **settings) as running, running.client() as client:
            jobs = Jobs(client)
            identity = jobs.submit(RUN)
            job = jobs.wait(identity)
            poll(lambda: any(run["status"] == "FINISHED" for run in server.runs.values()), "it is not told")
            run = server.one()
            assert [*server.experiments] == ["ours"]
            assert (run["name"], run["tags"]["criterion.job"], run["tags"]["criterion.kind"]) == (identity, identity, "train")
            assert {
                key: run["params"][key] for key in ("loss", "loss.delta", "model", "optimizer", "optimizer.learning_rate")
            } == {
                "loss": "huber",
                "loss.delta": "1.5",
                "model": "linear",
                "optimizer": "adam",
                "optimizer.learning_rate": "0.01",
            }
            (told,) = client.get(f"/v1/runs/{identity}").json()["runs"]
            for name in ("training_loss", "validation_loss", "learning_rate"):
                expected = dict(zip(told["curves"]["epoch"], told["curves"][name], strict=True))
                assert {step: value for (key, step), value in run["metrics"].items() if key == name} == {
                    step: value for step, value in expected.items() if value is not None
                }
            assert run["metrics"]["final_training_loss", 30] == job["result"]["final"]["training_loss"]
            assert run["metrics"]["training_r2", 30] == told["curves"]["metrics"]["r2"]["training"][-1]

            server.runs.clear()
            compared = jobs.submit({**RUN, "epochs": 3, "seeds": [1, 2]}, "compare")
            jobs.wait(compared)
            poll(lambda: [run["status"] for run in server.runs.values()] == ["FINISHED"] * 3, "they are not told")
            assert {run["tags"].get("mlflow.parentRunId") for run in server.runs.values()} == {None, server.one("job")["id"]}
            assert [server.one(number)["params"]["seed"] for number in "01"] == ["1", "2"]

            server.runs.clear()
            cancelled = jobs.submit(ENDLESS)
            jobs.until_done(cancelled, 1)
            client.delete(f"/v1/jobs/{cancelled}")
            poll(lambda: [run["status"] for run in server.runs.values()] == ["KILLED"], "it is not told")
            jobs.wait(jobs.submit({"loss": "mse", "predictions": [1], "targets": [1]}, "evaluate"))
            jobs.wait(jobs.submit(RUN))
            poll(lambda: len(server.runs) == 2, "it is not told")
            assert {run["tags"]["criterion.kind"] for run in server.runs.values()} == {"train"}
        assert server.heads == {"Bearer word"}


def test_its_token_goes_to_no_other_address() -> None:
    with mlflow() as other:

        class Elsewhere(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"{other.url}{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # its name there

        with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            job = Job("a", "", "train", "succeeded", 0, 1, "epochs", 0.0)
            with pytest.raises(NotExported, match="302"):
                Exporter(f"http://127.0.0.1:{server.server_address[1]}", "ours", "word").send(Export(job, b"[]", None, 0))
            thread.join()
        assert other.heads == set()


@pytest.mark.parametrize("url", ["ftp://a", "http://name:word@host", "host:5000"])
def test_an_address_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRITERION_MLFLOW_URL", url)
    with pytest.raises(WrongSetting, match="CRITERION_MLFLOW_URL") as error:
        read_settings()
    assert "word" not in str(error.value)
