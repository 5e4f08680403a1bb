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
_RELEASE = load_script("token_release")

_LIFE_S = INBOX_POLICY.meta_ttl_s


@dataclass(frozen=True, slots=True)
class Holder:
    """A row that may hold a token, and the nonce of the registration by which it does."""

    owner: str
    device: str
    nonce: str


class TokenRecords:
    """The records of all tokens."""

    def __init__(self, commands: Commands, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys

    async def claim(self, token_hash: str, holder: Holder) -> list[Holder]:
        """Note the row, and tell which others are noted: they may hold the token still."""
        tag, key = self._place(token_hash)
        # Twice is as good as once: nobody is forgotten by it.
        answer = await self._commands.run(
            tag, _CLAIM, [key], [_name(holder.owner, holder.device), holder.nonce, _LIFE_S], repeatable=True
        )
        others = []
        for name, nonce in zip(answer[::2], answer[1::2], strict=True):
            owner, _, device = name.decode().rpartition(":")
            others.append(Holder(owner, device, nonce.decode()))
        return others

    async def keep(self, token_hash: str) -> bool:
        """Let the record live on; False when there is none."""
        tag, key = self._place(token_hash)
        return bool(await self._commands.call(tag, "EXPIRE", key, _LIFE_S, repeatable=True))

    async def release(self, token_hash: str, owner: str, device: str, nonce: str) -> None:
        """The row holds the token no longer, unless by a later registration."""
        if token_hash:
            tag, key = self._place(token_hash)
            await self._commands.run(tag, _RELEASE, [key], [_name(owner, device), nonce], repeatable=True)

    def _place(self, token_hash: str) -> tuple[str, str]:
        tag = self._keys.token_tag_of(token_hash)
        return tag, self._keys.token(tag, token_hash)


def _name(owner: str, device: str) -> str:
    return f"{owner}:{device}"
