"""Which options a channel has, and what somebody may do in it. Pure answers, no state, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from hub.channels.names import (
    NAMESPACE_BOUNDARY,
    RESERVED_NAMESPACE,
    ChannelName,
    parse_channel,
    personal_channel,
)
from hub.channels.options import INBOX_OPTIONS, ChannelOptions
from hub.errors import BAD_REQUEST, NOT_AVAILABLE, PERMISSION_DENIED, UNKNOWN_CHANNEL, HubError

_RESERVED_PREFIX = RESERVED_NAMESPACE + NAMESPACE_BOUNDARY
_RESERVED_MAX_LENGTH = 255
"""No setting shortens the names that the hub itself makes."""
_MAX_RESOLVED = 10_000
"""Names remembered with their options: phones come back to the same channels again and again."""


class Asker(Struct, frozen=True, gc=False):
    """Who asks: ``subscribed`` means in the very channel asked about."""

    user: str
    subscribed: bool = False


class ChannelRules:
    """The namespaces of this hub and the permissions that follow from them.

    ``insecure`` lets every client do everything, except in the reserved namespace.
    """

    def __init__(
        self,
        without_namespace: ChannelOptions,
        namespaces: Mapping[str, ChannelOptions],
        *,
        insecure: bool = False,
        max_length: int = 255,
        personal: bool = False,
        personal_namespace: str = "",
    ) -> None:
        self._without_namespace = without_namespace
        self._namespaces = dict(namespaces)
        self._insecure = insecure
        self._max_length = max_length
        self._personal = personal
        self._personal_namespace = personal_namespace
        self._resolved: dict[str, tuple[ChannelName, ChannelOptions]] = {}
        every = [("", without_namespace), *namespaces.items()]
        self._regexes = {name: re.compile(o.channel_regex) for name, o in every if o.channel_regex}

    def resolve(self, channel: str) -> tuple[ChannelName, ChannelOptions]:
        """The parts and the options of ``channel``.

        Raises:
            HubError: 107 for an impossible name, 102 for a namespace nobody configured.
        """
        known = self._resolved.get(channel)
        if known is None:
            known = self._resolve(channel)
            if len(self._resolved) >= _MAX_RESOLVED:
                self._resolved.clear()
            self._resolved[channel] = known
        return known

    def _resolve(self, channel: str) -> tuple[ChannelName, ChannelOptions]:
        is_own = channel.startswith(_RESERVED_PREFIX)
        name = parse_channel(channel, _RESERVED_MAX_LENGTH if is_own else self._max_length)
        if name.reserved:
            return name, INBOX_OPTIONS
        options = self._namespaces.get(name.namespace) if name.namespace else self._without_namespace
        if options is None:
            raise HubError(UNKNOWN_CHANNEL, f"namespace {name.namespace!r} is not configured")
        regex = self._regexes.get(name.namespace)
        if regex is not None and not regex.fullmatch(self._rest(name)):
            raise HubError(BAD_REQUEST, "the channel name does not match its namespace's channel_regex")
        return name, options

    def _rest(self, name: ChannelName) -> str:
        rest = name.channel[1:] if name.private else name.channel
        return rest[len(name.namespace) + 1 :] if name.namespace else rest

    def personal_channel(self, user: str) -> str | None:
        """The channel every connection of ``user`` is subscribed to by the hub, or None where that is off."""
        if not self._personal:
            return None
        return personal_channel(user, self._personal_namespace, self._max_length)

    def check_subscribe(self, name: ChannelName, options: ChannelOptions, asker: Asker) -> None:
        """Whether the asker may subscribe without a subscription token.

        Raises:
            HubError: 103.
        """
        if name.reserved:
            raise HubError(PERMISSION_DENIED)
        if self._insecure:
            return
        if name.private:
            raise HubError(PERMISSION_DENIED, "a private channel needs a subscription token")
        if name.users is not None:
            if options.allow_user_limited_channels and asker.user and asker.user in name.users:
                return
            raise HubError(PERMISSION_DENIED)
        if options.allow_subscribe_for_client and (asker.user or options.allow_subscribe_for_anonymous):
            return
        raise HubError(PERMISSION_DENIED)

    def check_token_subscribe(self, name: ChannelName) -> None:
        """A valid subscription token opens every channel but the reserved ones.

        Raises:
            HubError: 103.
        """
        if name.reserved:
            raise HubError(PERMISSION_DENIED)

    def check_publish(self, name: ChannelName, options: ChannelOptions, asker: Asker) -> None:
        """Whether the asker may publish.

        Raises:
            HubError: 103.
        """
        self._check(
            name,
            asker,
            options.allow_publish_for_client,
            options.allow_publish_for_subscriber,
            options.allow_publish_for_anonymous,
        )

    def check_history(self, name: ChannelName, options: ChannelOptions, asker: Asker) -> None:
        """Whether the asker may read history: of inboxes, the one that the hub attached them to.

        Raises:
            HubError: 103 not allowed, 108 where the channel keeps none.
        """
        if name.reserved and asker.user and asker.subscribed:
            return
        if not name.reserved and not options.history.keeps:
            raise HubError(NOT_AVAILABLE, "the channel keeps no history")
        self._check(
            name,
            asker,
            options.allow_history_for_client,
            options.allow_history_for_subscriber,
            options.allow_history_for_anonymous,
        )

    def check_presence(self, name: ChannelName, options: ChannelOptions, asker: Asker) -> None:
        """Whether the asker may see who is present.

        Raises:
            HubError: 103 not allowed, 108 where presence is off.
        """
        if not name.reserved and not options.presence:
            raise HubError(NOT_AVAILABLE, "presence is off in this channel")
        self._check(
            name,
            asker,
            options.allow_presence_for_client,
            options.allow_presence_for_subscriber,
            options.allow_presence_for_anonymous,
        )

    def _check(
        self, name: ChannelName, asker: Asker, for_client: bool, for_subscriber: bool, for_anonymous: bool
    ) -> None:
        if name.reserved:
            raise HubError(PERMISSION_DENIED)
        if self._insecure:
            return
        known = bool(asker.user) or for_anonymous
        if known and (for_client or (for_subscriber and asker.subscribed)):
            return
        raise HubError(PERMISSION_DENIED)
