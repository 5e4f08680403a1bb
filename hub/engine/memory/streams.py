"""A channel's history as a plain data structure. No clock of its own, no asyncio, nobody to tell."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication

_EPOCH_BYTES = 8

_NOTHING: deque[tuple[float, Publication]] = deque(maxlen=0)
"""The items of all streams that keep none: most channels of one user alone never keep any."""

UNUSED_LIFE_S = 300
"""Life of a position nothing was published to, since anybody may ask for names without end."""


class Stream:
    """The kept publications of one channel and the position of the last one ever appended.

    ``now_s`` is a monotonic clock in seconds, the same for all calls.
    """

    __slots__ = ("_items", "expires_at_s", "top")

    def __init__(self) -> None:
        self.top = Position(0, os.urandom(_EPOCH_BYTES).hex())
        """Position of the newest publication, kept or not."""
        self.expires_at_s = 0.0
        """When the position itself is forgotten."""
        self._items = _NOTHING
        """Until when each is kept, and what, oldest first."""

    @property
    def oldest_offset(self) -> int:
        """Offset of the oldest publication kept; one above the top where none is."""
        return self._items[0][1].offset if self._items else self.top.offset + 1

    def append(self, publication: Publication, policy: HistoryPolicy, now_s: float) -> None:
        """Keep ``publication``, which carries the next offset, and let go what the policy no longer keeps."""
        self.expire(now_s)
        self.top = Position(publication.offset, self.top.epoch)
        if self._items is _NOTHING:
            self._items = deque()
        self._items.append((now_s + policy.ttl_s, publication))
        while len(self._items) > policy.size:
            self._items.popleft()
        self.touch(policy, now_s)

    def touch(self, policy: HistoryPolicy, now_s: float, *, keep_unused: bool = False) -> None:
        """Let the position live on for the policy's time.

        One that nothing was ever published to lives shortly, unless ``keep_unused``.
        """
        life_s = max(policy.meta_ttl_s, policy.ttl_s)
        if not self.top.offset and not keep_unused:
            life_s = min(life_s, UNUSED_LIFE_S)
        self.expires_at_s = max(now_s + life_s, self.expires_at_s)

    def expire(self, now_s: float) -> None:
        """Forget publications whose time is over."""
        while self._items and now_s >= self._items[0][0]:
            self._items.popleft()

    def replace(self, offset: int, data: bytes) -> None:
        """Give the publication at ``offset`` another payload, where it is still kept."""
        place = offset - self.oldest_offset
        if 0 <= place < len(self._items):
            expire_at_s, publication = self._items[place]
            self._items[place] = (expire_at_s, replace(publication, data=data))

    def clear(self) -> None:
        """Forget all publications; the position stays."""
        self._items = _NOTHING

    def page(self, wanted: HistoryFilter, now_s: float) -> HistoryPage:
        """The part of the history that ``wanted`` names."""
        self.expire(now_s)
        if not wanted.limit:
            return HistoryPage((), self.top)
        found = self._backward(wanted) if wanted.reverse else self._forward(wanted)
        if wanted.limit > 0:
            found = islice(found, wanted.limit)
        return HistoryPage(tuple([publication for _, publication in found]), self.top)

    def _forward(self, wanted: HistoryFilter) -> Iterable[tuple[float, Publication]]:
        if wanted.since is None or not self._items:
            return self._items
        if wanted.since.offset >= self.top.offset:
            return ()
        # Offsets are consecutive, so the place is known without a search.
        skip = max(0, wanted.since.offset - self._items[0][1].offset + 1)
        # Clients may name any 64-bit offset, and islice takes only what a list could hold.
        skip = min(skip, len(self._items))
        return islice(self._items, skip, None)

    def _backward(self, wanted: HistoryFilter) -> Iterable[tuple[float, Publication]]:
        if wanted.since is None or not self._items:
            return reversed(self._items)
        # Reading back from a place that is gone would pass over a hole unseen.
        keep = wanted.since.offset - self._items[0][1].offset
        if keep <= 0:
            return ()
        skip = max(0, len(self._items) - keep)
        return islice(reversed(self._items), skip, None)
