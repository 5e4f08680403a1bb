"""A simulated FCM: the HTTP v1 call, the token endpoint before it, its rules, its errors and its quotas."""

from hub.testing.simulators.fcm.oauth import ServiceAccount
from hub.testing.simulators.fcm.quotas import Quotas
from hub.testing.simulators.fcm.simulator import FcmSimulator

__all__ = ["FcmSimulator", "Quotas", "ServiceAccount"]
