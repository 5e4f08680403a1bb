"""Credentials that cannot work are found by name before anything is sent with them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.apns import MemoryShelf
from tests.support.certificates import make_certificate
from workers.senders.apns import ApnsOptions, ApnsSender, CertificateCredentials, TokenCredentials
from workers.senders.apns.credentials import tls_context
from workers.senders.port import BadCredentials


def pem(key: Any) -> str:
    """A private key as the developer account hands it out."""
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


P256 = pem(ec.generate_private_key(ec.SECP256R1()))


def options(credentials: TokenCredentials | CertificateCredentials, **more: Any) -> ApnsOptions:
    """An app with these credentials."""
    return ApnsOptions(app="com.example.chat", credentials=credentials, **more)


@pytest.mark.parametrize(
    ("credentials", "setting"),
    [
        (TokenCredentials(P256, "SHORT", "TEAMTEAM01"), "key_id"),
        (TokenCredentials(P256, "KEYKEYKEY1", "TEAM TEAM1"), "team_id"),
        (TokenCredentials(P256, "KEYKEYKEY1", ""), "team_id"),
        (
            TokenCredentials("/etc/hub/AuthKey.p8", "KEYKEYKEY1", "TEAMTEAM01"),
            "credentials hold no private key",
        ),
        (TokenCredentials("", "KEYKEYKEY1", "TEAMTEAM01"), "PEM"),
        (TokenCredentials(P256[:80], "KEYKEYKEY1", "TEAMTEAM01"), "PEM"),
        (
            TokenCredentials(pem(ec.generate_private_key(ec.SECP384R1())), "KEYKEYKEY1", "TEAMTEAM01"),
            "P-256",
        ),
        (
            TokenCredentials(
                pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
                "KEYKEYKEY1",
                "TEAMTEAM01",
            ),
            "P-256",
        ),
        (CertificateCredentials("/nowhere/app.pem"), "ends in .p8"),
    ],
    ids=["key id", "team id", "no team id", "a path", "nothing", "cut off", "P-384", "RSA", "no certificate"],
)
async def test_what_cannot_work_is_named(
    credentials: TokenCredentials | CertificateCredentials, setting: str
) -> None:
    """The text names app and setting, and shows nothing of a key."""
    with pytest.raises(BadCredentials, match=r"com\.example\.chat") as refusal:
        await ApnsSender(options(credentials), MemoryShelf()).start()
    assert setting in str(refusal.value)
    assert "PRIVATE KEY" not in str(refusal.value)
    assert refusal.value.__cause__ is None


async def test_a_proper_key_starts() -> None:
    """Nothing is connected for it: the gateway may be away."""
    credentials = TokenCredentials(P256, "KEYKEYKEY1", "TEAMTEAM01")
    sender = ApnsSender(options(credentials), MemoryShelf())
    await sender.start()
    await sender.stop()


def test_options_show_no_key() -> None:
    """The key stays out of ``repr``, and with it out of logs."""
    assert "PRIVATE" not in repr(options(TokenCredentials(P256, "KEYKEYKEY1", "TEAMTEAM01")))


def test_a_certificate_with_its_key_in_one_file_or_two(tmp_path: Path) -> None:
    """Both are how certificates are exported."""
    made = make_certificate(tmp_path)
    now_ms = time.time_ns() // 1_000_000
    tls_context(options(CertificateCredentials(str(made.bundle))), now_ms)
    tls_context(options(CertificateCredentials(str(made.certfile), str(made.keyfile))), now_ms)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    """The file that lacks the key is named."""
    made = make_certificate(tmp_path)
    with pytest.raises(BadCredentials, match=r"cert\.pem"):
        tls_context(options(CertificateCredentials(str(made.certfile))), time.time_ns() // 1_000_000)


def test_a_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    """The key file is named, because it is the one that does not fit."""
    (tmp_path / "other").mkdir()
    made, other = make_certificate(tmp_path), make_certificate(tmp_path / "other")
    credentials = CertificateCredentials(str(made.certfile), str(other.keyfile))
    with pytest.raises(BadCredentials, match=r"other/key\.pem"):
        tls_context(options(credentials), time.time_ns() // 1_000_000)


def test_a_certificate_that_ran_out_is_refused(tmp_path: Path) -> None:
    """With the time from when to when it was valid."""
    made = make_certificate(tmp_path)
    two_hours_on_ms = time.time_ns() // 1_000_000 + 2 * 3_600_000
    with pytest.raises(BadCredentials, match="valid from"):
        tls_context(options(CertificateCredentials(str(made.bundle))), two_hours_on_ms)


def test_an_authority_that_cannot_be_read_is_named() -> None:
    """It is a setting like any other."""
    credentials = TokenCredentials(P256, "KEYKEYKEY1", "TEAMTEAM01")
    with pytest.raises(BadCredentials, match="ca_file"):
        tls_context(options(credentials, ca_file="/nowhere/ca.pem"), 0)


def test_each_environment_has_its_gateway() -> None:
    """And another one can be named."""
    credentials = TokenCredentials(P256, "KEYKEYKEY1", "TEAMTEAM01")
    assert options(credentials).gateway == "api.push.apple.com"
    assert options(credentials, environment="sandbox").gateway == "api.sandbox.push.apple.com"
    assert options(credentials, host="gateway.test").gateway == "gateway.test"


@pytest.mark.parametrize("topic", ["", "two words", "a\r\nb", "ä"])
async def test_a_topic_that_is_no_bundle_id_is_named(topic: str) -> None:
    """It would spoil every request of the lane."""
    credentials = TokenCredentials(P256, "KEYKEYKEY1", "TEAMTEAM01")
    with pytest.raises(BadCredentials, match="topic"):
        await ApnsSender(ApnsOptions(app=topic, credentials=credentials), MemoryShelf()).start()
