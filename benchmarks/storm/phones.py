"""Phones that have several hubs to go to, and come again when one refuses them or is not there.

Run as a child of the benchmark, like the phones they are made of. They come back at once and all
together, which is worse than SDKs do: those wait a random moment first.
"""

from __future__ import annotations

import errno
import heapq
import random
import re
import select
import socket
import time

from benchmarks.light_phones import Crowd, Phone, Stage
from benchmarks.support import Answer, Order, raise_file_limit

PAUSE_S = 0.2
"""What a phone waits that was refused without being told how long, at most."""

_RETRY_AFTER = re.compile(rb"(?im)^retry-after: *(\d+)")


class StormCrowd(Crowd):
    """Spreads over ``ports``; notes refusals, and how long each phone was without a hub."""

    def __init__(self) -> None:
        super().__init__()
        self._ports: list[int] = []
        self._next_port = 0
        self._later: list[tuple[float, int, Phone]] = []
        self._sequence = 0
        self._refused = 0
        self._unreached = 0
        self._dice = random.Random(1)

    def run(self) -> None:
        """As that of all phones, but for the waits of those who were refused."""
        self._poll = _PollWithAlarm(self._poll, self._wait_s, self._on_time)  # type: ignore[assignment]
        super().run()

    def _do_hubs(self, order: Order) -> Answer:
        """From now on go to these ports, in turn."""
        self._ports = order["ports"]
        return {}

    def _do_report(self, order: Order) -> Answer:
        return {"refused": self._refused, "unreached": self._unreached, **super()._do_report(order)}

    def _start(self, phone: Phone) -> None:
        self._port = self._ports[self._next_port % len(self._ports)]
        self._next_port += 1
        try:
            super()._start(phone)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ECONNREFUSED, errno.EAGAIN):
                raise
            assert phone.sock is not None
            phone.sock.close()
            phone.sock = None
            self._come_again(phone, PAUSE_S)

    def _on_cut(self, phone: Phone) -> None:
        if phone.stage is Stage.LIVE:
            super()._on_cut(phone)
            return
        # It was on its way: its hub took it and went, or had no room for it to wait.
        self._unreached += 1
        self._drop(phone)
        self._come_again(phone, PAUSE_S)

    def _upgraded(self, phone: Phone, sock: socket.socket) -> None:
        if phone.received.startswith((b"HTTP/1.1 503", b"HTTP/1.1 429")) and b"\r\n\r\n" in phone.received:
            self._refused += 1
            told = _RETRY_AFTER.search(phone.received)
            wait_s = float(told[1]) if told else PAUSE_S
            self._drop(phone)
            phone.received.clear()
            self._come_again(phone, wait_s)
            return
        super()._upgraded(phone, sock)

    def _come_again(self, phone: Phone, within_s: float) -> None:
        # Spread over what was asked for, from then on: as SDKs do, and unlike a herd.
        wait_s = within_s * (1 + self._dice.random()) if within_s >= 1 else within_s * self._dice.random()
        self._sequence += 1
        heapq.heappush(self._later, (time.monotonic() + wait_s, self._sequence, phone))

    def _wait_s(self) -> float:
        return max(0.0, self._later[0][0] - time.monotonic()) if self._later else -1

    def _on_time(self) -> None:
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            self._start(heapq.heappop(self._later)[2])


class _PollWithAlarm:
    """An epoll that wakes for what is due."""

    def __init__(self, poll: select.epoll, wait_s: object, on_time: object) -> None:
        self._poll = poll
        self._wait_s = wait_s
        self._on_time = on_time
        self.register, self.modify, self.unregister = poll.register, poll.modify, poll.unregister

    def poll(self) -> list[tuple[int, int]]:
        """What happened; empty when something was due instead."""
        events = self._poll.poll(self._wait_s())  # type: ignore[operator]
        self._on_time()  # type: ignore[operator]
        return events


if __name__ == "__main__":
    raise_file_limit()
    StormCrowd().run()
