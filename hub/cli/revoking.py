"""``hub users`` and ``hub token revoke``: keep somebody out before their token ends, through a hub."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from config.section import parse_duration_s
from hub.cli.calling import KeyFlag, UrlFlag, ask
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show

users_app = typer.Typer(help="Keep users out.", no_args_is_help=True, rich_markup_mode=None)

_UNTIL_HELP = "2h, 7d, or a time like 2027-01-31T18:00:00+01:00 (UTC where it names no zone)."


@users_app.command()
def block(
    user: Annotated[str, typer.Argument(help="Whom.")],
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help=f"{_UNTIL_HELP} For good if left out.")
    ] = None,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """End all connections of USER and let them in no more."""
    with failures_reported(as_json=as_json):
        request: dict[str, Any] = {"user": user}
        if until is not None:
            request["until"] = _to_come_ms(until, "--until")
        ask(url, key, "user_block", request)
        told = "for good" if until is None else f"until {_shown(request['until'])}"
        show(f"blocked {user} {told}", request, as_json=as_json)


@users_app.command()
def unblock(
    user: Annotated[str, typer.Argument(help="Whom.")],
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Let USER in again."""
    with failures_reported(as_json=as_json):
        ask(url, key, "user_unblock", {"user": user})
        show(f"unblocked {user}", {"user": user}, as_json=as_json)


def revoke(
    jti: Annotated[str | None, typer.Option("--jti", help="The token with this jti.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The tokens of this user.")] = None,
    before: Annotated[
        str,
        typer.Option(
            "--before", metavar="TIME", help="With --user: those issued before this time; now if left out."
        ),
    ] = "now",
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="WHEN",
            help=f"When the last of them has ended: {_UNTIL_HELP} 400 days if left out.",
        ),
    ] = None,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Have a token, or those of a user, not count any more, and end what was connected with them."""
    with failures_reported(as_json=as_json):
        if (jti is None) == (user is None):
            raise CommandFailed("which tokens? Give either --jti or --user", exit_code=WRONG_USAGE)
        if jti is not None:
            request: dict[str, Any] = {"jti": jti}
            told = f"revoked the token {jti}"
        else:
            before_ms = _now_ms() if before == "now" else _moment_ms(before, "--before")
            request = {"user": user, "issued_before": before_ms}
            told = f"revoked the tokens of {user} issued before {_shown(before_ms)}"
        if until is not None:
            request["until"] = _to_come_ms(until, "--until")
        ask(url, key, "token_revoke", request)
        show(told, request, as_json=as_json)


def _to_come_ms(text: str, flag: str) -> int:
    """The time that a duration from now, or a moment, names."""
    try:
        life_s = parse_duration_s(text)
    except ValueError:
        return _moment_ms(text, flag)
    assert isinstance(life_s, int), "a text is parsed to whole seconds"
    return _now_ms() + life_s * 1000


def _moment_ms(text: str, flag: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{flag} should be a time like 2027-01-31T18:00:00+01:00", exit_code=WRONG_USAGE
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _shown(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
