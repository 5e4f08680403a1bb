"""What the command line signs tokens with, and the claims that a hub with these settings insists on."""

from __future__ import annotations

from pathlib import Path

from config import Settings
from hub.auth import TokenSigner
from hub.cli.output import WRONG_USAGE, CommandFailed


def expected_claims(settings: Settings) -> dict[str, object]:
    """The claims without which such a hub refuses a token."""
    auth = settings.auth
    claims: dict[str, object] = {}
    if auth.issuer is not None:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience[0]
    if auth.required_claim.name:
        claims[auth.required_claim.name] = auth.required_claim.value
    return claims


def signer_of(
    settings: Settings, private_key: Path | None = None, kid: str = "", *, for_subscription: bool = False
) -> TokenSigner:
    """What signs tokens that a hub with these settings accepts: the given key, else a secret of its own.

    Raises:
        CommandFailed: when there is none.
    """
    auth = settings.auth
    if private_key is not None:
        try:
            return TokenSigner.from_private_pem(private_key.read_bytes(), kid=kid)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandFailed(f"the private key cannot be read: {reason}", exit_code=WRONG_USAGE) from None
        except ValueError as error:
            raise CommandFailed(str(error), exit_code=WRONG_USAGE) from None
    own = auth.subscription_secret if for_subscription else None
    secret = own or auth.secret
    if secret is not None and not kid:
        return TokenSigner.from_secret(secret.get_secret_value(), algorithm=auth.secret_algorithms[0])
    for key in auth.keys:
        if key.secret is not None and key.kid == (kid or key.kid):
            algorithm = (key.algorithms or auth.secret_algorithms)[0]
            return TokenSigner.from_secret(key.secret.get_secret_value(), algorithm=algorithm, kid=key.kid)
    raise CommandFailed(
        f"there is no secret of kid {kid} to sign with"
        if kid
        else "there is no secret to sign with: set HUB_AUTH__SECRET, say --dev, or give --private-key FILE",
        exit_code=WRONG_USAGE,
    )
