"""From the settings to what a worker is made of: its lanes, their senders, its delays.

Beside ``hub.from_settings``, because only workers need it: a provider's libraries are imported
where one of its lanes is planned, and by nobody else. Builds values only: nothing here connects.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from config import Settings
from config.push import PushApp
from hub.delivery.model import lane_name
from workers.dispatcher import DispatcherOptions, LanePlan
from workers.jobs import ExpanderOptions
from workers.senders.port import BadCredentials, Sender, TokenShelf
from workers.serving import ServingOptions
from workers.worker import WorkerOptions

REQUEST_DEADLINE_S = 12.0
_OF_CLAIM = 0.4
"""What an attempt may take at most of a claim; a start needs half of it left."""
_LAST_WORD_S = 0.5
"""What a sender ends before the dispatcher's own deadline: its word says more than ours."""


def lane_of(app: PushApp) -> str:
    """The lane that devices of this app are in."""
    return lane_name(app.provider, app.name, app.environment)


def lane_plans(settings: Settings, chosen: Sequence[str] = ()) -> list[LanePlan]:
    """A plan for each app, or for those whose lanes match one of ``chosen`` (``apns:*`` is a pattern)."""
    plans: list[LanePlan] = []
    deadline_s = _request_deadline_s(settings) - _LAST_WORD_S * _scale(settings)
    for index, app in enumerate(settings.push.apps):
        lane = lane_of(app)
        if chosen and not any(fnmatchcase(lane, pattern) for pattern in chosen):
            continue
        # Here, before any lane works: some take a second, in which a worker would not answer its engine.
        importlib.import_module(f"workers.senders.{app.provider}")
        make = partial(_MAKERS[app.provider], app, f"push.apps[{index}]", deadline_s)
        plans.append(LanePlan(lane, make, app.concurrency))
    return plans


def worker_options(settings: Settings) -> WorkerOptions:
    """The delays of a worker. All of one attempt and its end fit into a claim, however short that is."""
    claim_s = settings.delivery.claim_s
    return WorkerOptions(
        dispatcher=DispatcherOptions(
            serving=ServingOptions(
                request_deadline_s=_request_deadline_s(settings),
                min_claim_left_s=claim_s / 2,
                receipt_ttl_s=settings.delivery.receipt_ttl_s,
            )
        ),
        expander=ExpanderOptions(claim_s=claim_s),
        stop_deadline_s=settings.push.stop_deadline_s,
    )


def _scale(settings: Settings) -> float:
    return min(1.0, settings.delivery.claim_s * _OF_CLAIM / REQUEST_DEADLINE_S)


def _request_deadline_s(settings: Settings) -> float:
    return REQUEST_DEADLINE_S * _scale(settings)


def _apns(app: PushApp, at: str, deadline_s: float, shelf: TokenShelf) -> Sender:
    from workers.senders.apns import ApnsOptions, ApnsSender, CertificateCredentials, TokenCredentials

    path = _credentials(app, at)
    credentials: TokenCredentials | CertificateCredentials
    if path.suffix == ".p8":
        credentials = TokenCredentials(_text_of(path, at), app.key_id, app.team_id)
    else:
        credentials = CertificateCredentials(str(path), str(app.certificate_key or ""))
    place = urlsplit(app.url)
    options = ApnsOptions(
        app=app.name,
        credentials=credentials,
        environment=app.environment,
        host=place.hostname or "",
        port=place.port or 443,
        ca_file=str(app.ca_file or ""),
        max_connections=app.connections,
        request_timeout_s=deadline_s,
        connect_timeout_s=min(5.0, deadline_s / 2),
    )
    return ApnsSender(options, shelf)


def _fcm(app: PushApp, at: str, deadline_s: float, shelf: TokenShelf) -> Sender:
    from workers.senders.fcm import FcmOptions, FcmSender

    options = FcmOptions(
        app=app.name,
        credentials=_credentials(app, at),
        url=app.url,
        ca_file=app.ca_file,
        transport=app.transport,
        request_timeout_s=deadline_s,
        max_connections=_connections_of_one_request(app),
    )
    return FcmSender(options)


def _webpush(app: PushApp, at: str, deadline_s: float, shelf: TokenShelf) -> Sender:
    from workers.senders.webpush import WebPushOptions, WebPushSender

    options = WebPushOptions(
        app=app.name,
        credentials=_credentials(app, at),
        subject=app.subject,
        allowed_hosts=app.allowed_hosts,
        trusted_origins=(app.url,) if app.url else (),
        ca_file=app.ca_file,
        request_timeout_s=deadline_s,
        max_connections=_connections_of_one_request(app),
    )
    return WebPushSender(options)


def _recording(app: PushApp, at: str, deadline_s: float, shelf: TokenShelf) -> Sender:
    from workers.senders.recording import RecordingOptions, RecordingSender

    return RecordingSender(RecordingOptions(app.name, app.credentials))


def _connections_of_one_request(app: PushApp) -> int:
    """Fewer, where each carries one request at a time, would be a second queue behind the slots."""
    return max(app.connections, app.concurrency)


def _credentials(app: PushApp, at: str) -> Path:
    if app.credentials is None:
        raise BadCredentials(f"{at}.credentials is required for {app.provider}")
    return app.credentials


def _text_of(path: Path, at: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise BadCredentials(f"{at}.credentials: the file {path} cannot be read as text") from None


_MAKERS: dict[str, Callable[[PushApp, str, float, TokenShelf], Sender]] = {
    "apns": _apns,
    "fcm": _fcm,
    "webpush": _webpush,
    "recording": _recording,
}
