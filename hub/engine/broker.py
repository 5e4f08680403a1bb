"""Port: the streams. Publish, keep history, tell nodes what was published.

The engine behind it decides where streams live. Knows no connection and no codec.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hub.engine.jobs import NewNotice
from hub.model import (
    ClientInfo,
    HistoryFilter,
    HistoryPage,
    HistoryPolicy,
    Position,
    Publication,
    PublishResult,
)


class BrokerEvents(Protocol):
    """How a broker tells its node what happened. Called in the order of the stream, never awaited."""

    def on_publication(self, channel: str, publication: Publication, position: Position | None) -> None:
        """A publication arrived; ``position`` is None where the channel keeps no history."""
        ...

    def on_join(self, channel: str, info: ClientInfo) -> None:
        """Somebody subscribed."""
        ...

    def on_leave(self, channel: str, info: ClientInfo) -> None:
        """Somebody left."""
        ...

    def on_doubt(self, channels: Collection[str] | None) -> None:
        """Publications of these channels (None: of all) may have been lost without a trace.

        The positions of these channels should be compared with :meth:`Broker.positions`.
        """
        ...


class Broker(Protocol):
    """Streams and their live fan-out.

    Every method but the callbacks may raise ``EngineUnavailable``. Between a return of
    :meth:`subscribe` and the call of :meth:`unsubscribe`, every publication to the channel
    is given to the events sink, or its loss shows as a jump of offsets.
    """

    async def start(self, events: BrokerEvents) -> None:
        """Begin to deliver to ``events``."""
        ...

    async def stop(self) -> None:
        """Deliver nothing more and free what is held."""
        ...

    async def subscribe(self, channel: str) -> None:
        """Listen to the channel on this node. Idempotent."""
        ...

    async def unsubscribe(self, channel: str) -> None:
        """Listen no longer. Idempotent."""
        ...

    async def publish(
        self,
        channel: str,
        publication: Publication,
        policy: HistoryPolicy,
        *,
        idempotency_key: str = "",
        idempotency_ttl_s: int = 300,
        version: int = 0,
        version_epoch: str = "",
        job: NewNotice | None = None,
    ) -> PublishResult:
        """Append (where the policy keeps anything) and fan out, as one step.

        A ``job`` is queued in the same step, unless nothing is published; with too many jobs
        waiting, nothing is published and ``HubError`` 1012 is raised.

        The engine fills offset and time of the publication. A known ``idempotency_key``,
        or a ``version`` that is not greater than the last one of the same
        ``version_epoch``, publishes nothing.
        """
        ...

    async def publish_join(self, channel: str, info: ClientInfo) -> None:
        """Tell every node that listens that ``info`` joined. Not stored."""
        ...

    async def publish_leave(self, channel: str, info: ClientInfo) -> None:
        """Tell every node that listens that ``info`` left. Not stored."""
        ...

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        """Read the stream and its top in one step. Reading creates the stream's epoch.

        The epoch of ``since`` is not compared: the caller sees both epochs and decides.
        """
        ...

    async def positions(self, channels: Sequence[tuple[str, HistoryPolicy]]) -> list[Position]:
        """The tops of several streams, in the order asked. Creates epochs as :meth:`history` does."""
        ...

    async def remove_history(self, channel: str) -> None:
        """Drop the kept publications; offset and epoch stay."""
        ...
