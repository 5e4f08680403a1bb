"""What an answer is read as, whatever the peer makes of it."""

from __future__ import annotations

import asyncio

import pytest

from workers.senders.apns.answers import Answer
from workers.senders.apns.exchange import Exchange


async def answered(headers: dict[bytes, bytes], body: bytes = b"") -> Answer:
    """The answer of these header fields and this body."""
    exchange = Exchange(asyncio.get_running_loop().create_future(), b"")
    exchange.begin_answer(headers)
    exchange.gather(body)
    return exchange.answer(784_111_777.0)


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"-20", b"9" * 5000, "²⁰⁰".encode()])
async def test_a_status_that_is_none_harms_nobody_else_on_the_connection(status: bytes) -> None:
    """It is an answer that says nothing."""
    assert (await answered({b":status": status})).status == 0


async def test_a_moment_goes_by_the_clock_of_the_provider() -> None:
    """Where the answer tells it."""
    headers = {b":status": b"503", b"retry-after": b"Sun, 06 Nov 1994 08:50:07 GMT"}
    assert (await answered(headers)).retry_after_s == 30.0
    headers[b"date"] = b"Sun, 06 Nov 1994 08:50:00 GMT"
    assert (await answered(headers)).retry_after_s == 7.0


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"reason":7,"timestamp":"x"}', b"{" * 20_000])
async def test_a_body_that_says_nothing_leaves_the_status(body: bytes) -> None:
    """No reason, no time of death."""
    assert await answered({b":status": b"410"}, body) == Answer(410)
