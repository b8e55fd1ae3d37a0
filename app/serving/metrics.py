"""The metrics of all processes of a server, as Prometheus reads them. Every label is of a closed list."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from app.jobs.database import Unreachable
from app.jobs.store import Store
from app.serving.content import Content
from app.serving.tally import Series, Tally
from app.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REASONS = (
    "unauthorized",
    "forbidden",
    "quota",
    "queue_full",
    "busy",
    "budget",
    "shutting_down",
    "malformed",
    "head",
    "timeout",
    "too_large",
    "media_type",
    "invalid",
    "limit",
    "not_found",
    "method",
    "host",
    "cross_site",
    "client_left",
)
"""Why requests are refused: the words of app.errors."""
DEATHS = ("killed", "deadline", "memory", "client_left")
"""Why a process of the pool ends before its time."""


class Described(NamedTuple):
    """A metric: what it is, and the names of its labels."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Described] = {
    "criterion_requests": Described("counter", "Requests answered, refused or cut (499).", ("call", "loss", "status")),
    "criterion_received_bytes": Described("counter", "Content of requests, as on the wire.", ("call",)),
    "criterion_sent_bytes": Described("counter", "Content of answers, as on the wire.", ("call",)),
    "criterion_samples": Described("counter", "Rows evaluated.", ("call", "loss")),
    "criterion_requests_in_progress": Described("gauge", "Requests that are being answered.", ("call",)),
    "criterion_refused": Described("counter", "Requests and connections refused or cut.", ("reason",)),
    "criterion_key_requests": Described("counter", "Requests by the name of their key.", ("key", "status")),
    "criterion_pool_processes": Described("gauge", "Processes for large requests and training runs.", ("state",)),
    "criterion_pool_deaths": Described("counter", "Such processes that ended before their time.", ("reason",)),
    "criterion_queue_length": Described("gauge", "Requests that wait for a process.", ("queue",)),
    "criterion_queue_limit": Described("gauge", "Requests that may wait.", ("queue",)),
    "criterion_budget_bytes": Described("gauge", "Bytes that bodies and answers in flight may take."),
    "criterion_budget_used_bytes": Described("gauge", "Bytes that they take now."),
    "criterion_jobs": Described("gauge", "Jobs that are queued or running.", ("kind", "status")),
    "criterion_jobs_ended": Described("counter", "Jobs that have succeeded, failed or been cancelled.", ("kind", "status")),
    "criterion_keys_reload_failures": Described("counter", "Changes of the file of keys that could not be read."),
}
DURATION = "criterion_request_duration_seconds"
DURATION_HELP = "From the arrival of a request's head to the last byte of its answer."
TRAFFIC = "traffic"
"""The cells of one call: its duration's sum, bytes in and out, and how many requests took so long."""
TRAFFIC_WIDTH = 3 + len(BUCKETS) + 1
PASSING = frozenset(name for name, described in METRICS.items() if described.kind == "gauge")
"""What is true of a process while it lives."""


