"""How often something may happen: token buckets, one alone or one for each of many keys.

Time comes as an argument. Knows nobody who is paced, and nothing of what happens beyond.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

MAX_KEYS = 50_000
"""So many buckets are kept apart at most; of more, those that were asked for longest ago go."""

_IPV6_NETWORK_BITS = 64
"""A subscriber gets at least that much of IPv6, and may use a fresh address of it every time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``per_s`` times a second in the long run, ``burst`` at once after a pause. 0 a second is no limit."""

    per_s: float = 0.0
    burst: int = 1

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.per_s > 0


class Bucket:
    """Tokens that come back at a pace. Full at first."""

    __slots__ = ("_at_s", "_tokens", "pace")

    def __init__(self, pace: Pace, now_s: float) -> None:
        self.pace = pace
        self._tokens = float(pace.burst)
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """Tokens there are now; below 0 it is in debt."""
        pace = self.pace
        tokens = min(self._tokens + (now_s - self._at_s) * pace.per_s, float(pace.burst))
        self._tokens = tokens
        self._at_s = now_s
        return tokens

    def take(self, now_s: float) -> bool:
        """Take a token; False, and nothing is taken, where there is none."""
        if self.level(now_s) < 1:
            return False
        self._tokens -= 1
        return True

    def charge(self, now_s: float) -> float:
        """Take a token whether there is one or not; what is left. Going on beyond the limit makes debts."""
        self._tokens = left = self.level(now_s) - 1
        return left


class Buckets:
    """One bucket for each key, bounded in number. A key that was forgotten begins with a full one."""

    __slots__ = ("_found", "_max_count", "_pace")

    def __init__(self, pace: Pace, max_count: int = MAX_KEYS) -> None:
        self._pace = pace
        self._max_count = max_count
        self._found: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    @property
    def pace(self) -> Pace:
        """That of every bucket. Another one holds from now on, for all of them, full again."""
        return self._pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._pace = pace
        self._found.clear()

    def of(self, key: str, now_s: float) -> Bucket:
        """The bucket of ``key``."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Bucket(self._pace, now_s)
            if len(self._found) > self._max_count:
                self._found.popitem(last=False)
        else:
            self._found.move_to_end(key)
        return found

    def take(self, key: str, now_s: float) -> bool:
        """Take a token of ``key``; True as well where the pace is no limit."""
        return not self._pace.is_limited or self.of(key, now_s).take(now_s)


@lru_cache(4_096)
def network_of(address: str) -> str:
    """What counts as one: an IPv4 address, the /64 of an IPv6 address; other texts stand for themselves."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
