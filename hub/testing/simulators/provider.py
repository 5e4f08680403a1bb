"""What all simulated providers have in common: a door, scripts of faults, a ledger.

A provider adds three things: who a request is for, what it answers, and the shape of its errors.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

from hub.testing.simulators.authority import Authority, Issued
from hub.testing.simulators.faults import Fault, FaultScripts, Latency
from hub.testing.simulators.http import Exchange, Reply, Request
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.ledger import Ledger
from hub.testing.simulators.listening import Door, Listener

NowMs = Callable[[], int]


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class ProviderSimulator(ABC):
    """A provider on loopback. Use it as ``async with``, or ``start`` and ``stop`` it.

    ``ledger`` holds what was accepted. ``authority`` signs its certificate (several simulators may share
    one); clients trust ``ca_file``. ``now_ms`` is the provider's clock, unix milliseconds, and may be a fake.
    ``seed`` makes chances repeat. All methods belong to the loop that started it.
    """

    name: str = ""
    alpn: Sequence[str] = ("h2", "http/1.1")

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        http2: Http2Options | None = None,
        tls: bool = True,
        ask_for_certificate: bool = False,
        now_ms: NowMs = wall_clock_ms,
        seed: int = 0,
        keep: int | None = None,
    ) -> None:
        self.authority = authority or Authority()
        self.ledger = Ledger(keep)
        self.now_ms = now_ms
        self._faults = FaultScripts(seed)
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tls = tls
        context = (
            self.authority.server_context(self.alpn, ask_for_certificate=ask_for_certificate) if tls else None
        )
        self._listener = Listener(self._on_request, context, http2 or Http2Options())

    # Running

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Listen on ``host``; port 0 takes any free one.

        Raises:
            OSError: the port is not to be had.
        """
        await self._listener.start(host, port)
        return self

    async def stop(self) -> None:
        """Cut every connection and stop listening. What is in the ledger stays."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.stop()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @property
    def host(self) -> str:
        """Where it listens, as given to :meth:`start`."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port; it stays the same whatever the door does."""
        return self._listener.port

    @property
    def url(self) -> str:
        """``https://127.0.0.1:<port>``, or ``http`` without TLS."""
        return f"{'https' if self._tls else 'http'}://{self._listener.address}"

    @property
    def ca_file(self) -> str:
        """Path of the PEM file that clients must trust."""
        return str(self.authority.ca_file)

    def client_context(self, client: Issued | None = None) -> ssl.SSLContext:
        """An SSL context for clients, with this provider's ALPN, that shows ``client`` where given."""
        return self.authority.client_context(self.alpn, client)

    # What goes wrong

    def script(self, recipient: str, steps: Sequence[Fault], *, forever: bool = False) -> None:
        """The next requests for ``recipient`` (a token; "*" for anybody) meet ``steps``, one each.

        Then all is well again, unless ``forever`` repeats the last step. A new script replaces the former.
        """
        self._faults.script(recipient, steps, forever=forever)

    def every(self, count: int, fault: Fault, *, per_connection: bool = True) -> None:
        """Every ``count``-th request of a connection (or of all of them) meets ``fault``."""
        self._faults.every(count, fault, per_connection=per_connection)

    def rate(self, share: float, fault: Fault) -> None:
        """A seeded share of requests (0 to 1) meets ``fault``."""
        self._faults.rate(share, fault)

    def latency(self, latency: float | Latency | None) -> None:
        """Every answer takes this long: seconds, or drawn, as by :func:`lognormal`."""
        self._faults.latency(latency)

    def heal(self) -> None:
        """Forget all scripts, rates and latency."""
        self._faults.clear()

    async def set_door(self, door: Door) -> None:
        """Serve, refuse, hang up on or swallow new connections. Those that stand are left alone."""
        await self._listener.set_door(door)

    def set_door_soon(self, door: Door) -> None:
        """:meth:`set_door` for who cannot wait for it."""
        task = asyncio.ensure_future(self.set_door(door))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Cut every connection that stands."""
        self._listener.cut()

    def freeze(self, *, frozen: bool = True) -> None:
        """Go silent on every connection that stands, without closing it; or go on."""
        for connection in self._listener.connections:
            connection.freeze(frozen=frozen)

    def go_away(self, reason: str = "Shutdown") -> None:
        """Graceful GOAWAY on every connection that stands: all that came so far is still answered."""
        for connection in tuple(self._listener.connections):
            connection.go_away(connection.notes.get("highest_stream", 0), reason)

    # What was seen

    @property
    def connections_opened(self) -> int:
        """Connections that were served since the start, handshake included."""
        return self._listener.opened

    @property
    def connections_open(self) -> int:
        """Connections that stand now."""
        return len(self._listener.connections)

    @property
    def violations(self) -> list[str]:
        """What clients did against HTTP: too many streams, too many bytes, broken frames."""
        return list(self._listener.violations)

    # What a provider adds

    @abstractmethod
    def _recipient(self, request: Request) -> str:
        """Whom scripts know this request by."""

    @abstractmethod
    def _judged(self, exchange: Exchange) -> Reply:
        """The provider's own answer; what it accepts is in the ledger afterwards."""

    @abstractmethod
    def _refusal(self, request: Request, fault: Fault) -> Reply:
        """The answer that ``fault`` asks for by status and reason, in the provider's own shape."""

    @abstractmethod
    def _renamed(self, reply: Reply, fault: Fault) -> None:
        """Change the message id that ``reply`` names, where the provider has such a thing."""

    def _on_request(self, exchange: Exchange) -> None:
        connection = exchange.connection
        connection.notes["highest_stream"] = exchange.stream
        fault = None
        if not self._faults.quiet:
            fault = self._faults.fault_for(self._recipient(exchange.request), connection.requests)
        if fault is None:
            reply = self._judged(exchange)
            self.ledger.answers[reply.status, reply.reason] += 1
            exchange.answer(reply)
        else:
            self._play(exchange, fault)

    def _play(self, exchange: Exchange, fault: Fault) -> None:
        if fault.goaway:
            last = exchange.stream if fault.accepted else exchange.stream - 2
            reply = self._judged(exchange) if fault.accepted else None
            exchange.connection.go_away(max(last, 0), fault.reason)
            if fault.goaway == "hard":
                exchange.connection.finish()
            else:
                self._later(fault.delay_s, lambda: self._end(exchange, reply, fault))
            return
        takes = fault.accepted or (fault.ending == "answer" and not fault.status)
        reply = self._judged(exchange) if takes else None
        if fault.status and (reply is None or reply.status < 300):
            reply = self._refusal(exchange.request, fault)
        self._later(fault.delay_s, lambda: self._end(exchange, reply, fault))

    def _end(self, exchange: Exchange, reply: Reply | None, fault: Fault) -> None:
        match fault.ending:
            case "answer" if reply is not None:
                self._answer(exchange, reply, fault)
            case "reset":
                exchange.reset(fault.reset_code)
            case "close":
                exchange.connection.transport.abort()
            case _:
                # A stall: the client decides how long it waits.
                pass

    def _answer(self, exchange: Exchange, reply: Reply, fault: Fault) -> None:
        if fault.message_id != "same":
            self._renamed(reply, fault)
        reply.headers.update(fault.headers)
        if fault.retry_after_s is not None:
            reply.headers["retry-after"] = str(fault.retry_after_s)
        if fault.body is not None:
            reply.body = fault.body
        self.ledger.answers[reply.status, reply.reason] += 1
        exchange.answer(reply, fault.frames)

    def _later(self, delay_s: float, act: Callable[[], Any]) -> None:
        if delay_s <= 0:
            act()
            return

        def run() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)
