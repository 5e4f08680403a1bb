"""Where Redis is, as a URL tells it. Knows no socket; never shows a password."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_DEFAULT_PORT = 6379
_DEFAULT_SENTINEL_PORT = 26379
_QUERY_KEYS = {
    "db",
    "sentinel_username",
    "sentinel_password",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
    "ssl_cert_reqs",
}

Kind = Literal["standalone", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one server listens: host and port, or the path of a Unix socket."""

    host: str
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password; both empty when the server asks for none."""

    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL. ``seeds`` are the server itself, the Sentinels, or some nodes of the Cluster."""

    kind: Kind
    seeds: tuple[Endpoint, ...]
    credentials: Credentials = Credentials()
    database: int = 0
    primary_name: str = ""
    sentinel_credentials: Credentials = Credentials()
    tls: ssl.SSLContext | None = None


def parse_address(url: str) -> RedisAddress:
    """Read a URL in one of the forms that ``RedisOptions`` lists.

    Raises:
        ValueError: it has none of them; the text never holds the URL, which may hold a password.
    """
    try:
        split = urlsplit(url)
    except ValueError:
        raise ValueError("the Redis URL cannot be read: is the password percent-encoded?") from None
    query = _read_query(split.query)
    if split.scheme == "unix":
        return _unix_address(split, query)
    transport, _, form = split.scheme.partition("+")
    if transport not in ("redis", "rediss") or form not in ("", "sentinel", "cluster"):
        raise ValueError(
            "the Redis URL must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    tls = _tls_context(query) if transport == "rediss" else None
    credentials, hosts = _read_authority(split.netloc)
    path = [unquote(part) for part in split.path.split("/") if part]
    if form == "sentinel":
        if not path:
            raise ValueError("a Sentinel URL ends with the name of its primary: .../mymaster")
        return RedisAddress(
            "sentinel",
            _read_seeds(hosts, _DEFAULT_SENTINEL_PORT),
            credentials,
            _read_database(path[1:], query),
            path[0],
            Credentials(query.get("sentinel_username", ""), query.get("sentinel_password", "")),
            tls,
        )
    seeds = _read_seeds(hosts, _DEFAULT_PORT)
    database = _read_database(path, query)
    if form == "cluster":
        if database:
            raise ValueError("a Redis Cluster has only database 0")
        return RedisAddress("cluster", seeds, credentials, tls=tls)
    if len(seeds) != 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    return RedisAddress("standalone", seeds, credentials, database, tls=tls)


def _unix_address(split: SplitResult, query: dict[str, str]) -> RedisAddress:
    credentials, host = _read_authority(split.netloc)
    path = unquote(host + split.path)
    if not path.startswith("/"):
        raise ValueError("a unix:// URL names an absolute path: unix:///run/redis.sock")
    endpoint = Endpoint("localhost", 0, path)
    return RedisAddress("standalone", (endpoint,), credentials, _read_database([], query))


def _read_authority(netloc: str) -> tuple[Credentials, str]:
    login, found, hosts = netloc.rpartition("@")
    if not found:
        return Credentials(), hosts
    username, _, password = login.partition(":")
    return Credentials(unquote(username), unquote(password)), hosts


def _read_seeds(hosts: str, default_port: int) -> tuple[Endpoint, ...]:
    seeds = []
    for host_port in hosts.split(","):
        try:
            parsed = urlsplit(f"//{host_port}")
            seeds.append(Endpoint(parsed.hostname or "localhost", parsed.port or default_port))
        except ValueError:
            raise ValueError(
                "the Redis URL holds no readable host and port: is the password percent-encoded?"
            ) from None
    return tuple(seeds)


def _read_database(path: list[str], query: dict[str, str]) -> int:
    text = path[0] if path else query.get("db", "0")
    if not text.isdecimal() or len(path) > 1:
        raise ValueError("the path of the Redis URL must be a database number")
    return int(text)


def _read_query(text: str) -> dict[str, str]:
    query = {key: values[-1] for key, values in parse_qs(text, keep_blank_values=True).items()}
    if set(query) - _QUERY_KEYS:
        # Never repeated: behind a question mark that was not percent-encoded it is the password.
        raise ValueError(
            "the query of the Redis URL has something unknown; it may have "
            f"{', '.join(sorted(_QUERY_KEYS))}. A question mark in a password is written %3F"
        )
    return query


def _tls_context(query: dict[str, str]) -> ssl.SSLContext:
    """Strict by default: the certificate must be trusted and name the host."""
    try:
        context = ssl.create_default_context(cafile=query.get("ssl_ca_certs"))
        if certfile := query.get("ssl_certfile"):
            context.load_cert_chain(certfile, query.get("ssl_keyfile"))
    except OSError as error:
        raise ValueError(f"a certificate file of the Redis URL cannot be used: {error.strerror}") from None
    if query.get("ssl_check_hostname", "true").lower() in ("false", "0", "no"):
        context.check_hostname = False
    if query.get("ssl_cert_reqs", "required") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
