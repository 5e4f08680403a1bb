"""How a channel name is built: ``namespace:rest``, ``name#user,user``, ``$private``.

Splits names and refuses impossible ones. Knows no options and no permission.
"""

from __future__ import annotations

from msgspec import Struct

from hub.errors import BAD_REQUEST, HubError

NAMESPACE_BOUNDARY = ":"
USER_BOUNDARY = "#"
USER_SEPARATOR = ","
PRIVATE_PREFIX = "$"

RESERVED_NAMESPACE = "inbox"
"""Namespace of the users' inboxes, which the hub alone attaches."""


class ChannelName(Struct, frozen=True, gc=False):
    """A channel name taken apart. ``users`` is None unless the name limits who may join."""

    channel: str
    namespace: str
    users: tuple[str, ...] | None
    private: bool

    @property
    def reserved(self) -> bool:
        """True for names that only the hub itself may attach anybody to."""
        return self.namespace == RESERVED_NAMESPACE


def parse_channel(channel: str, max_length: int = 255) -> ChannelName:
    """Take ``channel`` apart.

    The namespace ends at the first ``:``, unless a ``#`` comes before it: what follows a
    ``#`` are user ids, in which a colon means nothing.

    Raises:
        HubError: 107 for a name that is empty, longer than ``max_length`` bytes, or not
            printable ASCII.
    """
    if not channel or len(channel) > max_length or not channel.isascii() or not channel.isprintable():
        raise HubError(BAD_REQUEST, f"a channel name is 1 to {max_length} printable ASCII characters")
    private = channel.startswith(PRIVATE_PREFIX)
    body = channel[1:] if private else channel
    head, boundary, tail = body.partition(USER_BOUNDARY)
    users = tuple(tail.split(USER_SEPARATOR)) if boundary else None
    namespace, colon, _ = head.partition(NAMESPACE_BOUNDARY)
    return ChannelName(channel, namespace if colon else "", users, private)


def personal_channel(user: str, namespace: str = "", max_length: int = 255) -> str | None:
    """The channel that belongs to ``user`` alone; None where no name can say so.

    A user id with a comma would read as a list of other users, who could then join.
    """
    if not user or USER_SEPARATOR in user:
        return None
    prefix = f"{namespace}{NAMESPACE_BOUNDARY}" if namespace else ""
    channel = f"{prefix}{USER_BOUNDARY}{user}"
    if len(channel) > max_length or not channel.isascii() or not channel.isprintable():
        return None
    return channel
