"""The ledger of accepted pushes, and what it answers."""

from __future__ import annotations

import pytest

from hub.testing.simulators import AcceptedPush, Ledger


def push(number: int, token: str = "t", message_id: str = "", jwt_hash: str = "j") -> AcceptedPush:
    """An accepted push."""
    return AcceptedPush(
        number, "apns", number, token, message_id or str(number), b'{"n":%d}' % number, {}, 1, 1, jwt_hash
    )


def test_duplicates_are_found_by_id_or_by_any_other_key() -> None:
    """With all the pushes that share it."""
    ledger = Ledger()
    for entry in (push(1, message_id="x"), push(2, message_id="y"), push(3, "u", message_id="x")):
        ledger.add(entry)
    assert {name: [p.number for p in found] for name, found in ledger.duplicates().items()} == {"x": [1, 3]}
    assert list(ledger.duplicates(lambda p: p.token)) == ["t"]


def test_order_is_looked_at_per_token() -> None:
    """What another token does says nothing."""
    ledger = Ledger()
    for entry in (push(1, "a"), push(5, "b"), push(2, "a")):
        ledger.add(entry)
    assert ledger.in_order(lambda p: p.json["n"])
    ledger.add(push(1, "a"))
    assert not ledger.in_order(lambda p: p.json["n"])


def test_what_is_kept_is_bounded_and_the_count_exact() -> None:
    """The newest stay."""
    ledger = Ledger(keep=2)
    for number in range(1, 6):
        ledger.add(push(number, jwt_hash=str(number)))
    assert (len(ledger), ledger.ids(), ledger.distinct_jwts()) == (5, ["4", "5"], 2)
    ledger.clear()
    assert (len(ledger), list(ledger)) == (0, [])


async def test_waiting_ends_with_the_push_or_with_the_time() -> None:
    """Those that already came count."""
    ledger = Ledger()
    ledger.listen(lambda entry: None if entry.number > 1 else ledger.add(push(2)))
    ledger.add(push(1))
    await ledger.wait_for(2, timeout_s=1)
    with pytest.raises(TimeoutError):
        await ledger.wait_for(3, timeout_s=0.01)


def test_the_token_is_shown_to_nobody() -> None:
    """Neither by ``repr`` nor where people look."""
    entry = push(1, token="secret-token")
    assert "secret-token" not in repr(entry) + str(entry.shown())
    assert entry.shown()["token_hash"] == entry.token_hash
    assert entry.shown()["body"] == {"n": 1}
