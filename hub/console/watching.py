"""One channel as it is heard here, as lines of JSON for whoever looks on.

A watcher is a subscriber like any other, but for what it is sent and for being too slow: nobody is
ended for that, and what a person could not read anyway is counted and left out.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, Final

from msgspec import Raw
from msgspec.json import Encoder

from hub.fanout import Encoding, Outbox, Subscriber, Turn, publication_message
from hub.model import Position
from hub.node.listening import Listening
from hub.payloads import is_json
from hub.protocol import JSONCodec
from hub.protocol.messages import ClientInfoMessage, PublicationMessage, Reply

MAX_WAITING_BYTES: Final = 256 * 1024
"""What may wait for one page; beyond that publications are left out."""

BEAT_S: Final = 15.0
"""After so long without a line an empty one is sent, so that proxies keep the stream."""

_encode = Encoder().encode


class _Lines(Encoding):
    """Replies as lines of the watch in place of frames."""

    def frame_of(self, reply: Reply) -> bytes:
        """One line. Never refuses: what is not JSON goes out as base64."""
        push = reply.push
        if push is None:
            return b""
        if push.pub is not None:
            return line("publication", **_publication(push.pub))
        if push.join is not None:
            return line("join", info=_info(push.join.info))
        if push.leave is not None:
            return line("leave", info=_info(push.leave.info))
        return b""


_LINES = _Lines(JSONCodec(), compressed=False)


class Watch:
    """A page that looks on; the reader behind a subscriber, and the sink of its outbox."""

    def __init__(self, channel: str, listening: Listening, turn: Turn) -> None:
        self.channel = channel
        self._listening = listening
        self._subscriber = Subscriber(self, join_leave=True, delta=False, positioned=True)
        self.outbox = Outbox(self, turn, MAX_WAITING_BYTES)
        self.encoding: Encoding = _LINES
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._left_out = 0
        self._over = False
        self._news = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Keep whole lines until the page takes them, or count them as left out."""
        if self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
            self._left_out += data.count(b"\n")
        else:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
        self._news.set()

    def on_overflow(self) -> None:
        """Never called: this sink is never full."""

    def on_unencodable(self) -> None:
        """Never called: everything can be said in a line."""

    def on_gap(self, channel: str) -> None:
        """Publications were lost for good."""
        self.write(line("gap"))

    async def open(self) -> None:
        """Begin to listen; :meth:`close` must follow.

        Raises:
            EngineUnavailable: the channel cannot be listened to; nothing is left behind.
        """
        top = await self._listening.attach(self.channel, self._subscriber)
        feed = self._listening.feed(self.channel)
        assert feed is not None, "there is one as long as somebody is attached"
        self.write(line("watching", **_position(top if top is not None else feed.top)))
        for publication in self._subscriber.gathered or ():
            # They came while the engine began to deliver.
            self.write(line("publication", **_publication(publication_message(publication))))
        feed.go_live(self._subscriber)

    def close(self) -> None:
        """Listen no longer. Idempotent."""
        self.end()
        self._listening.detach(self.channel, self._subscriber)
        self.outbox.close()

    def end(self) -> None:
        """Have :meth:`lines` come to its end."""
        self._over = True
        self._news.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """What arrived, as it arrives, until :meth:`end`."""
        while not self._over:
            yield await self._next()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(BEAT_S):
                await self._news.wait()
        except TimeoutError:
            return b"\n"
        self._news.clear()
        taken = b"".join(self._waiting)
        if self._left_out:
            taken += line("left_out", count=self._left_out)
        self._waiting, self._waiting_bytes, self._left_out = [], 0, 0
        return taken


def line(kind: str, **fields: Any) -> bytes:
    """One line of the watch."""
    return _encode({"type": kind, **fields}) + b"\n"


def _position(top: Position | None) -> dict[str, Any]:
    return {} if top is None else {"offset": top.offset, "epoch": top.epoch}


def _publication(message: PublicationMessage) -> dict[str, Any]:
    told: dict[str, Any] = {"offset": message.offset, "time": message.time}
    data = bytes(message.data)
    if is_json(data):
        told["data"] = Raw(data)
    else:
        told["b64data"] = b64encode(data).decode()
    if message.tags:
        told["tags"] = message.tags
    if message.info is not None:
        told["info"] = _info(message.info)
    return told


def _info(info: ClientInfoMessage) -> dict[str, str]:
    return {"user": info.user, "client": info.client}
