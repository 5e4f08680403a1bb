"""A feed: one publication becomes the right bytes in every outbox."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hub.fanout import Encoding, Feed, Outbox, PatchCache, Subscriber, Turn
from hub.model import ClientInfo, Position, Publication
from hub.protocol import JSONCodec, ProtobufCodec

JSON = Encoding(JSONCodec(), compressed=False)
PROTOBUF = Encoding(ProtobufCodec(), compressed=False)


class Reader:
    """A connection that remembers."""

    def __init__(self, encoding: Encoding = JSON) -> None:
        self.written: list[bytes] = []
        self.encoding = encoding
        self.outbox = Outbox(self, Turn(asyncio.get_running_loop()), 1 << 20)
        self.unencodable = 0
        self.gaps: list[str] = []

    def write(self, data: bytes) -> None:
        """Take frames."""
        self.written.append(data)

    def on_overflow(self) -> None:
        """Never here."""
        raise AssertionError

    def on_unencodable(self) -> None:
        """Not sayable in its codec."""
        self.unencodable += 1

    def on_gap(self, channel: str) -> None:
        """Lost."""
        self.gaps.append(channel)

    def pushes(self) -> list[dict[str, Any]]:
        """What it was sent, unpacked from short or medium server frames."""
        self.outbox.flush()
        data, found = b"".join(self.written), []
        self.written.clear()
        while data:
            size, head = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
            found.append(json.loads(data[head : head + size])["push"])
            data = data[head + size :]
        return found


def joined(feed: Feed, reader: Reader, *, delta: bool = False, join_leave: bool = False) -> Subscriber:
    """A live subscriber of ``feed``."""
    subscriber = Subscriber(reader, join_leave=join_leave, delta=delta)
    feed.add(subscriber)
    feed.go_live(subscriber)
    return subscriber


def document(n: int) -> Publication:
    """A publication that is worth a patch."""
    return Publication(json.dumps({"n": n, "text": "z" * 100}).encode(), offset=n, delta=True)


async def test_every_live_subscriber_gets_the_publication() -> None:
    """Each kind in its own codec, encoded once for all of that kind."""
    feed = Feed("c", PatchCache())
    one, two, other = Reader(), Reader(), Reader(PROTOBUF)
    for reader in (one, two, other):
        joined(feed, reader)
    assert feed.deliver(Publication(b"1", offset=1)) == 3
    assert one.pushes() == two.pushes() == [{"channel": "c", "pub": {"data": 1, "offset": 1}}]
    other.outbox.flush()
    assert len(other.written) == 1 and b"push" not in other.written[0]


async def test_one_that_is_not_live_gathers() -> None:
    """Nothing reaches its outbox before it is told to."""
    feed, reader = Feed("c", PatchCache()), Reader()
    subscriber = Subscriber(reader, join_leave=True, delta=False)
    feed.add(subscriber)
    publication = Publication(b"1")
    assert feed.deliver(publication) == 0
    feed.deliver_join(ClientInfo("u", "c"))
    assert subscriber.gathered == [publication]
    assert reader.pushes() == []
    assert len(feed) == 1


async def test_one_that_left_gets_nothing_at_any_stage() -> None:
    """And leaving twice is harmless."""
    feed, reader = Feed("c", PatchCache()), Reader()
    gathering = Subscriber(reader, join_leave=True, delta=False)
    feed.add(gathering)
    feed.remove(gathering)
    live = joined(feed, reader, join_leave=True)
    feed.remove(live)
    feed.remove(live)
    feed.deliver(Publication(b"1"))
    feed.deliver_leave(ClientInfo("u", "c"))
    assert (reader.pushes(), len(feed), feed.join_leave_count) == ([], 0, 0)


async def test_join_and_leave_go_to_those_who_want_them() -> None:
    """And to nobody else."""
    feed, wants, silent = Feed("c", PatchCache()), Reader(), Reader()
    joined(feed, wants, join_leave=True)
    joined(feed, silent)
    feed.deliver_join(ClientInfo("u", "c1"))
    feed.deliver_leave(ClientInfo("u", "c1", conn_info=b'{"a":1}'))
    assert [next(k for k in p if k != "channel") for p in wants.pushes()] == ["join", "leave"]
    assert silent.pushes() == []


async def test_a_patch_starts_from_what_each_subscriber_holds() -> None:
    """A newcomer gets the next one whole, whatever the others get."""
    feed, old, new = Feed("c", PatchCache()), Reader(), Reader()
    joined(feed, old, delta=True)
    feed.deliver(document(1))
    feed.deliver(document(2))
    joined(feed, new, delta=True)
    feed.deliver(document(3))
    feed.deliver(document(4))
    assert [p["pub"].get("delta", False) for p in old.pushes()] == [False, True, True, True]
    assert [p["pub"].get("delta", False) for p in new.pushes()] == [False, True]


async def test_one_that_was_given_the_last_publication_takes_a_patch_next() -> None:
    """As after a recovery; one that was given an older one does not."""
    feed, keeper, current, behind = Feed("c", PatchCache()), Reader(), Reader(), Reader()
    joined(feed, keeper, delta=True)
    feed.deliver(document(1))
    feed.deliver(document(2))
    for reader, base in ((current, document(2)), (behind, document(1))):
        subscriber = Subscriber(reader, join_leave=False, delta=True)
        feed.add(subscriber)
        feed.go_live(subscriber, base=base)
    feed.deliver(document(3))
    assert current.pushes()[0]["pub"]["delta"] is True
    assert "delta" not in behind.pushes()[0]["pub"]


async def test_a_publication_that_forbids_delta_is_the_next_base_all_the_same() -> None:
    """Every subscriber holds it, so the next patch starts from it."""
    feed, reader = Feed("c", PatchCache()), Reader()
    joined(feed, reader, delta=True)
    feed.deliver(document(1))
    feed.deliver(Publication(document(2).data, offset=2, delta=False))
    feed.deliver(document(3))
    assert [p["pub"].get("delta", False) for p in reader.pushes()] == [False, False, True]


async def test_a_patch_through_the_middle_of_a_character_goes_out_whole() -> None:
    """A JSON string cannot hold half a character."""
    feed, reader = Feed("c", PatchCache()), Reader()
    joined(feed, reader, delta=True)
    before, after = '"' + "a" * 60 + "ä" + "b" * 60 + '"', '"' + "a" * 60 + "ö" + "b" * 60 + '"'
    for offset, text in enumerate((before, after), 1):
        feed.deliver(Publication(text.encode(), offset=offset, delta=True))
    last = reader.pushes()[-1]["pub"]
    assert last["data"] == after or last["delta"] is True


async def test_what_cannot_be_said_in_json_is_told_to_json_readers_alone() -> None:
    """Protobuf carries any bytes."""
    feed, text, binary = Feed("c", PatchCache()), Reader(), Reader(PROTOBUF)
    joined(feed, text)
    joined(feed, binary)
    assert feed.deliver(Publication(b"\xff")) == 1
    assert (text.unencodable, binary.unencodable) == (1, 0)


async def test_one_that_read_ahead_is_sent_nothing_twice_and_misses_nobody() -> None:
    """It passes over what it has, and is one of all as soon as the feed has caught up."""
    feed, reader = Feed("c", PatchCache()), Reader()
    feed.top = Position(9, "e")
    subscriber = Subscriber(reader, join_leave=True, delta=False, positioned=True)
    feed.add(subscriber)
    feed.go_live(subscriber, reached=Position(11, "e"))
    feed.deliver(Publication(b"10", offset=10))
    feed.deliver(Publication(b"0"))
    feed.deliver(Publication(b"11", offset=11))
    feed.deliver_join(ClientInfo("u", "c1"))
    feed.deliver(Publication(b"12", offset=12))
    pushes = reader.pushes()
    assert [p["pub"]["data"] for p in pushes if "pub" in p] == [0, 12]
    assert [p for p in pushes if "join" in p]
    assert len(feed) == 1
    feed.remove(subscriber)
    assert len(feed) == 0


class Watching:
    """Notes what its subscriber was given."""

    def __init__(self, watched: Subscriber) -> None:
        self.watched = watched
        self.given: list[int] = []

    def on_given(self, publication: Publication) -> None:
        """Behind the frame, in the same step."""
        self.given.append(publication.offset)


async def test_a_watcher_hears_of_all_that_its_subscriber_is_given() -> None:
    """As long as that is there, and of nothing when another one leaves."""
    feed, reader = Feed("a", PatchCache()), Reader()
    subscriber, other = joined(feed, reader), joined(feed, Reader())
    watcher = Watching(subscriber)
    feed.watch(watcher)
    feed.deliver(Publication(b"1", 1))
    feed.remove(other)
    feed.deliver(Publication(b"0"))
    assert watcher.given == [1, 0]
    assert [push["pub"]["data"] for push in reader.pushes()] == [1, 0]
    feed.remove(subscriber)
    feed.deliver(Publication(b"2", 2))
    assert watcher.given == [1, 0]
