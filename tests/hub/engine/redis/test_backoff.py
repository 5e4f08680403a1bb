"""Pauses between tries."""

from __future__ import annotations

from hub.engine.redis.backoff import Backoff


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    """Each within its upper half."""
    backoff = Backoff(0.1, 0.8)
    pauses = [backoff.next_s() for _ in range(6)]
    assert all(
        most / 2 <= pause <= most for pause, most in zip(pauses, [0.1, 0.2, 0.4, 0.8, 0.8, 0.8], strict=True)
    )


def test_it_begins_again_after_a_success() -> None:
    """From the first pause."""
    backoff = Backoff(0.1, 0.8)
    for _ in range(100):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.1
