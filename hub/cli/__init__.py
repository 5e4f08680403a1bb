"""The command line. ``hub`` and ``python -m hub`` are the same; so are their exit codes everywhere:
0 done, 1 failed, 2 wrong usage or settings.

Commands import the heavier rooms where they need them, so that small commands stay quick.
"""

from __future__ import annotations

import typer

from hub.cli.configuration import config_app
from hub.cli.dead_letters import dead_letters_app
from hub.cli.devices import devices_app
from hub.cli.doctor import doctor
from hub.cli.notify import notify, trace
from hub.cli.publish import publish
from hub.cli.revoking import revoke, users_app
from hub.cli.serve import serve
from hub.cli.simulate import simulate_app
from hub.cli.token import token_app
from hub.cli.version import version
from hub.cli.worker import worker

app = typer.Typer(
    name="hub",
    help="Realtime WebSocket hub.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text: it can be piped, and a traceback that shows local variables shows secrets.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(worker)
token_app.command("revoke")(revoke)
app.add_typer(token_app, name="token")
app.add_typer(users_app, name="users")
app.command()(publish)
app.command()(notify)
app.command()(trace)
app.add_typer(devices_app, name="devices")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(simulate_app, name="simulate")
app.add_typer(config_app, name="config")
app.command()(doctor)
app.command()(version)


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    app(prog_name="hub")


__all__ = ["app", "main"]
