"""Keys and certificates that read, are weak, or end soon."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.doctor.finding import Level
from hub.doctor.keys import check_keys
from tests.hub.doctor.findings import bad, levels, settings_of

API_KEY = {"name": "backend", "scopes": ["publish"]}


def certificate(folder: Path, days: int) -> tuple[str, str]:
    """A certificate that ends in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    private.chmod(0o600)
    return str(cert), str(private)


def test_a_random_secret_is_in_order() -> None:
    """Nothing bad is said of it."""
    findings = list(check_keys(settings_of()))
    assert bad(findings) == []
    assert levels(findings, "1 key for tokens") == [Level.OK]


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"auth__secret": "django-insecure-k2j4h5k2j3h45kj2h3k4j5hk"}, "begins like a secret of an example"),
        ({"auth__secret": "abababababababababababababababababababab"}, "very few different characters"),
        ({"auth__subscription_secret": "0000000000000000000000000000000000001111"}, "subscription_secret"),
        ({"auth__require_exp": False}, "good for ever"),
        ({"auth__user_claim": "user_id"}, "refresh tokens are accepted"),
        ({"api__keys": [{**API_KEY, "key": "sesame"}]}, "fewer than 24 characters"),
        ({"api__key_in_query": True}, "logs of every proxy"),
    ],
)
def test_what_is_weak(overrides: dict[str, Any], text: str) -> None:
    """Each is a warning, and no secret is quoted."""
    findings = list(check_keys(settings_of(**overrides)))
    assert levels(findings, text) == [Level.WARNING]
    told = " ".join(finding.what + finding.advice for finding in findings)
    assert "sesame" not in told
    assert "k2j4h5" not in told


def test_no_key_at_all() -> None:
    """Nobody could connect."""
    findings = list(check_keys(settings_of(auth__secret=None)))
    assert levels(findings, "no key for tokens at all") == [Level.ERROR]


@pytest.mark.parametrize(("days", "level"), [(-1, Level.ERROR), (5, Level.WARNING), (60, Level.OK)])
def test_how_long_the_certificate_is_good(tmp_path: Path, days: int, level: Level) -> None:
    """It is read at start, so somebody has to think of it."""
    cert, key = certificate(tmp_path, days)
    findings = list(check_keys(settings_of(http__tls_cert=cert, http__tls_key=key)))
    assert levels(findings, "the certificate") == [level]


def test_a_private_key_that_all_can_read(tmp_path: Path) -> None:
    """Told with the command that ends it."""
    cert, key = certificate(tmp_path, 60)
    Path(key).chmod(0o644)
    findings = list(check_keys(settings_of(http__tls_cert=cert, http__tls_key=key)))
    assert levels(findings, "can be read by every user") == [Level.WARNING]
