"""The files of the page, read once, and the headers that keep a browser from doing anything else with them.

Knows no key and nothing of what the page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
INDEX: Final = "index.html"

_MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # What a publication or a user is called never becomes markup, whatever the page's code does.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS: Mapping[str, str] = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""On everything the console answers."""


class Pages:
    """The files by name. There are no others, whatever path is asked for."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(_FOLDER.iterdir()):
            media_type = _MEDIA_TYPES.get(path.suffix)
            if media_type is not None:
                body = path.read_bytes()
                self._files[path.name] = body, media_type, f'"{sha256(body).hexdigest()[:32]}"'

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def respond(self, request: Request, name: str) -> Response:
        """The file, or 304 to a browser that has it. It asks each time, since a new hub has a new page."""
        body, media_type, tag = self._files[name]
        headers = {**HEADERS, "cache-control": "no-cache", "etag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)
