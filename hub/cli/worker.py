"""``hub worker``: a process that delivers to phones beside the hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show
from hub.cli.sources import ConfigFlag, DevFlag, ProfileFlag, settings_from

LanesFlag = Annotated[
    str | None,
    typer.Option(
        "--lanes",
        help="Lanes to work on, with commas between: provider:app:environment; * stands for any text. All, "
        "if not said.",
    ),
]


def worker(
    lanes: LanesFlag = None,
    config: ConfigFlag = None,
    profile: ProfileFlag = None,
    dev: DevFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Push what sockets could not prove, and expand large calls, until told to stop."""
    with failures_reported(as_json=as_json):
        loaded = settings_from(config, dev=dev, profile=profile)
        settings = loaded.settings
        if settings.chosen_engine == "memory":
            raise CommandFailed(
                "there is no separate worker on the memory engine: its state lives inside the one process "
                "that `hub serve` runs, where no second process can see it, and which does this work itself. "
                "Set redis.url to run workers of their own",
                exit_code=WRONG_USAGE,
            )
        from hub.from_push_settings import lane_plans

        chosen = [name.strip() for name in lanes.split(",") if name.strip()] if lanes is not None else []
        if (lanes is not None or settings.push.apps) and not lane_plans(settings, chosen):
            known = ", ".join(plan.name for plan in lane_plans(settings)) or "none"
            raise CommandFailed(
                f"--lanes names none of the lanes that push.apps has ({known})", exit_code=WRONG_USAGE
            )

        def announce(working: Sequence[str], broken: Mapping[str, str]) -> None:
            told = [f"The worker delivers for {', '.join(working)}" if working else _WITHOUT_LANES]
            told += [f"! {lane} stays stopped: {reason}" for lane, reason in broken.items()]
            value = {"ready": True, "lanes": list(working), "broken": dict(broken)}
            show("\n".join(told), value, as_json=as_json)

        from config.logging import configure_logging
        from hub.engine.redis import SchemaMismatch
        from hub.errors import EngineUnavailable
        from hub.worker_app import run_worker
        from workers.worker import NoLaneWorks

        configure_logging(settings.log)
        try:
            code = run_worker(settings, chosen, loaded=loaded, on_ready=announce)
        except NoLaneWorks as error:
            told = [f"  {lane}: {reason}" for lane, reason in error.broken.items()]
            raise CommandFailed(
                "not one lane can be sent to:\n" + "\n".join(told),
                exit_code=WRONG_USAGE,
                details={"broken": dict(error.broken)},
            ) from None
        except OSError as error:
            place = f"{settings.push.metrics_host} port {settings.push.metrics_port}"
            raise CommandFailed(f"cannot listen on {place}: {error.strerror or error}") from None
        except EngineUnavailable as error:
            raise CommandFailed(f"the worker cannot start without Redis: {error.detail}") from None
        except SchemaMismatch as error:
            raise CommandFailed(str(error), exit_code=WRONG_USAGE) from None
    raise typer.Exit(code)


_WITHOUT_LANES = "The worker expands large calls; push.apps names no app to deliver for"
