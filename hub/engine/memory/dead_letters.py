"""Notifications that could not be sent to one device, for operators to look at, replay or drop."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hub.delivery.model import DeadLetter, DeadLetterPage, DeadOffset

DEAD_LETTER_TTL_MS = 7 * 86_400_000

_NUMBER = re.compile(r"[0-9]{1,20}")


class DeadLetters:
    """Letters of all lanes, oldest first. Their ids are numbers that only grow."""

    def __init__(self) -> None:
        self._letters: dict[int, DeadLetter] = {}
        self._numbers = itertools.count(1)

    def add(self, lane: str, user: str, device: str, dead: DeadOffset, now_ms: int) -> None:
        """Keep one."""
        number = next(self._numbers)
        self._letters[number] = DeadLetter(
            str(number), lane, user, device, dead.id, dead.offset, dead.reason, now_ms
        )

    def page(self, lane: str | None, cursor: str, limit: int, now_ms: int) -> DeadLetterPage:
        """Some of them; a cursor that is none of ours reads from the start."""
        self.sweep(now_ms)
        after = _number(cursor) or 0
        wanted = (
            (number, letter)
            for number, letter in self._letters.items()
            if number > after and lane in (None, letter.lane)
        )
        found = list(itertools.islice(wanted, limit + 1))
        shown = found[:limit]
        more = len(found) > limit and shown
        return DeadLetterPage(tuple(letter for _, letter in shown), str(shown[-1][0]) if more else "")

    def take(self, ids: Sequence[str], now_ms: int) -> list[DeadLetter]:
        """Remove these and hand them out; unknown ones are left out."""
        self.sweep(now_ms)
        numbers = (number for each in ids if (number := _number(each)) is not None)
        taken = [self._letters.pop(number, None) for number in numbers]
        return [letter for letter in taken if letter is not None]

    def forget(self, user: str) -> None:
        """All letters of a user."""
        for number in [number for number, letter in self._letters.items() if letter.user == user]:
            del self._letters[number]

    def sweep(self, now_ms: int) -> None:
        """Free those whose time is over."""
        for number, letter in list(self._letters.items()):
            if now_ms < letter.time_ms + DEAD_LETTER_TTL_MS:
                break
            del self._letters[number]


def _number(text: str) -> int | None:
    """The number that a letter's id is; None for text that is no such id."""
    return int(text) if _NUMBER.fullmatch(text) else None
