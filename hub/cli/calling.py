"""How commands speak to a running hub: its address, a key, one call of the server API."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from config import Settings
from config.findings import is_loopback
from hub.cli import development
from hub.cli.output import WRONG_USAGE, CommandFailed
from hub.cli.sources import settings_from

TIMEOUT_S = 10.0
DEFAULT_URL = "http://127.0.0.1:8000"

UrlFlag = Annotated[
    str | None, typer.Option("--url", envvar="HUB_URL", show_envvar=False, help="The hub (HUB_URL).")
]
KeyFlag = Annotated[
    str | None, typer.Option("--key", envvar="HUB_API_KEY", show_envvar=False, help="API key (HUB_API_KEY).")
]


def ask(url: str | None, key: str | None, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call a method of the hub that the flags or the environment name.

    Raises:
        CommandFailed: when it is not clear which, it cannot be reached, or it refuses.
    """
    return call_api(*_target(url, key), method, request)


def call_api(url: str, key: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """The result of one call of the server API.

    Raises:
        CommandFailed: when the hub cannot be reached, or refuses.
    """
    import httpx

    # In bytes, and surrogates escaped: whatever was typed arrives, and the hub says what is wrong with it.
    headers = {b"content-type": b"application/json"}
    if key:
        headers[b"x-api-key"] = key.encode("utf-8", "surrogateescape")
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/api/{method}",
            content=json.dumps(request),
            headers=headers,
            timeout=TIMEOUT_S,
            # A proxy of the environment never stands between us and our own machine.
            trust_env=not is_loopback(_host_of(url)),
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailed(
            f"no answer from {_shown(url)} ({type(error).__name__}): is it running?"
        ) from None
    try:
        answer = response.json()
    except ValueError:
        raise CommandFailed(f"{_shown(url)} answered, but not like a hub: is it the right address?") from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise CommandFailed("the hub refused the key: give one with --key or HUB_API_KEY")
    refusal = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refusal, dict):
        code, message = refusal.get("code"), refusal.get("message")
        if detail := refusal.get("detail"):
            message = f"{message}: {detail}"
        raise CommandFailed(f"the hub refused: {message} (code {code})", details={"code": code})
    if response.is_error or not isinstance(answer, dict):
        raise CommandFailed(f"the hub answered with status {response.status_code}")
    result = answer.get("result")
    return result if isinstance(result, dict) else {}


def _target(url: str | None, key: str | None) -> tuple[str, str]:
    """The hub and the key to use; beside a development hub, what is missing is that one's.

    Its key goes to this machine only, never to an address that somebody else answers at.

    Raises:
        CommandFailed: when that cannot be told, or the address is none.
    """
    is_local = url is None or is_loopback(_host_of(url))
    if key is None and is_local and development.SECRETS_FILE.is_file():
        settings = settings_from(None, dev=True).settings
        keys = [api_key.key for api_key in settings.api.keys if api_key.key is not None]
        if keys:
            return url or _url_of(settings), keys[0].get_secret_value()
    if key is None and url is None:
        raise CommandFailed(
            "which hub, and with which key? Give --url and --key, or HUB_URL and HUB_API_KEY",
            exit_code=WRONG_USAGE,
        )
    return url or DEFAULT_URL, key or ""


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") and (parts.port or 1) else None
    except ValueError:
        host = None
    if not host:
        raise CommandFailed(
            "the hub's address should be a URL like http://127.0.0.1:8000", exit_code=WRONG_USAGE
        )
    return host


def _url_of(settings: Settings) -> str:
    host, port = settings.http.host, settings.http.port
    scheme = "https" if settings.http.tls_cert is not None else "http"
    if settings.internal.port is not None:
        host, port, scheme = settings.internal.host, settings.internal.port, "http"
    return development.reachable(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")


def _shown(url: str) -> str:
    """``url`` without a password that somebody may have put into it."""
    scheme, netloc, path, _, _ = urlsplit(url)
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", ""))
