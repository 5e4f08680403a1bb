"""Rules between settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Settings
from config.checks import find_contradictions, find_obstacles, find_risks
from config.findings import is_loopback
from config.problems import key_text

SECRET = "a-secret-that-is-long-enough-for-any-hmac"


def contradictions(**sections: Any) -> list[str]:
    """The places that contradict themselves or each other."""
    return [key_text(finding.path) for finding in find_contradictions(Settings(**sections))]


def obstacles(**sections: Any) -> list[str]:
    """The places that keep a hub with these settings from being served."""
    return [key_text(finding.path) for finding in find_obstacles(Settings(**sections))]


def in_namespace(**options: Any) -> list[str]:
    """The options of a namespace that contradict each other."""
    found = contradictions(channels={"namespaces": [{"name": "chat", **options}]})
    return [key.removeprefix("channels.namespaces[0].") for key in found]


def test_defaults_contradict_nothing() -> None:
    """The defaults are in order, apart from the key that everybody has to bring."""
    assert contradictions() == []
    assert obstacles() == ["auth"]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"history_size": 5}, ["history_size"]),
        ({"history_ttl": "5m"}, ["history_ttl"]),
        ({"history_size": 5, "history_ttl": "60d"}, ["history_meta_ttl"]),
        ({"force_recovery": True}, ["force_recovery"]),
        ({"allow_recovery": True, "allow_positioning": True}, ["allow_positioning", "allow_recovery"]),
        (
            {"delta_publish": True, "allowed_delta_types": ["fossil"]},
            ["allowed_delta_types", "delta_publish"],
        ),
        ({"force_push_join_leave": True}, ["force_push_join_leave"]),
        ({"channel_regex": "("}, ["channel_regex"]),
        ({"history_size": 5, "history_ttl": "5m", "force_recovery": True, "delta_publish": True}, []),
    ],
)
def test_channel_options_that_are_of_no_use_alone(options: dict[str, Any], wrong: list[str]) -> None:
    """An option that could do nothing is a mistake, not a silence."""
    assert in_namespace(**options) == wrong


@pytest.mark.parametrize("name", ["", "inbox", "a", "a:b", "a b", "ä-name", "a#b"])
def test_namespace_names_that_cannot_be(name: str) -> None:
    """Missing, reserved, too short, or with characters that mean something in a channel's name."""
    assert contradictions(channels={"namespaces": [{"name": name}]}) == ["channels.namespaces[0].name"]


def test_namespaces_are_unique_and_known() -> None:
    """A name stands for one namespace, and the personal channel needs one that exists."""
    twice = {"namespaces": [{"name": "chat"}, {"name": "chat"}], "personal": {"namespace": "own"}}
    assert contradictions(channels=twice) == ["channels.namespaces[1].name", "channels.personal.namespace"]


def test_api_keys_are_complete_and_distinct() -> None:
    """Each has a name of its own, one form of key, and at least one scope."""
    digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
    keys: list[dict[str, Any]] = [
        {"key": "key", "scopes": ["admin"]},
        {"name": "a", "key": "x", "sha256": "0" * 64, "scopes": ["read"]},
        {"name": "a", "key": "y"},
        {"name": "b", "sha256": digest.upper(), "scopes": ["read"]},
    ]
    assert contradictions(api={"keys": keys}) == [
        "api.keys[0].name",
        "api.keys[1]",
        "api.keys[2].name",
        "api.keys[2].scopes",
        "api.keys[3]",
    ]


def test_listeners_need_whole_certificates_and_ports_of_their_own(tmp_path: Path) -> None:
    """TLS needs both files, which must be there; two listeners need two ports."""
    there = tmp_path / "cert.pem"
    there.write_text("")
    assert contradictions(http={"tls_cert": there}) == ["http.tls_cert"]
    assert contradictions(http={"tls_key": tmp_path / "no", "tls_cert": there}) == ["http.tls_key"]
    assert contradictions(http={"port": 9}, internal={"port": 9}) == ["internal.port"]
    assert contradictions(http={"port": 0}, internal={"port": 0}) == []


def test_pong_must_come_before_the_next_ping() -> None:
    """Else a connection could never be found dead."""
    assert contradictions(ping={"interval_s": 8}) == ["ping.pong_timeout_s"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hub.example.com"])
@pytest.mark.parametrize("switch", ["client", "api"])
def test_insecure_hub_stays_on_this_machine(host: str, switch: str) -> None:
    """Without protection only loopback is served, unless the flag that names the danger is given."""
    auth = {"secret": SECRET}
    assert obstacles(auth=auth, http={"host": host}, insecure={switch: True}) == ["http.host"]
    allowed = {switch: True, "allow_public_bind": True}
    assert obstacles(auth=auth, http={"host": host}, insecure=allowed) == []


def test_insecure_internal_port_stays_on_this_machine_too() -> None:
    """The second port is no way around it."""
    sections = {"internal": {"host": "0.0.0.0", "port": 9}, "insecure": {"client": True}}
    assert obstacles(**sections) == ["internal.host"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "LOCALHOST."])
def test_loopback_is_recognised(host: str) -> None:
    """In all its forms."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "sections",
    [
        {"auth": {"secret": SECRET}},
        {"auth": {"jwks_url": "https://issuer.example/keys"}},
        {"auth": {"anonymous": True}},
        {"insecure": {"client": True}},
    ],
)
def test_hub_that_can_let_somebody_in_can_be_served(sections: dict[str, Any]) -> None:
    """A key, anonymous clients, or insecure mode: one of them is enough."""
    assert obstacles(**sections) == []


def test_redis_engine_needs_an_address() -> None:
    """A URL alone chooses it; its name alone is not enough."""
    auth = {"secret": SECRET}
    assert obstacles(auth=auth, engine="redis") == ["redis.url"]
    assert obstacles(auth=auth, redis={"url": "redis://cache"}) == []
    assert obstacles(auth=auth, redis={"url": "redis://cache"}, engine="memory") == []


def test_risks_are_told_and_not_refused() -> None:
    """An API that refuses everybody, and switches that take protection away."""
    risks = [key_text(finding.path) for finding in find_risks(Settings(insecure={"client": True}))]
    assert risks == ["api.keys", "insecure.client"]


def test_a_console_that_nobody_can_use_is_a_risk() -> None:
    """It asks for the key of an administrator, and there is none."""
    console, reader = {"enabled": True}, {"name": "a", "key": "a", "scopes": ["read"]}
    admin = {**reader, "scopes": ["admin"]}
    for keys, risks in (
        ([], ["api.keys", "console.enabled"]),
        ([reader], ["console.enabled"]),
        ([admin], []),
    ):
        found = find_risks(Settings(console=console, api={"keys": keys}))
        assert [key_text(finding.path) for finding in found] == risks


def test_a_burst_that_cannot_hold_all_channels_of_a_client_is_a_risk() -> None:
    """SDKs subscribe to everything at once when they come back."""
    api = {"keys": [{"name": "backend", "key": "k" * 32, "scopes": ["publish"]}]}
    for limits, told in (
        ({"max_channels": 100, "commands_burst": 99}, ["limits.commands_burst"]),
        ({"max_channels": 100, "commands_burst": 100}, []),
        ({"max_channels": 100, "commands_burst": 99, "commands_per_s": 0}, []),
    ):
        found = [key_text(finding.path) for finding in find_risks(Settings(limits=limits, api=api))]
        assert found == told
