"""What an FCM sender is told: one Firebase project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workers.payloads.fcm import FcmStyle


@dataclass(frozen=True, slots=True)
class FcmOptions:
    """One app at FCM.

    ``app`` is the id of the Firebase project. ``credentials`` is its service account: the path of
    the JSON file, or what is in it. ``url`` stands in for ``https://fcm.googleapis.com`` (scheme,
    host and port), ``ca_file`` is trusted there and at the token endpoint in place of the public
    authorities: for simulators and gateways. ``transport``: ``fast`` is aiohttp, ``sdk`` the
    library's own HTTP/2. ``request_timeout_s`` spans one attempt, waiting for a connection included.
    ``max_connections`` bounds ``fast``, where each carries one request at a time.
    """

    app: str
    credentials: str | Path | Mapping[str, Any] = field(repr=False)
    url: str = ""
    ca_file: str | Path | None = None
    transport: Literal["fast", "sdk"] = "fast"
    request_timeout_s: float = 12.0
    max_connections: int = 100
    style: FcmStyle = field(default_factory=FcmStyle)
