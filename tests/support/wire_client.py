"""A client that speaks JSON frames by hand, so that a test sees and sends exactly what is on the wire."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from hub.auth import TokenSigner, issue_connection_token, issue_subscription_token
from tests.support.hub_process import SECRET, Running
from tests.support.raw_client import TEXT, RawClient, client_frame

Json = dict[str, Any]


def connection_token(user: str = "42", *, lives_s: int = 600, **options: Any) -> str:
    """A token for ``user`` that the hub of the tests accepts."""
    signer = TokenSigner.from_secret(SECRET)
    return issue_connection_token(signer, user, exp_s=int(time.time()) + lives_s, **options)


def subscription_token(channel: str, user: str = "42", *, lives_s: int = 600, **options: Any) -> str:
    """A token that opens ``channel`` to ``user``."""
    signer = TokenSigner.from_secret(SECRET)
    return issue_subscription_token(signer, user, channel, exp_s=int(time.time()) + lives_s, **options)


class WireClient:
    """One connection; commands get ids by themselves, messages come one by one whatever frames they share."""

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw
        self._last_id = 0
        self._messages: list[Json] = []

    def command(self, **request: Any) -> Json:
        """A command with the next id."""
        self._last_id += 1
        return {"id": self._last_id, **request}

    def send(self, *commands: Json) -> None:
        """Send commands in one frame."""
        self.send_text("\n".join(json.dumps(command) for command in commands))

    def send_text(self, text: str | bytes) -> None:
        """Send a text frame as it is."""
        payload = text.encode() if isinstance(text, str) else text
        self.raw.send(client_frame(TEXT, payload))

    async def next(self) -> Json:
        """The next message."""
        while not self._messages:
            opcode, payload = await self.raw.read_frame()
            assert opcode == TEXT, (opcode, payload)
            self._messages += [json.loads(line) for line in payload.split(b"\n")]
        return self._messages.pop(0)

    async def ask(self, **request: Any) -> Json:
        """Send one command; the next message, which must be its reply."""
        command = self.command(**request)
        self.send(command)
        reply = await self.next()
        assert reply.get("id") == command["id"], reply
        return reply

    async def ask_past_pushes(self, **request: Any) -> Json:
        """Send one command; its reply, whatever pushes come before it."""
        command = self.command(**request)
        self.send(command)
        while "push" in (reply := await self.next()):
            pass
        assert reply.get("id") == command["id"], reply
        return reply

    async def connect(self, user: str = "42", **request: Any) -> Json:
        """Connect as ``user``; the connect result."""
        request.setdefault("token", connection_token(user))
        reply = await self.ask(connect=request)
        assert "connect" in reply, reply
        result: Json = reply["connect"]
        return result

    async def subscribe(self, channel: str, **request: Any) -> Json:
        """Subscribe; the subscribe result."""
        reply = await self.ask(subscribe={"channel": channel, **request})
        assert "subscribe" in reply, reply
        result: Json = reply["subscribe"]
        return result

    async def error(self, **request: Any) -> int:
        """Send one command that must be refused; the error code."""
        reply = await self.ask(**request)
        assert "error" in reply, reply
        code: int = reply["error"]["code"]
        return code

    async def push(self) -> Json:
        """The next message, which must be a push; its content."""
        message = await self.next()
        assert "push" in message, message
        push: Json = message["push"]
        return push

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame, which must come next."""
        assert not self._messages, self._messages
        return await self.raw.read_close()


@asynccontextmanager
async def wire_client(running: Running, **raw_options: Any) -> AsyncIterator[WireClient]:
    """A connection that has said nothing yet."""
    parts = urlsplit(running.url)
    assert parts.hostname is not None and parts.port is not None
    async with await RawClient.connect((parts.hostname, parts.port), **raw_options) as raw:
        await raw.upgrade()
        yield WireClient(raw)


@asynccontextmanager
async def connected(running: Running, user: str = "42", **request: Any) -> AsyncIterator[WireClient]:
    """A connection whose connect succeeded."""
    async with wire_client(running) as client:
        await client.connect(user, **request)
        yield client
