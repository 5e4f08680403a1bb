"""From the settings to the option objects of the rooms, for the composition root and the command line.

What a room refuses when it is built (a key file that holds no key) comes back as a mistake in
the settings, named by its place. Builds values only: nothing here listens, fetches or runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from pydantic import SecretStr

import hub
from config import LoadedSettings, Problem, Settings, SettingsError
from config.auth import AuthKey
from config.channels import ChannelSettings
from config.problems import Path, key_text
from hub.api import ApiKey, ApiOptions
from hub.api.app_limits import AppLimits
from hub.auth import (
    KeySet,
    VerificationKey,
    VerifierOptions,
    key_from_pem,
    key_from_pem_file,
    key_from_secret,
)
from hub.auth.jwks import JWKSSource
from hub.channels import ChannelOptions, ChannelRules
from hub.connection import ConnectionOptions
from hub.delivery.model import lane_name
from hub.delivery.options import DeliveryOptions
from hub.engine.redis import RedisOptions
from hub.engine.redis.address import parse_address
from hub.metrics import Metrics
from hub.node import HealingOptions
from hub.ops.drain import DrainOptions
from hub.pacing import Pace
from hub.protocol import JSONCodec, ProtobufCodec
from hub.transport import AdmissionOptions, ServerOptions, TlsFiles, TransportOptions, TrustedProxies

_SETTING_OF_OPTION = {
    "history_ttl_s": "history_ttl",
    "history_meta_ttl_s": "history_meta_ttl",
    "recovery_mode": "force_recovery_mode",
}
"""Settings keep the names that Centrifugo's users know; options carry their unit."""


def verifier_options(settings: Settings) -> VerifierOptions:
    """What is asked of tokens. In insecure mode their expiry is ignored, all else is not."""
    auth = settings.auth
    claim = auth.required_claim
    return VerifierOptions(
        user_claim=auth.user_claim,
        issuer=auth.issuer,
        audience=auth.audience or None,
        leeway_s=float(auth.leeway_s),
        require_exp=auth.require_exp,
        required_claim=(claim.name, claim.value) if claim.name else None,
        ignore_expiry=settings.insecure.client,
        cache_ttl_s=float(auth.cache_ttl_s),
    )


def verification_keys(settings: Settings, loaded: LoadedSettings | None = None) -> KeySet:
    """The keys that verify tokens, but for those of a URL.

    Raises:
        SettingsError: with every key that is none; ``loaded`` lets it say where each was written.
    """
    auth = settings.auth
    collected = _Collected(loaded)
    if auth.secret is not None:
        collected.add(("auth", "secret"), partial(_from_secret, auth.secret, settings))
    if auth.pem is not None:
        collected.add(("auth", "pem"), partial(key_from_pem, _text(auth.pem)))
    for index, file in enumerate(auth.pem_files):
        collected.add(("auth", "pem_files", index), partial(key_from_pem_file, file))
    for index, key in enumerate(auth.keys):
        collected.add(("auth", "keys", index), partial(_from_key, key, settings))
    return collected.keys()


def subscription_keys(settings: Settings, loaded: LoadedSettings | None = None) -> KeySet | None:
    """The key of subscription tokens, where they have one of their own; else None.

    Raises:
        SettingsError: when it is none.
    """
    secret = settings.auth.subscription_secret
    if secret is None:
        return None
    collected = _Collected(loaded)
    collected.add(("auth", "subscription_secret"), partial(_from_secret, secret, settings))
    return collected.keys()


def channel_options(section: ChannelSettings) -> ChannelOptions:
    """The options of one namespace."""
    names = [field.name for field in fields(ChannelOptions) if field.init]
    return ChannelOptions(**{name: getattr(section, _SETTING_OF_OPTION.get(name, name)) for name in names})


def channel_rules(settings: Settings) -> ChannelRules:
    """All namespaces, and what is allowed in them."""
    channels = settings.channels
    return ChannelRules(
        channel_options(channels.without_namespace),
        {namespace.name: channel_options(namespace) for namespace in channels.namespaces},
        insecure=settings.insecure.client,
        max_length=channels.max_length,
        personal=channels.personal.enabled,
        personal_namespace=channels.personal.namespace,
    )


