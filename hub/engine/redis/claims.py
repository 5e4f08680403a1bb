"""Claims of due rows, gathered from the partitions that have any.

Knows how a claimed row comes out of its script; when to look where is told by the due times.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from hub.delivery.claiming import group_by_thread
from hub.delivery.model import ClaimBatch, Claimed, Entry
from hub.delivery.note import MalformedNote, decode_note
from hub.engine.redis import envelope
from hub.engine.redis.device_record import decode_record
from hub.engine.redis.due import DueTimes
from hub.engine.redis.ledger_scripts import UserScripts
from hub.engine.redis.stream_writer import new_birth

log = logging.getLogger(__name__)

_PARTITIONS_AT_ONCE = 16
_ROWS_OF_ONE_CALL = 32
"""A script that hands out many rows holds up everybody else of its server."""


class Claims:
    """Hands out due rows."""

    def __init__(self, users: UserScripts, due: DueTimes, max_groups: int) -> None:
        self._users = users
        self._due = due
        self._max_groups = max_groups
        self._widths: dict[str, int] = {}

    async def claim(self, lane: str, limit: int, worker: str) -> ClaimBatch:
        """As :meth:`hub.engine.Ledger.claim`.

        Raises:
            EngineUnavailable: nothing was claimed, and some partition did not answer.
        """
        await self._due.know(lane)
        rows: list[Claimed] = []
        failures: list[BaseException] = []
        through: set[str] = set()
        now_ms = self._due.now_ms
        while len(rows) < limit:
            tags = [tag for tag in self._due.due_tags(lane) if tag not in through]
            free = limit - len(rows)
            tags = tags[: self._width(lane, free)]
            if not tags:
                break
            share = min(free // len(tags), _ROWS_OF_ONE_CALL)
            is_backlog = True
            asked = (self._claim_at(tag, lane, share, worker) for tag in tags)
            for tag, answer in zip(tags, await asyncio.gather(*asked, return_exceptions=True), strict=True):
                if isinstance(answer, BaseException):
                    failures.append(answer)
                    self._due.put_off(lane, tag)
                    through.add(tag)
                    is_backlog = False
                    continue
                at_ms, claimed = answer
                now_ms = max(now_ms, at_ms)
                rows += claimed
                if len(claimed) < share:
                    through.add(tag)
                    is_backlog = False
            self._widths[lane] = len(tags) // 2 if is_backlog else _PARTITIONS_AT_ONCE
        if failures and not rows:
            raise failures[0]
        for failure in failures:
            log.warning("! a partition was not claimed from: %s", failure)
        return ClaimBatch(tuple(rows), self._due.next_ms(lane), now_ms)

    def _width(self, lane: str, free: int) -> int:
        """How many partitions to ask at once for ``free`` rows.

        Fewer and fewer while each gives all that it is asked for: a call for many rows costs little more
        than one for a single row, to the server too. All again once one of them has less.
        """
        width = max(1, self._widths.get(lane, _PARTITIONS_AT_ONCE), -(-free // _ROWS_OF_ONE_CALL))
        return min(width, free)

    async def _claim_at(self, tag: str, lane: str, limit: int, worker: str) -> tuple[int, list[Claimed]]:
        mark = self._due.mark
        key = self._users.keys.due(tag, lane)
        now_ms, next_ms, rows = await self._users.run_at(tag, "claim", key, lane, limit, worker, new_birth())
        self._due.note(lane, tag, next_ms if isinstance(next_ms, int) else None, mark)
        found = [claimed for row in rows if (claimed := self._readable(row, now_ms)) is not None]
        return now_ms, found

    def _readable(self, row: Sequence[Any], now_ms: int) -> Claimed | None:
        """One that cannot be read must not hold up the others of its batch; its claim runs out."""
        try:
            return self._claimed(row, now_ms)
        except (ValueError, TypeError, KeyError, IndexError):
            log.exception("! a claimed row of device %r cannot be read", row[1] if len(row) > 1 else b"")
            return None

    def _claimed(self, row: Sequence[Any], now_ms: int) -> Claimed:
        (user, device, claim, until_ms, record, token, token_hash, token_ms, epoch, target, *rest) = row
        read, unread, attempts, badge, clear, owed = rest
        entries = [entry for each in owed if (entry := _entry(*each)) is not None]
        groups, others = group_by_thread(entries, self._max_groups)
        return Claimed(
            user=user.decode(),
            device=device.decode(),
            claim=claim.decode(),
            now_ms=now_ms,
            until_ms=until_ms,
            record=decode_record(record, token.decode()),
            token_hash=token_hash.decode(),
            token_updated_ms=token_ms,
            epoch=epoch.decode(),
            target=target,
            read=read,
            unread=unread,
            attempts=attempts,
            groups=groups,
            rest=others,
            badge=int(badge) if badge else None,
            clear=tuple(clear.decode().split()),
        )


def _entry(offset: int, entry: bytes, note: bytes) -> Entry | None:
    """An entry of the inbox; without its data where the script left that out."""
    head, _, packed = entry.partition(b"\n")
    try:
        appended_ms = int(head.partition(b" ")[0])
        data = envelope.decode_publication(packed, offset, appended_ms).data if packed else b""
        return Entry(offset, appended_ms, decode_note(note), data)
    except (envelope.MalformedMessage, MalformedNote, ValueError):
        log.warning("left out entry %d of an inbox: it cannot be read", offset)
        return None
