"""``hub serve``: the process itself."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from structlog import contextvars

from config import LoadedSettings, Settings
from hub.cli import development
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show
from hub.cli.sources import ConfigFlag, DevFlag, ProfileFlag

_ADDRESS_ERRORS = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES})


def serve(
    config: ConfigFlag = None,
    profile: ProfileFlag = None,
    dev: DevFlag = False,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 for any.")] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Hub processes on this port.")] = 1,
    allow_insecure_public_bind: Annotated[
        bool,
        typer.Option(
            "--allow-insecure-public-bind",
            help="Let a hub without protection listen where others can reach it.",
        ),
    ] = False,
    child: Annotated[str | None, typer.Option("--child", hidden=True)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve WebSocket, HTTP API and health until told to stop."""
    with failures_reported(as_json=as_json):
        overrides: dict[str, Any] = {}
        if host is not None:
            overrides["http.host"] = host
        if port is not None:
            overrides["http.port"] = port
        if allow_insecure_public_bind:
            overrides["insecure.allow_public_bind"] = True
        # Only this command needs the whole hub, and the others should not wait for its import.
        from hub.cli.processes import MEMORY_REFUSED, Role, run_processes
        from hub.cli.trial import servable_settings

        role = Role.of_text(child) if child is not None else None
        if role is not None:
            overrides |= role.overrides

        def read() -> LoadedSettings:
            return servable_settings(config, dev=dev, profile=profile, overrides=overrides)

        loaded = read()
        settings = loaded.settings
        if processes > 1 and settings.chosen_engine == "memory":
            raise CommandFailed(MEMORY_REFUSED, exit_code=WRONG_USAGE)

        def announce(urls: list[str]) -> None:
            api_url = urls[-1] if settings.internal.port is not None else urls[0]
            told = development.welcome(settings, urls[0], api_url) if dev else None
            text = told.text() if told is not None else f"The hub listens on {', '.join(urls)}"
            value = {"ready": True, "urls": urls, **(told.value() if told is not None else {})}
            show(text, value, as_json=as_json)

        from config.logging import configure_logging

        configure_logging(settings.log)
        if role is not None:
            contextvars.bind_contextvars(process=role.number)
        with _failures_of_start(settings):
            if processes > 1:
                flags = _flags_of(config, profile, host, dev=dev, public=allow_insecure_public_bind)
                code = run_processes(processes, loaded, flags, on_ready=announce, reread=read)
            else:
                from hub.ops.exposition import count_as
                from hub.serving import run

                if role is not None:
                    count_as(role.number)
                lifeline_fd = role.lifeline_fd if role is not None else None
                code = run(settings, loaded=loaded, on_ready=announce, reread=read, lifeline_fd=lifeline_fd)
    raise typer.Exit(code)


@contextmanager
def _failures_of_start(settings: Settings) -> Iterator[None]:
    """Say in plain words why a hub did not come to serve.

    Raises:
        CommandFailed: in place of what the hub raises.
    """
    from hub.engine.redis import SchemaMismatch
    from hub.errors import EngineUnavailable

    try:
        yield
    except OSError as error:
        raise CommandFailed(f"the hub cannot start: {_reason(error, settings)}") from None
    except EngineUnavailable as error:
        raise CommandFailed(f"the hub cannot start without Redis: {error.detail}") from None
    except SchemaMismatch as error:
        raise CommandFailed(str(error), exit_code=WRONG_USAGE) from None


def _flags_of(
    config: Path | None, profile: str | None, host: str | None, *, dev: bool, public: bool
) -> list[str]:
    """The flags that children need as well; ports they are told by their role."""
    flags = {"--config": config, "--profile": profile, "--host": host}
    switches = {"--dev": dev, "--allow-insecure-public-bind": public}
    given = [text for flag, value in flags.items() if value is not None for text in (flag, str(value))]
    return [*given, *(flag for flag, on in switches.items() if on)]


def _reason(error: OSError, settings: Settings) -> str:
    reason = error.strerror or type(error).__name__
    if isinstance(error, ssl.SSLError):
        return f"the certificate or its key cannot be used ({reason})"
    if error.errno in _ADDRESS_ERRORS:
        ports = [f"{settings.http.host}:{settings.http.port}"]
        if settings.internal.port is not None:
            ports.append(f"{settings.internal.host}:{settings.internal.port}")
        advice = (
            ": does another one run? --port takes another port" if error.errno == errno.EADDRINUSE else ""
        )
        return f"{os.strerror(error.errno or 0)} ({' or '.join(ports)}){advice}"
    return reason
