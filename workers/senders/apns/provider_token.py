"""The provider token: signed once for all workers of a lane, renewed in time, and never too often.

Apple takes a token for one hour, and minds more than one new one in 20 minutes. So it stands on a shelf that
all workers share; each looks there before it signs. Knows no connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from workers.senders.port import SharedToken, TokenShelf, WallMs

logger = logging.getLogger(__name__)

_MINUTE_MS: Final = 60_000
LEAST_AGE_MS: Final = 20 * _MINUTE_MS
"""No token is replaced before it is this old."""
RENEW_FROM_MS: Final = 40 * _MINUTE_MS
RENEW_UNTIL_MS: Final = 50 * _MINUTE_MS
"""Each worker renews at a moment of its own between the two, so that one of them does it for all."""
ACCEPTED_FOR_MS: Final = 60 * _MINUTE_MS
_SHELF_AGAIN_MS: Final = 10_000


class ProviderToken:
    """The token in use, as the value of an ``authorization`` header."""

    def __init__(
        self,
        key: EllipticCurvePrivateKey,
        key_id: str,
        team_id: str,
        shelf: TokenShelf,
        wall_ms: WallMs,
        rng: random.Random,
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._shelf = shelf
        self._wall_ms = wall_ms
        self._rng = rng
        self._lock = asyncio.Lock()
        self._token: SharedToken | None = None
        self._header = b""
        self._good_until_ms = 0
        self._hold_until_ms = 0

    def at_hand(self) -> bytes | None:
        """The header value if nothing has to be asked or signed for it."""
        return self._header if self._wall_ms() < self._good_until_ms else None

    async def current(self) -> bytes:
        """The header value, taken from the shelf or signed where none is young enough."""
        async with self._lock:
            header = self.at_hand()
            if header is not None:
                return header
            shared = await self._on_shelf()
            now = self._wall_ms()
            if shared is not None and now - shared.made_at_ms < RENEW_FROM_MS:
                return self._adopt(shared)
            if shared is not None and self._may_not_sign(shared):
                return self._adopt(shared, for_ms=_SHELF_AGAIN_MS)
            return self._adopt(await self._replace(shared))

    async def refresh(self, rejected: bytes) -> bytes | None:
        """Another header value than ``rejected``, None where there may be none yet.

        Where a token younger than 20 minutes was called expired, it is the clock that is wrong.
        """
        async with self._lock:
            if self._header != rejected:
                return self._header
            shared = await self._on_shelf() or self._token
            if shared is not None and _header_of(shared) != rejected:
                return self._adopt(shared)
            if shared is not None and (
                self._wall_ms() - shared.made_at_ms < LEAST_AGE_MS or self._wall_ms() < self._hold_until_ms
            ):
                return None
            renewed = self._adopt(await self._replace(shared))
            return None if renewed == rejected else renewed

    def hold(self) -> None:
        """The provider finds our tokens too many: keep this one as long as it is taken."""
        self._hold_until_ms = self._wall_ms() + LEAST_AGE_MS
        if self._token is not None:
            self._good_until_ms = max(
                self._good_until_ms,
                min(self._hold_until_ms, self._token.made_at_ms + ACCEPTED_FOR_MS - _MINUTE_MS),
            )

    def _may_not_sign(self, shared: SharedToken) -> bool:
        """Whether ``shared``, though due, has to do: signing is on hold and it is still taken."""
        now = self._wall_ms()
        return now < self._hold_until_ms and now - shared.made_at_ms < ACCEPTED_FOR_MS

    def _adopt(self, token: SharedToken, for_ms: int | None = None) -> bytes:
        if for_ms is None:
            last_ms = token.made_at_ms + self._rng.randint(RENEW_FROM_MS, RENEW_UNTIL_MS)
        else:
            last_ms = self._wall_ms() + for_ms
        self._token = token
        self._header = _header_of(token)
        self._good_until_ms = last_ms
        return self._header

    async def _on_shelf(self) -> SharedToken | None:
        """What the shelf has, or our own where the shelf cannot be reached."""
        try:
            return await self._shelf.current()
        except Exception as error:  # a shelf fails in words of its own engine, and pushing goes on without it
            logger.warning(
                "the shared provider token cannot be read; going on with our own (%s)", type(error).__name__
            )
            return self._token

    async def _replace(self, old: SharedToken | None) -> SharedToken:
        new = self._sign()
        try:
            return await self._shelf.replace(new, old)
        except Exception as error:  # as above
            logger.warning(
                "the new provider token cannot be shared; using it alone (%s)", type(error).__name__
            )
            return new

    def _sign(self) -> SharedToken:
        now = self._wall_ms()
        text = jwt.encode(
            {"iss": self._team_id, "iat": now // 1000},
            self._key,
            algorithm="ES256",
            headers={"kid": self._key_id, "typ": None},
        )
        return SharedToken(text, now)


def _header_of(token: SharedToken) -> bytes:
    return b"bearer " + token.text.encode()
