"""Development mode: secrets that are made once per working directory, and what a newcomer needs to begin.

The file is readable by its owner only and hides itself from version control.
"""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from config import Problem, Settings, SettingsError
from hub.auth import issue_connection_token
from hub.cli.signing import expected_claims, signer_of

PROFILE = "development"
SECRETS_FILE = Path(".hub") / "development.toml"
DEMO_USER = "demo"
DEMO_CHANNEL = "news"
DEMO_TOKEN_LIFE_S = 24 * 3600

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def secrets_file() -> Path:
    """The file with this directory's development secrets, made now if it is not there.

    Raises:
        SettingsError: when it cannot be written.
    """
    if not SECRETS_FILE.exists():
        try:
            _make_secrets_file()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SettingsError([Problem(str(SECRETS_FILE), "", f"cannot be written: {reason}")]) from None
    return SECRETS_FILE


def _make_secrets_file() -> None:
    folder = SECRETS_FILE.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    text = (
        "# Made by `hub serve --dev` for this directory. Delete it to have new secrets made.\n"
        f'[auth]\nsecret = "{secrets.token_urlsafe(48)}"\n\n'
        f'[[api.keys]]\nname = "development"\nkey = "{secrets.token_urlsafe(32)}"\nscopes = ["admin"]\n'
    )
    # Whole or not at all, and the first of two that start together wins: a reader never sees half a file.
    descriptor, written = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.link(written, SECRETS_FILE)
    except FileExistsError:
        pass
    finally:
        os.unlink(written)


@dataclass(frozen=True, slots=True)
class Welcome:
    """Where to connect, as whom, and how to publish. Holds secrets: it is for the terminal only."""

    websocket: str
    api: str
    user: str
    channel: str
    token: str
    publish: str
    console: str
    """Empty where it is off."""

    def text(self) -> str:
        """All of it for a person."""
        console = f"  Console    {self.console} (its key is the X-API-Key below)\n" if self.console else ""
        return (
            "\nThe hub is running in development mode.\n\n"
            f"  WebSocket  {self.websocket}\n"
            f"  HTTP API   {self.api}\n"
            f"{console}\n"
            f'A token for the user "{self.user}", good for {DEMO_TOKEN_LIFE_S // 3600} hours:\n\n'
            f"{self.token}\n\n"
            f'Publish to the channel "{self.channel}", which {self.user} may subscribe to:\n\n'
            f"{self.publish}\n"
        )

    def value(self) -> dict[str, str]:
        """All of it for a program."""
        return asdict(self)


def welcome(settings: Settings, public_url: str, api_url: str) -> Welcome | None:
    """What to tell whoever started a development hub that answers at these URLs.

    None when the settings have been changed so far that there is no secret to sign with, or
    no key to publish with.
    """
    keys = [key.key for key in settings.api.keys if key.key is not None]
    if settings.auth.secret is None or not keys:
        return None
    token = issue_connection_token(
        signer_of(settings),
        DEMO_USER,
        exp_s=int(time.time()) + DEMO_TOKEN_LIFE_S,
        user_claim=settings.auth.user_claim,
        extra_claims=expected_claims(settings),
    )
    scheme, netloc, _, _, _ = urlsplit(reachable(public_url))
    api = f"{reachable(api_url)}/api"
    body = f'{{"channel": "{DEMO_CHANNEL}", "data": {{"text": "hello"}}}}'
    words = ["curl", "-sS", f"{api}/publish", "-H", f"X-API-Key: {keys[0].get_secret_value()}"]
    return Welcome(
        websocket=urlunsplit(
            ("wss" if scheme == "https" else "ws", netloc, settings.http.websocket_path, "", "")
        ),
        api=api,
        user=DEMO_USER,
        channel=DEMO_CHANNEL,
        token=token,
        publish=shlex.join([*words, "-d", body]),
        console=f"{reachable(api_url)}/console" if settings.console.enabled else "",
    )


def reachable(url: str) -> str:
    """``url`` with an address that can be connected to, where it names all addresses of the machine."""
    scheme, netloc, path, query, fragment = urlsplit(url.rstrip("/"))
    host = urlsplit(url).hostname or ""
    if host in _ANY_ADDRESS:
        netloc = netloc.replace(f"[{host}]" if ":" in host else host, _ANY_ADDRESS[host], 1)
    return urlunsplit((scheme, netloc, path, query, fragment))
