"""The checker complains about everything that breaks the promise, and about nothing else."""

from __future__ import annotations

import pytest

from tests.support.checker import Accepted, Checker, Place, Witness
from tests.support.sdk import Fields


def subscribed(witness: Witness, offset: int, epoch: str = "a", *, recovered: bool | None = None) -> None:
    """A first subscribe, or (with ``recovered``) a resume."""
    fields: Fields = {"channel": "news", "position": {"epoch": epoch, "offset": offset}}
    fields |= {"was_recovering": recovered is not None, "recovered": bool(recovered)}
    witness("subscribed", fields)


def published(witness: Witness, *offsets: int, shift: int = 0) -> None:
    """Publications at these offsets, numbered as they are, or ``shift`` more."""
    for offset in offsets:
        fields = {"channel": "news", "offset": offset, "data": {"n": offset + shift}}
        witness("publication", fields)


def complaints(checker: Checker, accepted: dict[int, Accepted] | None = None) -> str:
    """What the checker says in the end."""
    try:
        checker.verify({"news": accepted or {}})
    except AssertionError as error:
        return str(error)
    return ""


def test_is_content_with_a_complete_stream() -> None:
    """Live, resumed without a loss, and resumed with an honest one."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 0)
    published(witness, 1, 2)
    subscribed(witness, 2, recovered=True)
    published(witness, 3)
    subscribed(witness, 7, recovered=False)
    published(witness, 8)
    subscribed(witness, 1000, "b", recovered=False)
    published(witness, 1001, shift=-992)
    assert complaints(checker) == ""
    assert checker.gaps == {"news": 2}
    assert checker.behind({"news": Place("b", 1001)}) == []


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [((1, 3), "after a hole"), ((1, 2, 2), "again or late"), ((1, 2, 1), "again or late")],
)
def test_sees_what_is_missing_doubled_or_late(offsets: tuple[int, ...], expected: str) -> None:
    """Each offset follows the one before it."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 0)
    published(witness, *offsets)
    assert expected in complaints(checker)


def test_sees_a_resume_from_somewhere_else() -> None:
    """Recovered means from where the client stood, in the same epoch."""
    for offset, epoch in ((3, "a"), (2, "b"), (1, "a")):
        checker = Checker()
        witness = checker.witness("ann")
        subscribed(witness, 0)
        published(witness, 1, 2)
        subscribed(witness, offset, epoch, recovered=True)
        assert "resumed at" in complaints(checker)


def test_sees_a_step_back() -> None:
    """An honest gap leads forward, or publications would come twice."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 5)
    subscribed(witness, 4, recovered=False)
    assert "set back" in complaints(checker)


def test_sees_a_forgotten_cursor() -> None:
    """Once subscribed, every further subscribe is a resume."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 5)
    subscribed(witness, 6)
    assert "not asked to resume" in complaints(checker)


def test_sees_an_end() -> None:
    """Nobody is sent away for good."""
    checker = Checker()
    checker.witness("ann")("disconnected", {"code": 3500, "reason": "x"})
    checker.witness("bob")("unsubscribed", {"channel": "news", "code": 2000})
    assert "lost its connection" in complaints(checker)
    assert "lost its subscription" in complaints(checker)


def test_sees_clients_that_disagree() -> None:
    """At one place of a stream everybody gets the same."""
    checker = Checker()
    for shift in (0, 1):
        witness = checker.witness(f"client {shift}")
        subscribed(witness, 4)
        published(witness, 5, shift=shift)
    assert "where others got" in complaints(checker)


def test_sees_a_number_that_was_published_twice() -> None:
    """A repeat with the same key is one publication; in a new epoch only a repeat may be there again."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 0)
    published(witness, 1)
    published(witness, 2, shift=-1)
    assert "was published twice" in complaints(checker)
    for repeated in (False, True):
        checker = Checker()
        witness = checker.witness("ann")
        subscribed(witness, 0)
        published(witness, 1)
        subscribed(witness, 1000, "b", recovered=False)
        published(witness, 1001, shift=-1000)
        told = complaints(checker, {1: Accepted(Place("b", 1001), repeated)})
        assert ("was published twice" in told) is not repeated


def test_sees_an_accepted_number_that_is_not_where_it_was_said_to_be() -> None:
    """What the publisher was answered is what the clients see."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 0)
    published(witness, 1)
    assert "was accepted at" in complaints(checker, {7: Accepted(Place("a", 1), False)})


def test_knows_who_is_behind() -> None:
    """A client that never came to the last publication is stuck."""
    checker = Checker()
    witness = checker.witness("ann")
    subscribed(witness, 0)
    published(witness, 1)
    [told] = checker.behind({"news": Place("a", 2), "other": Place("a", 1)})
    assert told.startswith("ann news")
