"""What is told to the ledger, answer by answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.delivery.model import Claimed, DeadOffset, Finish
from tests.workers.test_composing import NOW_MS, SECRET, alone, claimed, entry
from workers.composing import compose
from workers.push import Outcome, Verdict
from workers.settling import Moment, settle

MOMENT = Moment(NOW_MS + 500, lambda: 0.5, "w1")
FINE = Outcome(Verdict.ACCEPTED, status=200, provider_id="p-1")
LOST = Outcome(Verdict.LATER, "connection lost", unknown=True)
GONE = Outcome(Verdict.GONE, "Unregistered", status=410)
STOP = Outcome(Verdict.STOP, "InvalidProviderToken", status=403)
DEAD = Outcome(Verdict.DEAD, "BadTopic", status=400)


def settled(row: Claimed, *outcomes: Outcome) -> Finish:
    """The end of a row after these answers."""
    return settle(row, compose(row, SECRET, 60), outcomes, MOMENT)


def marks(end: Finish) -> list[tuple[str, str]]:
    """Which notification got which mark."""
    return [(mark.id, mark.event) for mark in end.marks]


def test_what_the_provider_took_is_sent() -> None:
    """Under the current claim, by this worker, and nothing is put off."""
    end = settled(claimed([alone(5), alone(8)]), FINE, FINE)
    assert (end.user, end.device, end.claim) == ("alice", "a" * 16, "c-1")
    assert end.lane == "apns:com.example.app:production"
    assert end.sent == (5, 8)
    assert (end.retry_ms, end.dead, end.gone, end.node) == (None, (), "", "w1")
    assert marks(end) == [("n-5", "attempt"), ("n-5", "pushed"), ("n-8", "attempt"), ("n-8", "pushed")]
    assert end.marks[0].detail == "200 p-1"


def test_what_was_not_tried_stays_owed() -> None:
    """A retry sends the rest, and skips what was taken."""
    end = settled(claimed([alone(5), alone(8), alone(9)]), FINE, LOST)
    assert end.sent == (5,)
    assert end.retry_ms == 500
    assert not end.dead
    assert marks(end)[2:] == [("n-8", "attempt"), ("n-8", "retry")]


def test_nothing_tried_changes_nothing() -> None:
    """The row is due again, and no attempt was counted."""
    end = settled(claimed([alone(5)]))
    assert (end.sent, end.retry_ms, end.marks) == ((), None, ())


def test_the_lanes_own_trouble_counts_no_attempt() -> None:
    """Whatever the row's number of attempts is."""
    end = settled(claimed([alone(5)], attempts=11), STOP)
    assert (end.sent, end.dead, end.retry_ms) == ((), (), None)
    assert marks(end) == [("n-5", "attempt")]


def test_a_wish_about_the_lane_is_waited_for_and_counts_no_attempt_either() -> None:
    """Else the device that is tried after each pause would lose its notifications for a long outage."""
    end = settled(claimed([alone(5)], attempts=11), replace(LOST, retry_after_s=4.0, whole_lane=True))
    assert (end.dead, end.retry_ms, end.put_off_ms) == ((), None, 4200)
    assert marks(end) == [("n-5", "attempt"), ("n-5", "retry")]


def test_a_wish_about_the_lane_beyond_the_expiry_is_not_waited_for() -> None:
    """It would be worth nothing by then."""
    end = settled(claimed([alone(5)]), replace(LOST, retry_after_s=4000.0, whole_lane=True))
    assert [dead.offset for dead in end.dead] == [5]
    assert (end.retry_ms, end.put_off_ms) == (None, None)


def test_the_last_attempt_makes_dead_letters() -> None:
    """One for each notification of the push."""
    end = settled(claimed([alone(5)], attempts=11), LOST)
    assert end.retry_ms is None
    assert end.dead == (DeadOffset(5, "n-5", "12 attempts, the last: connection lost"),)
    assert ("n-5", "dropped") in marks(end)


def test_a_provider_that_took_something_is_not_on_its_last_attempt() -> None:
    """The count is about a device that nothing gets to."""
    end = settled(claimed([alone(5), alone(8)], attempts=11), FINE, LOST)
    assert end.sent == (5,)
    assert end.dead == ()
    assert end.retry_ms is not None


def test_what_cannot_be_sent_lets_the_next_through() -> None:
    """It is about this message, not about the phone."""
    end = settled(claimed([alone(5), alone(8)]), DEAD, FINE)
    assert end.dead == (DeadOffset(5, "n-5", "BadTopic"),)
    assert end.sent == (8,)


def test_a_dead_token_is_named_with_its_time() -> None:
    """All that was to be sent is marked; a newer registration is not tried again every second."""
    end = settled(claimed([alone(5), alone(8)]), replace(GONE, gone_at_ms=17))
    assert (end.gone, end.gone_at_ms) == ("f" * 64, 17)
    assert end.retry_ms == 500
    assert [mark for mark in marks(end) if mark[1] == "dropped"] == [("n-5", "dropped"), ("n-8", "dropped")]


def test_a_provider_without_a_time_knew_it_at_the_claim() -> None:
    """Whoever registered the token after that keeps it."""
    assert settled(claimed([alone(5)]), GONE).gone_at_ms == NOW_MS


def test_badges_and_clears_are_settled_by_themselves() -> None:
    """Each by its own push."""
    row = claimed(badge=2, clear=("n-1", "n-2"))
    end = settled(row, FINE, LOST)
    assert (end.cleared, end.badge_sent) == (("n-1",), None)
    end = settled(row, FINE, FINE, FINE)
    assert (end.cleared, end.badge_sent) == (("n-1", "n-2"), 2)


def test_a_badge_that_cannot_be_sent_is_let_go() -> None:
    """It is worth no dead letter; the next notification shows the count."""
    end = settled(claimed(badge=2), DEAD)
    assert (end.badge_sent, end.dead) == (2, ())


def test_a_badge_that_went_along_is_settled_with_it_only_when_it_was_taken() -> None:
    """A message that the provider refuses shows no badge."""
    assert settled(claimed([alone(5)], badge=3), FINE).badge_sent == 3
    assert settled(claimed([alone(5)], badge=3), DEAD).badge_sent is None


outcome = st.sampled_from([FINE, LOST, GONE, STOP, DEAD])


@given(st.lists(outcome, max_size=4), st.integers(0, 15), st.integers(0, 3))
def test_nothing_is_settled_twice_and_nothing_untried_at_all(
    outcomes: list[Outcome], attempts: int, rest: int
) -> None:
    """Sent and dead never meet, and only what got its answer is in either."""
    row = claimed(
        [alone(1), alone(2), alone(3)],
        attempts=attempts,
        rest=tuple(entry(4 + n) for n in range(rest)),
    )
    planned = compose(row, SECRET, 60)
    end = settle(row, planned, outcomes, MOMENT)
    dead = {each.offset for each in end.dead}
    assert not dead & set(end.sent)
    answered = {offset for push, _ in zip(planned, outcomes, strict=False) for offset, _ in push.told}
    assert dead | set(end.sent) <= answered
