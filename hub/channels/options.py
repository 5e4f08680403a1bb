"""What a namespace allows and keeps: one immutable value per namespace. Knows no channel and no user."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from hub.delivery.inbox import INBOX_POLICY
from hub.model import NO_HISTORY, HistoryPolicy

RecoveryMode = Literal["stream", "cache"]


@dataclass(frozen=True, slots=True)
class Override:
    """Options that a token or the server API sets for one subscription; None leaves the namespace's value."""

    presence: bool | None = None
    join_leave: bool | None = None
    force_push_join_leave: bool | None = None
    force_recovery: bool | None = None
    force_positioning: bool | None = None


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """Options of the channels of one namespace, named as Centrifugo's users know them.

    The defaults refuse everything that a client could ask for: a namespace opens only
    what its owner writes down.
    """

    history_size: int = 0
    history_ttl_s: int = 0
    history_meta_ttl_s: int = 30 * 24 * 3600
    allow_recovery: bool = False
    force_recovery: bool = False
    recovery_mode: RecoveryMode = "stream"
    allow_positioning: bool = False
    force_positioning: bool = False
    presence: bool = False
    join_leave: bool = False
    force_push_join_leave: bool = False
    allow_subscribe_for_client: bool = False
    allow_subscribe_for_anonymous: bool = False
    allow_publish_for_client: bool = False
    allow_publish_for_subscriber: bool = False
    allow_publish_for_anonymous: bool = False
    allow_history_for_client: bool = False
    allow_history_for_subscriber: bool = False
    allow_history_for_anonymous: bool = False
    allow_presence_for_client: bool = False
    allow_presence_for_subscriber: bool = False
    allow_presence_for_anonymous: bool = False
    allow_user_limited_channels: bool = False
    allowed_delta_types: tuple[str, ...] = ()
    delta_publish: bool = False
    channel_regex: str = ""

    history: HistoryPolicy = field(init=False, repr=False, compare=False)
    """The history options as the engine wants them."""

    def __post_init__(self) -> None:
        policy = NO_HISTORY
        if self.history_size > 0 and self.history_ttl_s > 0:
            policy = HistoryPolicy(self.history_size, self.history_ttl_s, self.history_meta_ttl_s)
        object.__setattr__(self, "history", policy)

    def overridden(self, override: Override | None) -> ChannelOptions:
        """These options with what ``override`` sets."""
        if override is None:
            return self
        values = {name: getattr(override, name) for name in Override.__slots__}
        return replace(self, **{name: value for name, value in values.items() if value is not None})


INBOX_OPTIONS = ChannelOptions(
    history_size=INBOX_POLICY.size,
    history_ttl_s=INBOX_POLICY.ttl_s,
    history_meta_ttl_s=INBOX_POLICY.meta_ttl_s,
    allow_recovery=True,
    force_recovery=True,
)
"""The options of every inbox. Nobody can set others."""
