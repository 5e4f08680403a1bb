"""The providers that notifications are pushed through: one entry an app and environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.section import Section, TextList

Provider = Literal["apns", "fcm", "webpush", "recording"]


class PushApp(Section):
    """One app at one provider. Each is a lane of its own: a provider that is down slows no other."""

    name: str = Field(default="", max_length=255, pattern=r"^[\x21-\x7e]*$")
    """What devices register as `app`: the bundle id for `apns`, the project id for `fcm`, any name else."""
    provider: Provider = "recording"
    """`apns`, `fcm`, `webpush`, or `recording`, which only writes down what it would have sent."""
    environment: Literal["production", "sandbox"] = "production"
    """`sandbox` is Apple's development environment; the others take it as a name."""
    credentials: Path | None = None
    """File with the secret: the `.p8` key or a PEM certificate for `apns`, the service account JSON for \
`fcm`, the VAPID private key (PEM) for `webpush`, where to write for `recording` (the log, if not set)."""
    certificate_key: Path | None = None
    """Private key of the `apns` certificate, where it is in a file of its own."""
    key_id: str = ""
    """The ten characters of the `.p8` key, for `apns` with a token."""
    team_id: str = ""
    """The ten characters of the Apple team, for `apns` with a token."""
    subject: str = ""
    """`mailto:` or `https:` address of whoever runs this, for `webpush`."""
    concurrency: int = Field(default=100, ge=1, le=5_000)
    """Pushes under way at once, in each worker."""
    connections: int = Field(default=4, ge=1, le=100)
    """Connections to the provider, in each worker."""
    transport: Literal["fast", "sdk"] = "fast"
    """How `fcm` messages travel: `fast`, or firebase-admin's own way."""
    allowed_hosts: TextList = ()
    """Push services that `webpush` may send to, as host names, a leading `*.` for subdomains. Empty: those \
of the known browsers."""
    url: str = ""
    """Where the provider is, if not at its own address: a simulator or a gateway."""
    ca_file: Path | None = None
    """Certificate authority of that address."""


class PushSettings(Section):
    """The workers that push what the sockets could not prove."""

    apps: tuple[PushApp, ...] = ()
    """The apps that may register devices."""
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    """Address of `metrics_port`."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of a worker for `/metrics` and `/health/live`, open to all who reach it. Not set: it has none."""
    stop_deadline_s: float = Field(default=20, gt=0, le=300)
    """Seconds for what a worker holds to be finished when it is stopped."""
