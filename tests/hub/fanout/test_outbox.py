"""The outbox: order, one write a turn, and an end for readers that are too slow."""

from __future__ import annotations

import asyncio

from hub.fanout import Outbox, Turn


class Sink:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.overflows = 0

    def write(self, data: bytes) -> None:
        """Take frames."""
        self.written.append(data)

    def on_overflow(self) -> None:
        """Too slow."""
        self.overflows += 1


def outbox(max_bytes: int = 100) -> tuple[Outbox, Sink]:
    """An outbox on the running loop and what it writes to."""
    sink = Sink()
    return Outbox(sink, Turn(asyncio.get_running_loop()), max_bytes), sink


async def turn() -> None:
    """Let the callbacks of this turn of the loop run."""
    await asyncio.sleep(0)


async def test_what_gathers_in_one_turn_is_one_write() -> None:
    """In order."""
    box, sink = outbox()
    for frame in (b"a", b"b", b"c"):
        box.put(frame)
    assert sink.written == []
    await turn()
    assert sink.written == [b"abc"]
    box.put(b"d")
    await turn()
    assert sink.written == [b"abc", b"d"]


async def test_more_than_the_bound_in_one_turn_is_no_slow_reader() -> None:
    """As long as the socket takes it."""
    box, sink = outbox(max_bytes=3)
    for frame in (b"aa", b"bb", b"cc"):
        box.put(frame)
    await turn()
    assert b"".join(sink.written) == b"aabbcc"
    assert sink.overflows == 0


async def test_a_full_socket_makes_frames_wait() -> None:
    """And they leave in order when it has room again."""
    box, sink = outbox()
    box.on_writable(False)
    box.put(b"a")
    box.put(b"b")
    await turn()
    assert (sink.written, box.waiting_bytes) == ([], 2)
    box.on_writable(True)
    assert (sink.written, box.waiting_bytes) == ([b"ab"], 0)


async def test_a_reader_too_slow_for_the_bound_is_ended_once() -> None:
    """Nothing is kept for it any more."""
    box, sink = outbox(max_bytes=3)
    box.on_writable(False)
    for _ in range(10):
        box.put(b"xx")
    box.on_writable(True)
    await turn()
    assert (sink.overflows, sink.written, box.waiting_bytes) == (1, [], 0)


async def test_a_closed_outbox_takes_nothing() -> None:
    """Whatever was queued in the same turn is dropped with it."""
    box, sink = outbox()
    box.put(b"a")
    box.close()
    box.put(b"b")
    await turn()
    assert sink.written == []


async def test_one_flush_serves_all_outboxes_of_a_turn() -> None:
    """Also those that a flush itself fills belong to the next one."""
    sink_two = Sink()
    turn_ = Turn(asyncio.get_running_loop())

    class Echo(Sink):
        def write(self, data: bytes) -> None:
            super().write(data)
            two.put(b"echo")

    sink_one = Echo()
    one, two = Outbox(sink_one, turn_, 100), Outbox(sink_two, turn_, 100)
    one.put(b"a")
    await turn()
    assert (sink_one.written, sink_two.written) == ([b"a"], [])
    await turn()
    assert sink_two.written == [b"echo"]
