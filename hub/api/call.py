"""One command of the server API, from its JSON to its result, and many of them with one answer each.

A method is one line in the registry; this is what runs it. Knows no HTTP.
"""

from __future__ import annotations

import logging
from asyncio import TaskGroup, sleep
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder

from hub.api.complaint import MAX_COMPLAINT, complaint_of
from hub.api.keys import ApiKey, Scope
from hub.api.ports import HubNode
from hub.api.request_base import Request
from hub.api.results import Error, error_of
from hub.errors import (
    BAD_REQUEST,
    INTERNAL,
    METHOD_NOT_FOUND,
    NOT_AVAILABLE,
    EngineUnavailable,
    HubError,
)
from hub.node.notifications import Notifications

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Request)
Item = TypeVar("Item")

_PARALLEL = 32
"""Commands of one request that wait for the engine at the same time."""
_PER_TURN = 128
"""Commands of one request between two turns of the loop, so that a big batch delays no ping."""


class Malformed(Exception):
    """The body is not JSON at all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for; beyond that 106."""

    max_batch_commands: int = 10_000
    max_broadcast_channels: int = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """What a method works with: the node, who calls, and the way to run further commands as that caller."""

    node: HubNode
    inboxes: Notifications | None
    """None where the deployment has none of them."""
    caller: ApiKey
    limits: Limits
    methods: Mapping[str, Method[Any]]

    @property
    def notifications(self) -> Notifications:
        """Notifications, inboxes and devices.

        Raises:
            HubError: 108 where they are off.
        """
        if self.inboxes is None:
            raise HubError(NOT_AVAILABLE, "inbox.enabled is off")
        return self.inboxes

    async def run(self, name: str, body: bytes | memoryview) -> Struct:
        """Run the method called ``name``.

        Raises:
            HubError: 104 unknown method, 103 for this caller, 107 bad parameters, and what
                the method itself refuses.
            Malformed: when ``body`` is not JSON.
        """
        method = self.methods.get(name)
        if method is None:
            raise HubError(METHOD_NOT_FOUND)
        if method.scope is not None:
            self.caller.require_scope(method.scope)
        return await method.act(self, method.decode(body))


@dataclass(frozen=True, slots=True)
class Method(Generic[R]):
    """One method: who may call it, what it takes, what it gives, what it does.

    ``scope`` None leaves the question to the commands within. ``example`` is a request
    that the OpenAPI document shows. ``enveloped`` False answers the result without
    ``result`` around it.
    """

    scope: Scope | None
    request: type[R]
    result: type[Struct]
    act: Callable[[Call, R], Awaitable[Struct]]
    example: Mapping[str, Any]
    enveloped: bool = True
    decoder: Decoder[R] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", Decoder(self.request))

    def decode(self, body: bytes | memoryview) -> R:
        """The request in ``body``, which must be UTF-8.

        Raises:
            HubError: 107, naming the field that is unknown, missing or of another type.
            Malformed: when it is not JSON.
        """
        try:
            return self.decoder.decode(body)
        except ValidationError as error:
            raise HubError(BAD_REQUEST, complaint_of(self.request, error)) from None
        except (DecodeError, RecursionError) as error:
            raise Malformed(str(error)[:MAX_COMPLAINT]) from None


async def attempt_all(
    items: Sequence[Item], act: Callable[[Item], Awaitable[Struct]], *, parallel: bool
) -> list[Struct | Error]:
    """What came of each item, in order: what ``act`` gave, or its refusal.

    One by one, or, with ``parallel``, some at a time. Once the engine is gone the rest is
    refused untried, since each would wait for its own timeout.

    Raises:
        EngineUnavailable: when every single item failed by it, so that nothing is known done.
    """
    outcomes: list[Struct | Error] = [_UNTRIED] * len(items)
    width = min(_PARALLEL, len(items)) if parallel else 1
    per_turn = _PER_TURN // max(width, 1)
    gone: list[EngineUnavailable] = []

    async def work(waiting: Iterable[tuple[int, Item]]) -> None:
        for count, (index, item) in enumerate(waiting, 1):
            if gone:
                return
            try:
                outcomes[index] = await act(item)
            except EngineUnavailable as error:
                gone.append(error)
                outcomes[index] = error_of(error)
            except HubError as error:
                outcomes[index] = error_of(error)
            except Exception:
                logger.exception("a command of the server API failed")
                outcomes[index] = error_of(HubError(INTERNAL))
            if count % per_turn == 0:
                await sleep(0)

    waiting = iter(enumerate(items))
    if width <= 1:
        await work(waiting)
    else:
        async with TaskGroup() as tasks:
            for _ in range(width):
                tasks.create_task(work(waiting))
    if gone and all(isinstance(outcome, Error) and outcome.code == INTERNAL.code for outcome in outcomes):
        raise gone[0]
    return outcomes


_UNTRIED = error_of(EngineUnavailable("not tried, the engine is unavailable"))
