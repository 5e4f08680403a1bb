"""Holds every client to the promise: each publication exactly once and in order, or an honest no.

Listens to what clients tell their applications (the events of ``SdkClient``), whatever client that
is, and knows nothing of hubs, Redis and faults. Publications are numbered by the ``Publisher``: what
was published as number 7 holds ``{"n": 7}``.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.support.sdk import Fields

_TRAIL_EVENTS = 30
_SHOWN_VIOLATIONS = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a stream."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the publisher knows of one number: where the hub put it, and whether it had to ask twice."""

    place: Place
    repeated: bool


class Witness:
    """What one client was told, judged as it comes. Call it with each event."""

    def __init__(self, checker: Checker, name: str) -> None:
        self.name = name
        self._checker = checker
        self._places: dict[str, Place] = {}
        self._trails: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_TRAIL_EVENTS))

    def __call__(self, event: str, fields: Fields) -> None:
        """Judge one event."""
        match event:
            case "subscribed" | "server_subscribed":
                self._note(fields["channel"], f"{event} {_shown(fields)}")
                self._subscribed(fields)
            case "publication" | "server_publication":
                self._note(fields["channel"], f"#{fields['data']['n']} at {fields['offset']}")
                self._published(fields["channel"], fields["offset"], fields["data"]["n"])
            case "unsubscribed" | "server_unsubscribed":
                self._note(fields["channel"], event)
                self._violation(fields["channel"], "lost its subscription for good")
            case "disconnected":
                self._note("", event)
                self._violation(
                    "", f"lost its connection for good: {fields.get('code')} {fields.get('reason')}"
                )
            case "connecting" | "connected":
                if event == "connecting" and self._places:
                    self._checker.lost_at_s.append(time.monotonic())
                elif self._places:
                    self._checker.reconnected_at_s.append(time.monotonic())
                for trail in self._trails.values():
                    trail.append(f"{event} {fields.get('code', '')}")
            case _:
                self._note(fields.get("channel", ""), f"{event} {fields}")

    def place(self, channel: str) -> Place | None:
        """How far it has come in ``channel``; None before its first subscribe was answered."""
        return self._places.get(channel)

    @property
    def channels(self) -> Collection[str]:
        """Channels it was ever subscribed to."""
        return self._places.keys()

    def trail(self, channel: str) -> str:
        """The last things it was told of ``channel``."""
        return " | ".join(self._trails[channel])

    def _subscribed(self, fields: Fields) -> None:
        channel, position = fields["channel"], fields["position"]
        if position is None:
            self._violation(channel, "was given no position")
            return
        told = Place(position["epoch"], position["offset"])
        known = self._places.get(channel)
        self._places[channel] = told
        if known is None:
            return
        if not fields["was_recovering"]:
            self._violation(channel, "was not asked to resume, or the hub did not notice")
        elif fields["recovered"]:
            if told != known:
                self._violation(channel, f"resumed at {told} instead of {known}")
        else:
            self._checker.count_gap(channel)
            if told.epoch == known.epoch and told.offset < known.offset:
                self._violation(channel, f"was set back from {known} to {told}")

    def _published(self, channel: str, offset: int, number: int) -> None:
        known = self._places.get(channel)
        if known is None:
            self._violation(channel, f"got #{number} before it was subscribed")
            return
        if offset != known.offset + 1:
            what = "again or late" if offset <= known.offset else "after a hole"
            self._violation(channel, f"got #{number} at {offset} {what}: it stood at {known.offset}")
        place = self._places[channel] = Place(known.epoch, offset)
        self._checker.note(self, channel, place, number)

    def _note(self, channel: str, what: str) -> None:
        self._trails[channel].append(what)

    def _violation(self, channel: str, what: str) -> None:
        self._checker.violation(self, channel, what)


