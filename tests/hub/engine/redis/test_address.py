"""URLs: every form that is promised, and words for those that are wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from hub.engine.redis.address import Credentials, Endpoint, parse_address
from tests.support.certificates import make_certificate


def test_a_server_with_everything() -> None:
    """User, an encoded password, port, database."""
    address = parse_address("redis://ann:p%40ss%2F@example.org:6390/3")
    assert address.kind == "standalone"
    assert address.seeds == (Endpoint("example.org", 6390),)
    assert address.credentials == Credentials("ann", "p@ss/")
    assert (address.database, address.tls) == (3, None)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("redis://localhost", Endpoint("localhost", 6379)),
        ("redis://", Endpoint("localhost", 6379)),
        ("redis://[::1]:7000", Endpoint("::1", 7000)),
        ("unix:///run/redis.sock", Endpoint("localhost", 0, "/run/redis.sock")),
    ],
)
def test_short_forms(url: str, endpoint: Endpoint) -> None:
    """What is left out has a default."""
    assert parse_address(url).seeds == (endpoint,)


def test_a_socket_with_password_and_database() -> None:
    """The database goes into the query: the path is taken."""
    address = parse_address("unix://:secret@/run/redis.sock?db=2")
    assert (address.seeds[0].path, address.database) == ("/run/redis.sock", 2)
    assert address.credentials.password == "secret"


def test_sentinels() -> None:
    """Hosts, the name of the primary, a database, and a password of their own."""
    address = parse_address("redis+sentinel://:pw@s1:26380,s2/mymaster/1?sentinel_password=other")
    assert address.kind == "sentinel"
    assert address.seeds == (Endpoint("s1", 26380), Endpoint("s2", 26379))
    assert (address.primary_name, address.database) == ("mymaster", 1)
    assert (address.credentials.password, address.sentinel_credentials.password) == ("pw", "other")


def test_a_cluster_over_tls() -> None:
    """Several seeds, and the certificate is checked by default."""
    address = parse_address("rediss+cluster://a:1,b:2")
    assert address.kind == "cluster"
    assert address.seeds == (Endpoint("a", 1), Endpoint("b", 2))
    assert address.tls is not None
    assert address.tls.verify_mode is ssl.CERT_REQUIRED
    assert address.tls.check_hostname


def test_tls_can_be_told_whom_to_trust(tmp_path: Path) -> None:
    """An authority of one's own, a client certificate, and no check of the name."""
    made = make_certificate(tmp_path)
    address = parse_address(
        f"rediss://localhost?ssl_ca_certs={made.certfile}&ssl_certfile={made.certfile}"
        f"&ssl_keyfile={made.keyfile}&ssl_check_hostname=false"
    )
    assert address.tls is not None
    assert not address.tls.check_hostname
    assert address.tls.verify_mode is ssl.CERT_REQUIRED


def test_tls_can_be_told_to_trust_everybody() -> None:
    """By name, never by default."""
    tls = parse_address("rediss://localhost?ssl_cert_reqs=none").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost", "must begin with"),
        ("redis://a:1,b:2", "several hosts need"),
        ("redis+sentinel://a:1", "name of its primary"),
        ("redis+cluster://a:1/2", "only database 0"),
        ("redis://localhost/mymaster", "database number"),
        ("redis://localhost/1/2", "database number"),
        ("redis://localhost?sll_ca_certs=x", "the query of the Redis URL has something unknown"),
        ("redis://:pa?s3cret@host:6379/0", "percent-encoded|written %3F"),
        ("redis://:se/cret@localhost", "percent-encoded"),
        ("redis://localhost:port", "percent-encoded"),
        ("unix://run/redis.sock", "absolute path"),
        ("rediss://localhost?ssl_ca_certs=/nowhere.pem", "certificate file"),
    ],
)
def test_what_is_wrong_is_said_without_the_url(url: str, words: str) -> None:
    """The URL may hold a password, whatever else is wrong with it."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_address(url)
    assert "cret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    """Not by repr either."""
    address = parse_address("redis+sentinel://:secret@s1/m?sentinel_password=hidden")
    assert "secret" not in repr(address)
    assert "hidden" not in repr(address)
