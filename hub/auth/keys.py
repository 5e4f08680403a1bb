"""Keys that verify tokens, each pinned to the algorithms it is for.

A key of one family cannot be made with an algorithm of another, so a public key never
serves as an HMAC secret and ``none`` has no key at all. Knows no token and no network.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

HMAC_ALGORITHMS = ("HS256", "HS384", "HS512")
RSA_ALGORITHMS = ("RS256", "RS384", "RS512")
EC_ALGORITHMS = ("ES256", "ES384", "ES512")
ED_ALGORITHMS = ("EdDSA",)
PUBLIC_KEY_ALGORITHMS = frozenset(RSA_ALGORITHMS + EC_ALGORITHMS + ED_ALGORITHMS)
ALGORITHMS = PUBLIC_KEY_ALGORITHMS | frozenset(HMAC_ALGORITHMS)

MIN_SECRET_BYTES = 32
"""A shorter secret can be guessed offline from a single token."""

MIN_RSA_BITS = 2048
"""Smaller RSA keys are within reach of factoring (NIST SP 800-131A)."""

_CURVE_ALGORITHM: dict[type, str] = {SECP256R1: "ES256", SECP384R1: "ES384", SECP521R1: "ES512"}
_PEM_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
# Fingerprints are compared within one process only. Keyed with a random value, they give
# nobody who sees one a way to try secrets against it.
_FINGERPRINT_KEY = secrets.token_bytes(32)

KeyMaterial: TypeAlias = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


def algorithms_for(material: object) -> tuple[str, ...]:
    """All algorithms that this key material can verify.

    Raises:
        ValueError: for a kind, curve or size of key that the hub does not take.
    """
    match material:
        case bytes():
            return HMAC_ALGORITHMS
        case RSAPublicKey():
            if material.key_size < MIN_RSA_BITS:
                raise ValueError(f"an RSA key needs at least {MIN_RSA_BITS} bits, not {material.key_size}")
            return RSA_ALGORITHMS
        case EllipticCurvePublicKey():
            algorithm = _CURVE_ALGORITHM.get(type(material.curve))
            if algorithm is None:
                raise ValueError(f"the curve {material.curve.name} is not one of P-256, P-384, P-521")
            return (algorithm,)
        case Ed25519PublicKey():
            return ED_ALGORITHMS
    raise ValueError("the key is neither RSA, nor EC, nor Ed25519")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key: its ``kid`` (empty for a key without name), its algorithms, its material.

    Raises:
        ValueError: when an algorithm does not belong to this kind of key.
    """

    kid: str
    algorithms: tuple[str, ...]
    material: KeyMaterial = field(repr=False)

    def __post_init__(self) -> None:
        possible = algorithms_for(self.material)
        if not self.algorithms:
            raise ValueError("a key needs at least one algorithm")
        for algorithm in self.algorithms:
            if algorithm not in possible:
                raise ValueError(f"this key can be used for {', '.join(possible)} only")


class KeySet:
    """An immutable set of keys, asked by the header of a token."""

    __slots__ = ("_by_algorithm", "_by_kid", "_fingerprint", "_keys")

    def __init__(self, keys: Iterable[VerificationKey] = ()) -> None:
        self._keys = tuple(keys)
        by_kid: dict[str, tuple[VerificationKey, ...]] = {}
        for key in self._keys:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        self._by_kid = by_kid
        self._by_algorithm = {
            (kid, algorithm): tuple(key for key in named if algorithm in key.algorithms)
            for kid, named in by_kid.items()
            for algorithm in ALGORITHMS
        }
        self._fingerprint = _fingerprint(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._keys)

    @property
    def fingerprint(self) -> bytes:
        """Equal for equal sets of keys within one process; means nothing outside of it."""
        return self._fingerprint

    def knows_kid(self, kid: str) -> bool:
        """Whether some key has this name."""
        return kid in self._by_kid

    def candidates(self, algorithm: str, kid: str) -> tuple[VerificationKey, ...]:
        """Keys to try for a token with this header: those named ``kid``, else those without name.

        Never a key that is not pinned to ``algorithm``.
        """
        return self._by_algorithm.get((kid if kid in self._by_kid else "", algorithm), ())

    def __or__(self, other: KeySet) -> KeySet:
        return KeySet((*self._keys, *other._keys))


