"""How many commands a client may still send: its connection's share, and its user's over this node.

The first that are too many are refused, since a client may just have been lively. One that goes
on all the same is in debt, and with as much of it as it may ask for at once, it has to leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.errors import COMMAND_FLOOD, TOO_MANY_REQUESTS
from hub.metrics import Limit
from hub.pacing import Bucket
from hub.protocol.messages import Command
from hub.session import State

if TYPE_CHECKING:
    from hub.connection.connection import Connection
    from hub.connection.services import ConnectionServices


class CommandPace:
    """What one connection has left, and whose commands count together with its own."""

    __slots__ = ("_of_user", "_own")

    def __init__(self, services: ConnectionServices) -> None:
        pace = services.options.commands
        self._own = Bucket(pace, services.loop.time()) if pace.is_limited else None
        self._of_user: Bucket | None = None

    def opened(self, services: ConnectionServices, user: str) -> None:
        """From now on its commands are also those of ``user``; the anonymous user is nobody in particular."""
        pace = services.options.user_commands
        if not user or not pace.is_limited:
            return
        if services.user_buckets.pace != pace:
            services.user_buckets.pace = pace
        self._of_user = services.user_buckets.of(user, services.loop.time())

    def admits(self, connection: Connection, command: Command) -> bool:
        """Whether ``command`` may be served; if not, it was refused, or the connection ended."""
        now_s = connection.services.loop.time()
        own, of_user = self._own, self._of_user
        if own is not None and (left := own.charge(now_s)) < 0:
            return self._refuse(connection, command, "command_rate", left <= -own.pace.burst)
        if of_user is not None and (left := of_user.charge(now_s)) < 0:
            return self._refuse(connection, command, "user_command_rate", left <= -of_user.pace.burst)
        return True

    def _refuse(self, connection: Connection, command: Command, limit: Limit, goes_on: bool) -> bool:
        if connection.session.state is State.CLOSED:
            return False
        connection.services.metrics.limit_reached(limit)
        if goes_on:
            connection.disconnect(COMMAND_FLOOD)
        elif not command.id:
            # Nothing can be answered to it, and only a mistake is without an id: the session says so.
            return True
        else:
            connection.refuse(command.id, TOO_MANY_REQUESTS)
        return False
