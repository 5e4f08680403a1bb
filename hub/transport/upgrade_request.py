"""Reading a WebSocket upgrade request and agreeing to it (RFC 6455, section 4.2).

Nearly all clients write theirs in the same few ways, and those are recognised here; about every
other the library decides, and about every refusal. Pure: bytes in, values out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, Subprotocol
from websockets.utils import accept_key

_log = logging.getLogger(__name__)
# The library tells of every handshake at INFO: a line, and its cost, for each of many thousand phones.
_log.setLevel(logging.WARNING)

_FIELD_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]{0,8192}\r\n)*\r\n")
"""Header fields up to the empty line, each whole, on a line of its own and of no absurd length."""

_READ_FIELDS = {
    name.encode(): name
    for name in (
        "host connection upgrade origin authorization x-forwarded-for content-length transfer-encoding "
        "sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-extensions"
    ).split()
}
"""What the handshake asks about; a phone sends as many others, which nobody would read."""

_MAX_FIELDS = 128
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_USUAL_CONNECTION = ["Upgrade", "upgrade", "keep-alive, Upgrade"]


class UpgradeRequest(NamedTuple):
    """A request head that broke no rule of HTTP. ``fields`` are values in order, by name in lower case."""

    method: str
    target: str
    version: str
    fields: dict[str, list[str]]

    def all(self, name: str) -> Sequence[str]:
        """The values of every such field."""
        return self.fields.get(name, ())

    def only(self, name: str) -> str | None:
        """The value of the only such field; None when there is none.

        Raises:
            ValueError: when there are several; guessing which one counts would be unsafe.
        """
        values = self.fields.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise ValueError(f"several {name} fields")
        return values[0]


class Agreed(NamedTuple):
    """What the response must say: ``Sec-WebSocket-Accept``, and the extensions as header and as objects."""

    accept: str
    extensions_header: str | None = None
    extensions: list[Extension] | None = None


class NotAgreed(Exception):
    """The request opens no WebSocket. Knows the status of the answer, and headers that belong to it."""

    def __init__(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers


class SharedDeflate(ServerPerMessageDeflateFactory):
    """Permessage-deflate for frames that are compressed once for everybody.

    Both sides forget their window after each message, so no connection keeps one (RFC 7692,
    7.1.1). An offer that asks for a smaller window on our side is declined: a shared frame
    is made with the full one (7.1.2.1 allows to decline).
    """

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """The answer to one offer.

        Raises:
            NegotiationError: when the offer is declined.
        """
        agreed, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits != 15:
            raise NegotiationError("shared frames need the full window")
        return agreed, extension


_DEFLATE: tuple[ServerExtensionFactory, ...] = (SharedDeflate(),)


class _Negotiation(ServerProtocol):
    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """None: the choice of a subprotocol is not the library's."""
        return None


def parse_request(head: bytes) -> UpgradeRequest:
    """The upgrade request in ``head``, which must be whole.

    Raises:
        EOFError: for a head that is not whole.
        ValueError: for one that breaks the rules; its text may quote it, so it must not be shown.
    """
    if not head.endswith(b"\r\n\r\n"):
        raise EOFError("incomplete request head")
    line, _, lines = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not _FIELD_LINES.fullmatch(lines):
        raise ValueError("malformed request head")
    written = lines[:-4].split(b"\r\n")
    if len(written) > _MAX_FIELDS:
        raise ValueError("too many header fields")
    fields: dict[str, list[str]] = {}
    for field in written:
        raw_name, _, value = field.partition(b":")
        name = _READ_FIELDS.get(raw_name.lower())
        if name is not None:
            fields.setdefault(name, []).append(value.strip(b" \t").decode("latin-1"))
    if "transfer-encoding" in fields or not {"0"}.issuperset(fields.get("content-length", ())):
        raise ValueError("an upgrade has no body")
    return UpgradeRequest(method, target, version, fields)


def agree(request: UpgradeRequest, *, compression: bool) -> Agreed:
    """What opens the connection that ``request`` asks for.

    Raises:
        NotAgreed: when the request is no valid one.
    """
    key = _usual_key(request.fields)
    if (
        key is not None
        and request.method == "GET"
        and request.version == "HTTP/1.1"
        and not (compression and "sec-websocket-extensions" in request.fields)
    ):
        return Agreed(accept_key(key))
    return _agree_by_library(request, _DEFLATE if compression else None)


def _usual_key(fields: dict[str, list[str]]) -> str | None:
    """The client's key, where everything that the rules ask for is there and in its usual writing."""
    try:
        (connection,), (upgrade,) = fields["connection"], fields["upgrade"]
        (key,), (version,) = fields["sec-websocket-key"], fields["sec-websocket-version"]
    except (KeyError, ValueError):
        return None
    usual = connection in _USUAL_CONNECTION and upgrade.lower() == "websocket" and version == "13"
    return key if usual and _KEY.fullmatch(key) else None


def _agree_by_library(
    request: UpgradeRequest, extensions: tuple[ServerExtensionFactory, ...] | None
) -> Agreed:
    headers = Headers()
    for name, values in request.fields.items():
        for value in values:
            headers.set_insecure(name, value)
    asked = Request(request.target, headers, request.method, request.version)
    negotiation = _Negotiation(extensions=extensions, logger=_log)
    # At that level the library writes headers, tokens among them, into the log.
    negotiation.debug = False
    try:
        accept, extensions_header, _ = negotiation.process_request(asked)
    except Exception:
        # The library turns what it found wrong into a status when it is asked the long way.
        response = negotiation.accept(asked)
        kept = tuple(
            (name, response.headers[name]) for name in ("Allow", "Upgrade") if name in response.headers
        )
        raise NotAgreed(response.status_code, kept) from None
    finally:
        # It and its parser hold each other, and the request with its token.
        negotiation.parser.close()
    return Agreed(accept, extensions_header, negotiation.extensions)
