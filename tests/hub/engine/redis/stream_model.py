"""Random use of two brokers side by side, on one clock: whatever one answers, the other must.

Time moves in steps, and the lives of streams lie between the steps: Redis may forget a
stream a little later than it must.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from hub.engine import Broker
from hub.model import (
    NO_HISTORY,
    ClientInfo,
    HistoryFilter,
    HistoryPolicy,
    Position,
    Publication,
    PublishResult,
)

STEP_S = 9

POLICIES = {
    "few": HistoryPolicy(size=2, ttl_s=2 * STEP_S, meta_ttl_s=62),
    "short": HistoryPolicy(size=5, ttl_s=STEP_S, meta_ttl_s=30),
    "long:#ann": HistoryPolicy(size=4, ttl_s=70, meta_ttl_s=62),
    "plain": NO_HISTORY,
}

Answer = TypeVar("Answer")

channels = st.sampled_from(sorted(POLICIES))
publications = st.sampled_from(
    [
        Publication(b"{}"),
        Publication(b"\n\n\x00\xff", delta=True),
        Publication(b"", info=ClientInfo("é", "c1", b"{}", None), tags={"": "ü"}),
    ]
)
# Neighbours that are one number to whoever counts in floating point.
versions = st.sampled_from([1, 2, 3, 9, 10, 2**53, 2**53 + 1, 2**63])
# Counted from the newest publication, where the ends of what is kept lie.
since_places = st.none() | st.integers(-6, 1) | st.sampled_from([-(2**64), 2**64 - 1])
MAX_OFFSET = 2**64 - 1


@dataclass
class Clock:
    """Seconds that pass when told to. Starts where no key can expire by the server's own clock."""

    start_s: int
    passed_s: int = 0

    def now_s(self) -> float:
        """What a monotonic clock, or one on the wall, would show."""
        return float(self.start_s + self.passed_s)

    def now_ms(self) -> int:
        """The same in milliseconds."""
        return (self.start_s + self.passed_s) * 1000


@dataclass
class SameEpochs:
    """Epochs are random: they are equal when they always stand for each other."""

    other: dict[str, str] = field(default_factory=dict)

    def position(self, ours: Position | None, theirs: Position | None) -> bool:
        """Whether two positions are the same place."""
        if ours is None or theirs is None:
            return ours is theirs
        same_epoch = self.other.setdefault(ours.epoch, theirs.epoch) == theirs.epoch
        distinct = len(set(self.other.values())) == len(self.other)
        return same_epoch and distinct and ours.offset == theirs.offset


@dataclass(frozen=True)
class TwoBrokers:
    """The broker under test beside the one that is its specification, and how to run either."""

    tested: Broker
    specified: Broker
    clock: Clock
    run: Callable[[Awaitable[Answer]], Answer]


class StreamModel(RuleBasedStateMachine):
    """Publish, read, remove and let time pass; every answer is compared."""

    def __init__(self, brokers: TwoBrokers) -> None:
        super().__init__()
        self._brokers = brokers
        self._epochs = SameEpochs()
        self._newest: dict[str, int] = {}

    def _both(self, ask: Callable[[Broker], Awaitable[Answer]]) -> tuple[Answer, Answer]:
        brokers = self._brokers
        return brokers.run(ask(brokers.tested)), brokers.run(ask(brokers.specified))

    def _publish(self, channel: str, ask: Callable[[Broker], Awaitable[PublishResult]]) -> None:
        tested, specified = self._both(ask)
        assert tested.duplicate == specified.duplicate
        assert self._epochs.position(tested.position, specified.position), (tested, specified)
        if specified.position is not None and not specified.duplicate:
            self._newest[channel] = specified.position.offset

    @rule(
        channel=channels,
        burst=st.lists(st.tuples(publications, st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=4),
        then_read=st.booleans(),
    )
    def publish(self, channel: str, burst: list[tuple[Publication, int]], then_read: bool) -> None:
        """Several, some time apart, so that streams fill and age."""
        for publication, steps in burst:
            self._publish(
                channel, lambda broker, p=publication: broker.publish(channel, p, POLICIES[channel])
            )
            self._brokers.clock.passed_s += steps * STEP_S
        if then_read:
            self.history(channel, -1, None, False)

    @rule(
        channel=channels,
        publication=publications,
        key=st.sampled_from(["", "k"]),
        key_ttl_s=st.sampled_from([STEP_S, 300]),
        version=st.just(0) | versions,
        version_epoch=st.sampled_from(["", "e"]),
        skip_history=st.booleans(),
    )
    def publish_once(
        self,
        channel: str,
        publication: Publication,
        key: str,
        key_ttl_s: int,
        version: int,
        version_epoch: str,
        skip_history: bool,
    ) -> None:
        """With an idempotency key, a version, or both."""
        policy = NO_HISTORY if skip_history else POLICIES[channel]

        def ask(broker: Broker) -> Awaitable[PublishResult]:
            return broker.publish(
                channel,
                publication,
                policy,
                idempotency_key=key,
                idempotency_ttl_s=key_ttl_s,
                version=version,
                version_epoch=version_epoch,
            )

        self._publish(channel, ask)

    @rule(
        channel=channels,
        burst=st.lists(st.tuples(versions, st.sampled_from([0, 0, 0, 10, 20])), min_size=2, max_size=4),
        version_epoch=st.sampled_from(["", "e"]),
    )
    def publish_versions(self, channel: str, burst: list[tuple[int, int]], version_epoch: str) -> None:
        """Several of one line, some of them late, some so late that nobody remembers."""
        for version, steps in burst:

            def ask(broker: Broker, version: int = version) -> Awaitable[PublishResult]:
                return broker.publish(
                    channel,
                    Publication(b"{}"),
                    POLICIES[channel],
                    version=version,
                    version_epoch=version_epoch,
                )

            self._publish(channel, ask)
            self._brokers.clock.passed_s += steps * STEP_S

    @rule(
        channel=channels,
        limit=st.integers(-1, 6),
        place=since_places,
        reverse=st.booleans(),
    )
    def history(self, channel: str, limit: int, place: int | None, reverse: bool) -> None:
        """Any part of it."""
        since = None
        if place is not None:
            since = Position(min(max(self._newest.get(channel, 0) + place, 0), MAX_OFFSET), "")
        wanted = HistoryFilter(limit, since, reverse)
        tested, specified = self._both(lambda broker: broker.history(channel, wanted, POLICIES[channel]))
        assert tested.publications == specified.publications
        assert self._epochs.position(tested.top, specified.top)

    @rule(asked=st.lists(channels, max_size=4))
    def positions(self, asked: list[str]) -> None:
        """Several tops at once, one of them perhaps twice."""
        pairs = [(channel, POLICIES[channel]) for channel in asked]
        tested, specified = self._both(lambda broker: broker.positions(pairs))
        assert len(tested) == len(specified) == len(asked)
        assert all(map(self._epochs.position, tested, specified))

    @rule(channel=channels)
    def remove_history(self, channel: str) -> None:
        """The kept publications of one."""
        self._both(lambda broker: broker.remove_history(channel))

    @rule(steps=st.sampled_from([1, 1, 2, 3, 5, 20]))
    def let_time_pass(self, steps: int) -> None:
        """For both alike."""
        self._brokers.clock.passed_s += steps * STEP_S

    @rule(channel=channels)
    def read_everything(self, channel: str) -> None:
        """The whole history, which random parts seldom are."""
        self.history(channel, -1, None, False)

    def teardown(self) -> None:
        """However it came to be, in the end both hold the same."""
        for channel in POLICIES:
            self.read_everything(channel)
