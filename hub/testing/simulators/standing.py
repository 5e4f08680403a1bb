"""All simulated providers together, with credentials in a directory that stay the same from run to run.

What ``hub simulate providers`` runs; of use to anybody who wants simulators outside a test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from hub.testing.simulators.apns import ApnsSimulator
from hub.testing.simulators.apns.keys import TEAM_ID, ApnsKey, key_of, new_key
from hub.testing.simulators.authority import Authority, write_secret
from hub.testing.simulators.control import ControlPanel
from hub.testing.simulators.fcm import FcmSimulator, ServiceAccount
from hub.testing.simulators.fcm.oauth import new_service_account, service_account_of
from hub.testing.simulators.ledger import AcceptedPush
from hub.testing.simulators.webpush import VapidKeys, WebPushSimulator, new_vapid_keys
from hub.testing.simulators.webpush.vapid import vapid_keys_of

KEEP = 10_000
"""Pushes that are remembered: one who leaves it running for a week shall not run out of memory."""

ACCOUNT_FILE = "service-account.json"
VAPID_FILE = "vapid.pem"
SUBSCRIPTION_FILE = "subscription.json"
WEB_APP = "web"


@dataclass(frozen=True, slots=True)
class Standing:
    """Names of the apps, and where credentials are kept."""

    directory: Path
    topic: str = "com.example.app"
    project: str = "simulated-project"
    environment: str = "production"


class StandingProviders:
    """APNs, FCM and a push service of a browser, and the control panel, on ports next to each other."""

    def __init__(self, standing: Standing) -> None:
        """Credentials of an earlier run are used again; what is missing is made.

        Raises:
            OSError: the directory cannot be written.
        """
        standing.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.standing = standing
        self.authority = Authority(standing.directory)
        self.vapid = _vapid(standing.directory)
        self.apns = ApnsSimulator(
            environment=standing.environment,
            key=_apns_key(standing.directory),
            authority=self.authority,
            keep=KEEP,
        )
        account = _account(standing.directory, standing.project)
        self.fcm = FcmSimulator(
            project=standing.project, account=account, authority=self.authority, keep=KEEP
        )
        self.webpush = WebPushSimulator(authority=self.authority, keep=KEEP)
        self.control = ControlPanel({"apns": self.apns, "fcm": self.fcm, "webpush": self.webpush})

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on ``port`` and the three after it, or on any four, and write the credentials.

        Raises:
            OSError: a port is not to be had; nothing listens then.
        """
        places = (self.apns.start, self.fcm.start, self.webpush.start, self.control.start)
        try:
            for number, start in enumerate(places):
                await start(host, port + number if port else 0)
        except OSError:
            await self.stop()
            raise
        folder = self.standing.directory
        content = orjson.dumps(self.fcm.service_account(), option=orjson.OPT_INDENT_2)
        write_secret(folder / ACCOUNT_FILE, content)
        subscription = self.webpush.subscribe(self.vapid.public_key).json()
        write_secret(folder / SUBSCRIPTION_FILE, orjson.dumps(subscription, option=orjson.OPT_INDENT_2))

    async def stop(self) -> None:
        """Stop everything. The directory stays."""
        for part in (self.control, self.apns, self.fcm, self.webpush):
            await part.stop()

    def listen(self, on_push: Callable[[AcceptedPush], None]) -> None:
        """Call ``on_push`` with every push that any of them takes."""
        for provider in (self.apns, self.fcm, self.webpush):
            provider.ledger.listen(on_push)

    def apps(self) -> list[dict[str, Any]]:
        """The ``push.apps`` that a hub needs to send here."""
        folder, ca_file = self.standing.directory.resolve(), str(self.authority.ca_file.resolve())
        key = self.apns.key
        return [
            {
                "name": self.standing.topic,
                "provider": "apns",
                "environment": self.standing.environment,
                "credentials": str(folder / _p8_name(key.key_id)),
                "key_id": key.key_id,
                "team_id": key.team_id,
                "url": self.apns.url,
                "ca_file": ca_file,
            },
            {
                "name": self.standing.project,
                "provider": "fcm",
                "credentials": str(folder / ACCOUNT_FILE),
                "url": self.fcm.url,
                "ca_file": ca_file,
            },
            {
                "name": WEB_APP,
                "provider": "webpush",
                "credentials": str(folder / VAPID_FILE),
                "subject": "mailto:you@example.com",
                "allowed_hosts": [self.webpush.host],
                "url": self.webpush.url,
                "ca_file": ca_file,
            },
        ]

    def settings(self) -> str:
        """:meth:`apps` as a settings file has it."""
        # Text, and lists of it, are written alike in JSON and in TOML.
        tables = [
            "\n".join(["[[push.apps]]", *(f"{name} = {json.dumps(value)}" for name, value in app.items())])
            for app in self.apps()
        ]
        return "\n\n".join(tables) + "\n"


def _apns_key(folder: Path) -> ApnsKey:
    for path in sorted(folder.glob(_p8_name("*"))):
        return key_of(path.read_text(), path.stem.partition("_")[2], TEAM_ID)
    key = new_key()
    write_secret(folder / _p8_name(key.key_id), key.p8.encode())
    return key


def _p8_name(key_id: str) -> str:
    return f"AuthKey_{key_id}.p8"


def _account(folder: Path, project: str) -> ServiceAccount:
    try:
        account = service_account_of(orjson.loads((folder / ACCOUNT_FILE).read_bytes()))
    except (OSError, ValueError, KeyError):
        return new_service_account(project)
    return account if account.project == project else new_service_account(project)


def _vapid(folder: Path) -> VapidKeys:
    path = folder / VAPID_FILE
    try:
        return vapid_keys_of(path.read_text())
    except (OSError, ValueError):
        keys = new_vapid_keys()
        write_secret(path, keys.private_pem.encode())
        return keys
