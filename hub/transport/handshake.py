"""The opening handshake of a WebSocket as a decision: who comes, in which codec, or why not.

Pure: bytes of a whole request head in, an :class:`Opening` or a :class:`Rejection` out. Knows
no socket, and does not ask whether the hub has room.
"""

from __future__ import annotations

import http
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from websockets.datastructures import Headers, MultipleValuesError

from hub.connection.link import Refused, Upgrade
from hub.protocol.codec import Codec
from hub.transport.options import TransportOptions
from hub.transport.origins import OriginPolicy
from hub.transport.peer import Peer
from hub.transport.request_head import query_of
from hub.transport.wire import Wire, parse_request


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


@dataclass(frozen=True, slots=True)
class Opening:
    """A handshake in order. The response is queued in ``wire`` and not sent yet."""

    wire: Wire
    upgrade: Upgrade


def negotiate(
    head: bytes, peer: Peer, options: TransportOptions, origins: OriginPolicy
) -> Opening | Rejection:
    """Decide on an upgrade request (RFC 6455, section 4.2). Never raises."""
    try:
        request = parse_request(head)
    except Exception:
        return Rejection(400, "malformed request")
    codecs = (options.protobuf, options.json)
    wire = Wire(
        [codec.subprotocol for codec in codecs], options.max_message_bytes, compression=options.compression
    )
    try:
        agreed = wire.process_request(request)
    except Exception:
        # The library turns what it found wrong into a status when it is asked the long way.
        response = wire.accept(request)
        # Its own texts quote the request, hence ours.
        kept = tuple(
            (name, response.headers[name]) for name in ("Allow", "Upgrade") if name in response.headers
        )
        text = "not a valid WebSocket handshake"
        return Rejection(response.status_code, text, kept)
    try:
        host, bearer_token = request.headers.get("Host"), _bearer_token(request.headers)
    except MultipleValuesError:
        return Rejection(400, "malformed request")
    if not origins.allows(wire.origin, host):
        return Rejection(403, "origin not allowed")
    query_text = query_of(request.path)
    query = parse_qs(query_text) if query_text else {}
    upgrade = Upgrade(
        codec=_codec_of(wire.subprotocol, query, options),
        client_ip=options.trusted_proxies.client_of(peer, request.headers.get_all("X-Forwarded-For")),
        bearer_token=bearer_token,
        compressed=wire.compressed,
        native_ping=query.get("cf_ws_frame_ping_pong") == ["true"],
    )
    wire.agree(*agreed)
    return Opening(wire, upgrade)


def rejection_of(refused: Refused) -> Rejection:
    """What a client is told when no connection is taken now."""
    retry_after = () if refused.retry_after_s is None else (("retry-after", str(refused.retry_after_s)),)
    return Rejection(refused.status, refused.reason, retry_after)


def _codec_of(subprotocol: str | None, query: dict[str, list[str]], options: TransportOptions) -> Codec:
    """The codec asked for: by subprotocol, else by query, else JSON."""
    if subprotocol is not None:
        return options.protobuf if subprotocol == options.protobuf.subprotocol else options.json
    asks_protobuf = ["protobuf"] in (query.get("cf_protocol"), query.get("format"))
    return options.protobuf if asks_protobuf else options.json


def _bearer_token(headers: Headers) -> str:
    """Raises:
    MultipleValuesError: when there are several Authorization headers; guessing would be unsafe.
    """
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
