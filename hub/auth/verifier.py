"""Who holds this token? Signature, claims and time together, with a memory for tokens seen before.

Gives values or refusals; what a refusal does to a connection is the caller's. Knows
where keys come from only as a port.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from hub.auth.cache import VerifiedTokens, digest_of
from hub.auth.claims import Claims, check_validity, parse_connection, parse_subscription, parse_validity
from hub.auth.jws import MAX_TOKEN_BYTES, Found, TokenHeader, find_signed, read_claims, read_header
from hub.auth.keys import NO_KEYS, PUBLIC_KEY_ALGORITHMS, KeySet, VerificationKey
from hub.auth.options import VerifierOptions
from hub.auth.tokens import ConnectionToken, InvalidToken, SubscriptionToken
from hub.errors import INTERNAL, HubError

TokenT = TypeVar("TokenT", ConnectionToken, SubscriptionToken)


class KeySource(Protocol):
    """Port: public keys that change while the hub runs."""

    @property
    def keys(self) -> KeySet | None:
        """The keys to use now; None while there were never any."""
        ...

    @property
    def generation(self) -> int:
        """Another number whenever the set of keys became another."""
        ...

    async def refetch(self) -> bool:
        """Look for newer keys, at a pace of the source's own; False when none could be had now."""
        ...


class Checks(Protocol):
    """Port: signatures of public keys, somewhere else than in the turn of the loop that asks."""

    async def find_signed(self, token: str, keys: Sequence[VerificationKey]) -> Found:
        """As :func:`hub.auth.jws.find_signed`; anything may happen before this returns."""
        ...


class TokenVerifier:
    """Verifies connection and subscription tokens (client protocol, 6).

    ``now_s`` is the wall clock in unix seconds; ``checks`` has threads for public keys, where it is given.
    Both verify methods raise:

    - ``InvalidToken`` when the token can never be accepted: close 3500 for a connection
      token, error 103 for a subscription token;
    - ``HubError(TOKEN_EXPIRED)`` when it is too old or too young: a new one would do;
    - ``HubError(INTERNAL)``, temporary, when the keys to judge it cannot be had now.

    Cancelling either leaves nothing behind.
    """

    def __init__(
        self,
        options: VerifierOptions,
        static_keys: KeySet = NO_KEYS,
        jwks: KeySource | None = None,
        now_s: Callable[[], float] = time.time,
        checks: Checks | None = None,
    ) -> None:
        self._options = options
        self._static_keys = static_keys
        self._source = jwks
        self._now_s = now_s
        self._checks = checks
        self._source_generation = -1 if jwks is None else jwks.generation
        self._keys = self._joined_keys()
        self._connections: VerifiedTokens[ConnectionToken] = VerifiedTokens(
            options.cache_size, options.cache_ttl_s
        )
        self._subscriptions: VerifiedTokens[SubscriptionToken] = VerifiedTokens(
            options.cache_size, options.cache_ttl_s
        )
        self.signature_check_count = 0
        """Signatures computed since the start; a token remembered costs none."""

    def replace_keys(self, static_keys: KeySet) -> None:
        """Use these keys instead of the configured ones, from now on; remembered tokens are forgotten."""
        self._static_keys = static_keys
        self._adopt_keys()

    def replace(self, options: VerifierOptions, static_keys: KeySet, jwks: KeySource | None) -> None:
        """Verify by these from now on. Remembered tokens are forgotten if that changes anything."""
        same_keys = static_keys.fingerprint == self._static_keys.fingerprint and jwks is self._source
        if same_keys and options == self._options:
            return
        self._options = options
        self._static_keys = static_keys
        self._source = jwks
        self._source_generation = -1 if jwks is None else jwks.generation
        self._connections = VerifiedTokens(options.cache_size, options.cache_ttl_s)
        self._subscriptions = VerifiedTokens(options.cache_size, options.cache_ttl_s)
        self._adopt_keys()

    def cached_connection(self, token: str) -> ConnectionToken | None:
        """What a connection token said that was verified lately; None when it must be verified.

        Never waits: the short way for a phone that comes back with the token it had.
        """
        if len(token) > MAX_TOKEN_BYTES:
            return None
        self._notice_new_keys()
        return self._connections.get(digest_of(token), self._now_s())

    async def verify_connection(self, token: str) -> ConnectionToken:
        """Who connects with ``token``. Raises as the class says."""
        return await self._verify(token, self._connections, parse_connection)

    async def verify_subscription(self, token: str) -> SubscriptionToken:
        """Who may join which channel with ``token``. Raises as the class says."""
        return await self._verify(token, self._subscriptions, parse_subscription)

    async def _verify(
        self,
        token: str,
        cache: VerifiedTokens[TokenT],
        parse: Callable[[Claims, VerifierOptions], TokenT],
    ) -> TokenT:
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken(f"longer than {MAX_TOKEN_BYTES} bytes")
        self._notice_new_keys()
        digest = digest_of(token)
        known = cache.get(digest, self._now_s())
        if known is not None:
            return known
        claims = await self._signed_claims(token)
        # No await from here on: what is remembered was verified with the keys of this moment.
        verified = parse(claims, self._options)
        validity = parse_validity(claims, self._options)
        now_s = self._now_s()
        check_validity(validity, now_s)
        cache.put(digest, verified, now_s, validity.until_s)
        return verified

    async def _signed_claims(self, token: str) -> Claims:
        header = read_header(token)
        payload = await self._payload(token, header)
        if payload is None and (source := self._source_to_ask(header)) is not None:
            fetched = await source.refetch()
            self._notice_new_keys()
            payload = await self._payload(token, header)
            if payload is None and not fetched:
                # Calling it invalid would send a phone away for good whose key we merely have not seen yet.
                raise HubError(INTERNAL, "the keys to verify the token cannot be had now")
        if payload is None:
            raise InvalidToken("no key that is good for its header has signed it")
        return read_claims(payload)

    async def _payload(self, token: str, header: TokenHeader) -> bytes | None:
        """The payload, if a key of this moment, when it returns, has signed it."""
        while True:
            keys = self._keys
            candidates = keys.candidates(header.algorithm, header.kid)
            if self._checks is not None and header.algorithm in PUBLIC_KEY_ALGORITHMS:
                found = await self._checks.find_signed(token, candidates)
                self._notice_new_keys()
            else:
                found = find_signed(token, candidates)
            self.signature_check_count += found.check_count
            if self._keys is keys:
                return found.payload

    def _source_to_ask(self, header: TokenHeader) -> KeySource | None:
        """The source, if it may hold a key for this header that we do not have yet."""
        if self._source is None or header.algorithm not in PUBLIC_KEY_ALGORITHMS:
            return None
        is_unknown = header.kid != "" and not self._keys.knows_kid(header.kid)
        return self._source if is_unknown or self._source.keys is None else None

    def _notice_new_keys(self) -> None:
        if self._source is not None and self._source.generation != self._source_generation:
            self._source_generation = self._source.generation
            self._adopt_keys()

    def _adopt_keys(self) -> None:
        self._keys = self._joined_keys()
        self._connections.clear()
        self._subscriptions.clear()

    def _joined_keys(self) -> KeySet:
        fetched = None if self._source is None else self._source.keys
        return self._static_keys if fetched is None else self._static_keys | fetched
