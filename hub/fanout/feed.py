"""One channel on this node: who listens, and how a publication reaches all of them.

Knows no engine: what arrives, and whether the channel is listened to at all, is the
node's business. Nothing here awaits, so order is kept and no reader delays another.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from hub.fanout.encoding import (
    Encoding,
    delta_message,
    publication_message,
    push_join,
    push_leave,
    push_publication,
)
from hub.fanout.outbox import Outbox
from hub.fanout.patches import PatchCache
from hub.model import ClientInfo, Position, Publication
from hub.protocol.codec import InvalidJSONPayload
from hub.protocol.messages import PublicationMessage, Reply


class Reader(Protocol):
    """The connection behind a subscriber, as far as a feed knows it."""

    @property
    def outbox(self) -> Outbox:
        """Where its frames go."""
        ...

    @property
    def encoding(self) -> Encoding:
        """How it wants to be spoken to."""
        ...

    def on_unencodable(self) -> None:
        """A publication cannot be said in this reader's codec. Must not detach before it returns."""
        ...

    def on_gap(self, channel: str) -> None:
        """Publications of ``channel`` were lost for good; may detach at once."""
        ...


class Watcher(Protocol):
    """Who wants to know what was put into the outbox of one subscriber."""

    @property
    def watched(self) -> Subscriber | None:
        """The subscriber."""
        ...

    def on_given(self, publication: Publication) -> None:
        """It was given this one, unless it had read it before it went live."""
        ...


class _Mode(Enum):
    __hash__ = object.__hash__  # by its name, as enums do it, takes a call each time a group is looked up

    PLAIN = "plain"
    DELTA_WHOLE = "whole next"  # agreed on delta, does not hold the base yet
    DELTA_PATCH = "patches"


class Subscriber:
    """One connection's membership in one channel, from before its reply is written until it leaves.

    Until :meth:`Feed.go_live` it only gathers what arrives in ``gathered``.
    """

    __slots__ = ("delta", "gathered", "group", "join_leave", "positioned", "reached_offset", "reader")

    def __init__(self, reader: Reader, *, join_leave: bool, delta: bool, positioned: bool = False) -> None:
        self.reader = reader
        self.join_leave = join_leave
        self.delta = delta
        self.positioned = positioned
        """True for one that was told positions, and so must be told when publications are lost."""
        self.reached_offset = 0
        self.gathered: list[Publication] | None = []
        self.group: _Group | None = None


class _Group:
    """Live subscribers for whom a publication is the very same bytes."""

    __slots__ = ("encoding", "mode", "outboxes")

    def __init__(self, encoding: Encoding, mode: _Mode) -> None:
        self.encoding = encoding
        self.mode = mode
        self.outboxes: dict[Subscriber, Outbox] = {}


