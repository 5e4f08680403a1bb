"""The rules of one connection: which command is legal now, and what it asks for.

Pure: no I/O, no clock, no tokens, no engine. :meth:`Session.decide` says what to do with a
command; whoever drives the session does it and reports back by the verbs below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from hub.errors import (
    ALREADY_SUBSCRIBED,
    BAD_FRAME,
    BAD_REQUEST,
    DISCONNECT_NOT_AVAILABLE,
    LIMIT_EXCEEDED,
    PERMISSION_DENIED,
    Disconnect,
    ErrorCode,
)
from hub.protocol import messages as m
from hub.protocol.messages import Command, Request, request_of


class State(Enum):
    """Where a connection stands."""

    NEW = "nothing but a connect command is legal"
    CONNECTED = "commands are served"
    REFUSED = "the connect command was answered with an error; nothing is legal any more"
    CLOSED = "over; whatever still arrives is ignored"


class Serve(Struct, frozen=True, gc=False):
    """Do what the request asks for and answer under ``id``."""

    id: int
    request: Request


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer ``id`` with this error; the connection goes on."""

    id: int
    error: ErrorCode


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection."""

    disconnect: Disconnect


class Pong(Enum):
    """The answer to the outstanding ping arrived."""

    PONG = "pong"


class Ignore(Enum):
    """Nothing to do: the connection is over."""

    IGNORE = "ignore"


_NAMES_A_CHANNEL = (
    m.SubscribeRequest,
    m.UnsubscribeRequest,
    m.PublishRequest,
    m.PresenceRequest,
    m.PresenceStatsRequest,
    m.HistoryRequest,
)

Decision: TypeAlias = Serve | Refuse | Close | Pong | Ignore


class Session:
    """Protocol state of one connection: its phase, its subscriptions, whether a ping is unanswered.

    ``subscriptions`` holds whatever the driver keeps for each channel; the rules only ask
    which channels are there.
    """

    __slots__ = ("answered", "awaits_pong", "max_channels", "state", "subscriptions")

    def __init__(self, max_channels: int) -> None:
        self.max_channels = max_channels
        self.state = State.NEW
        self.awaits_pong = False
        self.answered = False
        """Whether any pong came since this was last set to False; see ``Lifetime``."""
        self.subscriptions: dict[str, object] = {}

    def decide(self, command: Command) -> Decision:
        """What to do with ``command``, by the state of this very moment."""
        if self.state is State.CLOSED:
            return Ignore.IGNORE
        request = request_of(command)
        if self.state is State.CONNECTED:
            return self._decide_connected(command.id, request)
        if self.state is State.NEW and isinstance(request, m.ConnectRequest) and command.id:
            return Serve(command.id, request)
        return Close(BAD_FRAME)

    def _decide_connected(self, command_id: int, request: Request | None) -> Decision:
        if isinstance(request, m.SendRequest):
            # Nobody takes one-way messages of clients in this version.
            return Close(DISCONNECT_NOT_AVAILABLE)
        if not command_id:
            return self._decide_pong()
        if isinstance(request, _NAMES_A_CHANNEL) and not request.channel:
            return Close(BAD_FRAME)
        match request:
            case m.SubscribeRequest():
                return self._decide_subscribe(command_id, request)
            case m.SubRefreshRequest():
                return self._decide_sub_refresh(command_id, request)
            case m.PublishRequest() if request.type:
                return Refuse(command_id, PERMISSION_DENIED)
            case m.PublishRequest() if not bytes(request.data):
                return Refuse(command_id, BAD_REQUEST)
            case m.RefreshRequest() if not request.token:
                return Close(BAD_FRAME)
            case None | m.ConnectRequest() | m.PingRequest():
                # No request at all, a second connect, or a client's own ping.
                return Close(BAD_FRAME)
            case _:
                return Serve(command_id, request)

    def _decide_pong(self) -> Decision:
        if not self.awaits_pong:
            return Close(BAD_FRAME)
        self.ponged()
        return Pong.PONG

    def _decide_subscribe(self, command_id: int, request: m.SubscribeRequest) -> Decision:
        if request.type:
            return Refuse(command_id, PERMISSION_DENIED)
        if request.tf is not None:
            return Refuse(command_id, BAD_REQUEST)
        if request.channel in self.subscriptions:
            return Refuse(command_id, ALREADY_SUBSCRIBED)
        if len(self.subscriptions) >= self.max_channels:
            return Refuse(command_id, LIMIT_EXCEEDED)
        return Serve(command_id, request)

    def _decide_sub_refresh(self, command_id: int, request: m.SubRefreshRequest) -> Decision:
        # An empty channel is what centrifuge-python sends: the token then names it.
        if request.channel and request.channel not in self.subscriptions:
            return Refuse(command_id, PERMISSION_DENIED)
        if request.type:
            return Refuse(command_id, PERMISSION_DENIED)
        if not request.token:
            return Refuse(command_id, BAD_REQUEST)
        return Serve(command_id, request)

    def connected(self) -> None:
        """The connect command succeeded."""
        self.state = State.CONNECTED

    def refused(self) -> None:
        """The connect command was answered with an error."""
        self.state = State.REFUSED

    def pinged(self) -> bool:
        """A ping is about to go out; False when the last one was never answered."""
        if self.awaits_pong:
            return False
        self.awaits_pong = True
        return True

    def ponged(self) -> None:
        """A pong came, whichever ping it answers: there is never more than one outstanding."""
        self.awaits_pong = False
        self.answered = True

    def closed(self) -> None:
        """The connection is over."""
        self.state = State.CLOSED
