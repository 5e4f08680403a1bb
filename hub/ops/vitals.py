"""How a process is: its engine, its loop, its use of the machine; for a hub also what waits in outboxes.

Read when somebody looks, but for the times of engine calls. Knows nothing of what is carried.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hub.fanout import Registry, Turn
from hub.node.listening import Listening
from hub.ops.exposition import Exposition

_ENGINE_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_STATM = Path("/proc/self/statm")


class WatchedEngine(Protocol):
    """An engine's health, as far as it is shown."""

    @property
    def answers(self) -> bool:
        """False while it is known to be away."""
        ...

    @property
    def age_s(self) -> float:
        """Seconds since it last answered through the path that publications take."""
        ...

    def on_latency(self, callback: Callable[[float], None]) -> None:
        """Tell how long some of its calls took, in seconds."""
        ...


class ProcessVitals:
    """What hubs and workers have in common. ``lag_s`` is the loop's worst delay of late."""

    def __init__(
        self,
        exposition: Exposition,
        *,
        version: str,
        engine_name: str,
        engine: WatchedEngine,
        lag_s: Callable[[], float],
    ) -> None:
        gauge = exposition.gauge
        self._engine = engine
        self._lag_s = lag_s
        self._cpu_before_s = 0.0
        about = gauge(
            "hub_build_info", "Always 1; its labels say what runs.", ("version", "engine"), over="max"
        )
        about.labels(version, engine_name).set(1)
        gauge("hub_start_time_seconds", "Unix time of the start, of the oldest process.", over="min").set(
            time.time()
        )
        # Added up like connections, which it is compared with: each process has its own.
        gauge("hub_max_open_files", "Sockets and files that all processes together may have open.").set(
            resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._up = gauge("hub_engine_up", "1 while the engine answers.", over="min")
        self._age = gauge(
            "hub_engine_probe_age_seconds", "Since the engine last brought a probe.", over="max"
        )
        self._lag = gauge(
            "hub_loop_lag_seconds", "The worst delay of the event loop in the last ten seconds.", over="max"
        )
        self._memory = gauge("hub_resident_memory_bytes", "Memory of all processes on the port.")
        self._cpu = exposition.counter("hub_cpu_seconds", "Processor time used, user and system.")
        latency = exposition.histogram(
            "hub_engine_command_seconds", "How long calls of the engine took; one in 16 timed.", _ENGINE_S
        )
        engine.on_latency(latency.observe)
        exposition.before_reading(self._read)

    def _read(self) -> None:
        self._up.set(self._engine.answers)
        self._age.set(self._engine.age_s)
        self._lag.set(self._lag_s())
        self._memory.set(_resident_bytes())
        used = os.times()
        cpu_s = used.user + used.system
        self._cpu.inc(max(0.0, cpu_s - self._cpu_before_s))
        self._cpu_before_s = cpu_s


class NodeVitals:
    """What a hub holds right now."""

    def __init__(
        self,
        exposition: Exposition,
        *,
        registry: Registry,
        listening: Listening,
        turn: Turn,
        is_draining: Callable[[], bool],
    ) -> None:
        gauge = exposition.gauge
        self._registry = registry
        self._listening = listening
        self._turn = turn
        self._is_draining = is_draining
        self._users = gauge("hub_users", "Users connected, counted on each node.")
        self._channels = gauge("hub_channels", "Channels listened to, counted on each node.")
        self._waiting = gauge("hub_outbox_bytes", "Bytes that wait for clients that read too slowly.")
        self._slow = gauge("hub_outboxes_blocked", "Clients that read too slowly right now.")
        self._draining = gauge("hub_draining", "1 while a process takes nobody new.", over="max")
        exposition.before_reading(self._read)

    def _read(self) -> None:
        blocked = self._turn.blocked
        self._users.set(self._registry.user_count)
        self._channels.set(self._listening.channel_count)
        self._waiting.set(sum(outbox.waiting_bytes for outbox in blocked))
        self._slow.set(len(blocked))
        self._draining.set(self._is_draining())


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        # Elsewhere than on Linux: the most it ever was, in KiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
