"""Reading an inbox page by page: the cursor, and what a device that pages through has proven to have.

Pure. Knows no engine and no request.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

import orjson

from hub.errors import BAD_REQUEST, HubError

Order = Literal["newest", "oldest"]


@dataclass(frozen=True, slots=True)
class PageCursor:
    """Where the next page begins.

    All between ``start`` and ``offset`` was given by the pages before it: upward from ``start``
    for the oldest first, downward from it for the newest first.
    """

    order: Order
    epoch: str
    start: int
    offset: int

    def text(self) -> str:
        """As clients get it: opaque to them."""
        packed = orjson.dumps([self.order[0], self.epoch, self.start, self.offset])
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def parse_cursor(text: str) -> PageCursor:
    """The cursor that :meth:`PageCursor.text` wrote.

    Raises:
        HubError: 107 for anything else.
    """
    refused = HubError(BAD_REQUEST, "cursor is none that inbox.history gave")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        order, epoch, start, offset = orjson.loads(packed)
    except (binascii.Error, ValueError, TypeError):
        raise refused from None
    if order not in ("n", "o") or not isinstance(epoch, str):
        raise refused
    if not all(isinstance(number, int) and 0 <= number < 2**53 for number in (start, offset)):
        raise refused
    return PageCursor("newest" if order == "n" else "oldest", epoch, start, offset)


def proven_by_paging(
    cursor: PageCursor | None, order: Order, *, top: int, lowest: int | None, is_last: bool, acked: int
) -> int:
    """Up to which offset a device has everything once it got this page; ``acked`` where no more is proven.

    ``lowest`` is the smallest offset of the page, None for an empty one. Pages in between count
    when the next one is asked for, the last one when it is given.
    """
    if order == "oldest":
        start = cursor.start if cursor is not None else 0
        if start > acked:
            return acked
        reached = top if is_last else cursor.offset if cursor is not None else 0
        return max(acked, reached)
    start = cursor.start if cursor is not None else top
    reaches_down = is_last or (lowest is not None and lowest <= acked + 1)
    return max(acked, start) if reaches_down else acked
