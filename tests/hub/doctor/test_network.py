"""Listeners, proxies and origins, as the settings say them."""

from __future__ import annotations

from typing import Any

import pytest

from hub.doctor.finding import Level
from hub.doctor.network import check_network
from tests.hub.doctor.findings import bad, levels, settings_of


@pytest.mark.parametrize(
    ("overrides", "text", "level"),
    [
        ({"http__trusted_proxies": ["0.0.0.0/0"]}, "names everybody", Level.ERROR),
        ({"http__host": "0.0.0.0"}, "without TLS", Level.WARNING),
        ({"http__host": "0.0.0.0"}, "no proxy is trusted", Level.NOTE),
        ({"http__host": "0.0.0.0"}, "no internal port", Level.NOTE),
        ({"http__allowed_origins": ["https://app.example.com"]}, "is an operator", Level.WARNING),
        ({"http__allowed_origins": ["http://localhost:3000"]}, "is an operator", Level.NOTE),
        ({"http__host": "0.0.0.0"}, "is an operator", Level.NOTE),
        ({"http__allowed_origins": ["*"]}, "pages of every site", Level.WARNING),
        ({"internal__host": "10.0.0.1", "internal__port": 9000}, "only your own network", Level.NOTE),
        ({"ping__interval_s": 90}, "a ping every 90 s", Level.WARNING),
    ],
)
def test_what_is_unwise(overrides: dict[str, Any], text: str, level: Level) -> None:
    """Each by itself."""
    findings = list(check_network(settings_of(**overrides), {}))
    told = [finding.level for finding in findings if text in finding.what + finding.advice]
    assert told == [level]


def test_behind_a_proxy_that_is_named() -> None:
    """Nothing to say against it."""
    settings = settings_of(http__host="0.0.0.0", http__trusted_proxies=["10.0.0.0/8"], internal__port=9000)
    assert bad(check_network(settings, {})) == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"http__trusted_proxies": ["127.0.0.0/8"]},
        {"http__trusted_proxies": ["::1"]},
        {"internal__port": 9000},
        {"metrics__loopback": False},
    ],
)
def test_this_machine_is_no_operator_where_it_may_be_a_proxy(overrides: dict[str, Any]) -> None:
    """Named, kept apart, or not believed: each is enough."""
    findings = check_network(settings_of(http__host="127.0.0.1", **overrides), {})
    assert not [finding for finding in findings if "is an operator" in finding.what]


def test_proxies_of_the_environment() -> None:
    """Some things go through them, and some do not."""
    findings = list(check_network(settings_of(), {"HTTPS_PROXY": "http://user:s3cr3t@proxy:3128"}))
    assert levels(findings, "HTTPS_PROXY is set") == [Level.NOTE]
    assert "s3cr3t" not in str(findings)