class Meter:
    """Counts requests. It is used once for each, so the cells are looked up and not the labels."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._requests: dict[tuple[str, str, int], tuple[int, int, int]] = {}
        self._names: dict[tuple[str, int], int] = {}

    def begin(self) -> None:
        """Count in a part of this process's own."""
        tally = self._tally
        tally.claim(PASSING)
        for reason in REASONS:
            tally.add("criterion_refused", reason, amount=0.0)
        for reason in DEATHS:
            tally.add("criterion_pool_deaths", reason, amount=0.0)
        tally.add("criterion_keys_reload_failures", amount=0.0)

    def count(self, call: str, loss: str, status: int, seconds: float, received: int, sent: int, samples: int) -> None:
        """One request, at its end."""
        places = self._requests.get((call, loss, status)) or self._new(call, loss, status)
        requests, traffic, rows = places
        cells = self._tally.cells
        cells[requests] += 1.0
        cells[traffic] += seconds
        cells[traffic + 1] += received
        cells[traffic + 2] += sent
        cells[traffic + 3 + bisect_left(BUCKETS, seconds)] += 1.0
        if samples and status == 200:
            cells[rows] += samples

    def _new(self, call: str, loss: str, status: int) -> tuple[int, int, int]:
        place = self._tally.place
        places = self._requests[call, loss, status] = (
            place("criterion_requests", call, loss, str(status)),
            place(TRAFFIC, call, width=TRAFFIC_WIDTH),
            place("criterion_samples", call, loss),
        )
        return places

    def count_name(self, name: str, status: int) -> None:
        """One request of a key's name."""
        place = self._names.get((name, status))
        if place is None:
            place = self._names[name, status] = self._tally.place("criterion_key_requests", name, str(status))
        self._tally.cells[place] += 1.0

    def refuse(self, reason: str) -> None:
        self._tally.add("criterion_refused", reason)

    def lose(self, reason: str) -> None:
        """A process of the pool has ended before its time."""
        self._tally.add("criterion_pool_deaths", reason)

    def reject_keys(self) -> None:
        self._tally.add("criterion_keys_reload_failures")

    def show(self, gauges: Mapping[Series, float]) -> None:
        """What is true now."""
        for series, value in gauges.items():
            self._tally.set(*series, value=value)


class Collector:
    """What prometheus_client asks for the sums of all processes, and for the jobs, which are in no process."""

    def __init__(self, tally: Tally, jobs: Store | None) -> None:
        self._tally, self._jobs = tally, jobs

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        totals = self._tally.totals() | self._of_jobs()
        for series, cells in _of(TRAFFIC, totals):
            totals["criterion_received_bytes", *series], totals["criterion_sent_bytes", *series] = [cells[1]], [cells[2]]
        build = GaugeMetricFamily("criterion_build_info", "The release.", labels=["version"])
        build.add_metric([VERSION], 1.0)
        yield build
        for name, (kind, text, labels) in METRICS.items():
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
            for series, cells in _of(name, totals):
                family.add_metric(series, cells[0])
            yield family
        durations = HistogramMetricFamily(DURATION, DURATION_HELP, labels=["call"])
        for series, cells in _of(TRAFFIC, totals):
            durations.add_metric(series, _cumulated(cells[3:]), cells[0])
        yield durations

    def _of_jobs(self) -> dict[Series, list[float]]:
        """How many there are, and how many have ended; nothing while their database does not answer."""
        if self._jobs is None or not self._jobs.database.exists:
            return {}
        try:
            counts, ended = self._jobs.counts()
        except Unreachable:
            return {}
        queued = sum(count for (_, status), count in counts.items() if status == "queued")
        return {
            ("criterion_queue_length", "jobs"): [float(queued)],
            ("criterion_queue_limit", "jobs"): [float(self._jobs.limit)],
            **{("criterion_jobs", *series): [float(count)] for series, count in counts.items()},
            **{("criterion_jobs_ended", *series): [float(count)] for series, count in ended.items()},
        }


def _of(name: str, totals: Mapping[Series, list[float]]) -> Iterable[tuple[Series, list[float]]]:
    return sorted((series[1:], cells) for series, cells in totals.items() if series[0] == name)


def _cumulated(counts: Sequence[float]) -> list[tuple[str, float]]:
    bounds = [*map(str, BUCKETS), "+Inf"]
    return [(bound, sum(counts[: place + 1])) for place, bound in enumerate(bounds)]


def exposition(tally: Tally, jobs: Store | None, accept: str) -> Content:
    """All metrics: OpenMetrics where Accept asks for it, else Prometheus' text."""
    from prometheus_client.exposition import choose_encoder

    encode, media_type = choose_encoder(accept)
    return Content((encode(_registry(tally, jobs)),), media_type)


def serve_metrics(tally: Tally, jobs: Store | None, host: str, port: int) -> None:
    """Serve them on a port of their own, from a thread of this process; OSError where that cannot be."""
    from prometheus_client import start_http_server

    start_http_server(port, host, _registry(tally, jobs))


def _registry(tally: Tally, jobs: Store | None) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(tally, jobs))
    return registry
