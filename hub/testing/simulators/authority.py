"""A certificate authority that lives as long as the test: TLS on loopback, verified.

Knows no provider. Its keys are worth nothing outside this machine, and its CA is trusted by nobody but
who is handed its file.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import ssl
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME_DAYS = 30
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
CA_FILE = "ca.pem"
CA_KEY_FILE = "ca-key.pem"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


class Authority:
    """One CA. ``ca_file`` is its certificate as a PEM file, to be trusted by clients of the simulators.

    With a ``directory`` the CA is kept there: made once, and found again until it expires. Without one
    its file is in a temporary directory, which is removed together with this object.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Simulated push providers")])
        kept = None if directory is None else _kept(directory)
        if kept is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self.ca_pem = self._own_certificate()
        else:
            self._key, self.ca_pem = kept
        if directory is None:
            folder = Path(tempfile.mkdtemp(prefix="simulated-providers-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        else:
            folder = directory
            write_secret(folder / CA_KEY_FILE, private_pem(self._key))
        self.ca_file = folder / CA_FILE
        self.ca_file.write_bytes(self.ca_pem)
        self._server = self._issue(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])]), server=True
        )

    def server_context(self, alpn: Sequence[str], *, ask_for_certificate: bool = False) -> ssl.SSLContext:
        """What a simulator listens with: localhost and 127.0.0.1, TLS 1.2 or newer, ``alpn`` in that order.

        ``ask_for_certificate`` lets clients show a certificate of this authority, and does not need one.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(list(alpn))
        _load(context, self._server)
        if ask_for_certificate:
            context.load_verify_locations(cadata=self.ca_pem.decode())
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client_context(self, alpn: Sequence[str] = (), client: Issued | None = None) -> ssl.SSLContext:
        """What a client connects with: trusts this authority alone, and shows ``client`` where given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca_pem.decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client is not None:
            _load(context, client)
        return context

    def issue_client(self, topic: str) -> Issued:
        """A client certificate for one app, its bundle id as the UID, as APNs certificates have it."""
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, topic),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Apple Push Services: {topic}"),
            ]
        )
        return self._issue(name, server=False)

    def _own_certificate(self) -> bytes:
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _issue(self, name: x509.Name, *, server: bool) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(name, self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if server:
            names: list[x509.GeneralName] = [x509.DNSName(text) for text in NAMES]
            names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ADDRESSES]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The unencrypted PKCS 8 text of a key: the form of a ``.p8`` file."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _kept(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, bytes] | None:
    """The CA that was made in ``directory`` before; None if there is none that lasts a day longer."""
    try:
        ca_pem = (directory / CA_FILE).read_bytes()
        key = serialization.load_pem_private_key((directory / CA_KEY_FILE).read_bytes(), None)
        expires_at = x509.load_pem_x509_certificate(ca_pem).not_valid_after_utc
    except (OSError, ValueError):
        return None
    lasts = expires_at > dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return (key, ca_pem) if lasts and isinstance(key, ec.EllipticCurvePrivateKey) else None


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=LIFETIME_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load(context: ssl.SSLContext, issued: Issued) -> None:
    # The ssl module takes a certificate from a file only.
    number, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(issued.key_pem + issued.certificate_pem)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
