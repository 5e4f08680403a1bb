"""``hub token``: make tokens as your own API would, and see what the hub makes of one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from config import LoadedSettings
from config.section import parse_duration_s
from hub.auth import (
    TokenReport,
    TokenVerifier,
    describe_token,
    issue_connection_token,
    issue_subscription_token,
)
from hub.cli.output import FAILED, WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show
from hub.cli.signing import expected_claims, signer_of
from hub.cli.sources import ConfigFlag, DevFlag, ProfileFlag, settings_for_tokens
from hub.cli.typed_json import json_or_text

NEVER = "never"

token_app = typer.Typer(help="Make and check tokens.", no_args_is_help=True, rich_markup_mode=None)


@token_app.command()
def create(
    user: Annotated[str, typer.Option("--user", help="User id; empty for the anonymous user.")],
    expires_in: Annotated[
        str, typer.Option("--expires-in", metavar="DURATION", help="30s, 5m, 1h, 7d, or never.")
    ] = "1h",
    channel: Annotated[
        str | None, typer.Option("--channel", help="Make a subscription token for this channel.")
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option("--claim", metavar="NAME=JSON", help="Further claim; a value that is no JSON is text."),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option("--private-key", metavar="FILE", help="Sign with this PEM key instead of the secret."),
    ] = None,
    kid: Annotated[str, typer.Option("--kid", help="Key id to put into the header.")] = "",
    config: ConfigFlag = None,
    profile: ProfileFlag = None,
    dev: DevFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a token that a hub with these settings accepts."""
    with failures_reported(as_json=as_json):
        settings = settings_for_tokens(config, dev=dev, profile=profile).settings
        signer = signer_of(settings, private_key, kid, for_subscription=channel is not None)
        exp_s = _expiry_s(expires_in)
        extra = {**expected_claims(settings), **_claims(claim or [])}
        user_claim = settings.auth.user_claim
        if channel is None:
            token = issue_connection_token(
                signer, user, exp_s=exp_s, user_claim=user_claim, extra_claims=extra
            )
        else:
            token = issue_subscription_token(
                signer, user, channel, exp_s=exp_s, user_claim=user_claim, extra_claims=extra
            )
        show(
            token,
            {"token": token, "user": user, "channel": channel, "expires_at": exp_s},
            as_json=as_json,
        )


@token_app.command()
def check(
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    config: ConfigFlag = None,
    profile: ProfileFlag = None,
    dev: DevFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what is in a token and whether a hub with these settings accepts it."""
    with failures_reported(as_json=as_json):
        loaded = settings_for_tokens(config, dev=dev, profile=profile)
        text = (sys.stdin.read() if token == "-" else token).strip()
        report = asyncio.run(_describe(text, loaded))
        value: dict[str, Any] = {
            "kind": report.kind,
            "verdict": report.verdict,
            "reason": report.reason,
            "header": dict(report.header),
            "claims": dict(report.claims),
        }
        show(_report_text(report), value, as_json=as_json)
    if report.verdict != "valid":
        raise typer.Exit(FAILED)


async def _describe(token: str, loaded: LoadedSettings) -> TokenReport:
    from hub.from_settings import jwks_source, subscription_keys, verification_keys, verifier_options

    settings = loaded.settings
    options = verifier_options(settings)
    source = jwks_source(settings, loaded)
    if source is not None:
        source.start()
    try:
        report = await describe_token(
            token, TokenVerifier(options, verification_keys(settings, loaded), jwks=source)
        )
        own_keys = subscription_keys(settings, loaded)
        if report.kind == "subscription" and own_keys is not None:
            report = await describe_token(token, TokenVerifier(options, own_keys))
        return report
    finally:
        if source is not None:
            await source.stop()


def _expiry_s(text: str) -> int | None:
    if text == NEVER:
        return None
    try:
        life_s = parse_duration_s(text)
    except ValueError as error:
        raise CommandFailed(f"--expires-in {error}", exit_code=WRONG_USAGE) from None
    assert isinstance(life_s, int), "a text is parsed to whole seconds"
    return int(time.time()) + life_s


def _claims(written: list[str]) -> Mapping[str, object]:
    claims: dict[str, object] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandFailed("--claim should look like name=value", exit_code=WRONG_USAGE)
        claims[name] = json_or_text(value)
    return claims


def _report_text(report: TokenReport) -> str:
    lines = [f"{report.verdict}: {report.reason}", f"kind: {report.kind}"]
    for part, fields in (("header", report.header), ("claims", report.claims)):
        if fields:
            lines.append(f"{part}: {json.dumps(dict(fields), ensure_ascii=False)}")
    expiry = report.claims.get("exp")
    if isinstance(expiry, int) and not isinstance(expiry, bool):
        try:
            lines.append(f"expires: {datetime.fromtimestamp(expiry, UTC).isoformat()}")
        except (ValueError, OverflowError, OSError):
            pass
    return "\n".join(lines)
