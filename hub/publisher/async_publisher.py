"""The publisher for programs with an event loop. Decides nothing itself: rules and streams are the hubs'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from hub.delivery.notification import Notification
from hub.engine.notifying import FULL_TRACE_USERS, NotifyAnswer, distinct_users, enqueue
from hub.engine.redis import RedisOptions
from hub.engine.redis.address import parse_address
from hub.errors import RESERVED_CHANNEL, EngineUnavailable, HubError
from hub.model import NO_HISTORY, Publication, PublishResult
from hub.publisher.new_publication import NewPublication, check_fields, payload_of
from hub.publisher.outlet import Outlet, OutletKeeper

MAX_DATA_BYTES = 1024 * 1024
MAX_CHANNEL_LENGTH = 255
SCHEMA_REFRESH_S = 5.0

_AT_ONCE = 1000
_BYTES_AT_ONCE = 16 * 1024 * 1024
"""Publications that are under way together; the next ones follow when all of these are answered."""

_Prepared = tuple[NewPublication, bytes | HubError]


class Publisher:
    """Publishes to the channels of the hubs that share a Redis.

    Made once, shared by everything on one event loop; connects when it is first used, or as
    ``async with``. What is asked in the same turn of the loop goes to Redis as one write.

    Partitions and namespaces are those of the hubs, read from Redis at the first use, again when
    the last reading is ``schema_refresh_s`` old, and after every failure, always before anything
    else is sent.

    Args:
        url: as the hubs' ``redis.url``: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``,
            ``redis+cluster://``.
        prefix: as the hubs' ``redis.prefix``.
        partitions: refuse to publish if the hubs have another number of partitions; None takes theirs.
        timeout_s: for one command, and for finding out how to publish, each.
        connect_timeout_s: for reaching one server.
        max_data_bytes: for the data of one publication.
        max_channel_length: as the hubs' ``channels.max_length``.
        schema_refresh_s: how old the namespaces may be that a publication is made by.

    Raises:
        ValueError: for a URL or another argument that cannot be meant.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "hub:",
        partitions: int | None = None,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 3.0,
        max_data_bytes: int = MAX_DATA_BYTES,
        max_channel_length: int = MAX_CHANNEL_LENGTH,
        schema_refresh_s: float = SCHEMA_REFRESH_S,
    ) -> None:
        parse_address(url)
        if min(timeout_s, connect_timeout_s, schema_refresh_s, max_data_bytes, max_channel_length) <= 0:
            raise ValueError("timeouts and limits must be above 0")
        options = RedisOptions(
            url, prefix=prefix, command_timeout_s=timeout_s, connect_timeout_s=connect_timeout_s
        )
        self._max_data_bytes = max_data_bytes
        self._keeper = OutletKeeper(
            options,
            partitions=partitions,
            refresh_s=schema_refresh_s,
            max_channel_length=max_channel_length,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and read how the hubs want it. Not needed: the first publication does it.

        Raises:
            NoHub, SchemaMismatch, EngineUnavailable: as :meth:`publish`.
        """
        await self._keeper.current()

    async def close(self) -> None:
        """Close every connection. What is under way fails with an unknown outcome. Idempotent."""
        await self._keeper.close()

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        opaque: bool = False,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
        skip_history: bool = False,
    ) -> PublishResult:
        """Publish to everybody who listens to ``channel``, on any hub. Fields: :class:`NewPublication`.

        Raises:
            HubError: 102 or 107 for the channel, 1014 for one of the hubs' own, 107 or 1006 for the
                data or another field; nothing was sent.
            EngineUnavailable: whether it was published is unknown; ask again with the same
                ``idempotency_key``.
            NoHub: an ``EngineUnavailable``: no hub ever started there; nothing was sent.
            SchemaMismatch: the hubs have other partitions than was insisted on, or are of a version
                that this one does not understand; nothing was sent.
        """
        new = NewPublication(
            channel=channel,
            data=data,
            opaque=opaque,
            tags=tags,
            idempotency_key=idempotency_key,
            delta=delta,
            version=version,
            version_epoch=version_epoch,
            skip_history=skip_history,
        )
        payload = self._payload(new)
        return await self._send(await self._keeper.current(), new, payload)

    async def broadcast(
        self,
        channels: Iterable[str],
        data: Any,
        *,
        opaque: bool = False,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
        skip_history: bool = False,
    ) -> list[PublishResult | HubError]:
        """Publish the same to many channels; the key counts in each of them by itself.

        The outcomes are in the order of ``channels``: a result, or the error that :meth:`publish`
        would have raised for that one.

        Raises:
            HubError: 107 or 1006 for the data or another field; nothing was sent.
            EngineUnavailable, SchemaMismatch: it could not even begin; nothing was sent.
        """
        if isinstance(channels, str):
            raise TypeError("channels is one text: a broadcast takes several channels")
        news = [
            NewPublication(
                channel=channel,
                data=data,
                opaque=opaque,
                tags=tags,
                idempotency_key=idempotency_key,
                delta=delta,
                version=version,
                version_epoch=version_epoch,
                skip_history=skip_history,
            )
            for channel in channels
        ]
        if not news:
            return []
        payload = self._payload(news[0])
        return await self._send_all([(new, payload) for new in news])

    async def publish_many(self, publications: Iterable[NewPublication]) -> list[PublishResult | HubError]:
        """Publish many different things with as few round trips as possible.

        The outcomes are in the order asked for: a result, or the error that :meth:`publish` would
        have raised for that one; the others are not touched by it. Publications to one channel
        keep their order, as long as Redis moves no partition meanwhile.

        Raises:
            EngineUnavailable, SchemaMismatch: it could not even begin; nothing was sent.
        """
        news = list(publications)
        if not news:
            return []
        payloads: list[_Prepared] = []
        for new in news:
            try:
                payloads.append((new, self._payload(new)))
            except HubError as error:
                payloads.append((new, error))
        return await self._send_all(payloads)

    async def notify(
        self,
        users: Iterable[str],
        data: Any = None,
        *,
        notification: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        id: str = "",
        ttl_s: int = 86_400,
        priority: Literal["high", "normal"] = "high",
        fallback: Literal["push", "none"] = "push",
    ) -> NotifyAnswer:
        """Notify users, each device once. Fields: ``notify`` of the server API.

        It is noted in one step, as a job that the workers expand: they must run. The same ``id``
        with the same users and body again answers with ``duplicate`` and notifies nobody twice.

        Raises:
            HubError: 107, 1006 or 1007 for what cannot be meant or is too much, 1005 for an id that was
                used otherwise, 1012 when too many jobs wait; nothing was noted.
            EngineUnavailable, NoHub, SchemaMismatch: as :meth:`publish`.
        """
        if isinstance(users, str):
            raise TypeError("users is one text: notify takes several users")
        distinct = distinct_users(list(users))
        wanted = Notification(
            created_ms=int(time.time() * 1000),
            id=id,
            data=None if data is None else payload_of(data, opaque=False, max_bytes=self._max_data_bytes),
            shown=notification or {},
            overrides=overrides or {},
            ttl_s=ttl_s,
            priority=priority,
            fallback=fallback,
            full_trace=len(distinct) <= FULL_TRACE_USERS,
        )
        wanted.entry()  # what is too large is refused before anything is asked
        outlet = await self._keeper.current()
        try:
            return await enqueue(outlet.jobs, wanted, distinct)
        except EngineUnavailable:
            self._keeper.doubt()
            raise

    def _payload(self, new: NewPublication) -> bytes:
        check_fields(new)
        return payload_of(new.data, opaque=new.opaque, max_bytes=self._max_data_bytes)

    async def _send_all(self, prepared: Sequence[_Prepared]) -> list[PublishResult | HubError]:
        outcomes: list[PublishResult | HubError] = []
        outlet = await self._keeper.current()
        for some in _portions(prepared):
            outcomes += await asyncio.gather(*(self._outcome(outlet, *one) for one in some))
        return outcomes

    async def _outcome(
        self, outlet: Outlet, new: NewPublication, payload: bytes | HubError
    ) -> PublishResult | HubError:
        if isinstance(payload, HubError):
            return payload
        try:
            return await self._send(outlet, new, payload)
        except HubError as error:
            return error

    async def _send(self, outlet: Outlet, new: NewPublication, payload: bytes) -> PublishResult:
        name, options = outlet.rules.resolve(new.channel)
        if name.reserved:
            raise HubError(RESERVED_CHANNEL, "only the hub itself writes to inboxes")
        publication = Publication(
            data=payload, tags=new.tags or None, delta=new.delta or options.delta_publish
        )
        try:
            return await outlet.writer.publish(
                new.channel,
                publication,
                NO_HISTORY if new.skip_history else options.history,
                idempotency_key=new.idempotency_key,
                version=new.version,
                version_epoch=new.version_epoch,
            )
        except EngineUnavailable:
            self._keeper.doubt()
            raise


def _portions(prepared: Sequence[_Prepared]) -> Iterator[list[_Prepared]]:
    """In order, bounded in number and, but for a single one, in bytes."""
    portion: list[_Prepared] = []
    waiting_bytes = 0
    for one in prepared:
        size = len(one[1]) if isinstance(one[1], bytes) else 0
        if portion and (len(portion) >= _AT_ONCE or waiting_bytes + size > _BYTES_AT_ONCE):
            yield portion
            portion, waiting_bytes = [], 0
        portion.append(one)
        waiting_bytes += size
    if portion:
        yield portion
