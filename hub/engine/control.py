"""Port: one node asks all nodes, itself included, to do or tell something.

Knows neither what is asked nor what is answered: both are small JSON-ready mappings
whose meaning belongs to the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Request = Mapping[str, Any]
Answer = Mapping[str, Any]


class ControlHandler(Protocol):
    """The node's side of the port."""

    async def on_control(self, request: Request) -> Answer:
        """Do what is asked here and say what came of it."""
        ...


class Control(Protocol):
    """Reaches every living node."""

    async def start(self, handler: ControlHandler) -> None:
        """Begin to receive requests."""
        ...

    async def stop(self) -> None:
        """Receive no more."""
        ...

    async def ask_all(self, request: Request, *, timeout_s: float) -> list[Answer]:
        """Give ``request`` to every node and gather the answers that came within ``timeout_s``.

        Safe to cancel: what was handed on is carried out, whether or not somebody still waits.

        Raises:
            EngineUnavailable: when the request could not be handed on.
        """
        ...
