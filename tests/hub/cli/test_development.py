"""Development mode: secrets made once, and what a newcomer is told."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from config import Settings, load_settings, profile_file
from config.console import ConsoleSettings
from hub.auth import TokenVerifier
from hub.cli import development
from hub.from_settings import verification_keys, verifier_options


@pytest.fixture
def dev_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of development mode in a fresh directory."""
    monkeypatch.chdir(tmp_path)
    return load_settings(base=[profile_file(development.PROFILE), development.secrets_file()])


async def test_welcome_has_all_that_is_needed(dev_settings: Settings) -> None:
    """The token is one that the hub accepts, and the line to paste publishes with a key of the hub."""
    told = development.welcome(dev_settings, "http://127.0.0.1:9001", "http://127.0.0.1:9001")
    assert told is not None
    assert told.websocket == "ws://127.0.0.1:9001/connection/websocket"
    verifier = TokenVerifier(verifier_options(dev_settings), verification_keys(dev_settings))
    assert (await verifier.verify_connection(told.token)).user == "demo"
    words = shlex.split(told.publish)
    key = dev_settings.api.keys[0].key
    assert key is not None
    assert words[0] == "curl"
    assert "http://127.0.0.1:9001/api/publish" in words
    assert f"X-API-Key: {key.get_secret_value()}" in words
    assert all(value in told.text() for value in told.value().values())


def test_welcome_names_the_internal_port_for_the_api(dev_settings: Settings) -> None:
    """Clients and backends go to different ports where there are two."""
    told = development.welcome(dev_settings, "https://127.0.0.1:9001", "http://127.0.0.1:9002")
    assert told is not None
    assert told.websocket.startswith("wss://127.0.0.1:9001/")
    assert told.api == "http://127.0.0.1:9002/api"
    assert told.console == "http://127.0.0.1:9002/console"


def test_a_console_that_is_off_is_not_promised(dev_settings: Settings) -> None:
    """It is on in this profile, and may be turned off."""
    off = dev_settings.model_copy(update={"console": ConsoleSettings()})
    told = development.welcome(off, "http://127.0.0.1:9001", "http://127.0.0.1:9001")
    assert told is not None
    assert "console" not in told.text().lower()


def test_nothing_is_promised_without_secret_or_key() -> None:
    """Settings that replaced the secrets leave nothing to hand out."""
    assert development.welcome(Settings(), "http://127.0.0.1:1", "http://127.0.0.1:1") is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://[::]:80", "http://[::1]:80"),
        ("http://192.0.2.1:80", "http://192.0.2.1:80"),
    ],
)
def test_every_address_is_shown_as_one_that_can_be_reached(url: str, expected: str) -> None:
    """Nobody can connect to 0.0.0.0."""
    assert development.reachable(url) == expected


def test_secrets_differ_from_directory_to_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made, not shipped."""
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        texts.append(development.secrets_file().read_text())
        assert [file.name for file in Path(".hub").iterdir() if file.name.startswith(".new-")] == []
    assert texts[0] != texts[1]
