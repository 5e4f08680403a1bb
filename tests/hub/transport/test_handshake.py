"""The opening handshake as a decision on bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.connection.link import Refused, Upgrade
from hub.transport.handshake import Opening, Rejection, negotiate, rejection_of
from hub.transport.origins import OriginPolicy
from hub.transport.peer import TrustedProxies
from tests.support.hub_server import transport_options
from tests.support.raw_client import ACCEPT, upgrade_request

PEER = TrustedProxies().peer("192.0.2.7", 1)


def decide(head: bytes, **options: Any) -> Opening | Rejection:
    made = transport_options(**options)
    return negotiate(
        head, made.trusted_proxies.peer("192.0.2.7", 1), made, OriginPolicy(made.allowed_origins)
    )


def upgrade_of(path: str = "/connection/websocket", headers: dict[str, str | None] | None = None) -> Upgrade:
    opening = decide(upgrade_request(path, headers))
    assert isinstance(opening, Opening), opening
    return opening.upgrade


def response_of(headers: dict[str, str | None] | None = None, **options: Any) -> bytes:
    opening = decide(upgrade_request(headers=headers), **options)
    assert isinstance(opening, Opening), opening
    return b"".join(opening.wire.data_to_send())


class TestCodec:
    """How a client asks for JSON or Protobuf (client protocol, section 1.2)."""

    @pytest.mark.parametrize(
        ("offered", "path", "name", "echoed"),
        [
            (None, "/", "json", None),
            ("", "/", "json", None),
            ("centrifuge-json", "/", "json", "centrifuge-json"),
            ("centrifuge-protobuf", "/", "protobuf", "centrifuge-protobuf"),
            ("chat, centrifuge-protobuf", "/", "protobuf", "centrifuge-protobuf"),
            ("centrifuge-json, centrifuge-protobuf", "/", "json", "centrifuge-json"),
            ("chat", "/", "json", None),
            (",,", "/", "json", None),
            (None, "/?cf_protocol=protobuf", "protobuf", None),
            (None, "/?format=protobuf", "protobuf", None),
            ("", "/?cf_protocol=protobuf", "protobuf", None),
            (None, "/?cf_protocol=json", "json", None),
            ("centrifuge-json", "/?cf_protocol=protobuf", "json", "centrifuge-json"),
        ],
    )
    def test_signals(self, offered: str | None, path: str, name: str, echoed: str | None) -> None:
        """An empty header and unknown names are no error."""
        opening = decide(upgrade_request(path, {"Sec-WebSocket-Protocol": offered}))
        assert isinstance(opening, Opening)
        assert opening.upgrade.codec.name == name
        response = b"".join(opening.wire.data_to_send()).decode()
        assert response.startswith("HTTP/1.1 101 ")
        assert [line for line in response.split("\r\n") if line.startswith("Sec-WebSocket-Protocol")] == (
            [f"Sec-WebSocket-Protocol: {echoed}"] if echoed else []
        )


class TestUpgrade:
    """What else the request tells."""

    def test_the_accept_key_is_that_of_the_rfc(self) -> None:
        """RFC 6455, section 1.3."""
        assert f"Sec-WebSocket-Accept: {ACCEPT}\r\n".encode() in response_of()

    @pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "upgrade,keep-alive"])
    def test_connection_may_hold_more(self, connection: str) -> None:
        """Firefox sends both options."""
        assert upgrade_of(headers={"Connection": connection}).client_ip == "192.0.2.7"

    @pytest.mark.parametrize(
        ("header", "token"),
        [
            (None, ""),
            ("Bearer abc.def", "abc.def"),
            ("bearer  abc", "abc"),
            ("Basic abc", ""),
            ("Bearer", ""),
        ],
    )
    def test_bearer_token(self, header: str | None, token: str) -> None:
        """Only of the Bearer scheme (RFC 6750, section 2.1)."""
        assert upgrade_of(headers={"Authorization": header}).bearer_token == token

    @pytest.mark.parametrize(
        ("path", "native"),
        [("/", False), ("/?cf_ws_frame_ping_pong=true", True), ("/?cf_ws_frame_ping_pong=1", False)],
    )
    def test_native_ping(self, path: str, native: bool) -> None:
        """Asked for in the query."""
        assert upgrade_of(path).native_ping is native

    def test_forwarded_for_from_a_trusted_peer(self) -> None:
        """And from nobody else."""
        head = upgrade_request(headers={"X-Forwarded-For": "203.0.113.9"})
        trusted = decide(head, trusted_proxies=TrustedProxies(["192.0.2.0/24"]))
        assert isinstance(trusted, Opening)
        assert trusted.upgrade.client_ip == "203.0.113.9"
        assert upgrade_of(headers={"X-Forwarded-For": "203.0.113.9"}).client_ip == "192.0.2.7"


class TestCompression:
    """permessage-deflate (RFC 7692)."""

    @pytest.mark.parametrize("offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits"])
    def test_is_agreed_without_any_context(self, offer: str) -> None:
        """Both sides forget their window after each message (section 7.1.1)."""
        response = response_of({"Sec-WebSocket-Extensions": offer}, compression=True).decode()
        (agreed,) = [line for line in response.split("\r\n") if line.startswith("Sec-WebSocket-Extensions")]
        assert "server_no_context_takeover" in agreed
        assert "client_no_context_takeover" in agreed

    def test_a_smaller_window_of_ours_is_declined(self) -> None:
        """Shared frames have the full one; the next offer may do."""
        small = "permessage-deflate; server_max_window_bits=10"
        assert b"Extensions" not in response_of({"Sec-WebSocket-Extensions": small}, compression=True)
        fallback = response_of({"Sec-WebSocket-Extensions": f"{small}, permessage-deflate"}, compression=True)
        assert b"permessage-deflate" in fallback


class TestRejection:
    """Requests that are answered with another status."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-WebSocket-Key": None}, 400),
            ({"Sec-WebSocket-Key": "short"}, 400),
            ({"Sec-WebSocket-Key": "not base64 at all!!!!!!="}, 400),
            ({"Sec-WebSocket-Version": "12"}, 400),
            ({"Sec-WebSocket-Version": None}, 400),
            ({"Connection": "keep-alive"}, 426),
            ({"Upgrade": "h2c"}, 426),
            ({"Transfer-Encoding": "chunked"}, 400),
            ({"Content-Length": "5"}, 400),
            ({"Bad Name": "x"}, 400),
            ({"Origin": "https://evil.example"}, 403),
            ({"Sec-WebSocket-Extensions": ";;"}, 101),
        ],
    )
    def test_statuses(self, headers: dict[str, str | None], status: int) -> None:
        """By the part of the handshake that is wrong (RFC 6455, section 4.2)."""
        decision = decide(upgrade_request(headers=headers))
        assert (decision.status if isinstance(decision, Rejection) else 101) == status

    def test_another_method(self) -> None:
        """Only GET opens a WebSocket."""
        decision = decide(upgrade_request(method="POST"))
        assert decision == Rejection(405, "not a valid WebSocket handshake", (("Allow", "GET"),))

    def test_two_authorizations(self) -> None:
        """Which one counts must not be a guess."""
        head = upgrade_request(headers={"Authorization": "Bearer a\r\nAuthorization: Bearer b"})
        assert decide(head) == Rejection(400, "malformed request")

    def test_rendering(self) -> None:
        """A whole response, with the headers that every answer has."""
        rejection = rejection_of(Refused(503, "draining", retry_after_s=5))
        assert rejection.render([(b"date", b"today")]) == (
            b"HTTP/1.1 503 Service Unavailable\r\ndate: today\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: 9\r\nconnection: close\r\nretry-after: 5\r\n\r\ndraining\n"
        )
        assert Rejection(599, "x").render().startswith(b"HTTP/1.1 599 \r\n")

    @given(st.binary(max_size=200))
    def test_never_raises(self, garbage: bytes) -> None:
        """Whatever the head holds, and nothing of it comes back."""
        decision = decide(b"GET /connection/websocket HTTP/1.1\r\n" + garbage + b"\r\n\r\n")
        assert isinstance(decision, Rejection)
