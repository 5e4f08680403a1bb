"""A light client for crowds: keeps its subscriptions over every loss, with a cursor for each, as the SDKs do.

Speaks JSON frames over a socket of its own and tells its events under the names and with the fields of
``SdkClient``. Never judges what it is told: a cursor is whatever the hub said last.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.support.raw_client import CLOSE, PING, PONG, TEXT, client_frame, upgrade_request
from tests.support.sdk import RECONNECT_DELAY_S, Fields

Listener = Callable[[str, Fields], None]
"""Gets each event: its name and its fields."""

_ANSWER_TIMEOUT_S = 5.0
"""How long the SDKs wait for the answer to a command before they take the connection for dead."""
_NO_ANSWER, _NO_PING = 1, 11
_TRANSPORT_CLOSED = 1
_MIN_DELAY_S, _MAX_DELAY_S = RECONNECT_DELAY_S


@dataclass(slots=True)
class _Cursor:
    server_side: bool
    epoch: str = ""
    offset: int = 0
    recoverable: bool = False

    def request(self) -> Fields:
        if not self.recoverable:
            return {}
        return {"recover": True, "epoch": self.epoch, "offset": self.offset}


class _Socket(asyncio.Protocol):
    """One WebSocket connection: frames out, messages in. Ends are told once."""

    def __init__(self, phone: Phone, path: str) -> None:
        self._phone = phone
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._upgraded = False
        self._aborted = False
        self._close_code = _TRANSPORT_CLOSED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._aborted:
            transport.abort()
            return
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(upgrade_request(self._path, {"Sec-WebSocket-Key": key}))

    def send(self, message: Fields) -> None:
        if self._transport is not None:
            self._transport.write(client_frame(TEXT, orjson.dumps(message)))

    def abort(self) -> None:
        """Take and send nothing more; also while it is still connecting."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._upgraded and not self._take_response():
            return
        while not self._aborted and (frame := self._take_frame()) is not None:
            opcode, payload = frame
            if opcode == TEXT:
                for line in payload.split(b"\n"):
                    self._phone.on_message(orjson.loads(line))
            elif opcode == PING and self._transport is not None:
                self._transport.write(client_frame(PONG, payload))
            elif opcode == CLOSE:
                self._close_code = int.from_bytes(payload[:2]) or _TRANSPORT_CLOSED
                self.abort()

    def _take_response(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = int(self._received.split(b" ", 2)[1])
        del self._received[: end + 4]
        if status != 101:
            self._phone.on_refused(status)
            self.abort()
            return False
        self._upgraded = True
        self._phone.on_open()
        return True

    def _take_frame(self) -> tuple[int, bytes] | None:
        received = self._received
        if len(received) < 2:
            return None
        length, start = received[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(received) < start:
                return None
            length = int.from_bytes(received[2:start])
        if len(received) < start + length:
            return None
        frame = received[0] & 0x0F, bytes(received[start : start + length])
        del received[: start + length]
        return frame

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._phone.on_lost(self, self._close_code)


class Phone:
    """One user's app. :func:`phones` makes many, and ends them."""

    def __init__(
        self,
        url: str,
        token: str,
        channels: Iterable[str],
        listener: Listener,
        *,
        max_server_ping_delay_s: float,
        data: Fields | None = None,
    ) -> None:
        self.move(url)
        self._token = token
        self._data = {} if data is None else {"data": data}
        self._listener = listener
        self._max_ping_delay_s = max_server_ping_delay_s
        self._cursors = {channel: _Cursor(server_side=False) for channel in channels}
        self._socket: _Socket | None = None
        self._attempt = 0
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._last_id = 0
        self._asked: dict[int, str] = {}
        """Channels of the commands that wait for their answer; the connect command has none."""
        self._ping_interval_s = 0.0
        self._closing = False
        self.client_id = ""

    def move(self, url: str) -> None:
        """Connect to another hub from the next time on."""
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self._address, self._path = (parts.hostname, parts.port), parts.path

    def connect(self) -> None:
        """Begin to connect, and go on for good."""
        task = self._loop.create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lose_connection(self) -> None:
        """Leave the network for a moment, without a word; nothing happens while there is none."""
        self._drop(_TRANSPORT_CLOSED)

    def close(self) -> None:
        """Vanish, without a word."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            self._socket.abort()

    async def _open(self) -> None:
        socket = self._socket = _Socket(self, self._path)
        self._later("answer", _ANSWER_TIMEOUT_S, self._drop, _NO_ANSWER)
        try:
            await self._loop.create_connection(lambda: socket, *self._address)
        except OSError:
            self.on_lost(socket, _TRANSPORT_CLOSED)

    def on_refused(self, status: int) -> None:
        """The upgrade was answered with something else."""
        self._listener("error", {"code": status})

    def on_open(self) -> None:
        """Say who this is and what it still holds of the channels that the hub attaches."""
        subs = {
            channel: cursor.request()
            for channel, cursor in self._cursors.items()
            if cursor.server_side and cursor.recoverable
        }
        self._ask("", connect={"token": self._token, "name": "phone", "subs": subs, **self._data})

    def on_lost(self, socket: _Socket, code: int) -> None:
        """The connection is gone: another one, soon, unless the code forbids it."""
        if socket is not self._socket or self._closing:
            return
        self._socket = None
        for timer in self._timers.values():
            timer.cancel()
        self._asked.clear()
        if 3500 <= code <= 3999 or 4500 <= code <= 4999:
            self._listener("disconnected", {"code": code, "reason": ""})
            return
        self._listener("connecting", {"code": code})
        self._again("", self.connect)

    def _again(self, channel: str, act: Callable[[], None]) -> None:
        delay_s = min(_MAX_DELAY_S, _MIN_DELAY_S * 2 ** min(self._attempt, 10))
        self._attempt += 1
        self._later(f"again {channel}", random.uniform(_MIN_DELAY_S, delay_s), act)

    def _later(self, name: str, delay_s: float, act: Callable[..., None], *arguments: object) -> None:
        if (running := self._timers.pop(name, None)) is not None:
            running.cancel()
        self._timers[name] = self._loop.call_later(delay_s, act, *arguments)

    def _drop(self, code: int) -> None:
        socket = self._socket
        if socket is not None:
            self.on_lost(socket, code)
            socket.abort()

    def _ask(self, channel: str, **request: Any) -> None:
        if self._socket is None:
            return
        self._last_id += 1
        self._asked[self._last_id] = channel
        self._later("answer", _ANSWER_TIMEOUT_S, self._drop, _NO_ANSWER)
        self._socket.send({"id": self._last_id, **request})

    def _subscribe(self, channel: str) -> None:
        self._ask(channel, subscribe={"channel": channel, **self._cursors[channel].request()})

    def on_message(self, message: Fields) -> None:
        """A reply, a push, or (when empty) a ping."""
        if not message:
            assert self._socket is not None
            self._socket.send({})
            self._expect_ping()
        elif "push" in message:
            self._pushed(message["push"]["channel"], message["push"])
        else:
            channel = self._asked.pop(message["id"])
            if not self._asked:
                self._timers["answer"].cancel()
            if "error" in message:
                self._refused(channel, message["error"])
            elif "connect" in message:
                self._connected(message["connect"])
            else:
                self._subscribed(channel, message["subscribe"], "subscribed")

    def _expect_ping(self) -> None:
        if self._ping_interval_s:
            self._later("ping", self._ping_interval_s + self._max_ping_delay_s, self._drop, _NO_PING)

    def _refused(self, channel: str, error: Fields) -> None:
        code = error["code"]
        self._listener("subscription_error" if channel else "error", {"channel": channel, "code": code})
        if not channel:
            # Expired tokens are not for crowds: these never do.
            self._drop(code if error.get("temporary") else 3500)
        elif error.get("temporary"):
            self._again(channel, lambda: self._subscribe(channel))
        else:
            self._listener("unsubscribed", {"channel": channel, "code": code})

    def _connected(self, result: Fields) -> None:
        self._attempt = 0
        self.client_id = result["client"]
        self._ping_interval_s = result.get("ping", 0)
        self._listener("connected", {"client": result["client"]})
        self._expect_ping()
        attached = result.get("subs", {})
        for channel, subscribed in attached.items():
            self._subscribed(channel, subscribed, "server_subscribed")
        for channel, cursor in list(self._cursors.items()):
            if not cursor.server_side:
                self._subscribe(channel)
            elif channel not in attached:
                del self._cursors[channel]
                self._listener("server_unsubscribed", {"channel": channel})

    def _subscribed(self, channel: str, result: Fields, event: str) -> None:
        cursor = self._cursors.setdefault(channel, _Cursor(server_side=True))
        cursor.recoverable = result.get("recoverable", False)
        cursor.epoch, cursor.offset = result.get("epoch", ""), result.get("offset", 0)
        self._listener(
            event,
            {
                "channel": channel,
                "was_recovering": result.get("was_recovering", False),
                "recovered": result.get("recovered", False),
                "position": {"epoch": cursor.epoch, "offset": cursor.offset},
            },
        )
        for publication in result.get("publications", ()):
            self._published(channel, publication)

    def _pushed(self, channel: str, push: Fields) -> None:
        if "pub" in push:
            self._published(channel, push["pub"])
        elif "subscribe" in push:
            self._subscribed(channel, push["subscribe"], "server_subscribed")
        elif "unsubscribe" in push:
            cursor, code = self._cursors[channel], push["unsubscribe"]["code"]
            if cursor.server_side:
                del self._cursors[channel]
                self._listener("server_unsubscribed", {"channel": channel})
            elif code >= 2500:
                self._listener("subscribing", {"channel": channel, "code": code})
                self._subscribe(channel)
            else:
                self._listener("unsubscribed", {"channel": channel, "code": code})

    def _published(self, channel: str, publication: Fields) -> None:
        cursor = self._cursors[channel]
        offset = publication.get("offset", 0)
        if offset:
            cursor.offset = offset
        event = "server_publication" if cursor.server_side else "publication"
        self._listener(event, {"channel": channel, "offset": offset, "data": publication["data"]})


@contextlib.asynccontextmanager
async def phones() -> AsyncIterator[list[Phone]]:
    """A list to fill; every phone in it is closed when the block ends."""
    made: list[Phone] = []
    try:
        yield made
    finally:
        tasks: Sequence[asyncio.Task[None]] = [task for phone in made for task in phone._tasks]
        for phone in made:
            phone.close()
        await asyncio.gather(*tasks, return_exceptions=True)
