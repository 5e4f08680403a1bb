"""One virtual phone: an app that is opened, put away, loses its network without a word, and comes back.

Speaks the JSON protocol over a socket of its own, answers pings like every SDK, keeps no cursor
when its app was closed, and shows what reaches it in the foreground.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.light_phones import client_frame, frames_in
from benchmarks.phones.tally import Tally

_UPGRADE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PONG = client_frame(b"{}")
_RETRY_S = (0.5, 3.0)


@dataclass(frozen=True, slots=True)
class Habits:
    """How people use it, in unscaled seconds, and how connections end."""

    front_s: float = 60.0
    away_s: float = 120.0
    half_open: float = 0.4
    """Share of departures without a word: the network is gone, the hub's socket stays open."""
    background_first: float = 0.3
    """Share of departures that say background first, and are suspended a little later."""
    background_s: float = 8.0
    flapping: float = 0.1
    """Share of phones on a train: spells of a few seconds on either side."""
    flap_s: float = 5.0


class VirtualPhone:
    """An app of one user with one install id. ``ports`` gives the hubs that may be connected to now."""

    def __init__(
        self,
        *,
        user: str,
        device: str,
        token: str,
        ports: Callable[[], list[int]],
        tally: Tally,
        habits: Habits,
        scale: float,
        dice: random.Random,
    ) -> None:
        self.user = user
        self.device = device
        self._token = token
        self._ports = ports
        self._tally = tally
        self._habits = habits
        self._scale = scale
        self._dice = dice
        self._flaps = dice.random() < habits.flapping
        self._in_front = False
        self._connected = False
        self._deaf = False
        self._inbox = ""
        self._cursor: dict[str, Any] | None = None
        """Where an SDK stands as long as its app runs; an app that was killed forgot it."""
        self.refusals = 0
        self.connects = 0
        self._abandoned: list[asyncio.StreamWriter] = []

    @property
    def is_live(self) -> bool:
        """Whether its user would see what is said now."""
        return self._connected and self._in_front and not self._deaf

    async def live(self) -> None:
        """Open, look, go away, for ever."""
        await self._rest(self._habits.away_s * self._dice.random())
        while True:
            front_s, away_s = self._habits.front_s, self._habits.away_s
            if self._flaps:
                front_s = away_s = self._habits.flap_s
            await self._spell(self._dice.expovariate(1 / front_s))
            await self._rest(self._dice.expovariate(1 / away_s))

    async def _rest(self, unscaled_s: float) -> None:
        await asyncio.sleep(unscaled_s * self._scale)

    async def _spell(self, unscaled_s: float) -> None:
        """One time that the app is in front. Its connection is made anew as often as it breaks."""
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + unscaled_s * self._scale
        self._in_front, self._deaf, self._cursor = True, False, None
        while (left_s := ends_at_s - loop.time()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._connection()
            except TimeoutError:
                break
            except (OSError, asyncio.IncompleteReadError, ConnectionError):
                pass
            self._connected = False
            await self._rest(self._dice.uniform(*_RETRY_S))
        self._in_front = False

    async def _connection(self) -> None:
        ports = self._ports()
        if not ports:
            raise ConnectionError("no hub is up")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._dice.choice(ports))
        ended = False
        try:
            writer.write(_UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            hub = {"device": self.device, "state": "foreground"}
            connect: dict[str, Any] = {"token": self._token, "data": {"hub": hub}}
            if self._cursor is not None:
                connect["subs"] = {self._inbox: self._cursor}
            self._send(writer, {"id": 1, "connect": connect})
            received = bytearray()
            while chunk := await reader.read(65_536):
                received += chunk
                for frame in frames_in(received):
                    self._on_frame(writer, frame)
            ended = True
        except asyncio.CancelledError:
            await self._depart(writer)
            raise
        finally:
            self._connected = False
            if ended or writer not in self._abandoned:
                writer.close()

    async def _depart(self, writer: asyncio.StreamWriter) -> None:
        """The app goes away in one of the ways that apps do."""
        self._in_front = self._connected = False
        habits, chance = self._habits, self._dice.random()
        if chance < habits.half_open:
            # Nobody reads or answers from here on; the socket is left to the hub to find out.
            self._deaf = True
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            self._abandoned.append(writer)
            asyncio.get_running_loop().call_later(120 * self._scale, self._forget, writer)
        elif chance < habits.half_open + habits.background_first:
            self._send(writer, {"id": 2, "rpc": {"method": "device.state", "data": {"state": "background"}}})
            self._abandoned.append(writer)
            asyncio.get_running_loop().call_later(habits.background_s * self._scale, self._forget, writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._abandoned.remove(writer)
        with contextlib.suppress(Exception):
            writer.transport.abort()

    def _send(self, writer: asyncio.StreamWriter, command: dict[str, Any]) -> None:
        writer.write(client_frame(json.dumps(command).encode()))

    def _on_frame(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        for line in frame.split(b"\n"):
            if line == b"{}":
                writer.write(_PONG)
                continue
            try:
                message = json.loads(line)
            except ValueError:
                continue  # a close frame
            if "connect" in message:
                self._on_connected(message["connect"])
            elif "error" in message:
                self.refusals += 1
            elif "push" in message and "pub" in message["push"]:
                self._on_publication(message["push"]["channel"], message["push"]["pub"])

    def _on_connected(self, result: dict[str, Any]) -> None:
        self._connected = True
        self.connects += 1
        self._inbox = result["data"]["hub"]["inbox"]["channel"]
        subscribed = result["subs"][self._inbox]
        self._cursor = {"recover": True, "epoch": subscribed["epoch"], "offset": subscribed.get("offset", 0)}
        for publication in subscribed.get("publications", ()):
            self._on_publication(self._inbox, publication)

    def _on_publication(self, channel: str, publication: dict[str, Any]) -> None:
        if channel == self._inbox and publication.get("offset") and self._in_front:
            self._tally.seen(self.device, publication["offset"], asyncio.get_running_loop().time())
            if self._cursor is not None:
                self._cursor["offset"] = publication["offset"]
