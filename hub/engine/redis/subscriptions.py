"""What is subscribed on one wire: what was asked for, what the server confirmed, what is still to be asked.

The server answers in the order of what it was asked, so an answer belongs to the oldest command
that is unanswered; one that fits nothing was volunteered. Knows no listener, no socket and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter


@dataclass(slots=True, eq=False)
class _Command:
    """A command on the wire and the names it has no answer for yet."""

    subscribes: bool
    names: set[bytes] = field(default_factory=set)


class WireSubscriptions:
    """Subscriptions of one wire, from its first command to its loss.

    ``wanted`` tells whether a name should be subscribed, at the moment the commands are made.
    """

    def __init__(self, *, sharded: bool, chunk_count: int, wanted: Callable[[bytes], bool]) -> None:
        self._subscribe = b"SSUBSCRIBE" if sharded else b"SUBSCRIBE"
        self._unsubscribe = b"SUNSUBSCRIBE" if sharded else b"UNSUBSCRIBE"
        self._sharded = sharded
        self._chunk_count = chunk_count
        self._wanted = wanted
        self._asked: dict[bytes, _Command] = {}
        self._heard: set[bytes] = set()
        self._open: dict[bytes, str] = {}
        self._commands: deque[_Command] = deque()

    @property
    def settled(self) -> bool:
        """Whether everything that is wanted was asked for and answered."""
        return not (self._open or self._commands)

    @property
    def open_count(self) -> int:
        """How many names are still to be looked at."""
        return len(self._open)

    def heard(self, name: bytes) -> bool:
        """Whether the server confirmed ``name`` and was not told otherwise since."""
        return name in self._heard

    def look_at(self, name: bytes, tag: str) -> None:
        """Whether ``name`` is wanted may have changed: ask the server for the difference."""
        self._open[name] = tag

    def next_commands(self) -> list[tuple[bytes, ...]]:
        """Commands for at most one chunk of names, each of one tag; empty when nothing is open."""
        chunk = list(islice(self._open.items(), self._chunk_count))
        for name, _ in chunk:
            del self._open[name]
        new = [(name, tag) for name, tag in chunk if self._wanted(name) and name not in self._asked]
        old = [(name, tag) for name, tag in chunk if not self._wanted(name) and name in self._asked]
        return [*self._make(self._unsubscribe, old), *self._make(self._subscribe, new)]

    def _make(self, verb: bytes, names: list[tuple[bytes, str]]) -> Iterable[tuple[bytes, ...]]:
        """One command; on a Cluster one per tag, since all channels of one must share their slot."""
        if self._sharded:
            names.sort(key=itemgetter(1))
            groups = [[name for name, _ in group] for _, group in groupby(names, key=itemgetter(1))]
        else:
            groups = [[name for name, _ in names]] if names else []
        for group in groups:
            command = _Command(verb is self._subscribe, set(group))
            self._commands.append(command)
            for name in group:
                self._heard.discard(name)
                if command.subscribes:
                    self._asked[name] = command
                else:
                    del self._asked[name]
            yield (verb, *group)

    def on_subscribed(self, name: bytes) -> bool:
        """The server confirmed a name; True when that is the last word on it."""
        command = self._answer(name, subscribes=True)
        if command is None or self._asked.get(name) is not command:
            return False
        self._heard.add(name)
        return True

    def on_unsubscribed(self, name: bytes) -> bool:
        """The server ended a subscription; True when nobody asked it to (its slot has moved)."""
        if self._answer(name, subscribes=False) is not None:
            return False
        self._heard.discard(name)
        return self._asked.pop(name, None) is not None

    def on_error(self) -> Collection[bytes]:
        """The server refused the oldest command. Returns the names that are not subscribed because of it."""
        if not self._commands:
            return ()
        command = self._commands.popleft()
        if not command.subscribes:
            return ()
        failed = [name for name in command.names if self._asked.get(name) is command]
        for name in failed:
            del self._asked[name]
        return failed

    def _answer(self, name: bytes, *, subscribes: bool) -> _Command | None:
        if not self._commands:
            return None
        command = self._commands[0]
        if command.subscribes is not subscribes or name not in command.names:
            return None
        command.names.discard(name)
        if not command.names:
            self._commands.popleft()
        return command
