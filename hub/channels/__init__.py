"""Channels: how they are named, what their namespace keeps and allows. Knows no connection and no engine."""

from hub.channels.names import RESERVED_NAMESPACE, ChannelName, parse_channel, personal_channel
from hub.channels.options import INBOX_OPTIONS, ChannelOptions, Override, RecoveryMode
from hub.channels.rules import Asker, ChannelRules

__all__ = [
    "INBOX_OPTIONS",
    "RESERVED_NAMESPACE",
    "Asker",
    "ChannelName",
    "ChannelOptions",
    "ChannelRules",
    "Override",
    "RecoveryMode",
    "parse_channel",
    "personal_channel",
]
