"""Presence over Redis: who is in a channel, over all nodes.

This node keeps its own books of whom it counted in, and compares them with Redis from time
to time: what a lost lease, an emptied Redis or a failover took away is put back, and what
stayed behind is taken out. Cleaning up behind other nodes belongs to the janitor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import TypeVar

import msgspec

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.leases import NodeLeases
from hub.engine.redis.presence_entries import (
    BATCH_COUNT,
    Seat,
    add_members,
    decode_member,
    name_of,
    remove_members,
    seat_of,
)
from hub.engine.redis.scripts import load_script
from hub.errors import EngineUnavailable
from hub.model import ClientInfo, PresenceStats

log = logging.getLogger(__name__)

_ITEMS_PER_TURN = 1000
"""How many entries are looked at before the loop may breathe."""

_STATS = load_script("presence_stats")
_AUDIT = load_script("presence_audit")

_T = TypeVar("_T")


class _Books:
    """What this node counted in, in one partition, and what it knows of Redis' view of it."""

    __slots__ = ("agreed", "doubted", "held")

    def __init__(self) -> None:
        self.held: dict[Seat, ClientInfo] = {}
        self.doubted: set[Seat] = set()
        """Seats whose last write had an unknown outcome."""
        self.agreed: tuple[str, bytes] | None = None
        """Lease and term under which Redis held everything when last compared."""


