"""Phones that measure how long a publication took, and phones that know what to do about a gap.

Run as a child of a benchmark, like the phones they are made of.
"""

from __future__ import annotations

import json
import socket
import sys
import time

from benchmarks.light_phones import MARK, Crowd, Phone, Stage, client_frame
from benchmarks.redis.publisher import STAMP_DIGITS
from benchmarks.support import Answer, Order, raise_file_limit, reply


class TimingCrowd(Crowd):
    """Reads the stamp of every publication that arrives whole in one read; the others are few."""

    def __init__(self) -> None:
        super().__init__()
        self._waited_ns: list[int] = []

    def _drain(self, phone: Phone) -> None:
        assert phone.sock is not None
        received = phone.sock.recv(len(self._buffer))
        now_ns = time.monotonic_ns()
        if not received:
            self._on_cut(phone)
            return
        first = received.find(MARK)
        while first >= 0:
            self._marks += 1
            stamp = received[first + 1 : first + 1 + STAMP_DIGITS]
            if len(stamp) == STAMP_DIGITS and stamp.isdigit():
                self._waited_ns.append(now_ns - int(stamp))
            first = received.find(MARK, first + 1)
        self._bytes += len(received)

    def _do_waited(self, order: Order) -> Answer:
        """How long each publication took, in ns, since this was last asked."""
        waited_ns, self._waited_ns = self._waited_ns, []
        return {"waited_ns": waited_ns}


class HealingCrowd(Crowd):
    """Recovers when told to, and tells gaps it was told of from others, which are the hub's fault."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[Phone, float] = {}
        self._awaited = False
        self._refused = 0

    def _do_await_told(self, order: Order) -> None:
        """Answered once every phone was told that its recovery failed, since this was last answered."""
        self._awaited = True
        self._look_whether_told()

    def _look_whether_told(self) -> None:
        if self._awaited and len(self._told) == len(self._phones):
            reply({"told_at_s": list(self._told.values())})
            self._awaited = False
            self._told.clear()

    def _do_report(self, order: Order) -> Answer:
        return {"told": len(self._told), "refused": self._refused, **super()._do_report(order)}

    def _take(self, phone: Phone, sock: socket.socket, payload: bytes) -> None:
        others = []
        for line in payload.split(b"\n"):
            said = json.loads(line)
            if "error" in said:
                self._refused += 1
            elif "unsubscribe" not in said.get("push", {}):
                others.append(line)
                continue
            phone.stage = Stage.JOINING
            sock.send(client_frame(json.dumps(self._subscribe_command(phone)).encode()))
        if others:
            super()._take(phone, sock, b"\n".join(others))

    def _joined(self, phone: Phone, channel: str, result: Answer) -> None:
        if channel in phone.positions and "epoch" in result and not result.get("recovered"):
            del phone.positions[channel]
            self._told[phone] = time.monotonic()
        super()._joined(phone, channel, result)

    def _ready(self, phone: Phone) -> None:
        if self._pending:
            super()._ready(phone)
        else:
            phone.stage = Stage.LIVE
        self._look_whether_told()


if __name__ == "__main__":
    raise_file_limit()
    {"timing": TimingCrowd, "healing": HealingCrowd}[sys.argv[1]]().run()
