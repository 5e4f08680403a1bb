"""The console of a hub, put together out of its settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request

from config import Settings
from hub import from_settings
from hub.api.keys import KeyRing
from hub.console import Console, ConsoleOptions
from hub.console.rates import Rates
from hub.metrics import Metrics
from hub.node import Node
from hub.observing import Measuring, everybody


def build_console(
    settings: Settings,
    node: Node,
    keys: KeyRing,
    measuring: Measuring,
    metrics: Metrics,
    operators: Callable[[Request], bool],
) -> Console | None:
    """The console, where it is on. ``operators`` may see it on a port that others reach too."""
    if not settings.console.enabled:
        return None
    lanes = sorted(from_settings.push_lanes(settings)) if settings.inbox.enabled else ()
    rates = Rates(
        source=measuring.source,
        debts=node.engine.ledger,
        lanes=tuple(lanes),
        pushes_here=settings.chosen_engine == "memory",
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    open_to_all = settings.internal.port is not None or settings.console.public
    permits = everybody if open_to_all else operators
    options = ConsoleOptions(max_watches=settings.console.max_watches)
    return Console(node, keys, rates, metrics, permits, options)
