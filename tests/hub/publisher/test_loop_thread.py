"""A loop in a thread of its own: calls, their ends, and its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from hub.publisher.loop_thread import LoopThread


async def nothing() -> None:
    """No farewell."""


async def where() -> str:
    """The name of the thread it runs in."""
    return threading.current_thread().name


def test_calls_run_there_and_come_back() -> None:
    """With their result or their error."""
    thread = LoopThread("elsewhere", nothing)

    async def fail() -> None:
        raise LookupError("x")

    assert thread.call(where) == "elsewhere"
    with pytest.raises(LookupError):
        thread.call(fail)
    thread.end()


def test_it_says_farewell_once() -> None:
    """On its loop, after which nothing can be called."""
    told: list[str] = []

    async def farewell() -> None:
        told.append(await where())

    thread = LoopThread("elsewhere", farewell)
    thread.end()
    thread.end()
    assert told == ["elsewhere"]
    with pytest.raises(RuntimeError, match="closed"):
        thread.call(where)


def test_who_waits_at_the_end_is_let_go() -> None:
    """Instead of for ever."""
    thread = LoopThread("elsewhere", nothing)
    begun = threading.Event()
    let_go: list[type[BaseException]] = []

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            thread.call(wait)
        except CancelledError as error:
            let_go.append(type(error))

    caller = threading.Thread(target=call)
    caller.start()
    begun.wait()
    thread.end()
    caller.join()
    assert let_go == [CancelledError]


def test_it_does_not_wait_for_itself() -> None:
    """A call from its own loop would never return."""
    thread = LoopThread("elsewhere", nothing)

    async def call_again() -> None:
        thread.call(where)

    with pytest.raises(RuntimeError, match="itself"):
        thread.call(call_again)
    thread.end()
