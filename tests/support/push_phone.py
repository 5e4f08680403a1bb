"""Apps with an inbox: one that a test leads by the hand, and many that live by themselves.

Both only note what they were given. What should have been given is the test's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from tests.support.hub_process import Running
from tests.support.phone import Phone
from tests.support.push_world import Installed, Json
from tests.support.raw_client import CLOSE, TEXT
from tests.support.sdk import Fields
from tests.support.waiting import eventually
from tests.support.wire_client import WireClient, connection_token, wire_client


class WirePhone:
    """One connection of an app. Notes what comes, and answers pings while ``answers`` is set."""

    def __init__(self, client: WireClient, app: Installed, *, answers: bool) -> None:
        self.app = app
        self.answers = answers
        self.given: Counter[str] = Counter()
        """How often each notification came, in the connect reply or after it."""
        self.others: list[Json] = []
        """Publications of the inbox that are no notifications: reads and withdrawals."""
        self.welcome: Json = {}
        self.pings = 0
        self.close_code = 0
        self.ended = asyncio.Event()
        self._client = client
        self._replies: dict[int, asyncio.Future[Json]] = {}

    @property
    def inbox(self) -> Json:
        """Its inbox as the connect reply has it."""
        return dict(self.welcome["subs"][self.channel])

    @property
    def channel(self) -> str:
        """The channel of its inbox."""
        return str(self.welcome["data"]["hub"]["inbox"]["channel"])

    @property
    def epoch(self) -> str:
        """The epoch of its inbox."""
        return str(self.welcome["data"]["hub"]["inbox"]["epoch"])

    async def connect(self, **request: Any) -> None:
        """Say who it is; what was missed is noted."""
        self.welcome = await self._client.connect(self.app.user, **request)
        for publication in self.inbox.get("publications", ()):
            self._note(publication["data"])

    async def ask(self, **request: Any) -> Json:
        """Send one command; its reply."""
        command = self._client.command(**request)
        reply = self._replies[command["id"]] = asyncio.get_running_loop().create_future()
        self._client.send(command)
        async with asyncio.timeout(5):
            return dict(await reply)

    async def rpc(self, method: str, **data: Any) -> Json:
        """The answer of a method."""
        reply = await self.ask(rpc={"method": method, "data": data})
        assert "rpc" in reply, reply
        return dict(reply["rpc"]["data"])

    def send(self, **request: Any) -> None:
        """Send a command whose reply nobody waits for."""
        self._client.send(self._client.command(**request))

    def pong(self) -> None:
        """Answer a ping by hand."""
        self._client.send_text("{}")

    def vanish(self) -> None:
        """End the connection with a reset, as a crash of the app does."""
        with contextlib.suppress(OSError):
            self._client.raw.reset()

    def half_close(self) -> None:
        """Send the end of the stream, as a system does for an app that it ends."""
        self._client.raw.half_close()

    async def sees(self, id: str, timeout_s: float = 5.0) -> None:
        """Return once it was given this notification."""
        await eventually(lambda: bool(self.given[id]), timeout_s)

    async def listen(self) -> None:
        """Take what comes until the connection ends."""
        try:
            while True:
                try:
                    opcode, payload = await self._client.raw.read_frame()
                except TimeoutError:
                    continue  # a hub that is frozen is silent
                if opcode == CLOSE:
                    self.close_code = int.from_bytes(payload[:2])
                    return
                assert opcode == TEXT, opcode
                for line in payload.split(b"\n"):
                    self._on_message(line)
        except (OSError, EOFError):
            return
        finally:
            self.ended.set()

    def _on_message(self, line: bytes) -> None:
        message = json.loads(line)
        if not message:
            self.pings += 1
            if self.answers:
                self.pong()
        elif "push" in message:
            if "pub" in message["push"]:
                self._note(message["push"]["pub"]["data"])
        elif (reply := self._replies.pop(message["id"], None)) is not None and not reply.done():
            reply.set_result(message)

    def _note(self, data: Json) -> None:
        if data.get("type") == "notification":
            self.given[data["id"]] += 1
        else:
            self.others.append(data)


@contextlib.asynccontextmanager
async def wire_phone(
    running: Running, app: Installed, *, state: str = "foreground", answers: bool = True, **request: Any
) -> AsyncIterator[WirePhone]:
    """An app that is connected to this hub for the length of the block, which ends without a word."""
    async with wire_client(running) as client:
        phone = WirePhone(client, app, answers=answers)
        await phone.connect(data=app.connect_data(state), **request)
        listening = asyncio.create_task(phone.listen())
        try:
            yield phone
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


class CrowdPhone:
    """An app that comes back by itself whenever it is sent away or its hub is gone."""

    def __init__(self, app: Installed, url: str) -> None:
        self.app = app
        self.given: dict[str, list[float]] = {}
        """When each notification came, on the loop's clock; twice for one that was given twice."""
        self.connects = 0
        self.is_connected = False
        self._loop = asyncio.get_running_loop()
        self._phone = Phone(
            url,
            connection_token(app.user),
            (),
            self._on_event,
            max_server_ping_delay_s=30.0,
            data=app.connect_data(),
        )

    @property
    def phone(self) -> Phone:
        """Its connection."""
        return self._phone

    def _on_event(self, name: str, fields: Fields) -> None:
        if name == "connected":
            self.connects += 1
            self.is_connected = True
        elif name in ("connecting", "disconnected"):
            self.is_connected = False
        elif name == "server_publication" and fields["data"].get("type") == "notification":
            self.given.setdefault(fields["data"]["id"], []).append(self._loop.time())
