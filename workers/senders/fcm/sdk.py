"""What we use of firebase-admin's inside, all in one place.

The library keeps its address, headers, error mapping and transport private. A contract test holds
every name used here to the installed version, so an upgrade that moves one fails there and not in
a worker. Knows neither pushes nor outcomes.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx
from firebase_admin import __version__ as sdk_version  # type: ignore[import-untyped]
from firebase_admin import _http_client, _retry, _utils, exceptions, messaging

_SERVICE: Final = messaging._MessagingService

HEADERS: Final[dict[str, str]] = {
    "X-GOOG-API-FORMAT-VERSION": "2",
    "X-FIREBASE-CLIENT": f"fire-admin-python/{sdk_version}",
    **_http_client.METRICS_HEADERS,
}
"""What the library sends with every message, beside the authorization."""


def send_url(project: str, origin: str = "") -> str:
    """Where messages of ``project`` go; ``origin`` (``https://host:port``) stands in for Google's."""
    url = str(_SERVICE.FCM_URL).format(project)
    return origin.rstrip("/") + httpx.URL(url).path if origin else url


def firebase_error(error: httpx.HTTPError) -> exceptions.FirebaseError:
    """The library's own exception for what the wire raised.

    Its mapping trips over bodies that are not shaped like Google's, which proxies send; those become
    an ``UnknownError`` that still holds the answer.
    """
    try:
        return _utils.handle_platform_error_from_httpx(error, _SERVICE._build_fcm_error_httpx)
    except (AttributeError, TypeError, ValueError):
        response = error.response if isinstance(error, httpx.HTTPStatusError) else None
        return exceptions.UnknownError("unreadable answer", cause=error, http_response=response)


def library_client(timeout_s: float, ca: ssl.SSLContext | None) -> httpx.AsyncClient:
    """The library's transport over HTTP/2, without what loses requests in it.

    Its retries never close the answers they discard, and each holds one of 100 streams until every
    send hangs: so there are none. Its authorization refreshes inside the event loop, and twice for
    any 401: so there is none either, and the caller sends the header.
    """
    retry = _retry.HttpxRetry(max_retries=0, status_forcelist=[])
    options: dict[str, Any] = {} if ca is None else {"verify": ca}
    transport = _retry.HttpxRetryTransport(retry=retry, **options)
    return httpx.AsyncClient(transport=transport, timeout=timeout_s, trust_env=False)
