"""The ports behind which everything that keeps state lives, and the value that holds one of each.

An implementation is named in the composition root only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hub.engine.broker import Broker, BrokerEvents
from hub.engine.control import Answer, Control, ControlHandler, Request
from hub.engine.devices import Devices
from hub.engine.jobs import Jobs
from hub.engine.lanes import Lanes
from hub.engine.ledger import Ledger
from hub.engine.presence import Presence
from hub.engine.revocations import Revocations


class EngineHealth(Protocol):
    """Whether the engine answers."""

    @property
    def answers(self) -> bool:
        """False while the engine is known to be away: what needs it would only fail. Costs nothing to ask."""
        ...

    @property
    def age_s(self) -> float:
        """Seconds since the engine last answered through the path that publications take."""
        ...

    def on_latency(self, callback: Callable[[float], None]) -> None:
        """Tell ``callback`` how long some of the engine's calls took, in seconds, as their callers see it.

        One callback; an engine within this process has nothing to tell.
        """
        ...

    async def probe(self) -> None:
        """Return once the engine has answered through the path that publications take.

        Raises:
            EngineUnavailable: when it did not.
        """
        ...


class EngineLifecycle(Protocol):
    """What the ports of one engine share: connections, and the tasks that keep them."""

    async def start(self) -> None:
        """Open it. Called once, before any port is started.

        Raises:
            EngineUnavailable: when the engine cannot be reached.
        """
        ...

    async def replace_policy(self, namespaces: Mapping[str, Mapping[str, Any]]) -> None:
        """The options of the namespaces changed on purpose: have those who share the engine find these.

        Called only between :meth:`start` and :meth:`stop`. Nodes that run keep what they have.

        Raises:
            EngineUnavailable: when the engine did not answer; it may have been done all the same.
        """
        ...

    def on_return(self, callback: Callable[[], None]) -> None:
        """Call back whenever this node had counted as gone, or everything was lost, and it is back.

        Said before :meth:`start`. What the node told of its devices may then be forgotten.
        """
        ...

    async def stop(self) -> None:
        """Close it. Called once, after every port was stopped."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """One of each port, all of the same world."""

    name: str
    lifecycle: EngineLifecycle
    broker: Broker
    presence: Presence
    control: Control
    health: EngineHealth
    ledger: Ledger
    devices: Devices
    jobs: Jobs
    lanes: Lanes
    revocations: Revocations


__all__ = [
    "Answer",
    "Broker",
    "BrokerEvents",
    "Control",
    "ControlHandler",
    "Devices",
    "Engine",
    "EngineHealth",
    "EngineLifecycle",
    "Jobs",
    "Lanes",
    "Ledger",
    "Presence",
    "Request",
    "Revocations",
]