class Feed:
    """The subscribers of one channel on this node, and the last thing they were sent."""

    __slots__ = (
        "_ahead",
        "_gathering",
        "_groups",
        "_last",
        "_patches",
        "_watchers",
        "channel",
        "join_leave_count",
        "listening",
        "positioned_count",
        "top",
    )

    def __init__(self, channel: str, patches: PatchCache) -> None:
        self.channel = channel
        self._patches = patches
        self.listening = False
        """Set by the node while the engine delivers this channel to it."""
        self.top: Position | None = None
        """Position of the last publication that passed here, or of where listening began."""
        self.join_leave_count = 0
        self.positioned_count = 0
        self._last: Publication | None = None
        self._gathering: set[Subscriber] = set()
        self._ahead: dict[Subscriber, Publication | None] = {}
        self._groups: dict[tuple[Encoding, _Mode], _Group] = {}
        self._watchers: tuple[Watcher, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when nobody subscribes; the same as a length of 0, for less."""
        return not (self._groups or self._gathering or self._ahead)

    def __len__(self) -> int:
        live = sum(len(group.outboxes) for group in self._groups.values())
        return live + len(self._gathering) + len(self._ahead)

    def subscribers(self) -> Iterable[Subscriber]:
        """Everybody, gathering or live; a copy, safe to act on."""
        everybody = [*self._gathering, *self._ahead]
        for group in self._groups.values():
            everybody.extend(group.outboxes)
        return everybody

    def add(self, subscriber: Subscriber) -> None:
        """Count the subscriber in; what arrives from now on is gathered for it."""
        self._gathering.add(subscriber)
        self.join_leave_count += subscriber.join_leave
        self.positioned_count += subscriber.positioned

    def go_live(
        self, subscriber: Subscriber, *, base: Publication | None = None, reached: Position | None = None
    ) -> None:
        """Send the subscriber what arrives from now on.

        ``base`` is the last publication it was given, if any: when that is also the last
        one of this feed, a delta subscriber can take a patch next. ``reached`` is where it
        stands: a history may be read faster than its publications arrive here, and those
        are then passed over for this subscriber alone.
        """
        self._gathering.discard(subscriber)
        subscriber.gathered = None
        subscriber.reached_offset = reached.offset if reached is not None else 0
        if self.top is not None and subscriber.reached_offset > self.top.offset:
            self._ahead[subscriber] = base
        else:
            self._enter(subscriber, base)

    def watch(self, watcher: Watcher) -> None:
        """Tell ``watcher`` what its subscriber, which is live, is given, until that is removed."""
        self._watchers = (*self._watchers, watcher)

    def _enter(self, subscriber: Subscriber, base: Publication | None) -> None:
        mode = _Mode.PLAIN
        if subscriber.delta:
            holds_base = base is not None and self._last is not None and base.offset == self._last.offset
            mode = _Mode.DELTA_PATCH if holds_base else _Mode.DELTA_WHOLE
        self._place(subscriber, mode)

    def _place(self, subscriber: Subscriber, mode: _Mode) -> None:
        encoding = subscriber.reader.encoding
        group = self._groups.get((encoding, mode))
        if group is None:
            group = self._groups[encoding, mode] = _Group(encoding, mode)
        group.outboxes[subscriber] = subscriber.reader.outbox
        subscriber.group = group

    def remove(self, subscriber: Subscriber) -> None:
        """Send the subscriber nothing more. Unknown ones are ignored."""
        if self._watchers:
            self._watchers = tuple(each for each in self._watchers if each.watched is not subscriber)
        if subscriber in self._gathering:
            self._gathering.discard(subscriber)
        elif subscriber in self._ahead:
            del self._ahead[subscriber]
        elif subscriber.group is not None and subscriber in subscriber.group.outboxes:
            group = subscriber.group
            del group.outboxes[subscriber]
            if not group.outboxes:
                del self._groups[group.encoding, group.mode]
        else:
            return
        self.join_leave_count -= subscriber.join_leave
        self.positioned_count -= subscriber.positioned

    def deliver(self, publication: Publication) -> int:
        """Give ``publication`` to everybody; the number of outboxes it went into."""
        for subscriber in self._gathering:
            if subscriber.gathered is not None:
                subscriber.gathered.append(publication)
        if self._ahead:
            self._wait_for_those_ahead(publication)
        delivered = 0
        patch: bytes | None = None
        patched = False
        based: list[_Group] = []
        for group in list(self._groups.values()):
            if group.mode is _Mode.DELTA_PATCH and not patched:
                patched = True
                patch = self._patch(publication)
            elif group.mode is _Mode.DELTA_WHOLE:
                based.append(group)
            message = self._message(group, publication, patch)
            delivered += self._send(group, push_publication(self.channel, message))
        self._last = publication
        for group in based:
            self._promote(group)
        if self._ahead:
            self._admit_those_reached(publication)
        for watcher in self._watchers:
            watcher.on_given(publication)
        return delivered

    def _admit_those_reached(self, publication: Publication) -> None:
        for subscriber, base in list(self._ahead.items()):
            if publication.offset >= subscriber.reached_offset:
                del self._ahead[subscriber]
                self._enter(subscriber, base)

    def _wait_for_those_ahead(self, publication: Publication) -> None:
        for subscriber, base in list(self._ahead.items()):
            if publication.offset > subscriber.reached_offset:
                del self._ahead[subscriber]
                self._enter(subscriber, base)
            elif publication.offset == 0:
                # Never stored, hence not in what it read: it would miss this one.
                self._give_whole(subscriber, publication)

    def _give_whole(self, subscriber: Subscriber, publication: Publication) -> None:
        encoding = subscriber.reader.encoding
        message = (
            delta_message(publication, None, encoding.codec)
            if subscriber.delta
            else publication_message(publication)
        )
        try:
            subscriber.reader.outbox.put(encoding.frame_of(push_publication(self.channel, message)))
        except InvalidJSONPayload:
            subscriber.reader.on_unencodable()
        # What it was given last is no longer what it read.
        self._ahead[subscriber] = None

    def _patch(self, publication: Publication) -> bytes | None:
        if self._last is None:
            return None
        epoch = self.top.epoch if self.top is not None else ""
        return self._patches.between(self.channel, epoch, self._last, publication)

    def _message(self, group: _Group, publication: Publication, patch: bytes | None) -> PublicationMessage:
        if group.mode is _Mode.PLAIN:
            return publication_message(publication)
        patch = patch if group.mode is _Mode.DELTA_PATCH else None
        return delta_message(publication, patch, group.encoding.codec)

    def _promote(self, group: _Group) -> None:
        # Everybody in it now holds the document that the next patch starts from.
        del self._groups[group.encoding, group.mode]
        for subscriber in group.outboxes:
            self._place(subscriber, _Mode.DELTA_PATCH)

    def _send(self, group: _Group, reply: Reply) -> int:
        try:
            frame = group.encoding.frame_of(reply)
        except InvalidJSONPayload:
            for subscriber in group.outboxes:
                subscriber.reader.on_unencodable()
            return 0
        for outbox in group.outboxes.values():
            outbox.put(frame)
        return len(group.outboxes)

    def deliver_join(self, info: ClientInfo) -> None:
        """Tell the subscribers that asked for it that somebody came."""
        self._tell(push_join(self.channel, info))

    def deliver_leave(self, info: ClientInfo) -> None:
        """Tell the subscribers that asked for it that somebody left; the leaver is no longer among them."""
        self._tell(push_leave(self.channel, info))

    def _tell(self, reply: Reply) -> None:
        if not self.join_leave_count:
            return
        for group in list(self._groups.values()):
            frame: bytes | None = None
            for subscriber, outbox in group.outboxes.items():
                if not subscriber.join_leave:
                    continue
                if frame is None:
                    try:
                        frame = group.encoding.frame_of(reply)
                    except InvalidJSONPayload:
                        break  # the info of a Protobuf client that is not JSON: nothing to show here
                outbox.put(frame)
