"""Push providers on loopback that speak the real protocols, keep the real rules, and fail as told.

``ApnsSimulator``, ``FcmSimulator`` and ``WebPushSimulator`` are started inside a test (``async with``) or by
``hub simulate providers``. Each has ``url``, ``port``, ``ca_file``, ``ledger`` (what it accepted),
``script``, ``every``, ``rate`` and ``latency`` (what goes wrong: :class:`Fault`), ``set_door``, ``cut``,
``freeze``, ``go_away``.
"""

from hub.testing.simulators.apns import ApnsKey, ApnsSimulator
from hub.testing.simulators.authority import Authority
from hub.testing.simulators.faults import ANYBODY, Fault, lognormal
from hub.testing.simulators.fcm import FcmSimulator, Quotas, ServiceAccount
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.ledger import AcceptedPush, Ledger
from hub.testing.simulators.listening import Door
from hub.testing.simulators.webpush import Subscription, VapidKeys, WebPushSimulator, new_vapid_keys

__all__ = [
    "ANYBODY",
    "AcceptedPush",
    "ApnsKey",
    "ApnsSimulator",
    "Authority",
    "Door",
    "Fault",
    "FcmSimulator",
    "Http2Options",
    "Ledger",
    "Quotas",
    "ServiceAccount",
    "Subscription",
    "VapidKeys",
    "WebPushSimulator",
    "lognormal",
    "new_vapid_keys",
]
