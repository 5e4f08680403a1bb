"""Who may open a connection now: so many a second over all, so many of one address.

Decides before the upgrade, where saying no is cheap and a phone can be told when to come again.
Addresses are those that trusted proxies vouch for. Knows no socket and no user.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hub.connection.link import Refused
from hub.metrics import Limit, Metrics
from hub.pacing import Bucket, Buckets, Pace, network_of
from hub.transport.peer import UNIX

RETRY_AFTER_MIN_S = 1
RETRY_AFTER_MAX_S = 10
"""A phone that is sent away may come again within this: not all of them in the same second."""


@dataclass(frozen=True, slots=True)
class AdmissionOptions:
    """What is let in; 0 is no limit.

    ``connects`` paces this node as a whole, ``connects_per_ip`` each address (IPv6: each /64), which may
    also have ``max_connections_per_ip`` open at once; ``max_connections`` is for this node as a whole.
    """

    connects: Pace = field(default_factory=Pace)
    connects_per_ip: Pace = field(default_factory=Pace)
    max_connections_per_ip: int = 0
    max_connections: int = 0


class Admission:
    """Counts who came and who is here. Used on the loop's thread only; ``now_s`` never goes back."""

    __slots__ = ("_by_address", "_connects", "_here", "_here_count", "_metrics", "_now_s", "_options")

    def __init__(self, options: AdmissionOptions, metrics: Metrics, now_s: Callable[[], float]) -> None:
        self._metrics = metrics
        self._now_s = now_s
        self._here: dict[str, int] = {}
        self._here_count = 0
        self.replace(options)

    def replace(self, options: AdmissionOptions) -> None:
        """Hold these limits from now on. Who is here stays, and counts."""
        self._options = options
        self._connects = Bucket(options.connects, self._now_s())
        self._by_address = Buckets(options.connects_per_ip)

    def check_load(self) -> None:
        """To be asked before the request is read, which costs more than all else of saying no.

        Raises:
            Refused: when no connection is taken now, whoever asks.
        """
        options = self._options
        if options.connects.is_limited and self._connects.level(self._now_s()) < 1:
            raise self._refused("connect_rate", 503)
        if options.max_connections and self._here_count >= options.max_connections:
            raise self._refused("connections", 503)

    def admit(self, address: str) -> str:
        """Count a client at ``address`` in; what :meth:`left` wants to hear when it is gone.

        Raises:
            Refused: when there are too many of it, or of all; then nothing was counted.
        """
        options, now_s = self._options, self._now_s()
        if not options.connects_per_ip.is_limited and not options.max_connections_per_ip:
            key = ""
        elif (key := network_of(address)) != UNIX:
            if options.max_connections_per_ip and self._here.get(key, 0) >= options.max_connections_per_ip:
                raise self._refused("connections_per_ip", 429)
            if not self._by_address.take(key, now_s):
                raise self._refused("connect_rate_per_ip", 429)
        if options.connects.is_limited and not self._connects.take(now_s):
            raise self._refused("connect_rate", 503)
        self._here_count += 1
        if key:
            self._here[key] = self._here.get(key, 0) + 1
        return key

    def left(self, key: str) -> None:
        """One that was admitted is gone."""
        self._here_count -= 1
        if key:
            count = self._here[key] - 1
            if count:
                self._here[key] = count
            else:
                del self._here[key]

    def _refused(self, limit: Limit, status: int) -> Refused:
        self._metrics.limit_reached(limit)
        reason = "too many connections, come again later"
        return Refused(status, reason, random.randint(RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S))
