"""What the hub tells of itself: metrics and traces."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class MetricsSettings(Section):
    """`/metrics` of a hub, for Prometheus; on the internal port, where there is one, for all who reach it."""

    enabled: bool = True
    """Measure, and serve `/metrics`."""
    loopback: bool = True
    """Without an internal port: serve it to callers on this machine who ask for it by a name of this \
machine. Everybody else needs an API key with the scope `admin`. Turn it off where a proxy on this machine \
serves the public, adds no `X-Forwarded-For` and is not in `http.trusted_proxies`."""


class TracingSettings(Section):
    """Spans of API requests, engine calls and pushes, sent by OTLP over HTTP. Needs the extra `tracing`."""

    endpoint: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Base address of a collector, such as `http://localhost:4318`. `OTEL_EXPORTER_OTLP_ENDPOINT` stands in \
for it. Empty: nothing is traced. Headers, sampling and the rest are set by the variables of OpenTelemetry."""
    service_name: str = Field(default="realtime-push-hub", min_length=1)
    """What traces call this service. `OTEL_SERVICE_NAME` stands in for it."""
