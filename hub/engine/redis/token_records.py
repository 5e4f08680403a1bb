"""Who may hold a provider token: a record by the token's hash, in a partition of its own.

Knows no row of a device; registration brings both together.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.delivery.inbox import INBOX_POLICY
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.scripts import load_script

_CLAIM = load_script("token_claim")
_KEEP = load_script("token_keep")

_LIFE_S = INBOX_POLICY.meta_ttl_s + INBOX_POLICY.meta_ttl_s // 32
"""A row lives a little longer than it has to, so as not to be written at each use; its record outlives it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A registration by which a row may hold a token. Every one has a nonce of its own, none comes twice."""

    owner: str
    device: str
    nonce: str

    @property
    def row(self) -> tuple[str, str]:
        """Which row that is."""
        return self.owner, self.device

    def name(self) -> str:
        return f"{self.owner}:{self.device}:{self.nonce}"


class TokenRecords:
    """The records of all tokens."""

    def __init__(self, commands: Commands, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys

    async def claim(self, token_hash: str, holder: Holder) -> list[Holder]:
        """Note the registration, and tell which others are noted: they may hold the token still."""
        tag, key = self._place(token_hash)
        # Twice is as good as once: nobody is forgotten by it.
        names = await self._commands.run(tag, _CLAIM, [key], [holder.name(), _LIFE_S], repeatable=True)
        return [Holder(*name.decode().rsplit(":", 2)) for name in names]

    async def keep(self, token_hash: str, holder: Holder) -> bool:
        """Let the record live on; False when it does not know the holder."""
        tag, key = self._place(token_hash)
        return bool(await self._commands.run(tag, _KEEP, [key], [holder.name(), _LIFE_S], repeatable=True))

    async def release(self, token_hash: str, *holders: Holder) -> None:
        """These hold the token no longer, and never will."""
        if token_hash and holders:
            tag, key = self._place(token_hash)
            await self._commands.call(
                tag, "SREM", key, *(holder.name() for holder in holders), repeatable=True
            )

    def _place(self, token_hash: str) -> tuple[str, str]:
        tag = self._keys.token_tag_of(token_hash)
        return tag, self._keys.token(tag, token_hash)
