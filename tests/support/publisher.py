"""A backend that publishes numbered publications without pause, through the server API, and never gives up.

Each number has an idempotency key of its own and is asked for again with the same key until it is
accepted; only then the next one follows. Knows neither hubs nor Redis.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx

from tests.support.checker import Accepted, Place
from tests.support.hub_process import API_KEY

_REQUEST_TIMEOUT_S = 2.0
_RETRY_S = 0.1


class Publisher:
    """One task per channel. :func:`publishing` starts and ends one."""

    def __init__(
        self, http: httpx.AsyncClient, api_url: str, channels: Sequence[str], pause_s: float
    ) -> None:
        self.accepted: dict[str, dict[int, Accepted]] = {channel: {} for channel in channels}
        self.refusals: Counter[str] = Counter()
        """What came instead of an answer: HTTP statuses, and the errors of the connection."""
        self.padding = ""
        """Makes every publication from now on as much longer."""
        self._run = uuid.uuid4().hex
        self._http = http
        self._api_url = api_url
        self._pause_s = pause_s
        self._progress = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._publish_all(channel)) for channel in self.accepted]

    async def advance(self, count: int, timeout_s: float = 20.0) -> None:
        """Return once ``count`` more publications were accepted in every channel.

        Raises:
            AssertionError: when that takes longer, with what the hubs answered; at once when they
                answered something that no repeat would mend.
        """
        goals = {channel: len(accepted) + count for channel, accepted in self.accepted.items()}
        reached = asyncio.create_task(self._reach(goals))
        try:
            watched = [reached, *self._tasks]
            done, _ = await asyncio.wait(watched, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            behind = [channel for channel, goal in goals.items() if len(self.accepted[channel]) < goal]
            assert not behind, f"{behind} do not come on; answers so far: {dict(self.refusals)}"
        finally:
            reached.cancel()
            await asyncio.gather(reached, return_exceptions=True)

    async def _reach(self, goals: Mapping[str, int]) -> None:
        async with self._progress:
            await self._progress.wait_for(
                lambda: all(len(self.accepted[channel]) >= goal for channel, goal in goals.items())
            )

    @property
    def repeated_count(self) -> int:
        """How many numbers had to be asked for more than once."""
        return sum(told.repeated for accepted in self.accepted.values() for told in accepted.values())

    async def stop(self) -> None:
        """Publish what is under way, and nothing after it. Raises what a task failed with. Idempotent."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        """End at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish_all(self, channel: str) -> None:
        for number in itertools.count(1):
            if self._stopping.is_set():
                return
            accepted = await self._publish(channel, number)
            self.accepted[channel][number] = accepted
            async with self._progress:
                self._progress.notify_all()
            await asyncio.sleep(self._pause_s)

    async def _publish(self, channel: str, number: int) -> Accepted:
        request = {
            "channel": channel,
            "data": {"n": number, "padding": self.padding},
            "idempotency_key": f"{self._run}-{channel}-{number}",
        }
        for attempt in itertools.count():
            try:
                response = await self._http.post(f"{self._api_url}/publish", json=request)
            except httpx.HTTPError as error:
                self.refusals[type(error).__name__] += 1
            else:
                answer = response.json() if response.status_code == 200 else {}
                if "result" in answer:
                    result = answer["result"]
                    place = Place(result.get("epoch", ""), result.get("offset", 0))
                    return Accepted(place, repeated=attempt > 0)
                self.refusals[f"{response.status_code} {answer.get('error', {}).get('code', '')}"] += 1
                # Whatever is wrong with the request itself would stay wrong.
                assert response.status_code in (200, 502, 503, 504), response.text
                assert "error" not in answer or answer["error"]["code"] == 100, answer
            await asyncio.sleep(_RETRY_S)
        raise AssertionError("unreachable")


@asynccontextmanager
async def publishing(
    api_url: str, channels: Sequence[str], *, pause_s: float = 0.1
) -> AsyncIterator[Publisher]:
    """Publish to ``channels``, each ``pause_s`` after its last, for the length of the block."""
    async with httpx.AsyncClient(
        trust_env=False, headers={"X-API-Key": API_KEY}, timeout=_REQUEST_TIMEOUT_S
    ) as http:
        publisher = Publisher(http, api_url, channels, pause_s)
        publisher.start()
        try:
            yield publisher
        finally:
            await publisher.cancel()
