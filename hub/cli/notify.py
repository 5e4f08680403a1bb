"""``hub notify`` and ``hub trace``: tell users something, and see what became of it on each phone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.calling import KeyFlag, UrlFlag, ask
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show
from hub.cli.typed_json import json_of


def notify(
    user: Annotated[list[str] | None, typer.Option("--user", help="User to notify; may be repeated.")] = None,
    users_file: Annotated[
        Path | None, typer.Option("--users-file", metavar="FILE", help="One user id a line.")
    ] = None,
    notification_id: Annotated[
        str | None, typer.Option("--id", help="The same id again does not notify again.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title to show.")] = None,
    body: Annotated[str | None, typer.Option("--body", help="Text to show.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON", help="The app's own data.")] = None,
    ttl: Annotated[int | None, typer.Option("--ttl", metavar="SECONDS", help="How long it matters.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen.")] = False,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Notify users, each phone once: over its socket, or by a push."""
    with failures_reported(as_json=as_json):
        request: dict[str, Any] = {"users": _users(user or [], users_file)}
        shown = {name: text for name, text in (("title", title), ("body", body)) if text is not None}
        given = {"id": notification_id, "notification": shown or None, "ttl_s": ttl, "data": _json(data)}
        request |= {name: value for name, value in given.items() if value is not None}
        if dry_run:
            request["dry_run"] = True
        result = ask(url, key, "notify", request)
        show(_told(result), result, as_json=as_json)


def trace(
    notification_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the notification.")],
    user: Annotated[str | None, typer.Option("--user", help="Only of this user.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Only of this device.")] = None,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Show why each phone did, or did not, get notification ID."""
    with failures_reported(as_json=as_json):
        given = {"id": notification_id, "user": user, "device": device}
        request = {name: value for name, value in given.items() if value is not None}
        result = ask(url, key, "notification_trace", request)
        show("\n".join(map(_timeline, result["devices"])), result, as_json=as_json)


def _users(named: list[str], file: Path | None) -> list[str]:
    users = list(named)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"cannot read {file}: {error}", exit_code=WRONG_USAGE) from None
        users += [line.strip() for line in lines if line.strip()]
    if not users:
        raise CommandFailed("whom? Give --user or --users-file", exit_code=WRONG_USAGE)
    return users


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json_of(text)
    except ValueError as error:
        raise CommandFailed(f"--data should be JSON: {error}", exit_code=WRONG_USAGE) from None


def _told(result: dict[str, Any]) -> str:
    if "plan" in result:
        lines = [
            f"  {each['user']}  {each['device']}: {each['way']}"
            + (f", a push after {each['wait_ms']} ms without proof" if each["wait_ms"] else "")
            for each in result["plan"]
        ]
        return "\n".join(["nothing was sent; it would go", *(lines or ["  to inboxes alone: no devices"])])
    if result.get("duplicate"):
        return f"{result['id']} was sent before, to {_users_of(result)}; nothing was sent again"
    by = f" by job {result['job']}" if result.get("job") else ""
    return f"notified {_users_of(result)}{by}: {result['id']}"


def _users_of(result: dict[str, Any]) -> str:
    count = result["accepted"]
    return f"{count} user{'' if count == 1 else 's'}"


def _timeline(traced: dict[str, Any]) -> str:
    lines = [f"{traced['user']}  {traced['device'] or '(no device)'}"]
    for event in traced["events"]:
        at = datetime.fromtimestamp(event["time"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
        more = " ".join(str(event[name]) for name in ("detail", "node") if name in event)
        lines.append(f"  {at}  {event['event']:<9} {more}".rstrip())
    return "\n".join(lines)
