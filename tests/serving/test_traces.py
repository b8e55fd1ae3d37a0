"""What a collector of OpenTelemetry receives: a span of each request, which continues the caller's trace, and one of its work."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.conftest import Server, serving
from tests.processes import poll

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LOSS = json.dumps({"loss": "MSELoss", "predictions": [1, 2], "targets": [1, 3]}).encode()
RUN = json.dumps({"data": "blobs", "epochs": 1}).encode()


class Collector:
    """A real one, of the protocol's own messages."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name that http.server calls
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
                """Nothing: pytest shows what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Span]:
        resources = [resource for request in self.received for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@contextmanager
def traced(folder: Path, url: str) -> Iterator[Server]:
    """A server that sends its spans here, soon."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with serving(folder) as server:
            yield server


def attributes(span: Span) -> dict[str, object]:
    return {entry.key: getattr(entry.value, str(entry.value.WhichOneof("value"))) for entry in span.attributes}


def named(spans: Sequence[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def until(found: Callable[[], Any]) -> None:
    poll(lambda: bool(found()), "no such span")


def test_spans_of_a_request_and_of_the_work_for_it(collector: Collector, tmp_path: Path) -> None:
    with traced(tmp_path, collector.url) as server:
        head = {"traceparent": f"00-{TRACE}-{CALLER}-01", "content-type": "application/json"}
        assert server.ask("POST", "/v1/evaluate", content=LOSS, headers=head).status_code == 200
        assert server.ask("POST", "/v1/train", content=RUN).status_code == 200
        assert server.ask("GET", "/v1/losses/nonsense").status_code == 404
        until(lambda: named(collector.spans, "GET /v1/losses/{name}"))
        until(lambda: named(collector.spans, "training work"))
    (evaluated,) = named(collector.spans, "POST /v1/evaluate")
    assert (evaluated.trace_id.hex(), evaluated.parent_span_id.hex()) == (TRACE, CALLER)
    assert evaluated.kind == Span.SPAN_KIND_SERVER
    told = attributes(evaluated)
    assert (told["http.route"], told["http.response.status_code"]) == ("/v1/evaluate", 200)
    assert (told["criterion.loss"], told["criterion.samples"], told["http.request.body.size"]) == (
        "mean_squared_error",
        2,
        len(LOSS),
    )
    assert evaluated.status.code == Status.STATUS_CODE_UNSET

    (run,) = named(collector.spans, "POST /v1/train")
    assert run.trace_id.hex() != TRACE
    (work,) = named(collector.spans, "training work")
    assert (work.trace_id, work.parent_span_id) == (run.trace_id, run.span_id)
    assert run.start_time_unix_nano <= work.start_time_unix_nano < work.end_time_unix_nano <= run.end_time_unix_nano

    (refused,) = named(collector.spans, "GET /v1/losses/{name}")
    assert attributes(refused)["http.response.status_code"] == 404
    assert refused.status.code == Status.STATUS_CODE_UNSET  # the caller is to blame, not the server

    (resource,) = {str(request.resource_spans[0].resource) for request in collector.received}
    assert "criterion" in resource
    sent = b"".join(request.SerializeToString() for request in collector.received)
    assert b"nonsense" not in sent  # nothing that a caller writes, but ids


def test_a_collector_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    with traced(tmp_path, "http://127.0.0.1:9") as server:  # nobody listens at the port of discard
        assert server.ask("POST", "/v1/evaluate", content=LOSS).status_code == 200
    assert server.process.returncode == 0
    assert all(json.loads(line)["event"] for line in server.log.read_text().splitlines())


def test_nothing_of_it_is_loaded_where_nobody_collects() -> None:
    program = "import sys, app.main; app.main.create_app(); sys.exit(any('opentelemetry' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
