"""Receipts: what a push carries so that the app can confirm it without a fresh token of its user.

Whoever sends signs, a hub verifies; both take the same secret as an argument. A receipt speaks
for one device of one user and does two things only: it acks, and it marks opened.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

from msgspec import Struct

from hub.errors import RECEIPT_INVALID, HubError

RECEIPT_SECRET = "receipts"
"""The name under which all who share an engine find the secret."""

MAX_RECEIPT_CHARS = 1_024
"""Longer text is refused unread. Ours stay far below it, but for user ids of unusual length."""

_SIGNATURE_BYTES = 16
_PURPOSE = b"receipt 1\n"
"""Signed in front, so that no other use of the secret can ever pass for a receipt."""
_HEAD = struct.Struct(">QQQHB")
"""Offset, acks, expiry, and the lengths of user and device. What is left is the epoch."""


class Receipt(Struct, frozen=True):
    """One push, as the device that got it may confirm it.

    ``offset`` is the entry that was shown. ``acks`` is how far the confirmation goes as an ack:
    ``offset``, unless an older notification was owed to the device beside this push and may yet
    have to be sent, in which case it ends below that one.
    """

    user: str
    device: str
    epoch: str
    offset: int
    acks: int
    expires_at_ms: int


def sign_receipt(receipt: Receipt, secret: bytes) -> str:
    """The receipt as text: base64url without padding, the signature in it."""
    user = receipt.user.encode("utf-8", "surrogatepass")
    device = receipt.device.encode()
    head = _HEAD.pack(receipt.offset, receipt.acks, receipt.expires_at_ms, len(user), len(device))
    body = head + user + device + receipt.epoch.encode()
    return base64.urlsafe_b64encode(body + _signature(body, secret)).rstrip(b"=").decode()


def verify_receipt(text: str, secret: bytes, now_ms: int) -> Receipt:
    """The receipt that ``text`` is.

    Raises:
        HubError: 1013, when it was not signed with ``secret``, was changed, or has expired.
    """
    signed = _decode(text)
    body, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
    if len(body) < _HEAD.size or not hmac.compare_digest(signature, _signature(body, secret)):
        raise HubError(RECEIPT_INVALID, "not a receipt of this hub")
    offset, acks, expires_at_ms, user_end, device_end = _HEAD.unpack_from(body)
    if expires_at_ms <= now_ms:
        raise HubError(RECEIPT_INVALID, "expired")
    user_end += _HEAD.size
    device_end += user_end
    return Receipt(
        user=body[_HEAD.size : user_end].decode("utf-8", "surrogatepass"),
        device=body[user_end:device_end].decode(),
        epoch=body[device_end:].decode(),
        offset=offset,
        acks=acks,
        expires_at_ms=expires_at_ms,
    )


def _signature(body: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + body, hashlib.sha256)[:_SIGNATURE_BYTES]


def _decode(text: str) -> bytes:
    if len(text) > MAX_RECEIPT_CHARS:
        raise HubError(RECEIPT_INVALID, "too long")
    try:
        signed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise HubError(RECEIPT_INVALID, "not base64url") from None
    # One text for one receipt: the spare bits of the last character, and padding, are no second spelling.
    if base64.urlsafe_b64encode(signed).rstrip(b"=").decode() != text:
        raise HubError(RECEIPT_INVALID, "not base64url")
    return signed
