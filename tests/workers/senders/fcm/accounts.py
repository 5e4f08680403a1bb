"""Service accounts with a key made for the test."""

from __future__ import annotations

import functools
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "demo-project"


@functools.cache
def private_key_pem() -> str:
    """An RSA key, the same for all tests of a run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def account(**changes: Any) -> dict[str, Any]:
    """The content of a service account file; a change to None leaves the field out."""
    content = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "0123456789abcdef",
        "private_key": private_key_pem(),
        "client_email": f"hub@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:9/token",
        **changes,
    }
    return {name: value for name, value in content.items() if value is not None}
