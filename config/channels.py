"""Namespaces and the options of their channels, named as users of Centrifugo know them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.section import Duration, Section, Shown, split_list

DeltaTypes = Annotated[tuple[Literal["fossil"], ...], BeforeValidator(split_list), Shown("list of text")]


class ChannelSettings(Section):
    """What the channels of one namespace keep and allow. Everything is off until it is written down."""

    presence: bool = False
    """Keep who is in the channel now."""
    join_leave: bool = False
    """Publish join and leave events."""
    force_push_join_leave: bool = False
    """Send join and leave events to every subscriber, also to those who did not ask."""
    history_size: int = Field(default=0, ge=0)
    """Publications kept per channel. 0: no history."""
    history_ttl: Duration = Field(default=0, ge=0)
    """How long publications are kept after the last one. 0: no history."""
    history_meta_ttl: Duration = Field(default=30 * 24 * 3600, ge=1)
    """How long a channel's position (epoch and offset) outlives its publications."""
    allow_positioning: bool = False
    """Let subscribers ask that lost publications are noticed."""
    force_positioning: bool = False
    """Notice lost publications for every subscriber."""
    allow_recovery: bool = False
    """Let subscribers ask that what they missed is sent again."""
    force_recovery: bool = False
    """Send every subscriber what it missed."""
    force_recovery_mode: Literal["stream", "cache"] = "stream"
    """`stream` sends everything missed, `cache` the latest publication only."""
    allow_subscribe_for_client: bool = False
    """Users may subscribe without a subscription token."""
    allow_subscribe_for_anonymous: bool = False
    """The same for clients without a user."""
    allow_publish_for_client: bool = False
    """Users may publish."""
    allow_publish_for_subscriber: bool = False
    """Users may publish while subscribed."""
    allow_publish_for_anonymous: bool = False
    """Clients without a user may publish, where the options above let them."""
    allow_history_for_client: bool = False
    """Users may read the history."""
    allow_history_for_subscriber: bool = False
    """Users may read the history while subscribed."""
    allow_history_for_anonymous: bool = False
    """Clients without a user may read the history, where the options above let them."""
    allow_presence_for_client: bool = False
    """Users may ask who is in the channel."""
    allow_presence_for_subscriber: bool = False
    """Users may ask who is in the channel while subscribed."""
    allow_presence_for_anonymous: bool = False
    """Clients without a user may ask who is in the channel, where the options above let them."""
    allow_user_limited_channels: bool = False
    """Users named after `#` in a channel's name may subscribe to it, and nobody else."""
    allowed_delta_types: DeltaTypes = ()
    """Delta compression that subscribers may choose: `fossil`."""
    delta_publish: bool = False
    """Compute deltas for every publication, also where the publish call does not ask."""
    channel_regex: str = ""
    """Regular expression that the name after the namespace must match. Empty: every name."""


class NamespaceSettings(ChannelSettings):
    """One namespace: its name and the options of its channels."""

    name: str = ""
    """Text before the first `:` in the names of its channels. `inbox` is reserved."""


class PersonalSettings(Section):
    """The channel of one user alone."""

    enabled: bool = False
    """Subscribe every user to their own channel `#<user>` on connect."""
    namespace: str = ""
    """Namespace of the personal channel. Empty: none."""


class ChannelsSettings(Section):
    """Channels and namespaces."""

    without_namespace: ChannelSettings = ChannelSettings()
    namespaces: tuple[NamespaceSettings, ...] = ()
    """Namespaces; a channel of one that is not listed is unknown."""
    personal: PersonalSettings = PersonalSettings()
    max_length: int = Field(default=255, ge=16, le=255)
    """Longest channel name, in bytes."""
