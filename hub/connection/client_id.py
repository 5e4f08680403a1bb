"""The name of a connection. Knows no connection."""

from __future__ import annotations

import os


def new_client_id() -> str:
    """A random UUID in its usual form (RFC 9562, 5.4)."""
    # The standard library's class, only to be turned into text, takes three times as long.
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
