"""Spans of requests, engine calls and pushes, sent by OTLP over HTTP.

Imported only where an endpoint is set: it needs packages that not everybody installs. Says which
methods, lanes and ids, never what was said in them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.log_context import saying_trace

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACED_PATHS = ("/api/", "/client/")
_TRUSTED_PATHS = ("/api/",)
"""Where callers may say what their request is a part of. Anybody's phone may not."""
_NAME_SEGMENTS = 4

Port = TypeVar("Port")


class Tracing:
    """Makes spans of one process and sends them; ``endpoint`` is the base address of the collector."""

    def __init__(self, endpoint: str, *, service: str, version: str, node: str) -> None:
        about = {"service.name": service, "service.version": version, "service.instance.id": node}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hub", version)

    def stop(self) -> None:
        """Send what is left. Blocks for as long as that takes."""
        self._provider.shutdown()

    def traceparent(self) -> str:
        """The span that is open here, as W3C Trace Context; empty for none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    @contextmanager
    def span(self, name: str, *, parent: str = "", outward: bool = False, **facts: Any) -> Iterator[OpenSpan]:
        """As :class:`workers.tracing.WorkerTracer` has it."""
        context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        attributes = {f"hub.{fact}": value for fact, value in facts.items()}
        kind = SpanKind.CLIENT if outward else SpanKind.CONSUMER if parent else SpanKind.INTERNAL
        with self._open(name, kind, context, attributes) as span:
            yield OpenSpan(span)

    def app(self, app: ASGIApp) -> ASGIApp:
        """``app``, with a span for each request of the server API and of apps."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            path: str = scope.get("path", "")
            if scope["type"] != "http" or not path.startswith(_TRACED_PATHS):
                await app(scope, receive, send)
                return
            name = f"{scope['method']} {'/'.join(path.split('/')[:_NAME_SEGMENTS])[:64]}"
            attributes = {"http.request.method": scope["method"]}
            with self._open(name, SpanKind.SERVER, _caller_of(scope, path), attributes) as span:

                async def send_noted(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            span.set_status(Status(StatusCode.ERROR))
                    await send(message)

                await app(scope, receive, send_noted)

        return traced

    def port(self, port: Port, name: str, methods: Collection[str]) -> Port:
        """``port``, with a span for each call of ``methods`` that happens within another span."""
        return cast(Port, _TracedPort(self, port, name, methods))

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """A span for a call of the engine, where one is open."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        with self._open(name, SpanKind.CLIENT, None, {}):
            yield

    @contextmanager
    def _open(
        self, name: str, kind: SpanKind, context: Context | None, attributes: dict[str, Any]
    ) -> Iterator[trace.Span]:
        # Texts of errors are not for everybody who may look at traces: their kind must do.
        with (
            self._tracer.start_as_current_span(
                name,
                context=context,
                kind=kind,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            saying_trace(format(span.get_span_context().trace_id, "032x")),
        ):
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


class OpenSpan:
    """A span that is open."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **facts: Any) -> None:
        """Add what became known meanwhile."""
        for fact, value in facts.items():
            self._span.set_attribute(f"hub.{fact}", value)

    def fail(self, reason: str) -> None:
        """It came to nothing."""
        self._span.set_status(Status(StatusCode.ERROR, reason))


class _TracedPort:
    """Stands in front of a port; what is not traced goes straight through."""

    def __init__(self, tracing: Tracing, port: Any, name: str, methods: Collection[str]) -> None:
        self._port = port
        for method in methods:
            setattr(self, method, _traced_method(tracing, f"{name} {method}", getattr(port, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _traced_method(
    tracing: Tracing, name: str, method: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **named: Any) -> Any:
        with tracing.call(name):
            return await method(*args, **named)

    return call


def _caller_of(scope: Scope, path: str) -> Context | None:
    if not path.startswith(_TRUSTED_PATHS):
        return None
    headers = {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    return _PROPAGATOR.extract(headers) if headers else None
