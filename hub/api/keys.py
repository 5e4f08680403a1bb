"""Who calls the server API: keys by their SHA-256, each with scopes and maybe a few channels.

A key in clear is hashed as it comes in and is held nowhere. Knows no HTTP header and no method.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Literal, get_args

from hub.errors import PERMISSION_DENIED, HubError

Scope = Literal["publish", "read", "control", "notify", "devices", "inbox", "trace", "admin"]

SCOPES: frozenset[str] = frozenset(get_args(Scope))
"""Every scope there is; ``admin`` includes all others."""

_DIGEST_BYTES = sha256().digest_size


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller: what it may do, and the channels it is confined to.

    ``channels`` holds names in which ``*`` stands for any run of characters; empty means
    every channel. It confines methods that name a channel, and what lists of channels show.
    """

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope]
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = self.scopes - SCOPES
        if unknown:
            raise ValueError(f"API key {self.name!r} has unknown scopes: {', '.join(sorted(unknown))}")

    @classmethod
    def of_secret(cls, name: str, key: str, scopes: Iterable[Scope], channels: Iterable[str] = ()) -> ApiKey:
        """The caller that sends ``key``.

        Raises:
            ValueError: for an empty key, or an unknown scope.
        """
        if not key:
            raise ValueError(f"API key {name!r} is empty")
        return cls(name, sha256(key.encode()).digest(), frozenset(scopes), tuple(channels))

    @classmethod
    def of_digest(
        cls, name: str, sha256_hex: str, scopes: Iterable[Scope], channels: Iterable[str] = ()
    ) -> ApiKey:
        """The caller whose key has this SHA-256.

        Raises:
            ValueError: when it is not 64 hex digits, or for an unknown scope.
        """
        digest = bytes.fromhex(sha256_hex)
        if len(digest) != _DIGEST_BYTES:
            raise ValueError(f"API key {name!r} needs {2 * _DIGEST_BYTES} hex digits of SHA-256")
        return cls(name, digest, frozenset(scopes), tuple(channels))

    def sees(self, channel: str) -> bool:
        """Whether ``channel`` is among those this caller is confined to."""
        return not self.channels or _matcher(self.channels).fullmatch(channel) is not None

    def require_scope(self, scope: Scope) -> None:
        """Refuse a caller without ``scope``.

        Raises:
            HubError: 103.
        """
        if scope not in self.scopes and "admin" not in self.scopes:
            raise HubError(PERMISSION_DENIED, f"the API key lacks the scope {scope!r}")

    def require_channel(self, channel: str) -> None:
        """Refuse a caller that is confined to other channels.

        Raises:
            HubError: 103.
        """
        if not self.sees(channel):
            raise HubError(PERMISSION_DENIED, "the API key is confined to other channels")


ANYBODY = ApiKey("insecure", b"", frozenset({"admin"}))
"""Whoever calls a hub whose API is open. No digest is empty, so nothing presented ever matches it."""


class KeyRing:
    """The keys that are accepted.

    Raises:
        ValueError: when two of them are the same.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = _by_digest(keys)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Accept these from now on, and no others.

        Raises:
            ValueError: when two of them are the same; nothing changed then.
        """
        self._keys = _by_digest(keys)

    def find(self, presented: bytes) -> ApiKey | None:
        """The caller that owns the presented key.

        What is looked up is a digest of what the caller sent: it cannot be steered towards
        a stored one byte by byte, so the time the look-up takes tells nothing.
        """
        digest = sha256(presented).digest()
        key = self._keys.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None


def _by_digest(keys: Iterable[ApiKey]) -> dict[bytes, ApiKey]:
    found: dict[bytes, ApiKey] = {}
    for key in keys:
        if key.digest in found:
            raise ValueError(f"API keys {found[key.digest].name!r} and {key.name!r} are the same key")
        found[key.digest] = key
    return found


@lru_cache(maxsize=1024)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns), re.DOTALL)
