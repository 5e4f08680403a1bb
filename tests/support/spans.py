"""A collector of OpenTelemetry's spans on a free port, which keeps what it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.http_server import serving


@dataclass(frozen=True)
class SeenSpan:
    """One span, as it came. Ids are hex; ``parent`` is empty for a first one."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    node: str
    facts: dict[str, str]


@dataclass
class Collector:
    """What came, in the order it came."""

    url: str = ""
    spans: list[SeenSpan] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def named(self, name: str, timeout_s: float = 15.0) -> SeenSpan:
        """The first span of this name, as soon as it is here.

        Raises:
            TimeoutError: when it does not come.
        """

        def find() -> SeenSpan | None:
            return next((span for span in self.spans if span.name == name), None)

        async with asyncio.timeout(timeout_s), self.came:
            await self.came.wait_for(find)
        found = find()
        assert found is not None
        return found

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw.append(body)
        told = ExportTraceServiceRequest.FromString(body)
        async with self.came:
            for resource in told.resource_spans:
                about = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans += (
                        SeenSpan(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            about.get("service.name", ""),
                            about.get("service.instance.id", ""),
                            {
                                each.key: each.value.string_value or str(each.value.int_value)
                                for each in span.attributes
                            },
                        )
                        for span in scope.spans
                    )
            self.came.notify_all()
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")


@contextlib.asynccontextmanager
async def span_collector() -> AsyncIterator[Collector]:
    """A collector for the length of the block."""
    collector = Collector()
    app = Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])
    async with serving(app) as url:
        collector.url = url
        yield collector
