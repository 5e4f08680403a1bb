"""The batch: several commands in one request, each with its own answer. Knows no method but itself."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from hub.api import requests, results
from hub.api.call import Call, Malformed, attempt_all
from hub.errors import BAD_REQUEST, LIMIT_EXCEEDED, HubError

BATCH = "batch"


async def handle_batch(call: Call, request: requests.BatchRequest) -> results.BatchResult:
    """Run the commands; each may be refused by itself, and needs its own scope.

    A reply carries its method's name and the bare result, and ``replies`` stand at the top
    of the answer: no ``result`` around either (client protocol, section 17.2 and P24).
    """
    if len(request.commands) > call.limits.max_batch_commands:
        raise HubError(LIMIT_EXCEEDED, f"a batch takes {call.limits.max_batch_commands} commands")

    async def run(command: dict[str, Raw]) -> Struct:
        if len(command) != 1:
            raise HubError(BAD_REQUEST, "a command is an object of exactly one method")
        [(name, body)] = command.items()
        if name == BATCH:
            raise HubError(BAD_REQUEST, "a batch cannot hold a batch")
        try:
            return await call.run(name, memoryview(body))
        except Malformed as error:
            raise HubError(BAD_REQUEST, str(error)) from None

    outcomes = await attempt_all(request.commands, run, parallel=bool(request.parallel))
    return results.BatchResult([_reply(*pair) for pair in zip(request.commands, outcomes, strict=True)])


def _reply(command: dict[str, Raw], outcome: Struct | results.Error) -> dict[str, Any]:
    if isinstance(outcome, results.Error):
        return {"error": outcome}
    return {next(iter(command)): outcome}
