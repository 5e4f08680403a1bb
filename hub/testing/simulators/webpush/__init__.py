"""A simulated push service of a browser: subscriptions, VAPID, encrypted bodies, redirects."""

from hub.testing.simulators.webpush.simulator import WebPushSimulator
from hub.testing.simulators.webpush.subscriptions import Subscription
from hub.testing.simulators.webpush.vapid import VapidKeys, new_vapid_keys

__all__ = ["Subscription", "VapidKeys", "WebPushSimulator", "new_vapid_keys"]