class RedisPresence:
    """The presence port. Entries go with the lease of their node; none of them needs renewal."""

    def __init__(
        self, commands: Commands, keys: Keys, leases: NodeLeases, *, audit_interval_s: float = 3.0
    ) -> None:
        self._commands = commands
        self._keys = keys
        self._leases = leases
        self._audit_interval_s = audit_interval_s
        self._books: dict[str, _Books] = {}
        self._audit_now = asyncio.Event()
        self._auditor: asyncio.Task[None] | None = None
        leases.on_lost(self._audit_now.set)

    async def start(self) -> None:
        """Begin to compare the books with Redis. After the lease was taken."""
        self._auditor = asyncio.create_task(self._audit_forever(), name="presence audit")

    async def stop(self) -> None:
        """Stop what :meth:`start` began. What is still counted in goes with the lease."""
        if self._auditor is not None:
            self._auditor.cancel()
            await asyncio.gather(self._auditor, return_exceptions=True)
            self._auditor = None

    async def add(self, channel: str, info: ClientInfo) -> None:
        """Count this client in. Adding again replaces what is known of it."""
        tag = self._keys.tag_of(channel)
        books = self._books_of(tag)
        seat = (channel, info.client)
        before = books.held.get(seat)
        # Booked first: when the lease is lost meanwhile, what is put back is what the books say.
        books.held[seat] = info
        try:
            await add_members(self._commands, self._keys, tag, self._leases.current, [(seat, info)])
        except BaseException:
            books.doubted.add(seat)
            if books.held.get(seat) is info:
                if before is None:
                    del books.held[seat]
                else:
                    books.held[seat] = before
            raise

    async def remove(self, channel: str, client: str) -> None:
        """Count this client out; unknown clients are ignored."""
        tag = self._keys.tag_of(channel)
        books = self._books_of(tag)
        seat = (channel, client)
        books.held.pop(seat, None)
        try:
            # Whoever owns the entry: until it is put back after a loss, that is a former lease.
            await remove_members(
                self._commands, self._keys, tag, self._leases.current, [seat], only_owned=False
            )
        except BaseException:
            books.doubted.add(seat)
            raise

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in the channel, by client id."""
        tag = self._keys.tag_of(channel)
        found = await self._commands.call(tag, "HGETALL", self._keys.presence(tag, channel), repeatable=True)
        members: dict[str, ClientInfo] = {}
        for chunk in _chunks(list(zip(found[::2], found[1::2], strict=True)), _ITEMS_PER_TURN):
            for client_bytes, entry in chunk:
                client = client_bytes.decode()
                try:
                    members[client] = decode_member(client, entry)
                except (ValueError, msgspec.DecodeError):
                    log.warning("an entry of presence cannot be read; passed over")
            await asyncio.sleep(0)
        return members

    async def stats(self, channel: str) -> PresenceStats:
        """The counts alone, without listing anybody."""
        tag = self._keys.tag_of(channel)
        names = [self._keys.presence(tag, channel), self._keys.presence_users(tag, channel)]
        clients, users = await self._commands.run(tag, _STATS, names, [], repeatable=True)
        return PresenceStats(clients, users)

    def _books_of(self, tag: str) -> _Books:
        books = self._books.get(tag)
        if books is None:
            books = self._books[tag] = _Books()
        return books

    async def _audit_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._audit_interval_s):
                    await self._audit_now.wait()
            self._audit_now.clear()
            try:
                await self.audit()
            except Exception:
                # The next round compares everything again.
                log.exception("the audit of presence failed")

    async def audit(self) -> None:
        """Compare all that this node counted in with what Redis holds, and repair the difference.

        A partition that cannot be reached is left for the next time.
        """
        # The questions go out as one write; repairs one after the other, for they may be long.
        tags = list(self._books)
        terms = await asyncio.gather(*(self._compare(tag) for tag in tags))
        failed_count = 0
        for tag, term in zip(tags, terms, strict=True):
            if term is None:
                continue
            try:
                await self._repair(tag, term)
            except EngineUnavailable:
                failed_count += 1
        if failed_count:
            log.warning("presence of %d partitions could not be repaired yet", failed_count)

    async def _compare(self, tag: str) -> bytes | None:
        """The partition's term when its books differ from Redis; None when they agree, or nobody knows."""
        books = self._books[tag]
        # Counted as the question is asked: calls are executed in their order.
        count = len(books.held)
        try:
            lease = self._leases.current
            names = [self._keys.term(tag), self._keys.owned(tag, lease)]
            term, owned = await self._commands.run(tag, _AUDIT, names, [], repeatable=True)
        except EngineUnavailable:
            return None
        if owned == count and not books.doubted:
            if books.agreed is None:
                books.agreed = (lease, term)
            if books.agreed == (lease, term):
                return None
        return bytes(term)

    async def _repair(self, tag: str, term: bytes) -> None:
        books = self._books[tag]
        doubted, books.doubted = books.doubted, set()
        try:
            lease = self._leases.current
            # A new lease owns nothing yet, and a new term may have lost values as well as names.
            anew = books.agreed != (lease, term)
            owned = self._keys.owned(tag, lease)
            there = set(await self._commands.call(tag, "SMEMBERS", owned, repeatable=True))
            await self._put_back(tag, lease, set() if anew else there, doubted)
            await self._take_out(tag, lease, [*map(seat_of, there), *doubted])
        except BaseException:
            books.doubted |= doubted
            raise
        books.agreed = (lease, term)

    async def _put_back(self, tag: str, lease: str, there: Set[bytes], doubted: Set[Seat]) -> None:
        held = self._books[tag].held
        for chunk in _chunks(list(held), BATCH_COUNT):
            # No await between the look into the books and the call: whoever left meanwhile stays away.
            missing = [
                (seat, held[seat])
                for seat in chunk
                if seat in held and (seat in doubted or name_of(seat).encode() not in there)
            ]
            if missing:
                await add_members(self._commands, self._keys, tag, lease, missing)
            await asyncio.sleep(0)

    async def _take_out(self, tag: str, lease: str, seats: Sequence[Seat]) -> None:
        held = self._books[tag].held
        for chunk in _chunks(seats, BATCH_COUNT):
            gone = [seat for seat in chunk if seat not in held]
            if gone:
                await remove_members(self._commands, self._keys, tag, lease, gone, only_owned=False)
            await asyncio.sleep(0)


def _chunks(items: Sequence[_T], count: int) -> Iterator[list[_T]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, count)):
        yield chunk
