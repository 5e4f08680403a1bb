"""All simulators together: credentials that stay, and settings that fit them."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import httpx
import pytest

from config.push import PushSettings
from hub.testing.simulators.standing import Standing, StandingProviders


async def test_credentials_stay_the_same_from_run_to_run(tmp_path: Path) -> None:
    """A hub that was configured once need not be configured again."""
    seen = []
    for _ in range(2):
        simulated = StandingProviders(Standing(tmp_path / "here"))
        await simulated.start()
        account = simulated.fcm.account
        files = sorted(modes_in(tmp_path / "here"))
        seen.append((simulated.apns.key.p8, account, simulated.vapid, files, simulated.authority.ca_pem))
        await simulated.stop()
    assert seen[0] == seen[1]


async def test_the_settings_are_those_of_a_hub(tmp_path: Path) -> None:
    """They load, name files that exist, and addresses that answer."""
    simulated = StandingProviders(Standing(tmp_path, topic="a.b", project="shop", environment="sandbox"))
    await simulated.start()
    try:
        loaded = PushSettings.model_validate(tomllib.loads(simulated.settings())["push"])
        assert [(app.provider, app.name) for app in loaded.apps] == [
            ("apns", "a.b"),
            ("fcm", "shop"),
            ("webpush", "web"),
        ]
        for app in loaded.apps:
            assert app.credentials is not None
            assert app.credentials.is_file()
        async with httpx.AsyncClient(verify=simulated.authority.client_context()) as client:
            assert (await client.get(loaded.apps[1].url)).status_code == 404
    finally:
        await simulated.stop()


def modes_in(folder: Path) -> dict[str, int]:
    """Who may read what."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_secrets_are_for_their_owner(tmp_path: Path) -> None:
    """All but the certificate."""
    simulated = StandingProviders(Standing(tmp_path))
    await simulated.start()
    await simulated.stop()
    modes = modes_in(tmp_path)
    assert set(modes) > {"ca.pem", "service-account.json", "vapid.pem", "subscription.json"}
    assert {name for name, mode in modes.items() if mode != 0o600} == {"ca.pem"}


async def test_ports_are_next_to_each_other_or_none_is_taken(tmp_path: Path) -> None:
    """A port that somebody has leaves nothing behind."""
    first = StandingProviders(Standing(tmp_path / "a"))
    await first.start()
    second = StandingProviders(Standing(tmp_path / "b"))
    with pytest.raises(OSError, match="in use"):
        await second.start(port=first.apns.port - 1)
    assert second.apns.connections_open == 0
    await first.stop()
