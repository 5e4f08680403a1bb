"""What one app's lane to Apple is made of: who it is, by which credentials, over which connections.

Values only. Settings are read elsewhere; here they have their names, units and defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from workers.payloads.apns import GENERIC_TEXT

PRODUCTION_HOST: Final = "api.push.apple.com"
SANDBOX_HOST: Final = "api.sandbox.push.apple.com"

Environment = Literal["production", "sandbox"]


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A signing key of the developer account: the PEM text of its .p8 file and its two names."""

    key_pem: str = field(repr=False)
    key_id: str
    team_id: str


@dataclass(frozen=True, slots=True)
class CertificateCredentials:
    """Paths of a client certificate and of its key in PEM; one file may hold both."""

    certificate_file: str
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class ApnsOptions:
    """One app in one environment.

    ``app`` is the name that devices register with, ``topic`` its bundle id where that differs.
    ``host``, ``port`` and ``ca_file`` name another gateway than Apple's: a private one, a simulator.
    ``max_streams`` bounds what is in flight on one connection below the peer's own limit.
    ``request_timeout_s`` is for one send with everything in it; connecting gets its own, shorter.
    A connection on which nothing came for ``ping_after_s`` is asked whether it lives; one without a
    send for ``idle_close_s`` is closed. ``generic_text`` is shown where content does not fit.
    """

    app: str
    credentials: TokenCredentials | CertificateCredentials
    environment: Environment = "production"
    topic: str = ""
    host: str = ""
    port: int = 443
    ca_file: str = ""
    max_connections: int = 5
    max_streams: int = 1000
    request_timeout_s: float = 12.0
    connect_timeout_s: float = 5.0
    ping_after_s: float = 3600.0
    ping_timeout_s: float = 5.0
    idle_close_s: float = 86_400.0
    generic_text: str = GENERIC_TEXT

    @property
    def bundle_id(self) -> str:
        """The topic of an ordinary alert."""
        return self.topic or self.app

    @property
    def gateway(self) -> str:
        """The name to connect to, which the peer's certificate has to bear."""
        return self.host or (SANDBOX_HOST if self.environment == "sandbox" else PRODUCTION_HOST)

    @property
    def label(self) -> str:
        """How texts call this lane."""
        return f"app {self.app!r} (apns, {self.environment})"
