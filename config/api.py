"""The server API: who may call it, and for what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.section import Secret, Section, Shown, TextList, split_list

Scope = Literal["publish", "read", "control", "notify", "devices", "inbox", "trace", "admin"]
Scopes = Annotated[tuple[Scope, ...], BeforeValidator(split_list), Shown("list of text")]


class ApiKey(Section):
    """One caller: exactly one of `key` and `sha256`."""

    name: str = ""
    """Name of the caller, for logs."""
    key: Secret | None = None
    """The key itself, as sent in `X-API-Key`."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    """SHA-256 of the key in hex, so that the settings need not hold the key."""
    scopes: Scopes = ()
    """What the key may do: `publish`, `read`, `control`, `notify`, `devices`, `inbox`, `trace`, or `admin` \
for all of it."""
    channels: TextList = ()
    """Channels the key is confined to; `*` stands for anything: `chat:*`. Empty: every channel."""


class ApiSettings(Section):
    """The server API at `/api`."""

    keys: tuple[ApiKey, ...] = ()
    """The keys that are accepted. None: every call is refused."""
    key_in_query: bool = False
    """Accept the key as `?api_key=` too, where it ends up in the logs of everything on the way."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest request body that is read."""
