"""``hub simulate``: push providers on this machine, to see pushes without an account anywhere."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show

if TYPE_CHECKING:
    from hub.testing.simulators.ledger import AcceptedPush
    from hub.testing.simulators.standing import Standing, StandingProviders

DEFAULT_PORT = 2197
SHOWN_CHARACTERS = 240

simulate_app = typer.Typer(
    help="Simulate what the hub speaks to.", no_args_is_help=True, rich_markup_mode=None
)


@simulate_app.callback()
def simulate() -> None:
    """Keep the name of the command in front, even while it is the only one."""


@simulate_app.command()
def providers(
    host: Annotated[str, typer.Option("--host", help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65532,
            help="Port of APNs; FCM, Web Push and control have the next ones. 0 for any.",
        ),
    ] = DEFAULT_PORT,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where credentials are kept; a temporary directory if not said."),
    ] = None,
    app: Annotated[str, typer.Option("--app", help="Bundle id for APNs.")] = "com.example.app",
    project: Annotated[str, typer.Option("--project", help="Project id for FCM.")] = "simulated-project",
    environment: Annotated[
        Literal["production", "sandbox"], typer.Option("--environment", help="Environment of APNs.")
    ] = "production",
    as_json: JsonFlag = False,
) -> None:
    """Run APNs, FCM and a Web Push service on this machine, print how to use them and every push they get.

    With --json: one object first, then one a line for each push.
    """
    with failures_reported(as_json=as_json):
        if host not in ("127.0.0.1", "localhost", "::1"):
            raise CommandFailed(
                "the simulators listen on this machine only: 127.0.0.1 or localhost", exit_code=WRONG_USAGE
            )
        # Only this command needs HTTP/2 and the keys, and the others should not wait for their import.
        from hub.testing.simulators.standing import Standing

        with tempfile.TemporaryDirectory(prefix="hub-simulators-") as temporary:
            standing = Standing(directory or Path(temporary), app, project, environment)
            try:
                asyncio.run(_run(standing, host, port, as_json=as_json))
            except OSError as error:
                raise CommandFailed(f"the simulators cannot start: {_reason(error, port)}") from None


def _reason(error: OSError, port: int) -> str:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno == errno.EADDRINUSE:
        return f"{reason} (one of {port} to {port + 3}): do others run? --port takes other ports"
    return f"{reason}: {error.filename}" if error.filename else reason


async def _run(standing: Standing, host: str, port: int, *, as_json: bool) -> None:
    """Serve until told to stop."""
    from hub.testing.simulators.standing import StandingProviders

    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    simulated = StandingProviders(standing)
    await simulated.start(host, port)
    try:
        simulated.listen(lambda push: show(_line(push), {"push": push.shown()}, as_json=as_json))
        show(_welcome(simulated), _facts(simulated), as_json=as_json)
        await told.wait()
    finally:
        await simulated.stop()


def _facts(simulated: StandingProviders) -> dict[str, Any]:
    return {
        "ready": True,
        "apns": simulated.apns.url,
        "fcm": simulated.fcm.url,
        "webpush": simulated.webpush.url,
        "control": simulated.control.url,
        "directory": str(simulated.standing.directory.resolve()),
        "vapid_public_key": simulated.vapid.public_key,
        "apps": simulated.apps(),
    }


def _welcome(simulated: StandingProviders) -> str:
    folder = simulated.standing.directory.resolve()
    return "\n".join(
        [
            "Simulated providers listen here, and nowhere else:",
            f"  APNs      {simulated.apns.url}",
            f"  FCM       {simulated.fcm.url}",
            f"  Web Push  {simulated.webpush.url}",
            f"  Control   {simulated.control.url}  (GET / and /pushes; POST /script to make something fail)",
            f"Credentials are in {folder}",
            "",
            "Settings for the hub and its workers:",
            "",
            simulated.settings(),
            "Any hexadecimal token is a phone at APNs, any text one at FCM. For Web Push, there is a",
            f"subscription in {folder / 'subscription.json'}, made with the VAPID key",
            simulated.vapid.public_key,
            "",
            "Pushes, as they come (Ctrl-C stops):",
        ]
    )


def _line(push: AcceptedPush) -> str:
    text = json.dumps(push.shown()["body"], ensure_ascii=False)
    kind = push.headers.get("apns-push-type", "")
    shown = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    words = (push.provider, kind, f"token {push.token_hash}", f"id {push.message_id}")
    return "  ".join(word for word in words if word) + f"\n    {shown}"
