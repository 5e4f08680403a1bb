"""VAPID: who sends to a push service, signed (RFC 8292). By py_vapid, its key loaded by ourselves.

The library makes a new key where a file is missing, and a key that nobody subscribed with can send
to nobody: so a key is read here or refused. Knows no push and no wire.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02, VapidException  # type: ignore[import-untyped]

VALID_S: Final = 12 * 3600
"""Push services take a signature for a day at most."""

_MAX_ORIGINS: Final = 256
_RAW_KEY_BYTES: Final = 32
_PROBE: Final = "https://push.example.com"


class Vapid:
    """Signs for one key and one subject; a signature is used for half its life, per push service."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, subject: str) -> None:
        """``subject`` is the ``mailto:`` or ``https:`` address of whoever runs this.

        Raises:
            ValueError: it is neither.
        """
        self._signer = Vapid02(key)
        self._subject = subject
        self._signed: dict[str, tuple[str, float]] = {}
        try:
            self._sign(_PROBE, 0)
        except VapidException:
            raise ValueError("subject must be a mailto: or https: address") from None

    def authorization(self, origin: str, now_s: float) -> str:
        """The ``Authorization`` header for the push service at ``origin``."""
        signed, until_s = self._signed.get(origin, ("", 0.0))
        if now_s < until_s:
            return signed
        if len(self._signed) >= _MAX_ORIGINS:
            self._signed.clear()  # endless names under one suffix are no reason to grow
        signed = self._sign(origin, now_s)
        self._signed[origin] = (signed, now_s + VALID_S / 2)
        return signed

    def _sign(self, origin: str, now_s: float) -> str:
        claims = {"sub": self._subject, "aud": origin, "exp": int(now_s) + VALID_S}
        return str(self._signer.sign(claims)["Authorization"])


def private_key(given: str | Path) -> ec.EllipticCurvePrivateKey:
    """The key in ``given``: PEM, or 32 bytes in base64url; as text, or in the file of that name.

    Raises:
        ValueError: there is none that can be used; the text says why and holds nothing of the key.
    """
    text = str(given)
    if not text.strip():
        raise ValueError("are not set; give the path of the VAPID private key")
    if isinstance(given, Path) or not (text.lstrip().startswith("-----BEGIN") or _raw(text)):
        text = _read(Path(text))
    raw = _raw(text)
    try:
        key = (
            ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
            if raw
            else serialization.load_pem_private_key(text.encode(), password=None)
        )
    except (ValueError, TypeError):
        raise ValueError("hold no private key that can be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("hold a key of another kind; VAPID wants one on the curve P-256")
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"file {str(path)!r} does not exist") from None
    except OSError as error:
        raise ValueError(f"file {str(path)!r} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"file {str(path)!r} is no text") from None


def _raw(text: str) -> bytes:
    """The bytes of a bare key, empty if ``text`` is none."""
    stripped = text.strip().rstrip("=")
    try:
        raw = base64.b64decode(stripped + "=" * (-len(stripped) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if len(raw) == _RAW_KEY_BYTES else b""
