"""The installed app behind a connection: what was written to it of its inbox, and what it proved to have.

An SDK answers a ping at once, and only after it handled all that came before it. So a pong proves
every publication that was written before its ping. Knows no engine and no command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.connection.wheel import Timer
from hub.delivery.model import Ack, Departure, DeviceState, Hello, Unproven, Welcome
from hub.errors import NO_PONG, SLOW, Disconnect
from hub.fanout import Subscriber
from hub.model import Position, Publication
from hub.session import State

if TYPE_CHECKING:
    from hub.connection.connection import Connection
    from hub.connection.joining import Joining

SETTLE_S = 0.2
"""No ping for proof before a client had the time to take the connect reply: not every SDK answers one
that comes in the same read."""

_BROKEN = frozenset((NO_PONG.code, SLOW.code))
"""Ends that say no more than that the socket did not work any longer."""


class DeviceSession:
    """One device on one connection, from its hello until it leaves.

    ``generation`` is 0 while the ledger has no row of it, and after it left: then nothing is told.
    """

    __slots__ = (
        "_acked",
        "_asked",
        "_asked_ms",
        "_connection",
        "_epoch",
        "_given_from",
        "_settled_at_s",
        "_settling",
        "_written",
        "_written_ms",
        "generation",
        "id",
        "state",
        "watched",
    )

    def __init__(self, connection: Connection, device: str, state: DeviceState) -> None:
        self._connection = connection
        self.id = device
        self.state: DeviceState = state
        self.generation = 0
        self.watched: Subscriber | None = None
        """Its subscription to the inbox, once that is live."""
        self._epoch = ""
        self._acked = 0
        self._given_from = 0
        """Everything after this offset was written to this connection, without a hole."""
        self._written = 0
        self._written_ms = 0
        self._asked = 0
        """What was written before the ping for proof that is outstanding; 0 without one."""
        self._asked_ms = 0
        self._settled_at_s = 0.0
        self._settling: Timer | None = None

    # what the ledger is told

    async def hello(self, cursor: Position | None = None) -> Welcome:
        """Tell the ledger that the device is connected, and end its former connection, wherever it is.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        connection = self._connection
        node = connection.services.node
        if connection.session.state is State.NEW:
            # A still newer one may replace it before it is counted in.
            node.registry.expect(connection)
        told = Hello(node.id, connection.client, self.state, cursor)
        welcome = await node.proofs.hello(connection.user, self.id, told)
        self._welcomed(welcome)
        if welcome.replaced is not None:
            node.replace(connection.user, *welcome.replaced)
        if connection.session.state is State.CLOSED:
            self.leave("dropped")
        return welcome

    async def hello_again(self) -> None:
        """This hub had counted as gone and is back: tell the ledger of the very same connection.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        if self.generation:
            await self._tell_again()

    async def registered(self) -> None:
        """The device was registered: its row learns of this connection, unless it knows a newer one.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        resumes = self.generation
        if resumes:
            welcome = await self._tell_again()
            if welcome.known and welcome.generation >= resumes:
                return
        # The row is a new one: it knows no connection at all.
        if self._connection.session.state is not State.CLOSED:
            await self.hello()

    async def _tell_again(self) -> Welcome:
        connection = self._connection
        node = connection.services.node
        resumes = self.generation
        told = Hello(node.id, connection.client, self.state, resumes=resumes)
        welcome = await node.proofs.hello(connection.user, self.id, told)
        if connection.session.state is State.CLOSED:
            # It was told once more after it had left.
            node.proofs.leave(connection.user, self.id, resumes, "dropped", None)
        elif self.generation and (not welcome.known or welcome.generation == resumes):
            self._welcomed(welcome)
        return welcome

    def _welcomed(self, welcome: Welcome) -> None:
        self.generation = welcome.generation
        self._acked = welcome.acked if welcome.known else 0

    async def set_state(self, state: DeviceState) -> None:
        """The app went to the foreground or the background.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        self.state = state
        if self.generation:
            connection = self._connection
            proofs = connection.services.node.proofs
            await proofs.set_state(connection.user, self.id, self.generation, state)
        self.ask_for_proof()

    def forgotten(self) -> None:
        """The device was removed: it owes and proves nothing any more."""
        self.generation = 0

    def ended(self, why: Disconnect | None, said_goodbye: bool) -> None:
        """The connection is over: ended by the hub for a reason, or by the other side."""
        if why is not None:
            self.leave("dropped" if why.code in _BROKEN else "drained")
        else:
            self.leave("closed" if said_goodbye else "dropped")

    def leave(self, how: Departure) -> None:
        """Tell the ledger that the device is no longer connected. Idempotent."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        generation, self.generation = self.generation, 0
        if generation:
            unproven = None
            if self._written > self._acked:
                unproven = Unproven(self._written, self._written_ms)
            connection = self._connection
            proofs = connection.services.node.proofs
            proofs.leave(connection.user, self.id, generation, how, unproven)

    # what was written, and what that proves

    def go_live(self, inbox: Joining) -> None:
        """The inbox is live: from here on all that is written to it is seen here."""
        services = self._connection.services
        membership = inbox.membership
        feed = services.node.listening.feed(membership.channel)
        if feed is None or not membership.live:
            return
        self.watched = membership
        feed.watch(self)
        self._epoch = inbox.result.epoch
        self._given_from = inbox.result.offset
        self._settled_at_s = services.loop.time() + SETTLE_S
        if membership.reached_offset > self._given_from:
            self._wrote(membership.reached_offset)

    def on_given(self, publication: Publication) -> None:
        """The feed put a publication of the inbox into the outbox."""
        # Without an offset it is no notification but a word about some; with one that is not new,
        # it was in the reply, which may be ahead of the feed.
        if publication.offset > self._written and not self._connection.outbox.closed:
            self._wrote(publication.offset)

    def _wrote(self, offset: int) -> None:
        self._written = offset
        self._written_ms = int(self._connection.services.wall_s() * 1000)
        self.ask_for_proof()

    @property
    def _counts(self) -> bool:
        """Whether a pong closes debts: an offset stands for all before it, so none may be missing."""
        if not self.generation or self._acked < self._given_from:
            return False
        if self._connection.native_ping:
            # Browsers and libraries answer these below the app, and do so for one that is frozen.
            return False
        return self.state == "foreground" or self._connection.services.options.background_counts

    def ask_for_proof(self) -> None:
        """Send a ping behind what is not proven yet, unless one is outstanding."""
        connection = self._connection
        if self._written <= self._acked or connection.session.awaits_pong or not self._counts:
            return
        if self._settling is not None:
            return
        rest_s = self._settled_at_s - connection.services.loop.time()
        if rest_s > 0:
            self._settling = connection.services.wheel.after(rest_s, self._on_settled)
            return
        self._asked, self._asked_ms = self._written, self._written_ms
        connection.ping()

    def acked(self, offset: int) -> None:
        """The app said itself that it has everything up to ``offset``: from there on pongs count again."""
        self._acked = max(self._acked, offset)
        self.ask_for_proof()

    def _on_settled(self) -> None:
        self._settling = None
        self.ask_for_proof()

    def on_pong(self) -> None:
        """The outstanding ping was answered, whatever it had been sent for."""
        asked, self._asked = self._asked, 0
        if asked > self._acked and self._counts:
            self._acked = asked
            connection = self._connection
            node = connection.services.node
            node.proofs.prove(
                Ack(connection.user, self.id, self._epoch, asked, node.id, self._asked_ms, "pong")
            )
        self.ask_for_proof()


