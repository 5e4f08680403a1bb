"""Many light WebSocket clients in one process: they connect, subscribe, and drain what comes.

Written for cheapness: hand-made frames, one epoll, no loop framework, and of what arrives only
bytes are counted, unless the order is to watch every offset. Run as a child of a benchmark.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

from benchmarks.support import Answer, Order, raise_file_limit, reply
from hub.auth import TokenSigner, issue_connection_token

MARK = b"^"
"""Stands once in every publication's payload, and nowhere else."""

SECRET = "a-secret-that-only-the-benchmarks-know-0123456789"
TOKEN_LIFE_S = 24 * 3600

_UPGRADE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"User-Agent: benchmark phone/1.0 (none; en)\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
)
_PING = b"\x81\x02{}"
_MASKED = 0x80
_NO_LINGER = struct.pack("ii", 1, 0)
_BUFFER_BYTES = 1 << 18


class Stage(enum.Enum):
    """How far a phone is."""

    IDLE = 0
    CONNECTING = 1
    UPGRADING = 2
    ECHOING = 3
    GREETING = 4
    JOINING = 5
    LIVE = 6


def client_frame(payload: bytes) -> bytes:
    """A text frame under the mask 0, which leaves the payload as it is."""
    if len(payload) < 126:
        head = bytes((0x81, _MASKED | len(payload)))
    else:
        head = struct.pack("!BBH", 0x81, _MASKED | 126, len(payload))
    return head + b"\0\0\0\0" + payload


_PONG = client_frame(b"{}")


def user_of(number: int) -> str:
    """The user of a phone."""
    return f"user-{number:06}"


def device_of(user: str) -> str:
    """The id of a phone as an installed app, for the kind that names it."""
    return f"device-of-{user}"


