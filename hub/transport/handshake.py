"""The opening handshake of a WebSocket as a decision: who comes, in which codec, or why not.

Pure: bytes of a whole request head in, an :class:`Opening` or a :class:`Rejection` out. Knows
no socket, and does not ask whether the hub has room.
"""

from __future__ import annotations

import http
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from msgspec import Struct

from hub.connection.link import Refused, Upgrade
from hub.protocol.codec import Codec
from hub.transport.options import TransportOptions
from hub.transport.origins import OriginPolicy
from hub.transport.peer import Peer
from hub.transport.request_head import query_of
from hub.transport.upgrade_request import Agreed, NotAgreed, UpgradeRequest, agree, parse_request
from hub.transport.wire import Wire

_SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that ends the connection: status, a short text and extra headers."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()

    def render(self, default_headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """The whole HTTP/1.1 response."""
        try:
            phrase = http.HTTPStatus(self.status).phrase
        except ValueError:
            phrase = ""
        body = self.text.encode() + b"\n"
        lines = [
            *(name + b": " + value for name, value in default_headers),
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(body),
            b"connection: close",
            *(f"{name}: {value}".encode("latin-1") for name, value in self.headers),
        ]
        return b"HTTP/1.1 %d %s\r\n%s\r\n\r\n%s" % (self.status, phrase.encode(), b"\r\n".join(lines), body)


ORIGIN_NOT_ALLOWED = Rejection(403, "origin not allowed")


class Opening(Struct, frozen=True, gc=False):
    """A handshake in order. The response is queued in ``wire`` and not sent yet."""

    wire: Wire
    upgrade: Upgrade


def negotiate(
    head: bytes, peer: Peer, options: TransportOptions, origins: OriginPolicy
) -> Opening | Rejection:
    """Decide on an upgrade request (RFC 6455, section 4.2). Never raises."""
    try:
        request = parse_request(head)
        host, origin = request.only("host"), request.only("origin")
        bearer_token = _bearer_token(request.only("authorization"))
    except (ValueError, EOFError):
        return Rejection(400, "malformed request")
    try:
        agreed = agree(request, compression=options.compression)
    except NotAgreed as refusal:
        return Rejection(refusal.status, "not a valid WebSocket handshake", refusal.headers)
    if not origins.allows(origin, host):
        return ORIGIN_NOT_ALLOWED
    query_text = query_of(request.target)
    query = parse_qs(query_text) if query_text else {}
    subprotocol = _subprotocol(request, options)
    upgrade = Upgrade(
        codec=_codec_of(subprotocol, query, options),
        client_ip=options.trusted_proxies.client_of(peer, request.all("x-forwarded-for")),
        bearer_token=bearer_token,
        compressed=bool(agreed.extensions),
        native_ping=query.get("cf_ws_frame_ping_pong") == ["true"],
    )
    wire = Wire(options.max_message_bytes, agreed.extensions)
    wire.writes.append(_response(agreed, subprotocol))
    return Opening(wire, upgrade)


def _response(agreed: Agreed, subprotocol: str | None) -> bytes:
    """The response that opens the connection. It carries no Date, which a 101 need not (RFC 9110, 6.6.1)."""
    lines = [_SWITCHING + agreed.accept]
    if agreed.extensions_header is not None:
        lines.append(f"Sec-WebSocket-Extensions: {agreed.extensions_header}")
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode()


def rejection_of(refused: Refused) -> Rejection:
    """What a client is told when no connection is taken now."""
    retry_after = () if refused.retry_after_s is None else (("retry-after", str(refused.retry_after_s)),)
    return Rejection(refused.status, refused.reason, retry_after)


def _subprotocol(request: UpgradeRequest, options: TransportOptions) -> str | None:
    """The first subprotocol of the client's list that we speak, else none.

    Never fails the handshake: an empty header is what some published clients send, and one
    that lists only strangers gets a connection without a subprotocol.
    """
    for value in request.all("sec-websocket-protocol"):
        for name in value.split(","):
            if name.strip() in (options.json.subprotocol, options.protobuf.subprotocol):
                return name.strip()
    return None


def _codec_of(subprotocol: str | None, query: dict[str, list[str]], options: TransportOptions) -> Codec:
    """The codec asked for: by subprotocol, else by query, else JSON."""
    if subprotocol is not None:
        return options.protobuf if subprotocol == options.protobuf.subprotocol else options.json
    asks_protobuf = ["protobuf"] in (query.get("cf_protocol"), query.get("format"))
    return options.protobuf if asks_protobuf else options.json


def _bearer_token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
