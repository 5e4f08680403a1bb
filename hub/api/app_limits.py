"""How often apps may call over HTTP: each user so often, and each address with receipts, which name no user.

Counts what was too much. Knows no call by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hub.errors import DATA_TOO_LARGE, TOO_MANY_REQUESTS, HubError
from hub.metrics import Limit, Metrics, NopMetrics
from hub.pacing import Buckets, Pace, network_of

MAX_BODY_BYTES = 64 * 1024


class AppLimits:
    """The limits of ``/client/v1`` on this node; without arguments none but that of bodies.

    ``now_s`` is any clock that never goes back.
    """

    def __init__(
        self,
        calls: Pace | None = None,
        receipts: Pace | None = None,
        metrics: Metrics | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = Buckets(calls or Pace())
        self._receipts = Buckets(receipts or Pace())
        self._metrics = metrics or NopMetrics()
        self._now_s = now_s

    def check_call(self, user: str) -> None:
        """Count a call of ``user``.

        Raises:
            HubError: 111 when it is one too many.
        """
        self._check(self._calls, user, "app_call_rate")

    def check_receipt(self, address: str) -> None:
        """Count a receipt from ``address``.

        Raises:
            HubError: 111 when it is one too many.
        """
        self._check(self._receipts, network_of(address), "receipt_rate_per_ip")

    def _check(self, buckets: Buckets, key: str, limit: Limit) -> None:
        if not buckets.take(key, self._now_s()):
            self._metrics.limit_reached(limit)
            raise HubError(TOO_MANY_REQUESTS)

    def check_body(self, size_bytes: int) -> None:
        """Look at how much of a body has come.

        Raises:
            HubError: 1006 when it is too much.
        """
        if size_bytes > MAX_BODY_BYTES:
            self._metrics.limit_reached("app_body_bytes")
            raise HubError(DATA_TOO_LARGE, f"a request body has at most {MAX_BODY_BYTES} bytes")
