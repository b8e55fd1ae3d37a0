"""Spans for OpenTelemetry: one of each request, and under it one of each piece of work that a process did for it.

They are made from what was noted on the way, once a request has ended: on its way nothing is added. Nothing of OpenTelemetry is
loaded unless a collector is named by OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT); its other variables hold as well.
"""

import logging
import os
import time
from collections.abc import Mapping
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from app.serving.exchange import Exchange
from app.serving.log import tell
from app.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger("criterion")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
END_SECONDS = 2.0
"""How long the last spans may take on their way while the server ends."""
Attribute = str | int | float


class Traces(Protocol):
    """Whoever takes spans."""

    def tell(self, exchange: Exchange, name: str, attributes: Mapping[str, Attribute], failed: str | None) -> None:
        """A request that has ended; `failed` is the kind of the error that the server is to blame for."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


def collected() -> bool:
    """Whether somebody collects spans."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def to_collector() -> Traces | None:
    """Spans for the collector that the variables name: they go in batches, from a thread. To load this takes half a second.

    None, and a line in the log, where OpenTelemetry is not installed or does not take what its variables say.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return _traces(OTLPSpanExporter())
    except (ImportError, ValueError) as error:
        tell(log, logging.WARNING, "no_traces", reason=str(error))
        return None


def _traces(exporter: "SpanExporter") -> Traces:
    from opentelemetry import trace
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "criterion"}
    provider = TracerProvider(resource=Resource.create({**named, SERVICE_VERSION: VERSION}), shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("criterion", VERSION)
    carried = TraceContextTextMapPropagator()

    class Collected:
        def tell(self, exchange: Exchange, name: str, attributes: Mapping[str, Attribute], failed: str | None) -> None:
            began = time.time_ns() - time.perf_counter_ns()

            def nanoseconds(seconds: float) -> int:
                return began + int(seconds * 1e9)

            head = {field: exchange.listed(field.encode()) for field in ("traceparent", "tracestate")}
            span = tracer.start_span(
                name, carried.extract(head), trace.SpanKind.SERVER, attributes, start_time=nanoseconds(exchange.began)
            )
            if failed is not None:
                span.set_attribute("error.type", failed)
                span.set_status(trace.StatusCode.ERROR)
            for turn in exchange.turns:
                if turn.began and turn.ended:
                    within = trace.set_span_in_context(span)
                    work = tracer.start_span(f"{turn.lane} work", within, start_time=nanoseconds(turn.began))
                    work.end(nanoseconds(turn.ended))
            span.end(nanoseconds(exchange.began + exchange.seconds))

        def close(self) -> None:
            ending = Thread(target=processor.shutdown, daemon=True)  # which waits for half a minute where nobody answers
            ending.start()
            ending.join(END_SECONDS)

    return Collected()
