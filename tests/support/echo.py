"""A connection that answers each message with itself, and remembers all that its link told it."""

from __future__ import annotations

from collections.abc import Callable

from hub.connection.link import Link, LinkEvents, Upgrade
from hub.protocol import server_frame


class EchoConnection:
    """Implements ``LinkEvents``. ``on_message`` replaces the echo."""

    def __init__(self, link: Link, upgrade: Upgrade) -> None:
        self.client = "echo"
        self.link = link
        self.upgrade = upgrade
        self.frames: list[bytes] = []
        self.pong_count = 0
        self.writable: list[bool] = []
        self.lost_count = 0
        self.on_message: Callable[[bytes], None] = self.echo

    def echo(self, payload: bytes) -> None:
        """Send the payload back in a frame of the codec's kind."""
        self.link.write(server_frame(payload, self.upgrade.codec.opcode))

    def on_frame(self, payload: bytes) -> None:
        assert self.lost_count == 0, "a frame after the end"
        self.frames.append(payload)
        self.on_message(payload)

    def on_pong(self) -> None:
        assert self.lost_count == 0, "a pong after the end"
        self.pong_count += 1

    def on_writable(self, writable: bool) -> None:
        assert self.lost_count == 0, "a change of writability after the end"
        self.writable.append(writable)

    def on_lost(self) -> None:
        self.lost_count += 1


class EchoAcceptor:
    """Implements ``Acceptor``. ``before`` runs first for each upgrade, and may raise, write or close."""

    def __init__(self) -> None:
        self.connections: list[EchoConnection] = []
        self.before: Callable[[EchoConnection], None] = lambda connection: None

    def __call__(self, link: Link, upgrade: Upgrade) -> LinkEvents:
        connection = EchoConnection(link, upgrade)
        self.before(connection)
        self.connections.append(connection)
        return connection

    @property
    def only(self) -> EchoConnection:
        """The one connection there has been."""
        (connection,) = self.connections
        return connection
