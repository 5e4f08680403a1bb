"""A simulated APNs: the HTTP/2 of the real one, its rules, its table of answers and its moods."""

from hub.testing.simulators.apns.keys import ApnsKey
from hub.testing.simulators.apns.simulator import ApnsSimulator

__all__ = ["ApnsKey", "ApnsSimulator"]
