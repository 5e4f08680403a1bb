"""The inbox: each user's own recoverable channel, what it is called, how much it keeps.

Names and limits only. Knows no connection and no engine.
"""

from __future__ import annotations

import base64
import hashlib
import re

from hub.model import HistoryPolicy

INBOX_PREFIX = "inbox:#"

INBOX_POLICY = HistoryPolicy(size=500, ttl_s=7 * 86_400, meta_ttl_s=400 * 86_400)
"""Position and device rows live 400 days after their last use, so that no row outlives its inbox."""

MAX_ENTRY_BYTES = 16 * 1024
MAX_RECOVERY_ENTRIES = 500
MAX_RECOVERY_BYTES = 256 * 1024
MAX_USER_BYTES = 1024
"""Of the id of a user who is notified, in UTF-8."""

_PLAIN_USER = re.compile(r"[A-Za-z0-9_.@|:+-]{1,128}")
_DEVICE = re.compile(r"[A-Za-z0-9._-]{16,64}")
_NOTIFICATION = re.compile(r"[\x21-\x7e]{1,64}")


def inbox_owner(user: str) -> str:
    """The user as names of channels and keys can carry it.

    Ids of other characters, or longer ones, are hashed. A ``~`` is in no plain id, so the two never meet.
    """
    if _PLAIN_USER.fullmatch(user):
        return user
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()
    return "~" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def inbox_channel(user: str) -> str:
    """The channel of a user's inbox. The anonymous user has none, and whoever asks for it is wrong."""
    if not user:
        raise ValueError("the anonymous user has no inbox")
    return INBOX_PREFIX + inbox_owner(user)


def owner_of(channel: str) -> str | None:
    """Whose inbox ``channel`` is, as :func:`inbox_owner` names them; None for any other channel."""
    return channel[len(INBOX_PREFIX) :] if channel.startswith(INBOX_PREFIX) else None


def is_too_long(user: str) -> bool:
    """Whether a user id leaves no room in a push: the receipt that each one carries names the user."""
    return 4 * len(user) > MAX_USER_BYTES and len(user.encode("utf-8", "surrogatepass")) > MAX_USER_BYTES


def is_device_id(text: str) -> bool:
    """Whether ``text`` can name an installed app."""
    return _DEVICE.fullmatch(text) is not None


def is_notification_id(text: str) -> bool:
    """Whether ``text`` can name a notification."""
    return _NOTIFICATION.fullmatch(text) is not None
