"""The APNs sender: :class:`ApnsSender` over ``aioapns``, with a connection of our own under its pool."""

from workers.senders.apns.options import ApnsOptions, CertificateCredentials, TokenCredentials
from workers.senders.apns.sender import ApnsSender

__all__ = ["ApnsOptions", "ApnsSender", "CertificateCredentials", "TokenCredentials"]
