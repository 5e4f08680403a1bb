"""Which names are subscribed on a wire: commands and answers in every order that can happen."""

from __future__ import annotations

import pytest

from hub.engine.redis.subscriptions import WireSubscriptions


class Wanted:
    """A wire with names that a test wants and no longer wants."""

    def __init__(self, *, sharded: bool = False, chunk_count: int = 10) -> None:
        self.names: set[bytes] = set()
        self.wire = WireSubscriptions(
            sharded=sharded, chunk_count=chunk_count, wanted=self.names.__contains__
        )

    def want(self, *names: bytes, tag: str = "p0") -> list[tuple[bytes, ...]]:
        for name in names:
            self.names.add(name)
            self.wire.look_at(name, tag)
        return self.wire.next_commands()

    def drop(self, name: bytes) -> list[tuple[bytes, ...]]:
        self.names.discard(name)
        self.wire.look_at(name, "p0")
        return self.wire.next_commands()


@pytest.fixture
def wanted() -> Wanted:
    return Wanted()


def test_what_a_turn_gathers_is_one_command(wanted: Wanted) -> None:
    """And each name is heard by its own confirmation."""
    assert wanted.want(b"a", b"b") == [(b"SUBSCRIBE", b"a", b"b")]
    assert wanted.wire.on_subscribed(b"a")
    assert (wanted.wire.heard(b"a"), wanted.wire.heard(b"b")) == (True, False)
    assert not wanted.wire.settled
    assert wanted.wire.on_subscribed(b"b")
    assert wanted.wire.settled


def test_large_crowds_go_in_chunks() -> None:
    """The rest waits for the next turn."""
    wanted = Wanted(chunk_count=2)
    assert wanted.want(b"a", b"b", b"c") == [(b"SUBSCRIBE", b"a", b"b")]
    assert wanted.wire.open_count == 1
    assert wanted.wire.next_commands() == [(b"SUBSCRIBE", b"c")]
    assert wanted.wire.next_commands() == []


def test_a_cluster_gets_one_command_per_tag() -> None:
    """It refuses names of different slots in one."""
    wanted = Wanted(sharded=True)
    wanted.names.update((b"a", b"b", b"c"))
    for name, tag in ((b"a", "p1"), (b"b", "p2"), (b"c", "p1")):
        wanted.wire.look_at(name, tag)
    assert wanted.wire.next_commands() == [(b"SSUBSCRIBE", b"a", b"c"), (b"SSUBSCRIBE", b"b")]


def test_wanted_and_dropped_in_one_turn_asks_nothing(wanted: Wanted) -> None:
    """Only the difference is asked for."""
    wanted.wire.look_at(b"a", "p0")
    assert wanted.wire.next_commands() == []


def test_the_confirmation_of_an_earlier_command_is_not_believed(wanted: Wanted) -> None:
    """Subscribed, unsubscribed, subscribed again: only the last one counts."""
    wanted.want(b"a")
    assert wanted.drop(b"a") == [(b"UNSUBSCRIBE", b"a")]
    assert wanted.want(b"a") == [(b"SUBSCRIBE", b"a")]
    assert not wanted.wire.on_subscribed(b"a")
    assert not wanted.wire.on_unsubscribed(b"a")
    assert not wanted.wire.heard(b"a")
    assert wanted.wire.on_subscribed(b"a")
    assert wanted.wire.settled


def test_an_end_that_nobody_asked_for_is_told(wanted: Wanted) -> None:
    """A slot that moves takes its channels along."""
    wanted.want(b"a")
    wanted.wire.on_subscribed(b"a")
    assert wanted.wire.on_unsubscribed(b"a")
    assert not wanted.wire.heard(b"a")
    assert wanted.want(b"a") == [(b"SUBSCRIBE", b"a")]


def test_an_error_is_that_of_the_oldest_command(wanted: Wanted) -> None:
    """Its names can be asked for again, those of the next are untouched."""
    wanted.want(b"a", b"b")
    wanted.want(b"c")
    assert set(wanted.wire.on_error()) == {b"a", b"b"}
    assert wanted.wire.on_subscribed(b"c")
    assert wanted.want(b"a") == [(b"SUBSCRIBE", b"a")]


def test_an_error_of_an_unsubscribe_or_of_nothing_fails_nobody(wanted: Wanted) -> None:
    """Nothing is asked again because of it."""
    assert wanted.wire.on_error() == ()
    wanted.want(b"a")
    wanted.wire.on_subscribed(b"a")
    wanted.drop(b"a")
    assert wanted.wire.on_error() == ()
    assert wanted.wire.settled


def test_an_unknown_confirmation_changes_nothing(wanted: Wanted) -> None:
    """It is not an answer to anything."""
    assert not wanted.wire.on_subscribed(b"x")
    assert not wanted.wire.on_unsubscribed(b"x")
