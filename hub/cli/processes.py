"""``hub serve --processes``: the parent's command line to its children, and the children's to themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from config import LoadedSettings, Settings
from config.logging import configure_logging
from hub.cli.output import WRONG_USAGE, CommandFailed
from hub.ops.supervisor import ChildFailed, Supervisor, SupervisorOptions, reserved_port
from hub.reloading import change_between, log_change, settings_read_again

MEMORY_REFUSED = (
    "the memory engine lives inside one process: more would each be a world of its own, with subscribers "
    "and history that the others know nothing of. Set redis.url, and several processes serve one port"
)

_TOLD_TO_CHILDREN = frozenset({"http.port", "internal.port", "node.name"})

_BEYOND_DEADLINE_S = 10.0
"""What a child gets beyond its own bounds before it is killed."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is told by its parent, on its command line."""

    number: int
    lifeline_fd: int
    overrides: dict[str, Any]

    def text(self) -> str:
        """As an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Role:
        """What :meth:`text` wrote.

        Raises:
            CommandFailed: for anything else.
        """
        try:
            told = json.loads(text)
            return cls(int(told["number"]), int(told["lifeline_fd"]), dict(told["overrides"]))
        except (ValueError, KeyError, TypeError):
            raise CommandFailed("--child is for processes of a hub alone", exit_code=WRONG_USAGE) from None


def run_processes(
    count: int,
    loaded: LoadedSettings,
    flags: Sequence[str],
    *,
    on_ready: Callable[[list[str]], None],
    reread: Callable[[], LoadedSettings],
) -> int:
    """Serve with ``count`` processes on the same ports until told to end; the exit code.

    Args:
        count: how many.
        loaded: the settings they all have.
        flags: of this command line, for theirs.
        on_ready: called with the URLs once all are ready.
        reread: reads the settings from their sources again, for SIGHUP.

    Raises:
        CommandFailed: a process could not start, or none stays alive.
        OSError: when a port cannot be had.
    """
    return asyncio.run(_run(count, loaded, flags, on_ready, reread))


async def _run(
    count: int,
    loaded: LoadedSettings,
    flags: Sequence[str],
    on_ready: Callable[[list[str]], None],
    reread: Callable[[], LoadedSettings],
) -> int:
    settings = loaded.settings
    options = SupervisorOptions(count, end_within_s=_end_within_s(settings))
    async with contextlib.AsyncExitStack() as stack:
        http, internal = settings.http, settings.internal
        ports = {"http.port": await stack.enter_async_context(reserved_port(http.host, http.port))}
        if internal.port is not None:
            reserved = reserved_port(internal.host, internal.port)
            ports["internal.port"] = await stack.enter_async_context(reserved)

        def command(number: int, lifeline_fd: int) -> list[str]:
            names = {"node.name": f"{settings.node.name}-{number}"} if settings.node.name else {}
            role = Role(number, lifeline_fd, {**ports, **names})
            return [sys.executable, "-m", "hub", "serve", "--json", *flags, "--child", role.text()]

        reloading = _Reloading(loaded, reread)

        def on_reload() -> bool:
            if not reloading():
                return False
            # The children drain by what they are told now.
            supervisor.end_within_s = _end_within_s(reloading.settings)
            return True

        supervisor = Supervisor(command, options, on_ready=on_ready, on_reload=on_reload)
        try:
            return await supervisor.run()
        except ChildFailed as failed:
            raise CommandFailed(str(failed), exit_code=failed.exit_code, details=failed.details) from None


def _end_within_s(settings: Settings) -> float:
    return settings.shutdown.ready_wait_s + settings.shutdown.deadline_s + _BEYOND_DEADLINE_S


class _Reloading:
    """Looks at the settings before the children do: what is wrong is told once, and none of them is told."""

    def __init__(self, loaded: LoadedSettings, reread: Callable[[], LoadedSettings]) -> None:
        self.settings = loaded.settings
        self._reread = reread

    def __call__(self) -> bool:
        loaded = settings_read_again(self._reread)
        if loaded is None:
            return False
        change = change_between(self.settings, loaded.settings)
        self.settings = change.settings
        # The children tell of all the rest; what they were told by us, they do not see changing.
        hidden = [name for name in change.needs_restart if name in _TOLD_TO_CHILDREN]
        if hidden:
            log_change(replace(change, applied=(), needs_restart=tuple(hidden)))
        configure_logging(change.settings.log)
        return True
