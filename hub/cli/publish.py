"""``hub publish``: one publication through the server API, as any backend would make it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from config import Settings
from config.findings import is_loopback
from hub.cli import development
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show
from hub.cli.sources import settings_from

TIMEOUT_S = 10.0
DEFAULT_URL = "http://127.0.0.1:8000"


def publish(
    channel: Annotated[str, typer.Argument(help="Channel to publish to.")],
    data: Annotated[str, typer.Argument(help="JSON; anything else is sent as text. - reads standard input.")],
    url: Annotated[
        str | None, typer.Option("--url", envvar="HUB_URL", show_envvar=False, help="The hub (HUB_URL).")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", envvar="HUB_API_KEY", show_envvar=False, help="API key (HUB_API_KEY)."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish DATA to CHANNEL."""
    with failures_reported(as_json=as_json):
        address, api_key = _target(url, key)
        text = sys.stdin.read() if data == "-" else data
        result = call_api(address, api_key, "publish", {"channel": channel, "data": _json_or_text(text)})
        offset, epoch = result.get("offset"), result.get("epoch")
        place = f" at offset {offset} of epoch {epoch}" if offset else ""
        show(f"published to {channel}{place}", {"channel": channel, **result}, as_json=as_json)


def call_api(url: str, key: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """The result of one call of the server API.

    Raises:
        CommandFailed: when the hub cannot be reached, or refuses.
    """
    import httpx

    headers = {"X-API-Key": key} if key else {}
    try:
        response = httpx.post(
            f"{url.rstrip('/')}/api/{method}",
            json=request,
            headers=headers,
            timeout=TIMEOUT_S,
            # A proxy of the environment never stands between us and our own machine.
            trust_env=not is_loopback(_host_of(url)),
        )
        answer = response.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailed(
            f"no answer from {_shown(url)} ({type(error).__name__}): is it running?"
        ) from None
    except ValueError:
        raise CommandFailed(f"{_shown(url)} answered, but not like a hub: is it the right address?") from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise CommandFailed("the hub refused the key: give one with --key or HUB_API_KEY")
    refusal = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refusal, dict):
        code, message = refusal.get("code"), refusal.get("message")
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


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _shown(url: str) -> str:
    """``url`` without a password that somebody may have put into it."""
    scheme, netloc, path, _, _ = urlsplit(url)
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", ""))
