"""Where the hubs want publications, and by which rules: read from their schema in Redis, and read again.

Nothing of it is configured twice. Knows no payload.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hub.channels import ChannelOptions, ChannelRules
from hub.engine.redis import RedisOptions
from hub.engine.redis.commands import Commands
from hub.engine.redis.jobs import RedisJobs
from hub.engine.redis.keys import Keys
from hub.engine.redis.schema import Agreement, Policy, read_schema
from hub.engine.redis.stream_writer import StreamWriter
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

_OPTION_NAMES = frozenset(field.name for field in fields(ChannelOptions) if field.init)


class NoHub(EngineUnavailable):
    """No hub has started there yet, as far as is known, and nothing says how to publish. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """The way to the streams, and the rules of the channels, as of one reading of the schema."""

    commands: Commands
    writer: StreamWriter
    jobs: RedisJobs
    rules: ChannelRules
    agreement: Agreement


class OutletKeeper:
    """Keeps an :class:`Outlet` that is not older than ``refresh_s``. Of one event loop.

    ``partitions`` insists on a number of partitions; None takes that of the hubs. Opens
    nothing before :meth:`current` is asked.
    """

    def __init__(
        self, options: RedisOptions, *, partitions: int | None, refresh_s: float, max_channel_length: int
    ) -> None:
        self._options = options
        self._partitions = partitions
        self._refresh_s = refresh_s
        self._max_channel_length = max_channel_length
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outlet: Outlet | None = None
        self._read_until_s = 0.0
        self._reading: asyncio.Task[Outlet] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    async def current(self) -> Outlet:
        """The outlet, its rules at most ``refresh_s`` old. Concurrent calls share one reading.

        Raises:
            NoHub: no hub ever started where the options point.
            SchemaMismatch: the hubs work in a way this version does not know, or with other partitions.
            EngineUnavailable: Redis did not answer; nothing was sent.
            RuntimeError: after :meth:`close`, or on another event loop than before.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RuntimeError("this publisher was closed")
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("this publisher belongs to another event loop: make one for each loop")
        if self._outlet is not None and loop.time() < self._read_until_s:
            return self._outlet
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="publisher schema")
            self._reading.add_done_callback(_retrieve)
        reading = self._reading
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            if self._closed and reading.cancelled():
                raise EngineUnavailable("the publisher was closed; nothing was sent") from None
            raise

    def doubt(self) -> None:
        """Read the schema before anything else is sent: Redis, or who runs on it, may be another now."""
        self._read_until_s = 0.0

    async def close(self) -> None:
        """Close every connection; what is under way fails. Idempotent."""
        self._closed = True
        tasks: list[asyncio.Task[Any]] = [*self._retiring]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            await outlet.commands.stop()

    async def _read(self) -> Outlet:
        asked_at_s = asyncio.get_running_loop().time()
        timeout_s = self._options.command_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                outlet = await (self._open() if self._outlet is None else self._renew(self._outlet))
        except TimeoutError:
            raise EngineUnavailable(f"Redis did not tell the schema within {timeout_s:g} s") from None
        self._outlet = outlet
        self._read_until_s = asked_at_s + self._refresh_s
        return outlet

    async def _open(self) -> Outlet:
        # With no partition at all: where no hub ever was, not even a term is written.
        keys = Keys(self._options.prefix, 0)
        commands = Commands(self._options, keys)
        await commands.start()
        try:
            agreement = await read_schema(commands, keys, self._partitions)
        finally:
            await commands.stop()
        if agreement is None:
            raise NoHub(
                f"no hub has started on this Redis with the prefix {self._options.prefix!r} yet: "
                "start one, or compare the URL, its database and the prefix with those of the hubs"
            )
        return await self._open_with(agreement)

    async def _open_with(self, agreement: Agreement) -> Outlet:
        keys = Keys(self._options.prefix, agreement.partitions)
        commands = Commands(replace(self._options, partitions=agreement.partitions), keys)
        await commands.start()
        return Outlet(
            commands,
            StreamWriter(commands, keys),
            RedisJobs(commands, keys),
            self._rules_of(agreement.namespaces),
            agreement,
        )

    async def _renew(self, outlet: Outlet) -> Outlet:
        keys = Keys(self._options.prefix, 0)
        agreement = await read_schema(outlet.commands, keys, self._partitions)
        if agreement is None:
            # Redis was emptied. Hubs that live write the schema anew within seconds, and it will be the same.
            return outlet
        if agreement.partitions != outlet.agreement.partitions:
            log.warning("the hubs have %d partitions now; following them", agreement.partitions)
            renewed = await self._open_with(agreement)
            self._retire(outlet)
            return renewed
        if agreement.policy != outlet.agreement.policy:
            log.info("the hubs have other namespaces now; following them")
            return replace(outlet, rules=self._rules_of(agreement.namespaces), agreement=agreement)
        return outlet

    def _rules_of(self, namespaces: Policy) -> ChannelRules:
        options = {name: _options_of(told) for name, told in namespaces.items()}
        without_namespace = options.pop("", ChannelOptions())
        return ChannelRules(without_namespace, options, max_length=self._max_channel_length)

    def _retire(self, outlet: Outlet) -> None:
        """Let what is under way on it be answered first."""

        async def stop_later() -> None:
            try:
                await asyncio.sleep(self._options.command_timeout_s)
            finally:
                await outlet.commands.stop()

        task = asyncio.create_task(stop_later(), name="publisher retires connections")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _options_of(told: Mapping[str, Any]) -> ChannelOptions:
    """The options of a namespace. One that a newer hub knows is left out: older hubs would do the same."""
    known = {name: value for name, value in told.items() if name in _OPTION_NAMES}
    if "allowed_delta_types" in known:
        known["allowed_delta_types"] = tuple(known["allowed_delta_types"])
    return ChannelOptions(**known)


def _retrieve(reading: asyncio.Task[Outlet]) -> None:
    """Whoever waited may have gone: then nobody else looks at the error."""
    if not reading.cancelled():
        reading.exception()