class Checker:
    """All witnesses of a scenario, and what they agree on."""

    def __init__(self) -> None:
        self.witnesses: list[Witness] = []
        self.gaps: Counter[str] = Counter()
        """Honest gaps by channel: ``recovered: false`` to a client that asked to resume."""
        self.lost_at_s: list[float] = []
        """When a client that was connected no longer was, on the monotonic clock."""
        self.reconnected_at_s: list[float] = []
        """When one of them was connected again."""
        self._violations: list[str] = []
        self._numbers: defaultdict[str, dict[Place, int]] = defaultdict(dict)

    @property
    def lost_connections(self) -> int:
        """How often a client that was connected no longer was."""
        return len(self.lost_at_s)

    def witness(self, name: str) -> Witness:
        """Somebody new to tell us."""
        made = Witness(self, name)
        self.witnesses.append(made)
        return made

    def count_gap(self, channel: str) -> None:
        """A client was told the truth about a loss."""
        self.gaps[channel] += 1

    def violation(self, witness: Witness, channel: str, what: str) -> None:
        """The promise was broken."""
        self._violations.append(f"{witness.name} {channel}: {what}\n    {witness.trail(channel)}")

    def note(self, witness: Witness, channel: str, place: Place, number: int) -> None:
        """A client got a number at a place; everybody must get the same there."""
        known = self._numbers[channel].setdefault(place, number)
        if known != number:
            self.violation(witness, channel, f"got #{number} at {place}, where others got #{known}")

    def behind(self, tops: Mapping[str, Place]) -> list[str]:
        """Clients that have not reached these places, each with what it was told last."""
        return [
            f"{witness.name} {channel}: at {place} instead of {tops[channel]}\n    {witness.trail(channel)}"
            for witness in self.witnesses
            for channel in witness.channels
            if channel in tops and (place := witness.place(channel)) != tops[channel]
        ]

    @property
    def violations(self) -> str:
        """What was broken as far as clients alone can tell; empty when nothing was."""
        return "\n".join(self._violations[:_SHOWN_VIOLATIONS])

    def verify(self, accepted: Mapping[str, Mapping[int, Accepted]]) -> None:
        """Compare everything with what the publisher was told.

        Raises:
            AssertionError: naming clients, channels and what each was told before.
        """
        found = list(self._violations)
        for channel, by_number in accepted.items():
            found += self._wrong_numbers(channel, by_number)
        shown = "\n".join(found[:_SHOWN_VIOLATIONS])
        assert not found, f"{len(found)} times the promise was broken:\n{shown}"

    def _wrong_numbers(self, channel: str, accepted: Mapping[int, Accepted]) -> list[str]:
        found: list[str] = []
        numbers = self._numbers[channel]
        for number, told in accepted.items():
            if numbers.get(told.place, number) != number:
                found.append(
                    f"{channel}: #{number} was accepted at {told.place}: {numbers[told.place]} is there"
                )
        seen: dict[int, Place] = {}
        for place, number in sorted(numbers.items(), key=lambda item: (item[1], item[0].offset)):
            before = numbers.get(Place(place.epoch, place.offset - 1))
            if before is not None and not all(
                # Two servers that both take themselves for the primary make two streams.
                between in accepted and accepted[between].place.epoch != place.epoch
                for between in range(before + 1, number)
            ):
                found.append(f"{channel}: #{number} follows #{before} in epoch {place.epoch}")
            earlier = seen.setdefault(number, place)
            # In another epoch it may have been published again, for a publisher that got no answer.
            repeated = number not in accepted or accepted[number].repeated
            if earlier != place and (earlier.epoch == place.epoch or not repeated):
                found.append(f"{channel}: #{number} was published twice, at {earlier} and at {place}")
        return found


def most_within(times_s: Sequence[float], window_s: float) -> int:
    """Most of these moments that lie within so many seconds."""
    ordered = sorted(times_s)
    return max((bisect_left(ordered, each + window_s) - i for i, each in enumerate(ordered)), default=0)


def _shown(fields: Fields) -> str:
    position = fields["position"] or {}
    state = "recovered" if fields["recovered"] else "not recovered" if fields["was_recovering"] else "fresh"
    return f"{state} at {position.get('offset')} of {position.get('epoch')}"
