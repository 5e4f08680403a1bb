"""What all requests of the server API are made of. Pure data."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, UnsetType

Payload = Raw | UnsetType
"""Any JSON, kept as it was written; unset when it was not sent. ``null`` is a payload that was."""

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[int, Meta(ge=0, le=2**53, description="Unix time in seconds")]
Milliseconds = Annotated[
    int, Meta(ge=100_000_000_000, le=2**53, description="Unix time in milliseconds; in seconds it is refused")
]
Subject = Annotated[str, Meta(min_length=1, max_length=512)]
"""Names whom a rule is about; nobody is no one."""
Key = Annotated[str, Meta(max_length=512)]
"""Kept by the engine beside the channel, so it must not grow without bound."""
CloseCode = Annotated[int, Meta(ge=0, le=4999)]


class Request(Struct, forbid_unknown_fields=True):
    """Base of all requests and of the objects within them."""
