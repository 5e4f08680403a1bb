"""A provider that answers as the test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from workers.push import Outcome, Push, Verdict
from workers.senders.port import BadCredentials

ACCEPTED = Outcome(Verdict.ACCEPTED, status=200, provider_id="p-1")
LATER = Outcome(Verdict.LATER, "ServiceUnavailable", status=503)
STOPPED = Outcome(Verdict.STOP, "InvalidProviderToken", status=403)

Answer = Outcome | Callable[[Push], Outcome]


class ScriptedSender:
    """Answers with ``script`` in order, then with ``always``.

    ``gate`` holds every answer back while it is clear. ``bad`` is what starting refuses with.
    """

    def __init__(self, *script: Answer, always: Answer = ACCEPTED, bad: str = "") -> None:
        self.script: deque[Answer] = deque(script)
        self.always = always
        self.bad = bad
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[Push] = []
        self.accepted: list[Push] = []
        self.under_way = 0
        self.most_under_way = 0
        self.running = False

    async def start(self) -> None:
        if self.bad:
            raise BadCredentials(self.bad)
        self.running = True

    async def send(self, push: Push) -> Outcome:
        self.asked.append(push)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.002)
            await self.gate.wait()
        finally:
            self.under_way -= 1
        answer = self.script.popleft() if self.script else self.always
        outcome = answer if isinstance(answer, Outcome) else answer(push)
        if outcome.verdict is Verdict.ACCEPTED:
            self.accepted.append(push)
        return outcome

    async def stop(self) -> None:
        self.running = False

    @property
    def told(self) -> list[str]:
        """Notification ids of what was accepted, in order."""
        return [push.hub["id"] for push in self.accepted]