def key_from_secret(
    secret: str | bytes,
    *,
    kid: str = "",
    algorithms: tuple[str, ...] = HMAC_ALGORITHMS,
    allow_short_secret: bool = False,
) -> VerificationKey:
    """The key of a secret that the hub shares with the issuer.

    ``allow_short_secret`` is for development only.

    Raises:
        ValueError: when the secret is empty, too short, or in truth a key file.
    """
    material = secret.encode() if isinstance(secret, str) else secret
    if not material:
        raise ValueError("the secret is empty")
    if len(material) < MIN_SECRET_BYTES and not allow_short_secret:
        raise ValueError(f"the secret needs at least {MIN_SECRET_BYTES} bytes, not {len(material)}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)
    except InvalidKeyError:
        # The public half of a key pair as HMAC secret is the classic confusion: everybody knows it.
        raise ValueError("the secret is a key or certificate file; give it as a PEM or JWKS key") from None
    return VerificationKey(kid, algorithms, material)


def key_from_pem(
    pem: str | bytes, *, kid: str = "", algorithms: tuple[str, ...] | None = None
) -> VerificationKey:
    """The key of a PEM public key, or of the first certificate in the text.

    Without ``algorithms`` the key is good for all of its kind: RS256/384/512 for RSA, the
    one ES algorithm of its curve, EdDSA for Ed25519.

    Raises:
        ValueError: when it is a private key, several keys, unreadable, or of a kind not taken.
    """
    try:
        text = pem.decode("ascii") if isinstance(pem, bytes) else pem
        labels = _PEM_LABEL.findall(text)
    except UnicodeDecodeError:
        labels = []
        text = ""
    if any("PRIVATE KEY" in label for label in labels):
        raise ValueError("this is a private key; the hub only verifies and must be given the public key")
    if not labels:
        raise ValueError("no PEM block found; a public key starts with -----BEGIN PUBLIC KEY-----")
    if len(labels) > 1 and set(labels) != {"CERTIFICATE"}:
        raise ValueError(f"{len(labels)} keys in one text; give each its own, with its own kid")
    try:
        if labels[0] == "CERTIFICATE":
            material: object = x509.load_pem_x509_certificate(text.encode()).public_key()
        else:
            material = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the PEM text is not a readable public key or certificate") from None
    return key_from_public(material, kid=kid, algorithms=algorithms)


def key_from_pem_file(
    path: Path, *, kid: str = "", algorithms: tuple[str, ...] | None = None
) -> VerificationKey:
    """Like :func:`key_from_pem`, from a file.

    Raises:
        OSError: when the file cannot be read.
        ValueError: as :func:`key_from_pem`, naming the file.
    """
    pem = path.read_bytes()
    try:
        return key_from_pem(pem, kid=kid, algorithms=algorithms)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def key_from_public(
    material: object, *, kid: str = "", algorithms: tuple[str, ...] | None = None
) -> VerificationKey:
    """The key of loaded public key material.

    Raises:
        ValueError: for a kind of key not taken, or an algorithm that is not of its kind.
    """
    if not isinstance(material, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        raise ValueError("the key is neither RSA, nor EC, nor Ed25519")
    return VerificationKey(kid, algorithms or algorithms_for(material), material)


def _fingerprint(keys: tuple[VerificationKey, ...]) -> bytes:
    total = hashlib.blake2b(key=_FINGERPRINT_KEY, digest_size=32)
    for part in sorted(_canonical(key) for key in keys):
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.digest()


def _canonical(key: VerificationKey) -> bytes:
    if isinstance(key.material, bytes):
        material = key.material
    else:
        material = key.material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = key.kid.encode("utf-8", "surrogatepass")
    return b"\0".join((",".join(key.algorithms).encode(), str(len(name)).encode(), name, material))


NO_KEYS = KeySet()
