"""Credentials of an app, checked by name before anything is sent with them.

Every refusal names the app, the setting and what to do; none shows what the setting held.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from workers.senders.apns.options import ApnsOptions, CertificateCredentials, TokenCredentials
from workers.senders.port import BadCredentials

_BUNDLE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_TEN_SIGNS: Final = re.compile(r"[A-Za-z0-9]{10}")


def check_topic(options: ApnsOptions) -> None:
    """Whether the bundle id is one, since it goes into a header of every request.

    Raises:
        BadCredentials: it is none.
    """
    if not _BUNDLE_ID.fullmatch(options.bundle_id):
        raise BadCredentials(
            f"{options.label}: topic {options.bundle_id!r} is no bundle id; "
            "name the bundle id where it is not the name of the app"
        )


def signing_key(options: ApnsOptions, credentials: TokenCredentials) -> ec.EllipticCurvePrivateKey:
    """The key that provider tokens are signed with.

    Raises:
        BadCredentials: the key, its id or the team's id cannot be what Apple handed out.
    """
    for setting, value in (("key_id", credentials.key_id), ("team_id", credentials.team_id)):
        if not _TEN_SIGNS.fullmatch(value):
            raise BadCredentials(
                f"{options.label}: {setting} must be 10 letters or digits, as the developer account shows it"
            )
    try:
        key = load_pem_private_key(credentials.key_pem.encode(), password=None)
    except (ValueError, TypeError):
        # The parser's own text is left out: it may quote what it was given.
        raise BadCredentials(
            f"{options.label}: credentials hold no private key in PEM, as a .p8 file of Apple's is"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadCredentials(
            f"{options.label}: credentials must hold an EC key on P-256, as every .p8 of Apple's does"
        )
    return key


def tls_context(options: ApnsOptions, now_ms: int) -> ssl.SSLContext:
    """TLS towards the gateway, with the client certificate where that is the credential.

    Raises:
        BadCredentials: a file cannot be read or used, or the certificate is not valid now.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file or None)
    except (OSError, ssl.SSLError):
        raise BadCredentials(
            f"{options.label}: ca_file {options.ca_file!r} cannot be read as certificates in PEM"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if isinstance(options.credentials, CertificateCredentials):
        _load_certificate(options, options.credentials, context, now_ms)
    return context


def _load_certificate(
    options: ApnsOptions, credentials: CertificateCredentials, context: ssl.SSLContext, now_ms: int
) -> None:
    path = credentials.certificate_file
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (OSError, ValueError):
        raise BadCredentials(
            f"{options.label}: credentials {path!r} cannot be read as a certificate in PEM; "
            "a key has to be in a file whose name ends in .p8"
        ) from None
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise BadCredentials(
            f"{options.label}: the certificate in {path!r} is valid from {certificate.not_valid_before_utc} "
            f"to {certificate.not_valid_after_utc} only; make a new one, or check this machine's clock"
        )
    try:
        context.load_cert_chain(path, credentials.key_file or None, password=_no_password)
    except (OSError, ssl.SSLError, ValueError):
        raise BadCredentials(
            f"{options.label}: {credentials.key_file or path!r} holds no unencrypted private key "
            "in PEM that fits the certificate"
        ) from None


def _no_password() -> str:
    """Instead of asking at the terminal, which nobody sits at."""
    return ""
