"""Rules between settings: what contradicts itself, what cannot be served, what is unwise.

Works on settings that are well formed one by one. Knows no source: a finding names the place,
and whoever loaded the settings knows which file or variable that was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from config.auth_checks import check_auth, check_placeholders, check_secret_lengths
from config.channels import ChannelSettings
from config.findings import Finding, is_loopback, unreadable
from config.problems import Path
from config.push_checks import check_push
from config.settings import Settings

RESERVED_NAMESPACE = "inbox"
NAMESPACE_NAME = re.compile(r"[-a-zA-Z0-9_.]{2,}")


def find_contradictions(settings: Settings) -> Iterator[Finding]:
    """What cannot be meant, whether or not the hub is to be served."""
    yield from _listeners(settings)
    yield from check_auth(settings)
    yield from _api(settings)
    yield from _channels(settings)
    yield from check_push(settings)
    if settings.ping.pong_timeout_s >= settings.ping.interval_s:
        yield Finding(
            ("ping", "pong_timeout_s"), "should be less than ping.interval_s", (("ping", "interval_s"),)
        )
    if settings.redis.lease_renew_s >= settings.redis.lease_s:
        yield Finding(
            ("redis", "lease_renew_s"), "should be less than redis.lease_s", (("redis", "lease_s"),)
        )


def find_obstacles(settings: Settings) -> Iterator[Finding]:
    """What keeps a hub with these settings from being served."""
    auth, insecure = settings.auth, settings.insecure
    if not auth.has_keys and not auth.anonymous and not insecure.client:
        yield Finding(
            ("auth",),
            "there is nothing to verify the tokens of clients with: set HUB_AUTH__SECRET (or auth.secret, "
            "auth.pem_files, auth.keys or auth.jwks_url in the settings file), or try `hub serve --dev`",
            missing=True,
        )
    yield from check_placeholders(settings)
    if not insecure.short_secrets:
        yield from check_secret_lengths(settings)
    if settings.engine == "redis" and settings.redis.url is None:
        yield Finding(
            ("redis", "url"),
            "the redis engine needs the address of Redis: set HUB_REDIS__URL (or redis.url in the settings "
            "file), or choose the memory engine",
            missing=True,
        )
    if (insecure.client or insecure.api) and not insecure.allow_public_bind:
        switches = " and ".join(f"insecure.{name}" for name in ("client", "api") if getattr(insecure, name))
        hosts: list[tuple[Path, str]] = [(("http", "host"), settings.http.host)]
        if settings.internal.port is not None:
            hosts.append((("internal", "host"), settings.internal.host))
        for path, host in hosts:
            if not is_loopback(host):
                yield Finding(
                    path,
                    f"others can reach this address, and {switches} would let them in unasked; "
                    "listen on 127.0.0.1, or say --allow-insecure-public-bind if that is what you want",
                    (("insecure",),),
                )


def find_risks(settings: Settings) -> Iterator[Finding]:
    """What works but is unwise; told to the operator, never refused."""
    if not settings.api.keys and not settings.insecure.api:
        yield Finding(("api", "keys"), "is empty: the server API refuses every call")
    if settings.console.enabled and not any("admin" in key.scopes for key in settings.api.keys):
        yield Finding(
            ("console", "enabled"),
            "is of no use without an API key that has the scope admin",
            (("api", "keys"),),
        )
    limits = settings.limits
    if limits.commands_per_s and limits.commands_burst < limits.max_channels:
        yield Finding(
            ("limits", "commands_burst"),
            "is less than limits.max_channels: a client that comes back with all of them is refused some",
        )
    insecure = settings.insecure
    for name in ("client", "api", "short_secrets"):
        if getattr(insecure, name):
            yield Finding(("insecure", name), "is on: not for production")


def _listeners(settings: Settings) -> Iterator[Finding]:
    http, internal = settings.http, settings.internal
    cert: Path = ("http", "tls_cert")
    key: Path = ("http", "tls_key")
    if (http.tls_cert is None) != (http.tls_key is None):
        given, absent = (cert, "http.tls_key") if http.tls_key is None else (key, "http.tls_cert")
        yield Finding(given, f"is of no use without {absent}", (cert, key))
    for path, file in ((cert, http.tls_cert), (key, http.tls_key)):
        yield from unreadable(path, file)
    if internal.port and internal.port == http.port:
        yield Finding(("internal", "port"), "should differ from http.port", (("http", "port"),))


def _api(settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    digests: set[str] = set()
    for index, key in enumerate(settings.api.keys):
        at: Path = ("api", "keys", index)
        digest = (key.sha256 or "").lower()
        if key.key is not None:
            digest = sha256(key.key.get_secret_value().encode()).hexdigest()
        if digest and digest in digests:
            yield Finding(at, "is the same key as another one")
        digests.add(digest)
        if not key.name:
            yield Finding((*at, "name"), "is required")
        elif key.name in seen:
            yield Finding((*at, "name"), "is the name of another key too")
        seen.add(key.name)
        if (key.key is None) == (key.sha256 is None):
            yield Finding(at, "should have exactly one of key and sha256", ((*at, "key"), (*at, "sha256")))
        if not key.scopes:
            yield Finding((*at, "scopes"), "is required: name what the key may do, or admin for everything")


def _channels(settings: Settings) -> Iterator[Finding]:
    channels = settings.channels
    yield from _options(channels.without_namespace, ("channels", "without_namespace"))
    seen: set[str] = set()
    for index, namespace in enumerate(channels.namespaces):
        at: Path = ("channels", "namespaces", index)
        name: Path = (*at, "name")
        if not namespace.name:
            yield Finding(name, "is required")
        elif namespace.name == RESERVED_NAMESPACE:
            yield Finding(name, "inbox is reserved: the hub itself keeps the users' inboxes in it")
        elif not NAMESPACE_NAME.fullmatch(namespace.name):
            yield Finding(name, "should be two or more of the characters a-z A-Z 0-9 _ . -")
        elif namespace.name in seen:
            yield Finding(name, "is the name of another namespace too")
        seen.add(namespace.name)
        yield from _options(namespace, at)
    personal = channels.personal
    if personal.namespace and personal.namespace not in seen:
        yield Finding(
            ("channels", "personal", "namespace"),
            "names a namespace that is not in channels.namespaces",
            (("channels", "namespaces"),),
        )


def _options(options: ChannelSettings, at: Path) -> Iterator[Finding]:
    size: Path = (*at, "history_size")
    ttl: Path = (*at, "history_ttl")
    history = (size, ttl)
    if options.history_size and not options.history_ttl:
        yield Finding(size, "is of no use without history_ttl", history)
    if options.history_ttl and not options.history_size:
        yield Finding(ttl, "is of no use without history_size", history)
    if options.history_ttl > options.history_meta_ttl:
        meta: Path = (*at, "history_meta_ttl")
        yield Finding(meta, "should not be shorter than history_ttl", history)
    if not options.history_size and not options.history_ttl:
        for name in (
            "allow_positioning",
            "force_positioning",
            "allow_recovery",
            "force_recovery",
            "allowed_delta_types",
            "delta_publish",
        ):
            if getattr(options, name):
                yield Finding((*at, name), "needs history_size and history_ttl", history)
    if options.force_push_join_leave and not options.join_leave:
        push: Path = (*at, "force_push_join_leave")
        yield Finding(push, "is of no use without join_leave", ((*at, "join_leave"),))
    try:
        re.compile(options.channel_regex)
    except re.error as error:
        yield Finding((*at, "channel_regex"), f"is not a regular expression: {error.msg}")
