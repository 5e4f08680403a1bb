"""The ledger over Redis: every event one script in the partition of its user.

The rules are those of :mod:`hub.delivery`, written once more in Lua. Knows neither a hub's connections nor
its lease: a worker uses it as a hub does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from hub.delivery.inbox import inbox_owner
from hub.delivery.model import (
    Ack,
    Acked,
    ClaimBatch,
    DeadLetterPage,
    Departure,
    DeviceState,
    Event,
    Finish,
    Hello,
    Mark,
    NewEntry,
    Notified,
    Planned,
    ReadResult,
    Summary,
    Unproven,
    Welcome,
)
from hub.delivery.note import encode_note
from hub.delivery.options import DeliveryOptions
from hub.delivery.writing import withdrawn_data
from hub.engine.ledger import OnWake
from hub.engine.redis import envelope
from hub.engine.redis.claims import Claims
from hub.engine.redis.commands import Argument, Commands
from hub.engine.redis.dead_letters import DeadLetters
from hub.engine.redis.due import DueTimes
from hub.engine.redis.keys import Keys
from hub.engine.redis.ledger_scripts import UserScripts
from hub.engine.redis.link import Link
from hub.engine.redis.live_nodes import NodesAlive
from hub.engine.redis.token_records import Holder, TokenRecords
from hub.errors import EngineUnavailable
from hub.model import Position, Publication

log = logging.getLogger(__name__)

_MAX_OFFSET = 2**53
"""No stream gets there, and above it scripts cannot count."""


class RedisLedger:
    """Inboxes, debts and claims that all hubs and workers share.

    ``now_ms`` replaces the clock of the server, and is for tests alone.
    """

    def __init__(
        self,
        commands: Commands,
        link: Link,
        keys: Keys,
        nodes: NodesAlive,
        options: DeliveryOptions,
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._keys = keys
        self._commands = commands
        self._users = UserScripts(commands, keys, nodes, options, now_ms=now_ms)
        self._tokens = TokenRecords(commands, keys)
        self._due = DueTimes(commands, link, keys, now_ms=now_ms)
        self._claims = Claims(self._users, self._due, options.max_groups)
        self._dead = DeadLetters(self._users)

    async def stop(self) -> None:
        """Watch no longer. Idempotent; everything else needs no end."""
        await self._due.stop()

    async def notify(self, user: str, entry: NewEntry) -> Notified:
        terms = entry.terms
        came, offset, epoch = await self._users.run(
            user,
            "notify",
            terms.id,
            envelope.encode_publication(Publication(entry.data)),
            encode_note(terms),
            entry.body_hash,
            terms.expires_at_ms if terms.push else "",
        )
        return Notified(Position(int(offset), epoch.decode()), duplicate=came == 1, conflict=came == 2)

    async def plan(self, user: str) -> list[Planned]:
        rows = await self._users.run(user, "plan", repeatable=True)
        return [Planned(device.decode(), way.decode(), wait_ms) for device, way, wait_ms in sorted(rows)]

    async def hello(self, user: str, device: str, hello: Hello) -> Welcome:
        cursor = hello.cursor
        answer = await self._users.run(
            user,
            "hello",
            device,
            hello.node,
            hello.client,
            hello.state,
            "" if cursor is None else cursor.epoch,
            "" if cursor is None else _bounded(cursor.offset),
            "" if hello.resumes is None else hello.resumes,
        )
        summary = _summary(answer)
        if len(answer) == 4:
            return Welcome(summary, known=False, registered=False)
        usable, generation, acked, node, client, *token = answer[4:]
        await self._keep_token(user, device, token)
        return Welcome(
            summary,
            known=True,
            registered=bool(usable),
            generation=generation,
            acked=acked,
            replaced=(node.decode(), client.decode()) if client else None,
        )

    async def set_state(self, user: str, device: str, generation: int, state: DeviceState) -> None:
        await self._users.run(user, "device_state", device, generation, state)

    async def leave(
        self, user: str, device: str, generation: int, how: Departure, unproven: Unproven | None = None
    ) -> None:
        offset, written_ms = (0, 0) if unproven is None else (unproven.offset, unproven.written_ms)
        await self._users.run(user, "leave", device, generation, how, _bounded(offset), written_ms)

    async def ack(self, acks: Sequence[Ack]) -> list[Acked]:
        # One fails, all fail; but none may go on unheard and fail later.
        answers = await asyncio.gather(*map(self._ack, acks), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return cast(list[Acked], answers)

    async def _ack(self, ack: Ack) -> Acked:
        # Proving twice what is proven changes nothing.
        offset, epoch, acked, known, same_epoch, *token = await self._users.run(
            ack.user,
            "ack",
            ack.device,
            ack.epoch,
            _bounded(ack.offset),
            ack.node,
            ack.written_ms,
            ack.how,
            repeatable=True,
        )
        await self._keep_token(ack.user, ack.device, token)
        return Acked(Position(offset, epoch.decode()), acked, known=bool(known), same_epoch=bool(same_epoch))

    async def _keep_token(self, user: str, device: str, token: Sequence[bytes]) -> None:
        """Let the record of a token live on with the row that holds it.

        Without it, who registers the token next would not know whom it is to be taken from.
        """
        if not token:
            return
        token_hash, nonce = (part.decode() for part in token)
        try:
            await self._tokens.keep(token_hash, Holder(inbox_owner(user), device, nonce))
        except EngineUnavailable:
            log.debug("the record of a token was not prolonged; the next sign of life does it")

    async def read(self, user: str, epoch: str, offset: int) -> ReadResult:
        answer = await self._users.run(user, "inbox_read", epoch, _bounded(offset), user)
        return ReadResult(_summary(answer), same_epoch=bool(answer[4]))

    async def opened(self, user: str, device: str, notification: str) -> bool:
        return bool(await self._users.run(user, "opened", device, notification))

    async def withdraw(self, user: str, notification: str) -> bool:
        packed = envelope.encode_publication(Publication(withdrawn_data(notification)))
        return bool(await self._users.run(user, "withdraw", notification, packed, user))

    async def summary(self, user: str) -> Summary:
        return _summary(await self._users.run(user, "summary", repeatable=True))

    async def trace(self, user: str, notification: str) -> list[Mark]:
        owner = inbox_owner(user)
        tag = self._keys.tag_of(owner)
        key = self._keys.trace(tag, owner, notification)
        return [_mark(each) for each in await self._commands.call(tag, "LRANGE", key, 0, -1, repeatable=True)]

    async def forget(self, user: str) -> None:
        owner = inbox_owner(user)
        answer = [part.decode() for part in await self._users.run_for(owner, "forget")]
        await self._dead.forget(owner)
        for device, token_hash, nonce in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
            await self._tokens.release(token_hash, Holder(owner, device, nonce))

    # for workers

    async def watch(self, lanes: Collection[str], on_wake: OnWake) -> None:
        await self._due.watch(lanes, on_wake)

    async def claim(self, lane: str, limit: int, worker: str) -> ClaimBatch:
        return await self._claims.claim(lane, limit, worker)

    async def finish(self, end: Finish) -> bool:
        args: list[Argument] = [
            end.device,
            end.lane,
            end.claim,
            " ".join(map(str, end.sent)),
            _wait_of(end),
            end.gone,
            "" if end.gone_at_ms is None else end.gone_at_ms,
            "" if end.badge_sent is None else end.badge_sent,
            end.node,
        ]
        args += (len(end.cleared), *end.cleared)
        args.append(len(end.dead))
        for dead in end.dead:
            args += (dead.offset, dead.id, dead.reason)
        args.append(len(end.marks))
        for mark in end.marks:
            args += (mark.id, mark.event, mark.detail)
        owner = inbox_owner(end.user)
        current, *dropped = await self._users.run_for(owner, "finish", *args)
        if dropped:
            token_hash, nonce = (part.decode() for part in dropped)
            try:
                await self._tokens.release(token_hash, Holder(owner, end.device, nonce))
            except EngineUnavailable:
                log.debug("a token that is gone stays noted; its next registration clears it")
        return bool(current)

    async def waiting_count(self, lane: str) -> int:
        return await self._due.count(lane)

    async def oldest_due_ms(self, lane: str) -> int | None:
        return await self._due.oldest_ms(lane)

    async def dead_letters(self, lane: str | None, cursor: str, limit: int) -> DeadLetterPage:
        return await self._dead.page(lane, cursor, limit)

    async def replay_dead_letters(self, ids: Sequence[str]) -> int:
        return await self._dead.replay(ids)

    async def drop_dead_letters(self, ids: Sequence[str]) -> int:
        return await self._dead.drop(ids)


def _wait_of(end: Finish) -> Argument:
    if end.put_off_ms is not None:
        return f"-{end.put_off_ms}"
    return "" if end.retry_ms is None else end.retry_ms


def _bounded(offset: int) -> int:
    return min(max(offset, 0), _MAX_OFFSET)


def _summary(answer: Sequence[Any]) -> Summary:
    offset, epoch, read, unread = answer[:4]
    return Summary(Position(offset, epoch.decode()), read, unread)


def _mark(text: bytes) -> Mark:
    time_ms, event, device, node, detail = text.decode().split("\n", 4)
    return Mark(int(time_ms), cast(Event, event), device, node, detail)
