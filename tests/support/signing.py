"""Key pairs for tests, made once for the whole run, in all the forms that issuers hand out."""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hub.auth import TokenSigner, VerificationKey, key_from_pem

SECRET = "a-secret-of-the-tests-long-enough-for-every-hmac-there-is-0123456789"


@dataclass(frozen=True)
class KeyPair:
    """A private key with its public half."""

    private: Any

    @property
    def private_pem(self) -> str:
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def public_pem(self) -> str:
        return (
            self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )

    @property
    def certificate_pem(self) -> str:
        """A self-signed certificate of the key (RSA and EC only)."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=36500))
            .sign(self.private, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()

    def jwk(self, kid: str = "", **members: Any) -> dict[str, Any]:
        """The public half as JWK, with further members."""
        for algorithm, kind in (
            (RSAAlgorithm, rsa.RSAPrivateKey),
            (ECAlgorithm, ec.EllipticCurvePrivateKey),
            (OKPAlgorithm, ed25519.Ed25519PrivateKey),
        ):
            if isinstance(self.private, kind):
                jwk = algorithm.to_jwk(self.private.public_key(), as_dict=True)
                return jwk | ({"kid": kid} if kid else {}) | members
        raise AssertionError("no JWK for this kind of key")

    def signer(self, algorithm: str = "", kid: str = "") -> TokenSigner:
        return TokenSigner.from_private_pem(self.private_pem, algorithm=algorithm, kid=kid)

    def key(self, kid: str = "", algorithms: tuple[str, ...] | None = None) -> VerificationKey:
        return key_from_pem(self.public_pem, kid=kid, algorithms=algorithms)


@functools.cache
def rsa_pair(number: int = 1, bits: int = 2048) -> KeyPair:
    """An RSA pair; another number is another pair."""
    return KeyPair(rsa.generate_private_key(public_exponent=65537, key_size=bits))


@functools.cache
def ec_pair(bits: int = 256, number: int = 1) -> KeyPair:
    """A pair on P-256, P-384 or P-521; another number is another pair."""
    curves: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
    return KeyPair(ec.generate_private_key(curves[bits]))


@functools.cache
def ed_pair(number: int = 1) -> KeyPair:
    """An Ed25519 pair; another number is another pair."""
    return KeyPair(ed25519.Ed25519PrivateKey.generate())


def jwk_set(*jwks: dict[str, Any]) -> bytes:
    """A JWK set document."""
    return orjson.dumps({"keys": list(jwks)})
