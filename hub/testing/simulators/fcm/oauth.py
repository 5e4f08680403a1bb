"""The token endpoint: a signed assertion of a service account in, an access token out.

Knows no message. Its failures are scripted apart from those of sending.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hub.testing.simulators.faults import ANYBODY, Fault, FaultScripts
from hub.testing.simulators.http import Reply, Request, json_headers
from hub.testing.simulators.ledger import hash_prefix

TOKEN_PATH = "/token"
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
"""Google's own client signs for this audience, whatever address it asks."""
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = frozenset(
    {
        "https://www.googleapis.com/auth/firebase.messaging",
        "https://www.googleapis.com/auth/cloud-platform",
    }
)
MAX_ASSERTION_S = 3600
CLOCK_SKEW_S = 300


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of one project, and the file that is downloaded for it."""

    project: str
    email: str
    key_id: str
    private_key: rsa.RSAPrivateKey = field(repr=False, compare=False)

    def file(self, token_uri: str) -> dict[str, Any]:
        """The service-account JSON, its ``token_uri`` as given. A secret: it holds the private key."""
        pem = self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.key_id,
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }

    def assertion(self, audience: str, issued_at_s: float, lifetime_s: int = 3600) -> str:
        """What a client signs for the token endpoint, for clients that have no signer of their own."""
        claims = {
            "iss": self.email,
            "scope": " ".join(sorted(SCOPES)),
            "aud": audience,
            "iat": int(issued_at_s),
            "exp": int(issued_at_s) + lifetime_s,
        }
        return jwt.encode(claims, self.private_key, algorithm="RS256", headers={"kid": self.key_id})


def new_service_account(project: str) -> ServiceAccount:
    """An account that nobody knows yet."""
    email = f"simulated@{project}.iam.gserviceaccount.com"
    return ServiceAccount(project, email, secrets.token_hex(20), rsa.generate_private_key(65537, 2048))


def service_account_of(content: dict[str, Any]) -> ServiceAccount:
    """The account of a service-account file.

    Raises:
        ValueError, KeyError: it is none.
    """
    private_key = serialization.load_pem_private_key(content["private_key"].encode(), None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise ValueError("no RSA key")
    return ServiceAccount(
        content["project_id"], content["client_email"], content["private_key_id"], private_key
    )


class OAuth:
    """Gives out access tokens and says which are valid.

    ``expires_in_s`` is their life, and may be changed at any time. ``requests`` counts what was asked,
    ``issued`` what was given.
    """

    def __init__(self, seed: int) -> None:
        self.expires_in_s = 3600
        self.requests = 0
        self.issued = 0
        self.faults = FaultScripts(seed)
        self._accounts: dict[str, ServiceAccount] = {}
        self._valid_until_ms: dict[str, int] = {}

    def add(self, account: ServiceAccount) -> None:
        """Accept assertions of this account."""
        self._accounts[account.email] = account

    def script(self, steps: Sequence[Fault], *, forever: bool = False) -> None:
        """The next requests for a token meet ``steps``, such as ``Fault.slow(3)``."""
        self.faults.script(ANYBODY, steps, forever=forever)

    def issue(self, now_ms: int, lifetime_s: float | None = None) -> str:
        """An access token, valid from now on."""
        token = f"sim.{secrets.token_urlsafe(24)}"
        self.issued += 1
        self._valid_until_ms[token] = now_ms + int((lifetime_s or self.expires_in_s) * 1000)
        return token

    def revoke(self) -> None:
        """Every token given so far is invalid from now on."""
        self._valid_until_ms = dict.fromkeys(self._valid_until_ms, 0)

    def refusal(self, authorization: str, now_ms: int) -> str:
        """Why an ``authorization`` header is not accepted; empty if it is."""
        scheme, _, token = authorization.partition(" ")
        if not token:
            return "CREDENTIALS_MISSING"
        until_ms = self._valid_until_ms.get(token)
        if scheme.lower() != "bearer" or until_ms is None:
            return "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        return "" if now_ms < until_ms else "ACCESS_TOKEN_EXPIRED"

    def answer(self, request: Request, own_url: str, now_ms: int) -> Reply:
        """The answer to a request for a token."""
        self.requests += 1
        if request.method != "POST":
            return oauth_error(405, "invalid_request")
        form = parse_qs(request.body.decode("latin-1"))
        if form.get("grant_type") != [GRANT]:
            return oauth_error(400, "unsupported_grant_type")
        problem = self._problem(form.get("assertion", [""])[0], own_url, now_ms / 1000)
        if problem:
            return oauth_error(400, "invalid_grant", problem)
        token = self.issue(now_ms)
        body = {"access_token": token, "expires_in": self.expires_in_s, "token_type": "Bearer"}
        return Reply(200, orjson.dumps(body), json_headers())

    def _problem(self, assertion: str, own_url: str, now_s: float) -> str:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
            account = self._accounts.get(issuer) if isinstance(issuer, str) else None
            if account is None:
                return "Invalid grant: account not found"
            claims = jwt.decode(
                assertion,
                account.private_key.public_key(),
                algorithms=["RS256"],
                # Ages are judged by the simulator's own clock.
                options={"verify_iat": False, "verify_exp": False, "verify_nbf": False, "verify_aud": False},
            )
            issued_at_s, expires_at_s = float(claims["iat"]), float(claims["exp"])
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            return "Invalid JWT Signature."
        if claims.get("aud") not in (own_url + TOKEN_PATH, GOOGLE_AUDIENCE):
            return "Invalid JWT: wrong audience."
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            return "Invalid OAuth scope or ID token audience provided."
        too_old = not issued_at_s - CLOCK_SKEW_S <= now_s < expires_at_s
        if too_old or expires_at_s - issued_at_s > MAX_ASSERTION_S:
            return "Invalid JWT: the token must be short-lived and within a reasonable time."
        return ""


def oauth_error(status: int, error: str, description: str = "") -> Reply:
    """An error in the shape of OAuth."""
    body = {"error": error, "error_description": description or error}
    return Reply(status, orjson.dumps(body), json_headers(), error)


def token_hash(authorization: str) -> str:
    """Tells access tokens apart without showing them."""
    return hash_prefix(authorization.partition(" ")[2])