def api_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The callers of the server API."""
    return tuple(
        ApiKey.of_digest(key.name, key.sha256, key.scopes, key.channels)
        if key.sha256 is not None
        else ApiKey.of_secret(key.name, _text(key.key), key.scopes, key.channels)
        for key in settings.api.keys
    )


@contextmanager
def named_in_settings(path: Path, loaded: LoadedSettings | None = None) -> Iterator[None]:
    """Turn a room's refusal of its options into a mistake in the settings at ``path``.

    Raises:
        SettingsError: in place of ``ValueError`` and ``OSError``.
    """
    try:
        yield
    except ValueError as error:
        message = str(error)
    except OSError as error:
        message = error.strerror or type(error).__name__
    else:
        return
    source = loaded.source_of(path) if loaded is not None else ""
    raise SettingsError([Problem(source, key_text(path), message)]) from None


class _Collected:
    def __init__(self, loaded: LoadedSettings | None) -> None:
        self._loaded = loaded
        self._keys: list[VerificationKey] = []
        self._problems: list[Problem] = []

    def add(self, path: Path, make: Callable[[], VerificationKey]) -> None:
        try:
            with named_in_settings(path, self._loaded):
                self._keys.append(make())
        except SettingsError as error:
            self._problems += error.problems

    def keys(self) -> KeySet:
        if self._problems:
            raise SettingsError(self._problems)
        return KeySet(self._keys)


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _from_secret(secret: SecretStr | None, settings: Settings, **options: Any) -> VerificationKey:
    return key_from_secret(
        _text(secret),
        allow_short_secret=settings.insecure.short_secrets,
        **{"algorithms": settings.auth.secret_algorithms, **options},
    )


def _from_key(key: AuthKey, settings: Settings) -> VerificationKey:
    algorithms = tuple(key.algorithms)
    if key.secret is not None:
        pinned = algorithms or settings.auth.secret_algorithms
        return _from_secret(key.secret, settings, kid=key.kid, algorithms=pinned)
    if key.pem_file is not None:
        return key_from_pem_file(key.pem_file, kid=key.kid, algorithms=algorithms or None)
    return key_from_pem(_text(key.pem), kid=key.kid, algorithms=algorithms or None)


def connection_options(settings: Settings) -> ConnectionOptions:
    """Limits and habits of connections."""
    limits = settings.limits
    return ConnectionOptions(
        version=hub.__version__,
        insecure=settings.insecure.client,
        anonymous=settings.auth.anonymous,
        max_channels=limits.max_channels,
        max_commands_per_frame=limits.max_commands_per_frame,
        max_pending_commands=limits.max_pending_commands,
        max_outbox_bytes=limits.max_outbox_bytes,
        recovery_max_publications=limits.recovery_max_publications,
        history_max_limit=limits.history_max_limit,
        connect_timeout_s=limits.connect_timeout_s,
        refused_linger_s=limits.close_timeout_s,
        ping_interval_s=settings.ping.interval_s,
        pong_timeout_s=settings.ping.pong_timeout_s,
        connection_expire_grace_s=settings.expiry.connection_grace_s,
        subscription_expire_grace_s=settings.expiry.subscription_grace_s,
        max_connections_per_user=limits.connections_per_user,
        commands=Pace(limits.commands_per_s, limits.commands_burst),
        user_commands=Pace(limits.user_commands_per_s, limits.user_commands_burst),
        write_timeout_s=limits.write_timeout_s,
        inbox=settings.inbox.enabled,
        background_counts=settings.delivery.background_counts,
    )


def jwks_source(settings: Settings, loaded: LoadedSettings | None = None) -> JWKSSource | None:
    """The keys published at a URL, where the settings name one.

    Raises:
        SettingsError: for a URL that may not be used.
    """
    auth = settings.auth
    if auth.jwks_url is None:
        return None
    with named_in_settings(("auth", "jwks_url"), loaded):
        return JWKSSource(
            auth.jwks_url, refresh_interval_s=float(auth.jwks_refresh_s), allow_http=auth.jwks_allow_http
        )


def api_options(settings: Settings) -> ApiOptions:
    """How the server API is opened."""
    return ApiOptions(
        keys=api_keys(settings),
        insecure=settings.insecure.api,
        key_in_query=settings.api.key_in_query,
        max_body_bytes=settings.api.max_body_bytes,
    )


def app_limits(settings: Settings, metrics: Metrics) -> AppLimits:
    """How often apps may call over HTTP."""
    limits = settings.limits
    return AppLimits(
        Pace(limits.app_calls_per_s, limits.app_calls_burst),
        Pace(limits.receipts_per_ip_per_s, limits.receipts_per_ip_burst),
        metrics,
    )


def _transport_options(settings: Settings) -> TransportOptions:
    http, limits = settings.http, settings.limits
    return TransportOptions(
        json=JSONCodec(),
        protobuf=ProtobufCodec(),
        websocket_path=http.websocket_path,
        trusted_proxies=TrustedProxies(str(network) for network in http.trusted_proxies),
        allowed_origins=http.allowed_origins,
        max_message_bytes=limits.max_message_bytes,
        handshake_timeout_s=limits.handshake_timeout_s,
        close_timeout_s=limits.close_timeout_s,
        write_timeout_s=limits.write_timeout_s,
        max_http_connections=limits.max_http_connections,
        admission=AdmissionOptions(
            connects=Pace(limits.connects_per_s, limits.connects_burst),
            connects_per_ip=Pace(limits.connects_per_ip_per_s, limits.connects_per_ip_burst),
            max_connections_per_ip=limits.connections_per_ip,
            max_connections=limits.max_connections,
        ),
        compression=settings.websocket.compression,
    )


def public_server_options(settings: Settings) -> ServerOptions:
    """The public port."""
    http = settings.http
    tls = None
    if http.tls_cert is not None:
        tls = TlsFiles(str(http.tls_cert), None if http.tls_key is None else str(http.tls_key))
    return ServerOptions(_transport_options(settings), host=http.host, port=http.port, tls=tls)


def internal_server_options(settings: Settings) -> ServerOptions | None:
    """The internal port, where there is one."""
    internal = settings.internal
    if internal.port is None:
        return None
    return ServerOptions(_transport_options(settings), host=internal.host, port=internal.port)


def drain_options(settings: Settings) -> DrainOptions:
    """How clients are sent away at the end."""
    shutdown = settings.shutdown
    return DrainOptions(
        ready_wait_s=shutdown.ready_wait_s,
        connections_per_s=shutdown.connections_per_s,
        deadline_s=shutdown.deadline_s,
    )


def worker_server_options(settings: Settings) -> ServerOptions | None:
    """The port of a worker, where it has one."""
    push = settings.push
    if push.metrics_port is None:
        return None
    return ServerOptions(_transport_options(settings), host=push.metrics_host, port=push.metrics_port)


def healing_options(settings: Settings) -> HealingOptions:
    """How fast lost publications are looked for."""
    return HealingOptions(check_interval_s=settings.recovery.check_interval_s)


def delivery_options(settings: Settings) -> DeliveryOptions:
    """How long the ledger waits for what."""
    delivery = settings.delivery
    return DeliveryOptions(
        ack_wait_s=delivery.ack_wait_s,
        grace_s=delivery.grace_s,
        max_defer_s=delivery.max_defer_s,
        claim_s=delivery.claim_s,
        again_s=delivery.again_s,
        badge_delay_s=delivery.badge_delay_s,
        background_counts=delivery.background_counts,
        devices_per_user=settings.devices.per_user,
        trace_ttl_s=delivery.trace_ttl_s,
    )


def push_lanes(settings: Settings) -> frozenset[str]:
    """The lanes that devices may register for."""
    return frozenset(lane_name(app.provider, app.name, app.environment) for app in settings.push.apps)


def redis_options(settings: Settings, loaded: LoadedSettings | None = None) -> RedisOptions:
    """Where Redis is, and how the engine behaves.

    Raises:
        SettingsError: for an address that is none, named by where it was written.
    """
    redis = settings.redis
    with named_in_settings(("redis", "url"), loaded):
        parse_address(_text(redis.url))
        return RedisOptions(
            url=_text(redis.url),
            prefix=redis.prefix,
            partitions=settings.partitions,
            lease_s=redis.lease_s,
            lease_renew_s=redis.lease_renew_s,
            probe_interval_s=redis.probe_interval_s,
            probe_timeout_s=redis.probe_timeout_s,
            command_timeout_s=redis.command_timeout_s,
            connect_timeout_s=redis.connect_timeout_s,
            replace_policy=redis.replace_policy,
            max_revocations=settings.limits.max_revocations,
        )


def channel_policy(settings: Settings) -> dict[str, dict[str, Any]]:
    """What all who share one Redis must agree on: options that are not the default, by namespace."""
    channels = settings.channels
    sections = {"": channels.without_namespace, **{each.name: each for each in channels.namespaces}}
    standard = ChannelOptions()
    return {
        name: {
            field.name: value
            for field in fields(ChannelOptions)
            if field.init
            and (value := getattr(channel_options(section), field.name)) != getattr(standard, field.name)
        }
        for name, section in sections.items()
    }


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop of a process that serves; None for Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
