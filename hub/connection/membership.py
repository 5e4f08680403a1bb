"""One connection's subscription to one channel: what was granted, and until when. Values and one timer."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from hub.channels import ChannelOptions
from hub.connection.wheel import Timer
from hub.fanout import Reader, Subscriber
from hub.model import Position

_MAX_TTL_S = 2**32 - 1


class TokenMark(NamedTuple):
    """What a token can be revoked by: ``jti`` (empty for none) and ``iat`` in unix seconds."""

    token_id: str = ""
    issued_at_s: int | None = None


NO_TOKEN = TokenMark()


class Terms(Struct, frozen=True, gc=False):
    """On which terms a client is let into a channel: by rights, by a token, or by the server."""

    options: ChannelOptions
    server_side: bool = False
    info: bytes | None = None
    data: bytes | None = None
    expire_at_s: int | None = None
    may_see_presence: bool = False
    max_recovered: int | None = None
    """Publications that one resume may bring; None for what the options of connections say."""
    max_recovered_bytes: int | None = None
    token_mark: TokenMark | None = None
    """Of the subscription token that it rests on; None where there was none."""


class Wish(Struct, frozen=True, gc=False):
    """What the client itself asked for. ``cursor`` is None for one that does not resume."""

    cursor: Position | None = None
    recoverable: bool = False
    positioned: bool = False
    join_leave: bool = False
    delta: bool = False
    reject_unrecovered: bool = False


class Membership(Subscriber):
    """A subscription from the moment it is asked for until it has ended."""

    __slots__ = (
        "broken",
        "channel",
        "emits_join_leave",
        "expire_at_s",
        "expiry_timer",
        "info",
        "keeps_presence",
        "live",
        "recoverable",
        "server_side",
        "token_mark",
    )

    def __init__(self, reader: Reader, channel: str, terms: Terms, wish: Wish) -> None:
        options = terms.options
        keeps = options.history.keeps
        recoverable = keeps and (options.force_recovery or (wish.recoverable and options.allow_recovery))
        asks_positions = options.force_positioning or (wish.positioned and options.allow_positioning)
        super().__init__(
            reader,
            positioned=recoverable or (keeps and asks_positions),
            join_leave=options.join_leave
            and (options.force_push_join_leave or (wish.join_leave and terms.may_see_presence)),
            delta=wish.delta and keeps and "fossil" in options.allowed_delta_types,
        )
        self.channel = channel
        self.server_side = terms.server_side
        self.info = terms.info
        self.keeps_presence = options.presence
        self.emits_join_leave = options.join_leave
        self.recoverable = recoverable
        self.expire_at_s = terms.expire_at_s
        self.token_mark = terms.token_mark
        self.expiry_timer: Timer | None = None
        self.live = False
        """True once the client was told that it is in."""
        self.broken = False
        """True when publications were lost while it was getting in."""


def whole_ttl_s(remaining_s: float) -> int:
    """The time left as the wire says it: whole seconds, at least one, and never more than a u32 holds."""
    return int(min(max(1.0, remaining_s), _MAX_TTL_S))
