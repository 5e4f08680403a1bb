"""The doctor before simulated providers: credentials that load or do not, places that answer or do not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.doctor.finding import Level
from hub.doctor.providers import check_providers
from hub.testing.simulators.standing import Standing, StandingProviders
from tests.hub.doctor.findings import all_of, bad, levels, settings_of
from tests.support.processes import free_port


@pytest.fixture
async def providers(tmp_path: Path) -> AsyncIterator[StandingProviders]:
    """APNs, FCM and a push service, with the settings that lead there."""
    standing = StandingProviders(Standing(tmp_path / "providers"))
    await standing.start()
    yield standing
    await standing.stop()


def app_of(providers: StandingProviders, provider: str, **changes: Any) -> dict[str, Any]:
    """The settings of one app, changed."""
    return {**next(app for app in providers.apps() if app["provider"] == provider), **changes}


async def test_all_of_them_in_order(providers: StandingProviders) -> None:
    """Every lane starts, every place is reached, and no push is sent."""
    findings = await all_of(check_providers(settings_of(push__apps=providers.apps())))
    assert bad(findings) == []
    assert levels(findings, "the credentials load") == [Level.OK] * 3
    assert levels(findings, "is reached") == [Level.OK] * 3
    for each in (providers.apns, providers.fcm, providers.webpush):
        assert len(each.ledger) == 0


async def test_a_file_that_is_no_key(providers: StandingProviders, tmp_path: Path) -> None:
    """Each lane for itself, by the name of the setting."""
    broken = tmp_path / "key.p8"
    broken.write_text("-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n")
    apps = [app_of(providers, "apns", credentials=str(broken)), app_of(providers, "fcm")]
    findings = await all_of(check_providers(settings_of(push__apps=apps)))
    (trouble,) = bad(findings)
    assert trouble.startswith("apns:")
    assert "credentials" in trouble
    assert "s3cr3t" not in trouble
    assert levels(findings, "fcm:simulated-project:production: the credentials load") == [Level.OK]


async def test_an_account_that_google_refuses(providers: StandingProviders, tmp_path: Path) -> None:
    """Found by asking for an access token, as a worker does at its start."""
    account = providers.fcm.service_account()
    account["client_email"] = "somebody-else@example.iam.gserviceaccount.com"
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    apps = [app_of(providers, "fcm", credentials=str(file))]
    findings = await all_of(check_providers(settings_of(push__apps=apps)))
    assert next(finding.level for finding in findings if "fcm" in finding.what) is Level.ERROR
    assert "refuses the service account" in bad(findings)[0]


async def test_a_place_where_nobody_is(providers: StandingProviders) -> None:
    """The credentials are fine, the way is not."""
    apps = [app_of(providers, "apns", url=f"https://127.0.0.1:{free_port()}")]
    findings = await all_of(check_providers(settings_of(push__apps=apps)))
    assert levels(findings, "the credentials load") == [Level.OK]
    assert levels(findings, "cannot be reached") == [Level.ERROR]


async def test_a_certificate_of_somebody_else(providers: StandingProviders) -> None:
    """Without ca_file, a simulator or gateway is not trusted."""
    app = app_of(providers, "webpush")
    del app["ca_file"]
    findings = await all_of(check_providers(settings_of(push__apps=[app])))
    assert levels(findings, "has a certificate that is refused") == [Level.ERROR]


async def test_recording_is_for_development() -> None:
    """Said so."""
    settings = settings_of(push__apps=[{"name": "app", "provider": "recording"}])
    findings = await all_of(check_providers(settings))
    assert levels(findings, "sends none") == [Level.NOTE]


async def test_no_apps() -> None:
    """What that means, unless nobody is notified anyway."""
    assert levels(await all_of(check_providers(settings_of())), "names no app") == [Level.NOTE]
    assert await all_of(check_providers(settings_of(inbox__enabled=False))) == []
