"""The publisher for programs without an event loop: views, Celery tasks, scripts; any thread, any fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from hub.engine.notifying import NotifyAnswer
from hub.errors import EngineUnavailable, HubError
from hub.model import PublishResult
from hub.publisher.async_publisher import (
    MAX_CHANNEL_LENGTH,
    MAX_DATA_BYTES,
    SCHEMA_REFRESH_S,
    Publisher,
)
from hub.publisher.loop_thread import LoopThread
from hub.publisher.new_publication import NewPublication

T = TypeVar("T")

_everyone: weakref.WeakSet[SyncPublisher] = weakref.WeakSet()
_inherited: list[object] = []
"""What a forked process got from its parent. Never touched nor freed: its sockets are the parent's too."""


class SyncPublisher:
    """As :class:`~hub.publisher.Publisher`, by calls that return when they are done.

    Made once, shared by all threads of a process; what several threads publish at the same time
    goes to Redis together. One thread in the background, begun by the first call, holds the
    connections. A process that is forked gets a thread and connections of its own by its first call.

    Arguments, results and errors are those of ``Publisher``.
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
        def make() -> Publisher:
            return Publisher(
                url,
                prefix=prefix,
                partitions=partitions,
                timeout_s=timeout_s,
                connect_timeout_s=connect_timeout_s,
                max_data_bytes=max_data_bytes,
                max_channel_length=max_channel_length,
                schema_refresh_s=schema_refresh_s,
            )

        make()  # what cannot be meant is refused here, not at the first publication
        self._make = make
        self._closed = False
        self._lock = threading.Lock()
        self._running: tuple[Publisher, LoopThread, weakref.finalize[Any, Any]] | None = None
        _everyone.add(self)

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            # Its block never begins, so nobody would end the thread.
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect and read how the hubs want it. Not needed: the first publication does it."""
        self._call(lambda publisher: publisher.open())

    def close(self) -> None:
        """Close every connection and end the thread. Idempotent; also done when the program ends."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running[2]()

    def publish(
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
        """As :meth:`Publisher.publish`."""
        return self._call(
            lambda publisher: publisher.publish(
                channel,
                data,
                opaque=opaque,
                tags=tags,
                idempotency_key=idempotency_key,
                delta=delta,
                version=version,
                version_epoch=version_epoch,
                skip_history=skip_history,
            )
        )

    def broadcast(
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
        """As :meth:`Publisher.broadcast`."""
        return self._call(
            lambda publisher: publisher.broadcast(
                channels,
                data,
                opaque=opaque,
                tags=tags,
                idempotency_key=idempotency_key,
                delta=delta,
                version=version,
                version_epoch=version_epoch,
                skip_history=skip_history,
            )
        )

    def publish_many(self, publications: Iterable[NewPublication]) -> list[PublishResult | HubError]:
        """As :meth:`Publisher.publish_many`."""
        news = list(publications)  # here: they may come from a database cursor of this thread
        return self._call(lambda publisher: publisher.publish_many(news))

    def notify(
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
        """As :meth:`Publisher.notify`."""
        several = users if isinstance(users, str) else list(users)
        return self._call(
            lambda publisher: publisher.notify(
                several,
                data,
                notification=notification,
                overrides=overrides,
                id=id,
                ttl_s=ttl_s,
                priority=priority,
                fallback=fallback,
            )
        )

    def _call(self, work: Callable[[Publisher], Coroutine[Any, Any, T]]) -> T:
        publisher, thread = self._start()
        try:
            return thread.call(lambda: work(publisher))
        except CancelledError:
            raise EngineUnavailable("the publisher was closed; whether it happened is unknown") from None

    def _start(self) -> tuple[Publisher, LoopThread]:
        with self._lock:
            if self._closed:
                raise RuntimeError("this publisher was closed")
            if self._running is None:
                publisher = self._make()
                thread = LoopThread("hub publisher", publisher.close)
                self._running = publisher, thread, weakref.finalize(self, thread.end)
            return self._running[:2]

    def _forget(self) -> None:
        """In a forked process: the thread did not come along, and a lock may be held for ever."""
        self._lock = threading.Lock()
        if self._running is not None:
            self._running[2].detach()
            _inherited.append(self._running)
            self._running = None


def _forget_all() -> None:
    for publisher in list(_everyone):
        publisher._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
