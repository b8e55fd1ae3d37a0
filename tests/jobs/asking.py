"""Jobs as a client has them, and what is compared of their results."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Server
from tests.processes import children, command

PATIENCE = 60
ENDED = ("succeeded", "failed", "cancelled")

ROWS = [[number / 20_000] for number in range(20_000)]
DATA = {"inputs": ROWS[::50], "targets": [x * x for (x,) in ROWS[::50]]}
"""Rows of one's own: the named data sets would have every new process load scikit-learn first."""
LONG: dict[str, Any] = {"data": DATA, "loss": "mse", "epochs": 300, "seed": 3}
"""A run of a second or so."""
ENDLESS = {**LONG, "epochs": 10_000_000}
ONE_LONG_EPOCH = {"data": {"inputs": ROWS, "targets": [x for (x,) in ROWS]}, "loss": "mse", "epochs": 1000, "batch_size": 1}
"""A run of which nobody sees the end of the first epoch."""


def timeless(result: Any) -> Any:
    """A result without how long anything took."""
    if isinstance(result, dict):
        return {key: timeless(value) for key, value in result.items() if key != "seconds"}
    return [timeless(value) for value in result] if isinstance(result, list) else result


class Jobs:
    """The jobs of a server, asked for on one connection."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def submit(self, request: dict[str, Any], kind: str = "train", head: dict[str, str] | None = None, **more: Any) -> str:
        answer = self.client.post("/v1/jobs", json={"kind": kind, "request": request, **more}, headers=head)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
        return job["id"]

    def show(self, identity: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/jobs/{identity}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, identity: str, happened: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """The job, once this is so; if nothing is said, once it has ended."""
        happened = happened or (lambda job: job["status"] in ENDED)
        deadline = time.monotonic() + PATIENCE
        while not happened(job := self.show(identity)):
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job

    def until_done(self, identity: str, done: int) -> None:
        """Wait until so much of it is done."""
        self.wait(identity, lambda job: job["progress"]["done"] >= done)

    def events(self, identity: str, after: int | None = None) -> Iterator[tuple[int, str, Any]]:
        """(id, name, data) of each event until the stream ends."""
        head = {} if after is None else {"last-event-id": str(after)}
        with self.client.stream("GET", f"/v1/jobs/{identity}/events", headers=head) as answer:
            assert answer.status_code == 200
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    fields[name] = fields.get(name, "") + value
                elif "event" in fields:
                    yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                    fields = {}


def worker_of(server: Server) -> int:
    """The process that does a server's jobs."""
    (worker,) = (pid for pid in children(server.process.pid) if "worker" in command(pid))
    return worker


def scrape(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The metrics of a server by name and labels."""
    families = text_string_to_metric_families(server.ask("GET", "/metrics").text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}
