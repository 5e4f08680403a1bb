"""What can be chosen about the transport, as plain values, and the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.protocol.codec import Codec
from hub.transport.admission import AdmissionOptions
from hub.transport.peer import TrustedProxies


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How connections are taken and kept, the same for all connections of one server."""

    json: Codec
    protobuf: Codec
    websocket_path: str = "/connection/websocket"
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    allowed_origins: tuple[str, ...] = ()
    """See :class:`~hub.transport.origins.OriginPolicy`; empty means pages of our own host."""
    max_message_bytes: int = 65_536
    """Longest message taken from a client, inflated; what is longer ends it with 1009."""
    max_head_bytes: int = 16_384
    """Longest request line and headers together; each connection may make us hold that much."""
    handshake_timeout_s: float = 10.0
    """Time for the whole request head to arrive, counted from the TCP (or TLS) connection."""
    close_timeout_s: float = 5.0
    """Time for the peer's half of a close, and for our last bytes to leave, before the abort."""
    write_high_bytes: int = 65_536
    """Bytes unsent at which a connection is told that it is not writable."""
    write_low_bytes: int = 16_384
    admission: AdmissionOptions = field(default_factory=AdmissionOptions)
    """Who may open a WebSocket, and how often."""
    write_timeout_s: float = 20.0
    """Time in which an HTTP connection must take something of what waits for it."""
    max_http_connections: int = 0
    """HTTP connections on which it is the client's turn; beyond, the longest of them ends. 0: no limit."""
    compression: bool = False
    """Offer permessage-deflate without context takeover (RFC 7692, section 7.1.1)."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate chain and key in PEM files."""

    certfile: str
    keyfile: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server listens.

    ``host`` ``localhost`` is 127.0.0.1 and ::1 both; the empty text is every address of both
    families. ``port`` 0 takes a free one, the same for all addresses.
    """

    transport: TransportOptions
    host: str = "localhost"
    port: int = 8000
    reuse_port: bool = False
    """Let several processes listen on the same port (SO_REUSEPORT)."""
    backlog_count: int = 65_535
    """Connections that wait to be accepted; the system cuts it to its own limit. One that finds
    no place comes again a second later at the earliest, which is what makes a storm long."""
    http_keep_alive_s: int = 75
    """Longer than the 60 s of common load balancers, so that they close first and never race us."""
    tls: TlsFiles | None = None
