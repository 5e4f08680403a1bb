"""Who is believed, who can come near, and what lies between. Looks at settings only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from config import Settings
from config.findings import is_loopback
from hub.doctor.finding import Area, Finding

AREA = Area("network")

IDLE_OF_BALANCERS_S = 60
"""After so much silence most load balancers cut a connection."""


def check_network(settings: Settings, env: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """The listeners and what is around them."""
    http = settings.http
    for network in http.trusted_proxies:
        if network.prefixlen == 0:
            yield AREA.error(
                f"http.trusted_proxies names everybody ({network}): each client chooses its own address",
                "Name the networks that your proxies connect from, and nothing else.",
            )
    public = not is_loopback(http.host)
    if public and not http.trusted_proxies:
        yield AREA.note(
            "no proxy is trusted: behind one, every client has the proxy's address",
            "If a proxy stands in front, name its network in http.trusted_proxies.",
        )
    if public and http.tls_cert is None and not http.trusted_proxies:
        yield AREA.warning(
            f"the hub listens on {http.host} without TLS, and no proxy is named that could end it",
            "Tokens and API keys travel readable. Put a proxy with TLS in front, or set http.tls_cert.",
        )
    if "*" in http.allowed_origins:
        yield AREA.warning(
            "http.allowed_origins lets pages of every site connect",
            "List the origins of your own pages.",
        )
    if public and settings.internal.port is None:
        yield AREA.note(
            "there is no internal port: the server API is on the public one",
            "With internal.port it is out of the internet's reach, key or no key.",
        )
    if settings.metrics.loopback and settings.internal.port is None and not _names_this_machine(settings):
        # Who listens here alone and expects pages of other hosts has a proxy here.
        found = AREA.warning if not public and _expects_other_hosts(settings) else AREA.note
        yield found(
            "whoever connects from this machine is an operator: metrics, health details, the console's page",
            "A proxy here that adds no X-Forwarded-For, as nginx with nothing but proxy_pass, makes that "
            "everybody: name it in http.trusted_proxies, set internal.port, or metrics.loopback = false.",
        )
    if settings.internal.port is not None and not is_loopback(settings.internal.host):
        yield AREA.note(
            f"the internal port listens on {settings.internal.host}, without TLS",
            "See that only your own network reaches it.",
        )
    if settings.ping.interval_s >= IDLE_OF_BALANCERS_S:
        yield AREA.warning(
            f"a ping every {settings.ping.interval_s} s is rarer than many proxies allow silence to last",
            f"Set ping.interval_s below {IDLE_OF_BALANCERS_S}, or every idle timeout on the way above it.",
        )
    given = os.environ if env is None else env
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        if given.get(name):
            yield AREA.note(
                f"{name} is set: key sets of other machines are fetched through that proxy",
                "Senders of pushes do not use it: they need a way of their own to their providers.",
            )
            break


def _names_this_machine(settings: Settings) -> bool:
    return any(is_loopback(str(network.network_address)) for network in settings.http.trusted_proxies)


def _expects_other_hosts(settings: Settings) -> bool:
    hosts = [urlsplit(origin).hostname for origin in settings.http.allowed_origins]
    return any(host is not None and not is_loopback(host) for host in hosts)
