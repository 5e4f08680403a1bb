"""Who somebody is: verifies the tokens that the REST API issues, with keys pinned to their algorithms.

The door of the room. Keys from a URL are in ``hub.auth.jwks``, which is not imported here
because it brings an HTTP client. Knows no connection and no close frame.
"""

from __future__ import annotations

from hub.auth.describe import TokenReport, describe_token
from hub.auth.issue import TokenSigner, issue_connection_token, issue_subscription_token
from hub.auth.jwk import ReadKeySet, read_jwk_set
from hub.auth.keys import (
    NO_KEYS,
    KeySet,
    VerificationKey,
    key_from_pem,
    key_from_pem_file,
    key_from_public,
    key_from_secret,
)
from hub.auth.options import VerifierOptions
from hub.auth.tokens import ConnectionToken, InvalidToken, SubscriptionGrant, SubscriptionToken
from hub.auth.verifier import KeySource, TokenVerifier

__all__ = [
    "NO_KEYS",
    "ConnectionToken",
    "InvalidToken",
    "KeySet",
    "KeySource",
    "ReadKeySet",
    "SubscriptionGrant",
    "SubscriptionToken",
    "TokenReport",
    "TokenSigner",
    "TokenVerifier",
    "VerificationKey",
    "VerifierOptions",
    "describe_token",
    "issue_connection_token",
    "issue_subscription_token",
    "key_from_pem",
    "key_from_pem_file",
    "key_from_public",
    "key_from_secret",
    "read_jwk_set",
]
