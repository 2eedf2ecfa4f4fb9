"""The exporter of spans: none, unless an endpoint is configured."""

from __future__ import annotations

from actors.telemetry.tracing import OFF, Tracing
from pool.errors import ConfigError


def tracing_to(endpoint: str | None, part: str) -> Tracing:
    """Where a part of the pool sends its spans; ``ConfigError`` where OpenTelemetry is not
    installed.
    """
    if endpoint is None:
        return OFF
    try:
        from actors.telemetry.collector import OtelTracing  # noqa: PLC0415 - only who wants traces needs its packages
    except ImportError:
        raise ConfigError(
            "tracing.endpoint",
            "needs OpenTelemetry: pip install 'claude-subscription-pool[otel]', or leave it out",
        ) from None
    return OtelTracing(endpoint, part)
