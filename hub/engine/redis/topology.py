"""Where the primaries are: one standalone server, what the Sentinels say, or the slots of a Cluster.

Answers from what it learned last and learns anew when asked to. Opens short connections of
its own; knows nothing of commands and channels.
"""

from __future__ import annotations

import abc
import asyncio
import binascii
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from hub.engine.redis.address import Endpoint, RedisAddress
from hub.engine.redis.connecting import open_sentinel, open_wire
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.wire import ReplyError, error_code
from hub.errors import EngineUnavailable

logger = logging.getLogger(__name__)

_SLOTS = 16384
_PAUSE_S = 0.1
"""Between two refreshes that failures ask for: a broken server must not make us storm the others."""


def slot_of(tag: str) -> int:
    """Slot of all keys with this hash tag (CRC16, as the Cluster specification defines it)."""
    return binascii.crc_hqx(tag.encode(), 0) % _SLOTS


class Topology(abc.ABC):
    """Tells the primary of a tag. One per engine; ``on_change`` callbacks hear of every change."""

    sharded = False
    """Whether publications go by sharded Pub/Sub (a Cluster)."""

    def __init__(self, options: RedisOptions, address: RedisAddress) -> None:
        self._options = options
        self._address = address
        self._listeners: list[Callable[[], None]] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at_s = -1.0
        self._telling = False

    @abc.abstractmethod
    def endpoint_of(self, tag: str) -> Endpoint | None:
        """The primary that serves ``tag`` as far as is known; None before it was ever found."""

    @property
    @abc.abstractmethod
    def endpoints(self) -> frozenset[Endpoint]:
        """All primaries that are known."""

    @abc.abstractmethod
    async def _learn(self) -> bool:
        """Ask, keep the answer, and tell whether it is another one than before."""

    def moved(self, slot: int, endpoint: Endpoint) -> None:  # noqa: B027 - only a Cluster redirects
        """A server said that ``slot`` is served there now. Believed at once."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever a primary changed."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Ask anew where the primaries are. Concurrent calls share one asking. Safe to cancel.

        Raises:
            EngineUnavailable: when nobody could be asked; what was known stays.
        """
        await asyncio.shield(self._refresh_task())

    def refresh_soon(self) -> None:
        """As :meth:`refresh`, in the background; a failure is logged."""
        _ = self._refresh_task()

    async def stop(self) -> None:
        """End a refresh that is under way."""
        if (task := self._refreshing) is not None:
            task.cancel()
            await asyncio.wait([task])

    def _refresh_task(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="redis topology refresh")
            self._refreshing.add_done_callback(_log_failure)
        return self._refreshing

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        since_s = loop.time() - self._refreshed_at_s
        if self._refreshed_at_s >= 0 and since_s < _PAUSE_S:
            await asyncio.sleep(_PAUSE_S - since_s)
        try:
            changed = await self._learn()
        finally:
            self._refreshed_at_s = loop.time()
        if changed:
            self._tell()

    def _tell_soon(self) -> None:
        """Slots that move come in swarms: one telling for all of one turn."""
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        logger.info("Redis primaries are now %s", ", ".join(sorted(map(str, self.endpoints))))
        for listener in self._listeners:
            listener()


class StandaloneTopology(Topology):
    """One server, the one the URL names. Its name is looked up anew with each connection."""

    def endpoint_of(self, tag: str) -> Endpoint | None:
        return self._address.seeds[0]

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        return frozenset(self._address.seeds)

    async def _learn(self) -> bool:
        return False


