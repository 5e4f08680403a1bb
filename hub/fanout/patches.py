"""Deltas between publications that follow each other, computed once and remembered for a while.

The live feed and everybody who recovers need the same ones. Knows no subscriber and no codec.
"""

from __future__ import annotations

from collections import OrderedDict

from hub.model import Publication
from hub.protocol.fossil import create_delta

MAX_ENTRIES = 4_096
MAX_BYTES = 8 * 1024 * 1024
"""Old patches leave beyond this: a recovery rarely reaches far back."""

_Key = tuple[str, str, int]


class PatchCache:
    """The patches of all channels of this node, by channel, epoch and offset of the result."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[_Key, bytes | None] = OrderedDict()

    def between(self, channel: str, epoch: str, base: Publication, publication: Publication) -> bytes | None:
        """The patch from ``base`` to ``publication``; None where the whole document is the better choice."""
        if not publication.delta:
            return None
        if not epoch or publication.offset != base.offset + 1:
            return _patch(base, publication)
        key = (channel, epoch, publication.offset)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        patch = _patch(base, publication)
        self._known[key] = patch
        self._bytes += len(patch or b"")
        while len(self._known) > self._max_entries or self._bytes > self._max_bytes:
            _, dropped = self._known.popitem(last=False)
            self._bytes -= len(dropped or b"")
        return patch


def _patch(base: Publication, publication: Publication) -> bytes | None:
    patch = create_delta(base.data, publication.data)
    return patch if len(patch) < len(publication.data) else None
