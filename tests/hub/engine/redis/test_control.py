"""Control between three nodes on one Redis: who answers, who does not, and what is asked twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import pytest

from hub.engine import Answer, Request
from hub.engine.redis import control as control_module
from hub.engine.redis.control_wire import ITEMS_PER_PART, Question, encode_question
from hub.engine.redis.keys import CONTROL_TAG
from hub.engine.redis.options import RedisOptions
from hub.errors import ALREADY_SUBSCRIBED, INTERNAL, LIMIT_EXCEEDED, EngineUnavailable, HubError
from tests.hub.engine.redis.nodes import NodeParts, running_node
from tests.support.waiting import eventually


class Answering:
    """A node's side: writes down what it was asked and answers as it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[Request] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.reply: Callable[[], Answer] = lambda: {"name": name}

    async def on_control(self, request: Request) -> Answer:
        self.requests.append(request)
        await self.may_answer.wait()
        return self.reply()


class Asked:
    """A running node and its handler."""

    def __init__(self, parts: NodeParts, handler: Answering) -> None:
        self.parts = parts
        self.handler = handler

    async def ask(self, request: Request | None = None, timeout_s: float = 5.0) -> list[Answer]:
        return await self.parts.control.ask_all(request or {"do": "name"}, timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def asked_nodes(options: RedisOptions, *names: str) -> AsyncIterator[list[Asked]]:
    """Nodes that answer control requests."""
    async with contextlib.AsyncExitStack() as undo:
        found: list[Asked] = []
        for name in names:
            parts = await undo.enter_async_context(running_node(options, name))
            handler = Answering(name)
            await parts.control.start(handler)
            undo.push_async_callback(parts.control.stop)
            found.append(Asked(parts, handler))
        yield found


def names_in(answers: list[Answer]) -> list[Any]:
    """Who answered."""
    return sorted(answer["name"] for answer in answers)


async def test_every_node_is_asked_and_answers(redis_options: RedisOptions) -> None:
    """The asker itself among them, and each once."""
    async with asked_nodes(redis_options, "a", "b", "c") as nodes:
        request = {"do": "disconnect", "user": "ünä", "whitelist": ["x"], "since": None, "code": 3503}
        assert names_in(await nodes[0].ask(request)) == ["a", "b", "c"]
        assert [node.handler.requests for node in nodes] == [[request]] * 3


async def test_many_questions_at_once_keep_their_answers_apart(redis_options: RedisOptions) -> None:
    """From every side."""
    async with asked_nodes(redis_options, "a", "b", "c") as nodes:
        answers = await asyncio.gather(*(node.ask() for node in nodes for _ in range(50)))
        assert [names_in(found) for found in answers] == [["a", "b", "c"]] * 150


async def test_a_node_that_does_not_answer_is_left_out_in_time(redis_options: RedisOptions) -> None:
    """The answers of all others are there; what it says too late reaches nobody."""
    async with asked_nodes(redis_options, "a", "b", "c") as nodes:
        a, b, _ = nodes
        b.handler.may_answer.clear()
        assert names_in(await a.ask(timeout_s=0.3)) == ["a", "c"]
        b.handler.may_answer.set()
        assert names_in(await a.ask()) == ["a", "b", "c"]


async def test_the_own_node_too_has_only_so_much_time(redis_options: RedisOptions) -> None:
    """Its answer is one like any other."""
    async with asked_nodes(redis_options, "a", "b") as (a, _):
        a.handler.may_answer.clear()
        assert names_in(await a.ask(timeout_s=0.3)) == ["b"]


async def test_a_dead_node_is_waited_for_until_its_lease_ends(redis_options: RedisOptions) -> None:
    """Who lives is what the leases say."""
    async with asked_nodes(redis_options, "a") as (a,), running_node(redis_options, "dead") as dead:
        assert names_in(await a.ask(timeout_s=0.2)) == ["a"]
        await dead.end_lease("dead/1")
        await a.parts.leases.survey()
        async with asyncio.timeout(2):
            assert names_in(await a.ask(timeout_s=60)) == ["a"]


async def test_refusals_and_failures_travel_as_answers(
    redis_options: RedisOptions, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the own node as of any other."""

    def refuse() -> Answer:
        raise HubError(ALREADY_SUBSCRIBED, "not for others")

    def fail() -> Answer:
        raise RuntimeError("a mistake")

    async with asked_nodes(redis_options, "a", "b") as (a, b):
        a.handler.reply, b.handler.reply = refuse, fail
        found = sorted((answer["error"] for answer in await a.ask()), key=lambda error: error["code"])
        assert found == [asdict(INTERNAL), asdict(ALREADY_SUBSCRIBED)]
        assert "a mistake" in caplog.text


async def test_a_long_answer_arrives_whole(redis_options: RedisOptions) -> None:
    """In parts, put together again."""
    long = {"connections": {f"c{n}": {"user": f"u{n}"} for n in range(3 * ITEMS_PER_PART)}, "name": "b"}
    async with asked_nodes(redis_options, "a", "b") as (a, b):
        b.handler.reply = lambda: long
        assert long in await a.ask()


async def test_an_answer_beyond_the_bound_becomes_a_refusal(
    redis_options: RedisOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never sent to its end."""
    monkeypatch.setattr(control_module, "MAX_ANSWER_BYTES", 20_000)
    long = {"connections": {f"c{n}": {"user": f"u{n}"} for n in range(5 * ITEMS_PER_PART)}}
    async with asked_nodes(redis_options, "a", "b") as (a, b):
        b.handler.reply = lambda: long
        answers = await a.ask()
        assert [answer["error"] for answer in answers if "error" in answer] == [asdict(LIMIT_EXCEEDED)]


async def test_a_lost_request_is_asked_again(redis_options: RedisOptions) -> None:
    """A node that was not listening for a moment learns of it all the same."""
    async with asked_nodes(redis_options, "a", "b") as (a, b):
        await b.parts.control.stop()
        asking = asyncio.create_task(a.ask(timeout_s=10))
        await eventually(lambda: len(a.handler.requests) == 1)
        await b.parts.control.start(b.handler)
        async with asyncio.timeout(5):
            assert names_in(await asking) == ["a", "b"]
        assert len(b.handler.requests) == 1


async def test_a_question_asked_again_is_not_carried_out_again(redis_options: RedisOptions) -> None:
    """The first answer is sent once more, and one for others is passed over."""
    async with asked_nodes(redis_options, "a", "b") as (a, b):
        answers: list[str] = []
        heard = asyncio.Event()

        class Listener:
            def on_message(self, channel: str, payload: bytes) -> None:
                answers.append(channel)
                heard.set()

            def on_doubt(self, channels: object) -> None:
                return

        keys, commands = a.parts.keys, a.parts.commands
        await a.parts.link.subscribe(CONTROL_TAG, keys.reply("asker"), Listener())

        async def send(question: Question) -> None:
            await commands.call(CONTROL_TAG, commands.publish_verb, keys.control, encode_question(question))

        first = Question({"do": "name"}, "asker", ["b"])
        await send(first)
        await eventually(lambda: len(answers) == 1)
        await send(first)
        await eventually(lambda: len(answers) == 2)
        await send(Question({"do": "name"}, "asker", ["nobody"]))
        await send(Question({"do": "name"}, "asker", ["b"]))
        await eventually(lambda: len(answers) == 3)
        assert len(b.handler.requests) == 2
        assert len(a.handler.requests) == 0


async def test_bytes_that_no_hub_wrote_do_no_harm(
    redis_options: RedisOptions, caplog: pytest.LogCaptureFixture
) -> None:
    """They are passed over with a warning that quotes nothing."""
    async with asked_nodes(redis_options, "a", "b") as (a, _):
        keys, commands = a.parts.keys, a.parts.commands
        for name in (keys.control, keys.reply("a"), keys.reply("b")):
            await commands.call(CONTROL_TAG, commands.publish_verb, name, b"jsecret")
        assert names_in(await a.ask()) == ["a", "b"]
        assert "cannot be read" in caplog.text
        assert "secret" not in caplog.text


async def test_without_redis_nothing_is_asked(redis_options: RedisOptions) -> None:
    """The caller is told so, and its own node is not asked either."""
    async with asked_nodes(redis_options, "a") as (a,):
        await a.parts.commands.stop()
        with pytest.raises(EngineUnavailable):
            await a.ask(timeout_s=1)
        assert a.handler.requests == []


async def test_a_node_that_is_not_running_cannot_ask(redis_options: RedisOptions) -> None:
    """Neither before start nor after stop."""
    async with asked_nodes(redis_options, "a") as (a,):
        await a.parts.control.stop()
        with pytest.raises(EngineUnavailable):
            await a.ask()


async def test_what_is_carried_out_ends_with_stop(redis_options: RedisOptions) -> None:
    """No task outlives the control."""
    async with asked_nodes(redis_options, "a", "b") as (a, b):
        b.handler.may_answer.clear()
        asking = asyncio.create_task(a.ask(timeout_s=0.5))
        await eventually(lambda: len(b.handler.requests) == 1)
        await b.parts.control.stop()
        assert not [task for task in asyncio.all_tasks() if "control request" in task.get_name()]
        assert names_in(await asking) == ["a"]