class SentinelTopology(Topology):
    """One primary, whom the Sentinels name.

    More than half of the known Sentinels are heard and the latest configuration among them counts, since
    one that is cut off from the others tells the past. Whether the primary really is one is seen by whoever
    connects to it.
    """

    def __init__(self, options: RedisOptions, address: RedisAddress) -> None:
        super().__init__(options, address)
        self._primary: Endpoint | None = None
        self._sentinels = frozenset(address.seeds)

    def endpoint_of(self, tag: str) -> Endpoint | None:
        return self._primary

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        return frozenset() if self._primary is None else frozenset((self._primary,))

    async def _learn(self) -> bool:
        answers: list[_SentinelAnswer] = []
        reasons: list[str] = []
        asked = {asyncio.create_task(self._ask_sentinel(sentinel)) for sentinel in self._sentinels}
        waiting = asked
        try:
            while waiting and len(answers) <= len(asked) // 2:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    match task.exception():
                        case None:
                            answers.append(task.result())
                        case EngineUnavailable() as error:
                            reasons.append(error.detail)
                        case error:
                            raise error
        finally:
            for task in waiting:
                task.cancel()
        if not answers:
            raise EngineUnavailable("no Sentinel names the primary: " + "; ".join(sorted(reasons)))
        latest = max(answers, key=attrgetter("configuration"))
        self._sentinels = frozenset(self._address.seeds).union(*(answer.others for answer in answers))
        changed = latest.primary != self._primary
        self._primary = latest.primary
        return changed

    async def _ask_sentinel(self, sentinel: Endpoint) -> _SentinelAnswer:
        name = self._address.primary_name
        wire = await open_sentinel(self._address, sentinel, timeout_s=self._options.connect_timeout_s)
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                primary, state, others = await wire.ask(
                    [
                        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name),
                        ("SENTINEL", "MASTER", name),
                        ("SENTINEL", "SENTINELS", name),
                    ]
                )
        except (TimeoutError, ConnectionError):
            raise EngineUnavailable(f"Sentinel at {sentinel} did not answer") from None
        finally:
            wire.abort()
        if not (isinstance(primary, list) and isinstance(state, list) and isinstance(others, list)):
            raise EngineUnavailable(f"Sentinel at {sentinel} knows no primary named {name!r}")
        rows = [_fields(row) for row in others]
        return _SentinelAnswer(
            Endpoint(primary[0].decode(), int(primary[1])),
            int(_fields(state)[b"config-epoch"]),
            frozenset(Endpoint(row[b"ip"].decode(), int(row[b"port"])) for row in rows),
        )


@dataclass(frozen=True, slots=True)
class _SentinelAnswer:
    """``configuration`` grows with each failover. ``others`` are the Sentinels that this one knows."""

    primary: Endpoint
    configuration: int
    others: frozenset[Endpoint]


def _fields(row: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(row[::2], row[1::2], strict=False))


class ClusterTopology(Topology):
    """The slots of a Cluster. Any node that is reached is asked; redirections correct the answer."""

    sharded = True

    def __init__(self, options: RedisOptions, address: RedisAddress) -> None:
        super().__init__(options, address)
        self._primaries: dict[int, Endpoint] = {}

    def endpoint_of(self, tag: str) -> Endpoint | None:
        return self._primaries.get(slot_of(tag))

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        return frozenset(self._primaries.values())

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        if self._primaries.get(slot) != endpoint:
            self._primaries[slot] = endpoint
            self._tell_soon()

    async def _learn(self) -> bool:
        reasons = []
        for node in self._nodes_to_ask():
            try:
                found = await self._ask_node(node)
            except EngineUnavailable as error:
                reasons.append(error.detail)
                continue
            # Slots that nobody serves right now keep their former primary: it may come back.
            merged = self._primaries | found
            changed = merged != self._primaries
            self._primaries = merged
            return changed
        raise EngineUnavailable("no node of the Redis Cluster tells its slots: " + "; ".join(reasons))

    def _nodes_to_ask(self) -> list[Endpoint]:
        """In another order each time: a node cut off from the others would tell the past for ever."""
        nodes = list({*self._address.seeds, *self._primaries.values()})
        random.shuffle(nodes)
        return nodes

    async def _ask_node(self, node: Endpoint) -> dict[int, Endpoint]:
        wire = await open_wire(self._address, node, timeout_s=self._options.connect_timeout_s)
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                (reply,) = await wire.ask([("CLUSTER", "SLOTS")])
        except (TimeoutError, ConnectionError):
            raise EngineUnavailable(f"Redis at {node} did not answer") from None
        finally:
            wire.abort()
        if isinstance(reply, ReplyError):
            if "cluster support disabled" in str(reply):
                raise EngineUnavailable(
                    f"Redis at {node} runs no Cluster: use redis:// instead of redis+cluster://"
                )
            raise EngineUnavailable(f"Redis at {node} does not tell the slots ({error_code(reply)})")
        found = dict(_read_slots(reply, node))
        if not found:
            raise EngineUnavailable(f"Redis at {node} knows no slot of a Cluster")
        return found


def _read_slots(reply: Any, asked: Endpoint) -> Iterable[tuple[int, Endpoint]]:
    for first, last, primary, *_replicas in reply:
        host = (primary[0] or b"").decode()
        endpoint = Endpoint(host if host not in ("", "?") else asked.host, int(primary[1]))
        for slot in range(first, last + 1):
            yield slot, endpoint


def make_topology(options: RedisOptions, address: RedisAddress) -> Topology:
    """The topology of the kind of the address."""
    match address.kind:
        case "sentinel":
            return SentinelTopology(options, address)
        case "cluster":
            return ClusterTopology(options, address)
        case "standalone":
            return StandaloneTopology(options, address)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("where the Redis primaries are could not be learned: %s", error)
