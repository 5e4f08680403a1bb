"""Where the hub listens, and to whom it listens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, IPvAnyNetwork

from config.section import Section, Shown, TextList, split_list

Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(split_list), Shown("list of networks")]


class HttpSettings(Section):
    """The public port: WebSocket, health, and whatever has no internal port of its own."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. `localhost` is the loopback of IPv4 and IPv6, `0.0.0.0` every IPv4 address."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes any free one. `PORT` is honoured where this is not set."""
    tls_cert: Path | None = None
    """PEM file with the certificate and its chain. With `tls_key`, the hub speaks TLS itself."""
    tls_key: Path | None = None
    """PEM file with the private key of `tls_cert`."""
    trusted_proxies: Networks = ()
    """Networks whose `X-Forwarded-For` and PROXY protocol headers are believed. Nobody is by default."""
    allowed_origins: TextList = ()
    """Web pages that may connect: origins such as `https://app.example.com`, `https://*.example.com`, \
`http://localhost:*`, or `*` for all. Empty: pages of the hub's own host. Phones and servers send no origin, \
and are let in."""
    websocket_path: str = Field(default="/connection/websocket", pattern=r"^/[!-~]*$")
    """Path of the WebSocket endpoint."""


class InternalSettings(Section):
    """A second port for the server API and health details, away from the public one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address of the internal port."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """The internal port. Not set: everything is on the public port."""


class WebSocketSettings(Section):
    """The WebSocket transport."""

    compression: bool = False
    """Offer permessage-deflate (without context takeover, so that no connection holds a window)."""


class InsecureSettings(Section):
    """Switches that take protection away. For tests and closed networks only."""

    client: bool = False
    """Clients need no token and may do everything outside the reserved namespace. \
A token that is sent is verified all the same."""
    api: bool = False
    """The server API needs no key. A key that is sent is verified all the same."""
    short_secrets: bool = False
    """Accept shared secrets under 32 bytes, which can be guessed from a single token."""
    allow_public_bind: bool = False
    """Let an insecure hub listen on an address that others can reach: \
anyone there can then read and publish everything."""
