"""The key that signs, and the signatures."""

from __future__ import annotations

import base64
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hub.testing.simulators.webpush import new_vapid_keys
from hub.testing.simulators.webpush.vapid import problem, vapid_keys_of
from workers.senders.vapid import VALID_S, Vapid, private_key

NOW_S = 1_800_000_000.0
SUBJECT = "mailto:ops@example.com"
ORIGIN = "https://push.example.com"


def test_a_key_is_read_from_a_file_or_as_text_in_both_forms(tmp_path: Path) -> None:
    """PEM, as openssl makes it, and base64url, as tools for the web do."""
    keys = new_vapid_keys()
    path = tmp_path / "vapid.pem"
    path.write_text(keys.private_pem)
    number = private_key(keys.private_pem).private_numbers().private_value
    raw = base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode()
    raw_path = tmp_path / "vapid.txt"
    raw_path.write_text(raw + "\n")
    for given in (path, str(path), raw_path, raw, raw.rstrip("="), keys.private_pem):
        assert private_key(given).private_numbers().private_value == number


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """The PEM text of any key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "are not set"),
        ("/nowhere/vapid.pem", "does not exist"),
        (
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            "no private key that can be read",
        ),
        (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "P-256"),
        (base64.urlsafe_b64encode(b"\xff" * 32).decode(), "no private key that can be read"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_a_word_of_it(given: str, said: str) -> None:
    """A missing file is no reason to make a key that nobody subscribed with."""
    with pytest.raises(ValueError, match=said) as refused:
        private_key(given)
    assert "c2VjcmV0" not in str(refused.value)


def test_no_file_is_made(tmp_path: Path) -> None:
    """The library would."""
    with pytest.raises(ValueError, match="does not exist"):
        private_key(tmp_path / "vapid.pem")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="cannot be read"):
        private_key(tmp_path)


def test_a_signature_is_what_push_services_want_and_serves_half_its_life() -> None:
    """Signing costs more than sending, so each service gets the same one for hours."""
    keys = new_vapid_keys()
    vapid = Vapid(private_key(keys.private_pem), SUBJECT)
    signed = vapid.authorization(ORIGIN, NOW_S)
    assert problem(signed, (ORIGIN,), NOW_S) == ("", keys.public_key)
    assert vapid.authorization(ORIGIN, NOW_S + VALID_S / 2 - 1) == signed
    assert vapid.authorization(ORIGIN, NOW_S + VALID_S / 2 + 1) != signed
    assert vapid.authorization("https://other.example.com", NOW_S) != signed
    claims = jwt.decode(signed.split("t=")[1].split(",")[0], options={"verify_signature": False})
    assert claims == {"sub": SUBJECT, "aud": ORIGIN, "exp": int(NOW_S) + VALID_S}


@pytest.mark.parametrize("subject", ["", "ops@example.com", "mailto:", "http://example.com"])
def test_a_subject_that_names_nobody_is_refused(subject: str) -> None:
    """Push services call it when something is wrong."""
    with pytest.raises(ValueError, match="subject must be"):
        Vapid(private_key(vapid_keys_of(new_vapid_keys().private_pem).private_pem), subject)


def test_endless_names_do_not_grow_the_memory() -> None:
    """A suffix on the list has as many names as somebody likes to register."""
    vapid = Vapid(private_key(new_vapid_keys().private_pem), SUBJECT)
    for number in range(600):
        vapid.authorization(f"https://n{number}.notify.example.com", NOW_S)
    assert len(vapid._signed) <= 256
