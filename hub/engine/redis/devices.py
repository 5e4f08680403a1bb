"""The registry of devices over Redis. Registering is four steps, since row and token are in two partitions.

Whoever dies between two steps, or races with two others, may leave a phone without pushes until it
registers again, and never two rows that push to it: a token is used only after everybody else who was noted
for it was cleared.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

from hub.delivery.inbox import inbox_owner
from hub.delivery.model import DeviceRecord, DeviceView, ExportedDevice
from hub.delivery.options import DeliveryOptions
from hub.delivery.registering import SHOWN_HASH_CHARS, hash_token
from hub.engine.redis.commands import Commands
from hub.engine.redis.device_record import decode_record, encode_record
from hub.engine.redis.keys import Keys
from hub.engine.redis.ledger_scripts import UserScripts
from hub.engine.redis.live_nodes import NodesAlive
from hub.engine.redis.token_records import Holder, TokenRecords
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

_NONCE_BYTES = 8
_SCAN_COUNT = 500


class RedisDevices:
    """Registrations of all users. ``now_ms`` replaces the server's clock, and is for tests alone."""

    def __init__(
        self,
        commands: Commands,
        keys: Keys,
        nodes: NodesAlive,
        options: DeliveryOptions,
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._commands = commands
        self._keys = keys
        self._users = UserScripts(commands, keys, nodes, options, now_ms=now_ms)
        self._tokens = TokenRecords(commands, keys)

    async def register(self, user: str, device: str, record: DeviceRecord) -> None:
        token_hash = hash_token(record.token)
        holder, is_settled = await self._write_row(user, device, record, token_hash)
        if is_settled and not await self._tokens.keep(token_hash, holder):
            # A row holds the token, and nobody knows: the next one to register it must be able to find out.
            holder, is_settled = await self._write_row(user, device, record, token_hash, anew=True)
        if is_settled:
            return
        others = await self._tokens.claim(token_hash, holder)
        for other in others:
            if other.row != holder.row:
                await self._users.run_for(
                    other.owner, "register_clear", other.device, other.nonce, token_hash, repeatable=True
                )
                await self._tokens.release(token_hash, other)
        if await self._users.run_for(
            holder.owner, "register_activate", device, holder.nonce, repeatable=True
        ):
            # What else the row began is over now.
            await self._release(token_hash, *(other for other in others if other.row == holder.row))

    async def _write_row(
        self, user: str, device: str, record: DeviceRecord, token_hash: str, *, anew: bool = False
    ) -> tuple[Holder, bool]:
        """The first step: by which registration the row has its token, and whether that is in use already."""
        owner = inbox_owner(user)
        follows, *rest = await self._users.run_for(
            owner,
            "register_row",
            device,
            user,
            record.lane,
            encode_record(record),
            record.token,
            token_hash,
            secrets.token_hex(_NONCE_BYTES),
            "anew" if anew else "",
        )
        nonce, former_hash, former_nonce, *left = (part.decode() for part in rest)
        await self._release(former_hash, Holder(owner, device, former_nonce))
        for gone, its_hash, its_nonce in zip(left[::3], left[1::3], left[2::3], strict=True):
            await self._release(its_hash, Holder(owner, gone, its_nonce))
        return Holder(owner, device, nonce), not follows

    async def _release(self, token_hash: str, *holders: Holder) -> None:
        try:
            await self._tokens.release(token_hash, *holders)
        except EngineUnavailable:
            log.debug("a token that nobody uses stays noted; its next registration clears it")

    async def view(self, user: str) -> list[DeviceView]:
        rows = await self._users.run(user, "device_view", repeatable=True)
        views = [_view(row) for row in rows]
        return sorted(views, key=lambda view: (-view.last_seen_ms, view.id))

    async def remove(self, user: str, device: str) -> bool:
        owner = inbox_owner(user)
        removed, *token = await self._users.run_for(owner, "device_remove", device)
        if not removed:
            return False
        token_hash, nonce = (part.decode() for part in token)
        await self._release(token_hash, Holder(owner, device, nonce))
        return True

    async def export(self) -> AsyncIterator[ExportedDevice]:
        """Every registration with a usable token, whatever partitions it was made under.

        Looks through all keys of each primary, a few at a time.
        """
        # One partition of each primary: looking through the keys needs no key.
        places = {self._commands.topology.endpoint_of(tag): tag for tag in self._keys.partition_tags}
        prefix = re.sub(r"([\\*?\[\]])", r"\\\1", self._keys.prefix)
        for place in places.values():
            cursor = b"0"
            while True:
                cursor, names = await self._commands.call(
                    place,
                    "SCAN",
                    cursor,
                    "MATCH",
                    f"{prefix}{{p*}}:device:*",
                    "COUNT",
                    _SCAN_COUNT,
                    repeatable=True,
                )
                for name in sorted(set(names)):
                    exported = await self._exported(name.decode())
                    if exported is not None:
                        yield exported
                if cursor == b"0":
                    break

    async def _exported(self, name: str) -> ExportedDevice | None:
        tag, _, rest = name.removeprefix(f"{self._keys.prefix}{{").partition("}:device:")
        owner, _, device = rest.rpartition(":")
        wanted = ("record", "token", "token_ms", "hash", "pending")
        row = await self._commands.call(tag, "HMGET", name, *wanted, repeatable=True)
        user = await self._commands.call(tag, "HGET", self._keys.user(tag, owner), "user", repeatable=True)
        record, token, token_ms, token_hash, pending = row
        if user is None or record is None or token is None or not token_hash or pending:
            return None
        return ExportedDevice(user.decode(), device, decode_record(record, token.decode()), int(token_ms))


def _view(row: list[Any]) -> DeviceView:
    device, packed, token_hash, state, last_seen_ms, acked, owed = row
    record = decode_record(packed, "")
    return DeviceView(
        id=device.decode(),
        platform=record.platform,
        provider=record.provider,
        app=record.app,
        environment=record.environment,
        token_hash=token_hash.decode()[:SHOWN_HASH_CHARS],
        state=state.decode(),
        last_seen_ms=last_seen_ms,
        acked=acked,
        owed=owed,
    )
