"""Keys: what can be made, what cannot, and which one a token header leads to."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.auth.keys import (
    NO_KEYS,
    KeySet,
    VerificationKey,
    key_from_pem,
    key_from_pem_file,
    key_from_public,
    key_from_secret,
)
from tests.support.signing import SECRET, KeyPair, ec_pair, ed_pair, rsa_pair


def test_a_secret_is_for_hmac_only() -> None:
    """A shared secret verifies the three HMAC algorithms unless pinned to fewer."""
    assert key_from_secret(SECRET).algorithms == ("HS256", "HS384", "HS512")
    assert key_from_secret(SECRET, algorithms=("HS512",)).algorithms == ("HS512",)


def test_a_short_secret_is_refused_with_the_minimum() -> None:
    """The error tells how long a secret must be, and not what it was."""
    with pytest.raises(ValueError, match="at least 32 bytes, not 6") as caught:
        key_from_secret("s3cr3t")
    assert "s3cr3t" not in str(caught.value)


def test_a_short_secret_is_taken_in_development() -> None:
    """The conformance profile uses the secret ``secret``."""
    assert key_from_secret("secret", allow_short_secret=True).material == b"secret"


def test_an_empty_secret_is_refused_always() -> None:
    """Not even development may verify with nothing."""
    with pytest.raises(ValueError, match="empty"):
        key_from_secret("", allow_short_secret=True)


@pytest.mark.parametrize("pair", [rsa_pair(), ec_pair(), ed_pair()], ids=["rsa", "ec", "ed"])
def test_a_public_key_is_no_secret(pair: KeyPair) -> None:
    """The PEM text of a public key, known to all, cannot become an HMAC secret."""
    with pytest.raises(ValueError, match="key or certificate file"):
        key_from_secret(pair.public_pem)


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256", "EdDSA", "PS256", ""])
def test_an_rsa_key_cannot_be_pinned_to_another_family(algorithm: str) -> None:
    """Key confusion cannot be written down."""
    with pytest.raises(ValueError, match="RS256, RS384, RS512 only"):
        rsa_pair().key(algorithms=(algorithm,))


@pytest.mark.parametrize("algorithm", ["RS256", "none", "ES256"])
def test_a_secret_cannot_be_pinned_to_another_family(algorithm: str) -> None:
    """Key confusion cannot be written down the other way round either."""
    with pytest.raises(ValueError, match="HS256, HS384, HS512 only"):
        key_from_secret(SECRET, algorithms=(algorithm,))


def test_a_key_without_algorithm_is_refused() -> None:
    """A key pinned to nothing would be a silent hole in the configuration."""
    with pytest.raises(ValueError, match="at least one algorithm"):
        VerificationKey("", (), SECRET.encode())


@pytest.mark.parametrize(
    ("pem", "algorithms"),
    [
        (rsa_pair().public_pem, ("RS256", "RS384", "RS512")),
        (rsa_pair().certificate_pem, ("RS256", "RS384", "RS512")),
        (ec_pair(256).public_pem, ("ES256",)),
        (ec_pair(384).public_pem, ("ES384",)),
        (ec_pair(521).public_pem, ("ES512",)),
        (ec_pair(256).certificate_pem, ("ES256",)),
        (ed_pair().public_pem, ("EdDSA",)),
        (rsa_pair().certificate_pem + ec_pair().certificate_pem, ("RS256", "RS384", "RS512")),
    ],
    ids=["rsa", "rsa-cert", "p256", "p384", "p521", "p256-cert", "ed25519", "chain"],
)
def test_pem_text_pins_the_algorithms_of_its_kind(pem: str, algorithms: tuple[str, ...]) -> None:
    """The algorithms follow from the kind of key; of a certificate chain the first one counts."""
    key = key_from_pem(pem, kid="k")
    assert (key.kid, key.algorithms) == ("k", algorithms)


def test_the_old_rsa_pem_form_is_read() -> None:
    """``BEGIN RSA PUBLIC KEY`` is still found in the wild."""
    pem = rsa_pair().private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert key_from_pem(pem).algorithms[0] == "RS256"


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (rsa_pair().private_pem, "private key"),
        (rsa_pair().public_pem + rsa_pair(2).public_pem, "2 keys in one text"),
        ("no pem at all", "no PEM block"),
        (b"\xff\xfe", "no PEM block"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a readable"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not a readable"),
    ],
    ids=["private", "two", "text", "bytes", "garbage", "garbage-cert"],
)
def test_pem_text_that_is_no_single_public_key_is_refused(pem: str | bytes, words: str) -> None:
    """Each mistake gets its own words."""
    with pytest.raises(ValueError, match=words):
        key_from_pem(pem)


def test_a_weak_rsa_key_is_refused() -> None:
    """1024 bits are not enough."""
    with pytest.raises(ValueError, match="at least 2048 bits, not 1024"):
        rsa_pair(bits=1024).key()


def test_a_foreign_curve_is_refused() -> None:
    """secp256k1 has no algorithm of ours."""
    with pytest.raises(ValueError, match="not one of P-256"):
        key_from_public(ec.generate_private_key(ec.SECP256K1()).public_key())


def test_foreign_kinds_of_keys_are_refused() -> None:
    """DSA and Ed448 are not for tokens here."""
    with pytest.raises(ValueError, match="neither RSA"):
        key_from_public(ed448.Ed448PrivateKey.generate().public_key())
    with pytest.raises(ValueError, match="neither RSA"):
        key_from_public(dsa.generate_private_key(1024).public_key())


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    """An operator with several key files must know which one is wrong."""
    path = tmp_path / "issuer.pem"
    path.write_text(rsa_pair().public_pem)
    assert key_from_pem_file(path, kid="f").kid == "f"
    path.write_text(rsa_pair().private_pem)
    with pytest.raises(ValueError, match=r"issuer\.pem: this is a private key"):
        key_from_pem_file(path)


def test_key_material_never_prints() -> None:
    """Neither the repr of a key nor of a set shows the secret."""
    key = key_from_secret(SECRET)
    assert SECRET not in repr(key)
    assert SECRET not in repr(KeySet([key]))


def test_candidates_are_the_named_keys_else_the_nameless() -> None:
    """A kid that some key has selects it; any other kid leads to the keys without name."""
    first, second, nameless = rsa_pair(1).key("a"), rsa_pair(2).key("b"), ec_pair().key()
    keys = KeySet([first, second, nameless])
    assert keys.candidates("RS256", "a") == (first,)
    assert keys.candidates("RS512", "b") == (second,)
    assert keys.candidates("ES256", "a") == ()
    assert keys.candidates("ES256", "unknown") == (nameless,)
    assert keys.candidates("ES256", "") == (nameless,)
    assert keys.candidates("RS256", "") == ()
    assert keys.candidates("none", "a") == ()


def test_candidates_respect_the_pin() -> None:
    """A key pinned to RS512 is no candidate for RS256."""
    assert KeySet([rsa_pair().key(algorithms=("RS512",))]).candidates("RS256", "") == ()


def test_a_union_holds_both_sets() -> None:
    """Configured keys and fetched keys work side by side."""
    joined = KeySet([rsa_pair().key("a")]) | KeySet([ec_pair().key("b")])
    assert [key.kid for key in joined] == ["a", "b"]
    assert len(joined) == 2
    assert joined.knows_kid("b") and not joined.knows_kid("")


def test_the_fingerprint_tells_sets_apart() -> None:
    """Order does not matter; a key, its name and its pin do."""
    base = KeySet([rsa_pair(1).key("a"), key_from_secret(SECRET)])
    assert base.fingerprint == KeySet([key_from_secret(SECRET), rsa_pair(1).key("a")]).fingerprint
    others = [
        NO_KEYS,
        KeySet([rsa_pair(2).key("a"), key_from_secret(SECRET)]),
        KeySet([rsa_pair(1).key("b"), key_from_secret(SECRET)]),
        KeySet([rsa_pair(1).key("a", ("RS256",)), key_from_secret(SECRET)]),
        KeySet([rsa_pair(1).key("a"), key_from_secret(SECRET + "x")]),
    ]
    assert base.fingerprint not in {other.fingerprint for other in others}
