"""A certificate for localhost, made anew for each test that needs TLS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """Paths of the certificate and its key in PEM, and both in one file as HAProxy wants it."""

    certfile: Path
    keyfile: Path
    bundle: Path

    def client_context(self) -> ssl.SSLContext:
        """What a client needs to trust it, and only it."""
        return ssl.create_default_context(cafile=str(self.certfile))


def make_certificate(folder: Path) -> LocalCertificate:
    """A self-signed certificate for localhost, 127.0.0.1 and ::1, valid for one hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = LocalCertificate(folder / "cert.pem", folder / "key.pem", folder / "both.pem")
    made.certfile.write_bytes(certificate_pem)
    made.keyfile.write_bytes(key_pem)
    made.bundle.write_bytes(certificate_pem + key_pem)
    return made