class WithDevice:
    """The part of a connection that handlers of devices and inboxes see.

    ``device_session`` is None unless the client named a device that it runs on, and its user
    has an inbox.
    """

    __slots__ = ("device_session",)

    device_session: DeviceSession | None

    @property
    def device(self) -> str:
        """The device that the client said it runs on, registered or not; empty for none."""
        return self.device_session.id if self.device_session is not None else ""

    async def device_registered(self, device: str) -> None:
        """The user registered a device: if it is this one, its row learns that it is connected.

        Raises:
            EngineUnavailable: it is unknown whether that was noted; registering may be repeated.
        """
        if self.device_session is not None and self.device_session.id == device:
            await self.device_session.registered()

    async def device_removed(self, device: str) -> None:
        """The user removed a device: if it is this one, nothing is proven for it any more."""
        if self.device_session is not None and self.device_session.id == device:
            self.device_session.forgotten()

    def device_acked(self, acked: int) -> None:
        """The device has everything up to ``acked`` of its inbox, as it said itself."""
        if self.device_session is not None:
            self.device_session.acked(acked)

    async def set_device_state(self, state: DeviceState) -> None:
        """The app went to the foreground or the background; nothing happens without a device.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        if self.device_session is not None:
            await self.device_session.set_state(state)

    async def hello_again(self) -> None:
        """Tell the ledger of the device once more; see ``LiveConnection``."""
        if self.device_session is not None:
            await self.device_session.hello_again()

    def drop_device(self, why: Disconnect | None, said_goodbye: bool = False) -> None:
        """The connection is over, ended by the hub for a reason or by the other side."""
        session, self.device_session = self.device_session, None
        if session is not None:
            session.ended(why, said_goodbye)
