"""The profiles that come with the hub."""

from __future__ import annotations

from config import Settings, load_settings, profile_file


def profile(name: str, **env: str) -> Settings:
    """The settings of a profile, checked as for serving."""
    return load_settings(None, env, base=[profile_file(name)])


def test_conformance_profile_is_what_the_suites_expect() -> None:
    """Client protocol, 18.1: insecure, but a token or key that is sent is verified."""
    settings = profile("conformance")
    assert settings.auth.secret is not None
    assert settings.auth.secret.get_secret_value() == "secret"
    assert (settings.http.host, settings.http.port) == ("localhost", 8000)
    assert settings.insecure.client
    assert not settings.auth.require_exp
    keys = {key.key.get_secret_value() for key in settings.api.keys if key.key is not None}
    assert keys == {"test-api-key", "api_key"}
    assert settings.channels.personal.enabled


def test_conformance_namespaces() -> None:
    """Client protocol, 18.1: the sizes that the suites count on."""
    channels = profile("conformance").channels
    bare = channels.without_namespace
    assert (bare.history_size, bare.history_ttl) == (100, 300)
    assert bare.presence and bare.join_leave and bare.force_push_join_leave and bare.force_recovery
    assert bare.delta_publish and bare.allowed_delta_types == ("fossil",)
    named = {namespace.name: namespace for namespace in channels.namespaces}
    assert set(named) == {"delta", "recovery", "smallhistory"}
    assert named["smallhistory"].history_size == 2
    assert all(namespace.force_recovery for namespace in named.values())


def test_development_profile_protects_nothing_less() -> None:
    """Development needs tokens and keys like any other hub, on this machine only."""
    settings = profile("development", HUB_AUTH__SECRET="a-secret-that-is-long-enough-for-any-hmac")
    assert not any((settings.insecure.client, settings.insecure.api, settings.auth.anonymous))
    assert settings.auth.require_exp
    assert settings.http.host == "127.0.0.1"
    assert settings.channels.without_namespace.allow_subscribe_for_client
