"""How connections come in: WebSocket and HTTP on one port, behind proxies or not.

The values and the port; the server itself is :class:`hub.transport.server.HubServer`.
"""

from __future__ import annotations

from hub.transport.admission import AdmissionOptions
from hub.transport.options import ServerOptions, TlsFiles, TransportOptions
from hub.transport.origins import OriginPolicy
from hub.transport.peer import TrustedProxies

__all__ = [
    "AdmissionOptions",
    "OriginPolicy",
    "ServerOptions",
    "TlsFiles",
    "TransportOptions",
    "TrustedProxies",
]
