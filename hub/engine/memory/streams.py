"""A channel's history as a plain data structure. No clock of its own, no asyncio, nobody to tell."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication

_EPOCH_BYTES = 6

UNUSED_LIFE_S = 300
"""Life of a position nothing was published to, since anybody may ask for names without end."""


class Stream:
    """The kept publications of one channel and the position of the last one ever appended.

    ``now_s`` is a monotonic clock in seconds, the same for all calls.
    """

    __slots__ = ("_expire_at_s", "_items", "epoch", "expires_at_s", "offset")

    def __init__(self) -> None:
        self.epoch = secrets.token_urlsafe(_EPOCH_BYTES)
        self.offset = 0
        self.expires_at_s = 0.0
        """When the position itself is forgotten."""
        self._items: deque[Publication] = deque()
        self._expire_at_s: deque[float] = deque()

    @property
    def top(self) -> Position:
        """Position of the newest publication, kept or not."""
        return Position(self.offset, self.epoch)

    @property
    def oldest_offset(self) -> int:
        """Offset of the oldest publication kept; one above the top where none is."""
        return self._items[0].offset if self._items else self.offset + 1

    def append(self, publication: Publication, policy: HistoryPolicy, now_s: float) -> None:
        """Keep ``publication``, which carries the next offset, and let go what the policy no longer keeps."""
        self.expire(now_s)
        self.offset = publication.offset
        self._items.append(publication)
        self._expire_at_s.append(now_s + policy.ttl_s)
        while len(self._items) > policy.size:
            self._drop_oldest()
        self.touch(policy, now_s)

    def touch(self, policy: HistoryPolicy, now_s: float, *, keep_unused: bool = False) -> None:
        """Let the position live on for the policy's time.

        One that nothing was ever published to lives shortly, unless ``keep_unused``.
        """
        life_s = max(policy.meta_ttl_s, policy.ttl_s)
        if not self.offset and not keep_unused:
            life_s = min(life_s, UNUSED_LIFE_S)
        self.expires_at_s = max(now_s + life_s, self.expires_at_s)

    def expire(self, now_s: float) -> None:
        """Forget publications whose time is over."""
        while self._items and now_s >= self._expire_at_s[0]:
            self._drop_oldest()

    def replace(self, offset: int, data: bytes) -> None:
        """Give the publication at ``offset`` another payload, where it is still kept."""
        place = offset - self.oldest_offset
        if 0 <= place < len(self._items):
            self._items[place] = replace(self._items[place], data=data)

    def _drop_oldest(self) -> None:
        self._items.popleft()
        self._expire_at_s.popleft()

    def clear(self) -> None:
        """Forget all publications; the position stays."""
        self._items.clear()
        self._expire_at_s.clear()

    def page(self, wanted: HistoryFilter, now_s: float) -> HistoryPage:
        """The part of the history that ``wanted`` names."""
        self.expire(now_s)
        found: Iterable[Publication] = ()
        if wanted.limit:
            found = self._backward(wanted) if wanted.reverse else self._forward(wanted)
            if wanted.limit > 0:
                found = islice(found, wanted.limit)
        return HistoryPage(tuple(found), self.top)

    def _forward(self, wanted: HistoryFilter) -> Iterable[Publication]:
        if wanted.since is None or not self._items:
            return self._items
        if wanted.since.offset >= self.offset:
            return ()
        # Offsets are consecutive, so the place is known without a search.
        skip = max(0, wanted.since.offset - self._items[0].offset + 1)
        # Clients may name any 64-bit offset, and islice takes only what a list could hold.
        skip = min(skip, len(self._items))
        return islice(self._items, skip, None)

    def _backward(self, wanted: HistoryFilter) -> Iterable[Publication]:
        if wanted.since is None or not self._items:
            return reversed(self._items)
        # Reading back from a place that is gone would pass over a hole unseen.
        keep = wanted.since.offset - self._items[0].offset
        if keep <= 0:
            return ()
        skip = max(0, len(self._items) - keep)
        return islice(reversed(self._items), skip, None)
