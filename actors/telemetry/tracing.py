"""Traces: where the time of a request went, from its arrival to the CLI and back.

Off unless ``[tracing]`` names a collector; then nothing here costs more than a call of a method
that does nothing, and OpenTelemetry (the extra ``otel``) need not be installed. A span's name and
its ids are sent, never a prompt, an answer or an error's text.

What ties the spans of several processes together is one string, W3C's ``traceparent``. It comes
from the caller or is made with the first span, travels with the request and stands in its durable
intent; so the spans of an execution that outlived its actor belong together all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_trace() -> str | None:
    """The trace that the caller's code runs in, where there is one."""
    return _current.get()


@contextmanager
def within(trace: str | None) -> Iterator[None]:
    """Let calls to the pool in this block belong to a trace."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


class Tracing:
    """What a part of a pool gives its spans to. This one forgets them."""

    @contextmanager
    def span(self, name: str, parent: str | None, **attributes: str) -> Iterator[str | None]:
        """A span as long as the block. Yields the trace for what happens in it, or None; an error
        that leaves the block marks the span as failed.
        """
        del name, parent, attributes
        yield None

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
        """A span of something that is over. Nothing, where it belongs to no trace."""

    async def close(self) -> None:
        """Send what is left, within some seconds."""


OFF = Tracing()
