"""Spans by OpenTelemetry, sent to a collector over OTLP/HTTP.

They are sent in batches by a thread of their own. While a collector does not answer, the newest
2,048 wait and others are dropped; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors.telemetry.tracing import Tracing

EXPORT_SECONDS = 3.0
"""How long a collector may take for a batch; a stop of the pool waits for the last one."""
SPACING_MILLISECONDS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_W3C = TraceContextTextMapPropagator()


class OtelTracing(Tracing):
    """Sends spans to the collector at ``endpoint``."""

    def __init__(self, endpoint: str, part: str) -> None:
        resource = {"service.name": "claude-pool", "service.instance.id": part}
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS
        )
        self._provider = TracerProvider(resource=Resource(resource), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                schedule_delay_millis=SPACING_MILLISECONDS,
                export_timeout_millis=EXPORT_SECONDS * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("claude-pool")

    @contextmanager
    def span(self, name: str, parent: str | None, **attributes: str) -> Iterator[str | None]:
        kind = SpanKind.SERVER if name == "request" else SpanKind.INTERNAL
        span = self._tracer.start_span(name, _context(parent), kind, attributes)
        try:
            yield _traceparent(span)
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    def record(
        self,
        name: str,
        parent: str | None,
        begun_at: datetime,
        ended_at: datetime,
        *,
        failed: bool = False,
        **attributes: str,
    ) -> None:
        if parent is None:
            return
        span = self._tracer.start_span(
            name, _context(parent), attributes=attributes, start_time=_nanoseconds(begun_at)
        )
        if failed:
            _fail(span, attributes.get("outcome", ""))
        span.end(max(_nanoseconds(begun_at), _nanoseconds(ended_at)))

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)


def _fail(span: Span, why: str) -> None:
    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


def _context(trace: str | None) -> Context:
    """A trace's context. One that is no ``traceparent`` is as none: a new trace begins."""
    return _W3C.extract({} if trace is None else {"traceparent": trace}, Context())


def _traceparent(span: Span) -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
