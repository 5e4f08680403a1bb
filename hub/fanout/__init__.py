"""Fan-out: who listens on this node, and how one publication becomes bytes in many outboxes.

Knows no engine, no permission and no socket.
"""

from hub.fanout.encoding import (
    Encoding,
    delta_chain,
    info_message,
    publication_message,
)
from hub.fanout.feed import Feed, Reader, Subscriber, Watcher
from hub.fanout.outbox import FrameSink, Outbox, Turn
from hub.fanout.patches import PatchCache
from hub.fanout.registry import LiveConnection, Registry, ServerSubscription

__all__ = [
    "Encoding",
    "Feed",
    "FrameSink",
    "LiveConnection",
    "Outbox",
    "PatchCache",
    "Reader",
    "Registry",
    "ServerSubscription",
    "Subscriber",
    "Turn",
    "Watcher",
    "delta_chain",
    "info_message",
    "publication_message",
]