def frames_in(received: bytearray) -> Iterator[bytes]:
    """The payloads of the whole frames in ``received``, taken out of it."""
    while len(received) >= 2:
        length, start = received[1], 2
        if length == 126:
            length, start = int.from_bytes(received[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(received[2:10], "big"), 10
        if len(received) < start + length or len(received) < start:
            return
        payload = bytes(received[start : start + length])
        del received[: start + length]
        yield payload


class Phone:
    """One client and where it stands in its channels."""

    __slots__ = (
        "channel",
        "device",
        "positions",
        "ready_at_s",
        "received",
        "sock",
        "stage",
        "started_at_s",
        "token",
    )

    def __init__(self, user: str, token: str, channel: str) -> None:
        self.device = device_of(user)
        self.token = token
        self.channel = channel
        self.positions: dict[str, tuple[int, str]] = {}
        self.sock: socket.socket | None = None
        self.stage = Stage.IDLE
        self.received = bytearray()
        self.started_at_s = 0.0
        self.ready_at_s = 0.0


class Crowd:
    """The phones of this process, told what to do by the parent."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._stdin = sys.stdin.fileno()
        os.set_blocking(self._stdin, False)
        self._poll.register(self._stdin, select.EPOLLIN)
        self._orders = b""
        self._by_fd: dict[int, Phone] = {}
        self._phones: list[Phone] = []
        self._waiting: Iterator[Phone] = iter(())
        self._buffer = bytearray(_BUFFER_BYTES)
        self._port = 0
        self._kind = "hub"
        self._careful = False
        self._pending = 0
        self._marks = 0
        self._bytes = 0
        self._pings = 0
        self._wanted_marks: int | None = None
        self._comes_back = False
        self._gaps = 0
        self._lost = 0

    def run(self) -> None:
        """Until the parent hangs up."""
        while True:
            for fd, events in self._poll.poll():
                phone = self._by_fd.get(fd)
                if phone is not None:
                    if phone.stage is Stage.LIVE and not self._careful:
                        self._drain(phone)
                    else:
                        self._advance(phone, events)
                elif fd == self._stdin and not self._read_orders():
                    return
            if self._wanted_marks is not None and self._marks >= self._wanted_marks:
                self._marks -= self._wanted_marks
                self._wanted_marks = None
                reply({"excess": self._marks, "bytes": self._bytes})
                self._bytes = 0

    # Orders.

    def _read_orders(self) -> bool:
        chunk = os.read(self._stdin, 1 << 16)
        self._orders += chunk
        while b"\n" in self._orders:
            line, _, self._orders = self._orders.partition(b"\n")
            order = json.loads(line)
            answer = getattr(self, f"_do_{order['do']}")(order)
            if answer is not None:
                reply(answer)
        return bool(chunk)

    def _do_prepare(self, order: Order) -> Answer:
        """Make phones; the work that is not to be measured."""
        self._port, self._kind, self._careful = order["port"], order["kind"], order["careful"]
        signer = TokenSigner.from_secret(SECRET)
        until_s = int(time.time()) + TOKEN_LIFE_S
        cursors = order["cursors"]
        self._phones = []
        for number in range(order["first"], order["first"] + order["count"]):
            user = user_of(number)
            token = issue_connection_token(signer, user, exp_s=until_s)
            channel = order["channel"].format(number=number, room=number % order["rooms"])
            phone = Phone(user, token, channel)
            if channel in cursors:
                phone.positions[channel] = tuple(cursors[channel])
            self._phones.append(phone)
        return {"prepared": len(self._phones)}

    def _do_go(self, order: Order) -> None:
        """Connect all phones, a window of them at a time; answered when all are live."""
        self._comes_back = order["comes_back"]
        self._waiting = iter(self._phones)
        self._pending = len(self._phones)
        for _ in range(order["window"]):
            self._start_next()

    def _do_count_to(self, order: Order) -> None:
        """Answered once so many marks have arrived since the last such order."""
        self._wanted_marks = order["marks"]

    def _do_hang_up(self, order: Order) -> Answer:
        """Cut all connections, as a network that is gone."""
        self._comes_back = False
        for phone in self._phones:
            self._drop(phone)
        return {}

    def _do_set_back(self, order: Order) -> Answer:
        """Forget what was received since these positions."""
        for phone in self._phones:
            phone.positions.update({channel: tuple(at) for channel, at in order["cursors"].items()})
        return {}

    def _do_expect_cut(self, order: Order) -> Answer:
        """All are about to be cut: a second answer follows once all are live again."""
        self._pending = len(self._phones)
        return {}

    def _do_report(self, order: Order) -> Answer:
        """What was seen so far."""
        return {
            "gaps": self._gaps,
            "pings": self._pings,
            "lost": self._lost,
            "live": sum(phone.stage is Stage.LIVE for phone in self._phones),
            "positions": [list(phone.positions.items()) for phone in self._phones],
        }

    # Connections.

    def _start_next(self) -> None:
        phone = next(self._waiting, None)
        if phone is not None:
            self._start(phone)

    def _start(self, phone: Phone) -> None:
        phone.started_at_s = time.monotonic()
        phone.stage = Stage.CONNECTING
        phone.received.clear()
        phone.sock = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        code = sock.connect_ex(("127.0.0.1", self._port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._by_fd[sock.fileno()] = phone
        self._poll.register(sock, select.EPOLLIN | select.EPOLLOUT)

    def _drop(self, phone: Phone) -> None:
        if phone.sock is not None:
            del self._by_fd[phone.sock.fileno()]
            phone.sock.close()
            phone.sock = None
        phone.stage = Stage.IDLE

    def _drain(self, phone: Phone) -> None:
        assert phone.sock is not None
        try:
            count = phone.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionError:
            count = 0
        if not count:
            self._on_cut(phone)
        elif count == len(_PING) and self._buffer.startswith(_PING):
            self._pings += 1
            phone.sock.send(_PONG)
        else:
            self._bytes += count
            self._marks += self._buffer.count(MARK, 0, count)

    def _on_cut(self, phone: Phone) -> None:
        self._drop(phone)
        self._lost += 1
        if self._comes_back:
            self._start(phone)

    def _advance(self, phone: Phone, events: int) -> None:
        sock = phone.sock
        assert sock is not None
        if phone.stage is Stage.CONNECTING:
            if events & select.EPOLLOUT and not events & select.EPOLLERR:
                self._poll.modify(sock, select.EPOLLIN)
                sock.send(_UPGRADE)
                phone.stage = Stage.UPGRADING
            else:
                self._on_cut(phone)
            return
        try:
            received = sock.recv(_BUFFER_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._on_cut(phone)
            return
        phone.received += received
        if phone.stage is Stage.UPGRADING:
            self._upgraded(phone, sock)
        if phone.stage is not Stage.UPGRADING:
            for payload in frames_in(phone.received):
                self._take(phone, sock, payload)

    def _upgraded(self, phone: Phone, sock: socket.socket) -> None:
        end = phone.received.find(b"\r\n\r\n")
        if end < 0:
            return
        if not phone.received.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(phone.received[:end].decode())
        del phone.received[: end + 4]
        if self._kind == "bare":
            self._ready(phone)
        elif self._kind == "echo":
            phone.stage = Stage.ECHOING
            sock.send(_PONG)
        else:
            phone.stage = Stage.GREETING
            sock.send(client_frame(json.dumps(self._connect_command(phone)).encode()))

    def _connect_command(self, phone: Phone) -> Answer:
        subs = {
            channel: {"recover": True, "offset": offset, "epoch": epoch}
            for channel, (offset, epoch) in phone.positions.items()
            if channel != phone.channel
        }
        connect = {"token": phone.token, "name": "phone", **({"subs": subs} if subs else {})}
        if self._kind == "device":
            connect["data"] = {"hub": {"device": phone.device}}
        return {"id": 1, "connect": connect}

    def _subscribe_command(self, phone: Phone) -> Answer:
        wanted: Answer = {"channel": phone.channel}
        position = phone.positions.get(phone.channel)
        if position is not None:
            wanted.update(recover=True, offset=position[0], epoch=position[1])
        return {"id": 2, "subscribe": wanted}

    def _take(self, phone: Phone, sock: socket.socket, payload: bytes) -> None:
        if payload == b"{}" and phone.stage is Stage.LIVE:
            self._pings += 1
            sock.send(_PONG)
            return
        if phone.stage is Stage.ECHOING:
            self._ready(phone)
            return
        for line in payload.split(b"\n"):
            said = json.loads(line)
            if "connect" in said:
                for channel, result in said["connect"].get("subs", {}).items():
                    self._joined(phone, channel, result)
                if phone.channel:
                    sock.send(client_frame(json.dumps(self._subscribe_command(phone)).encode()))
                    phone.stage = Stage.JOINING
                else:
                    self._ready(phone)
            elif "subscribe" in said:
                self._joined(phone, phone.channel, said["subscribe"])
                self._ready(phone)
            elif "pub" in said.get("push", {}):
                self._published(phone, said["push"]["channel"], said["push"]["pub"])
            else:
                raise RuntimeError(f"unexpected: {line[:200]!r}")

    def _joined(self, phone: Phone, channel: str, result: Answer) -> None:
        if "epoch" not in result:
            return
        before = phone.positions.get(channel)
        if before is not None and not result.get("recovered"):
            self._gaps += 1
        phone.positions[channel] = (result.get("offset", 0), result["epoch"])
        if before is not None and phone.positions[channel][0] != before[0]:
            self._gaps += 1
        for publication in result.get("publications", ()):
            self._published(phone, channel, publication)

    def _published(self, phone: Phone, channel: str, publication: Answer) -> None:
        self._marks += 1
        offset, epoch = phone.positions.get(channel, (0, ""))
        if not epoch:
            return
        if publication["offset"] != offset + 1:
            self._gaps += 1
        phone.positions[channel] = (publication["offset"], epoch)

    def _ready(self, phone: Phone) -> None:
        phone.stage = Stage.LIVE
        phone.ready_at_s = time.monotonic()
        self._pending -= 1
        self._start_next()
        if not self._pending:
            self._tell_ready()

    def _tell_ready(self) -> None:
        reply(
            {
                "ready_at_s": [phone.ready_at_s for phone in self._phones],
                "waited_s": [phone.ready_at_s - phone.started_at_s for phone in self._phones],
            }
        )


if __name__ == "__main__":
    raise_file_limit()
    Crowd().run()
