"""What a platform sees of the requests: counts of all processes, a line of the log for each, and nothing of their content."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from app.api.calls import CALLS
from app.losses import NAMED
from app.serving.metrics import METRICS, REASONS
from app.serving.shared import SharedMemory
from app.serving.tally import Tally
from tests.conftest import Server, serving
from tests.processes import children, command, poll
from tests.serving.keyed import Made

SECRET = 31415.92653
"""A number that no line of the log may have."""
LOSS = json.dumps({"loss": "MSELoss", "predictions": [1, 2, SECRET], "targets": [1, 3, SECRET]}).encode()
NONSENSE = json.dumps({"loss": "nonsense", "predictions": [1], "targets": [1]}).encode()

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for family in families(text) for sample in family.samples
    }


def scrape(server: Server, **head: str) -> Samples:
    response = server.ask("GET", "/metrics", headers=head)
    assert response.status_code == 200
    return scraped(response.text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def until(look: Callable[[], Any], expected: Any) -> None:
    """Counts are there a moment after the answer."""
    poll(lambda: look() == expected, f"{look()} instead of {expected}")


def lines(server: Server, event: str = "request") -> list[dict[str, Any]]:
    return [line for line in map(json.loads, server.log.read_text().splitlines()) if line["event"] == event]


def workers(server: Server) -> list[int]:
    return [pid for pid in children(server.process.pid) if "spawn_main" in command(pid)]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("observed"), workers=2) as server:
        yield server


def test_a_scrape_has_the_counts_of_all_processes_and_a_death_takes_none(several: Server) -> None:
    """The worked example, asked on many connections, which are dealt to both workers."""
    for content, times in ((LOSS, 7), (NONSENSE, 2)):
        for _ in range(times):
            several.ask("POST", "/v1/evaluate", content=content)
    several.ask("GET", "/v1/nothing")
    expected = {
        ("criterion_requests_total", "evaluate", "mean_squared_error", "200"): 7.0,
        ("criterion_requests_total", "evaluate", "unknown", "422"): 2.0,
        ("criterion_requests_total", "other", "", "404"): 1.0,
    }

    def found() -> dict[tuple[str, ...], float]:
        samples = scrape(several)
        counts = {series: value(samples, series[0], call=series[1], loss=series[2], status=series[3]) for series in expected}
        rows = value(samples, "criterion_samples_total", call="evaluate", loss="mean_squared_error")
        refused = [value(samples, "criterion_refused_total", reason=reason) for reason in ("invalid", "not_found")]
        return counts | {("rows",): rows, ("refused",): refused[0] + 10 * refused[1]}

    whole = {**expected, ("rows",): 21.0, ("refused",): 12.0}
    until(found, whole)
    before = workers(several)
    os.kill(before[0], signal.SIGKILL)
    poll(lambda: len(set(workers(several)) - set(before)) == 1, "no worker in its place")
    assert found() == whole
    several.ask("POST", "/v1/evaluate", content=LOSS)
    until(found, {**whole, ("criterion_requests_total", "evaluate", "mean_squared_error", "200"): 8.0, ("rows",): 24.0})
    assert [(line["worker"], line["signal"]) for line in lines(several, "worker_died")] == [(before[0], "SIGKILL")]


def test_every_metric_has_its_labels_and_no_other(several: Server) -> None:
    several.ask("POST", "/v1/evaluate?secret=query", content=LOSS, headers={"x-secret": "header"})
    several.ask("GET", "/v1/losses/secret-name")
    several.ask("BREW", "/secret-path")
    samples = scrape(several)
    calls = {call.label for call in CALLS} | {"other"}
    losses = {"", "unknown", *NAMED}
    for name, labels in samples:
        assert name.startswith("criterion_")
        for label, text in labels:
            assert "secret" not in text
            known = {"call": calls, "loss": losses, "reason": {*REASONS, "killed", "deadline", "memory"}}.get(label)
            assert known is None or text in known, (name, label, text)
    kinds = {family.name: family.type for family in families(several.ask("GET", "/metrics").text)}
    assert {name: described.kind for name, described in METRICS.items()}.items() <= kinds.items()
    assert kinds["criterion_request_duration_seconds"] == "histogram"
    assert value(samples, "criterion_queue_limit", queue="pool") == 32.0  # of two workers
    poll(lambda: value(scrape(several), "criterion_pool_processes", state="idle") == 2.0, "a process of each worker waits")


def test_openmetrics_is_answered_where_it_is_asked_for(several: Server) -> None:
    response = several.ask("GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_a_request_is_one_line_with_what_it_was_and_nothing_of_its_content(several: Server) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    head = {"x-request-id": "mine-7", "traceparent": f"00-{trace}-{parent}-01", "content-type": "application/json"}
    answer = several.ask("POST", "/v1/evaluate", content=LOSS, headers=head)

    def mine() -> list[dict[str, Any]]:
        return [line for line in lines(several) if line["id"] == "mine-7"]

    poll(lambda: len(mine()) == 1, "no line")
    (line,) = mine()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert {name: line[name] for name in ("level", "method", "call", "route", "loss", "status", "reason", "samples")} == {
        "level": "info",
        "method": "POST",
        "call": "evaluate",
        "route": "/v1/evaluate",
        "loss": "mean_squared_error",
        "status": 200,
        "reason": None,
        "samples": 3,
    }
    assert (line["trace_id"], line["parent_id"]) == (trace, parent)
    assert (line["received"], line["sent"]) == (len(LOSS), len(answer.content))
    assert (line["client"], line["key"]) == ("127.0.0.1", "")
    assert 0 < line["duration"] < 60
    assert 0 < line["cost"] < 1e-3
    assert line["pid"] in workers(several)
    assert "31415" not in several.log.read_text()
    assert "secret" not in several.log.read_text()


@pytest.mark.parametrize(
    "traceparent",
    [
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        "4bf92f3577b34da6a3ce929d0e0e4736",
    ],
)
def test_a_traceparent_that_is_none_is_ignored(traceparent: str, several: Server) -> None:
    head = {"x-request-id": f"trace-{hash(traceparent) % 10**9}", "traceparent": traceparent}
    several.ask("GET", "/health/live", headers=head)
    found: list[dict[str, Any]] = []
    poll(lambda: bool(found.extend(x for x in lines(several) if x["id"] == head["x-request-id"]) or found), "no line")
    assert "trace_id" not in found[0]


def test_what_is_refused_or_cut_is_told_and_counted(several: Server) -> None:
    before = scrape(several)
    with several.connect() as wire:
        wire.sendall(b"no http \x00\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 400")
    with several.connect() as wire:
        wire.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nX-Request-Id: cut-1\r\nContent-Length: 1000\r\n\r\n{")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, and no orderly end
    several.ask("POST", "/v1/evaluate", content=b"{", headers={"content-type": "text/plain"})
    several.ask("GET", "/v1/losses", headers={"sec-fetch-site": "cross-site"})
    expected = {"malformed": 1.0, "client_left": 1.0, "media_type": 1.0, "cross_site": 1.0}

    def more() -> dict[str, float]:
        after = scrape(several)
        name = "criterion_refused_total"
        return {reason: value(after, name, reason=reason) - value(before, name, reason=reason) for reason in expected}

    until(more, expected)
    (cut,) = (line for line in lines(several) if line["id"] == "cut-1")
    assert (cut["status"], cut["reason"], cut["level"], cut["received"]) == (499, "client_left", "warning", 1)


def test_metrics_have_a_port_of_their_own_where_that_is_set(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = Made()
    made.add("ci")
    with serving(tmp_path, metrics_port=port, keys=made.text, log_format="text") as server:
        server.ask("POST", "/v1/evaluate", content=LOSS, headers=made.head("ci"))
        server.ask("POST", "/v1/evaluate", content=LOSS)
        assert server.ask("GET", "/metrics", headers=made.head("ci")).status_code == 404
        aside = Server(server.process, "127.0.0.1", port, server.log)
        names = [("ci", "200"), ("ci", "404"), ("", "401")]
        # the 404 is found before anybody is asked for a key
        until(
            lambda: [value(scrape(aside), "criterion_key_requests_total", key=key, status=status) for key, status in names],
            [1.0, 0.0, 1.0],
        )
        assert server.end() == 0
    log = server.log.read_text()
    assert re.search(r"info     ready url=http://127\.0\.0\.1:\d+ docs=\S+/docs", log)
    assert re.search(r"info     request .* key=ci .* status=200", log)
    assert made.keys["ci"] not in log


def test_parts_that_are_left_are_gone_on_with_and_stay_in_the_sums() -> None:
    memory = SharedMemory(Tally.memory_bytes(1))
    first = Tally(memory)
    first.claim()
    first.add("requests", "a", amount=2.0)
    first.set("busy", value=1.0)
    wide = first.place("traffic", width=3)
    first.cells[wide + 2] = 5.0
    second = Tally(memory)
    second.claim({"busy"})  # the same part, since it is this process's own
    second.add("requests", "a")
    second.add("requests", "b", amount=4.0)
    assert second.totals() == {
        ("requests", "a"): [3.0],
        ("busy",): [0.0],
        ("traffic",): [0.0, 0.0, 5.0],
        ("requests", "b"): [4.0],
    }
