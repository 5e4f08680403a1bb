"""Control over Redis: a question is published to all nodes, each answers to the asker.

Pub/Sub may lose either, so who has not answered is asked again; a question known by its id
is never carried out twice. Knows neither what is asked nor what is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Coroutine
from dataclasses import asdict, replace
from typing import Any

from hub.engine.control import Answer, ControlHandler, Request
from hub.engine.redis.commands import Commands
from hub.engine.redis.control_wire import (
    MAX_ANSWER_BYTES,
    AnswerPart,
    MalformedControl,
    PartialAnswer,
    Question,
    cut,
    decode_part,
    decode_question,
    encode_part,
    encode_question,
    piece_count,
)
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import NodeLeases
from hub.engine.redis.link import Link
from hub.errors import INTERNAL, LIMIT_EXCEEDED, EngineUnavailable, ErrorCode, HubError

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER_S = 0.5
"""How long an answer may be missing before its question is published again."""

MAX_RUNNING = 1000
"""Questions of other nodes that are carried out here at one time; more are refused."""

MAX_REMEMBERED = 4096
"""Questions whose id and answer are kept, so that being asked again does not mean doing it again."""

_REMEMBER_ANSWER_BYTES = 4096
"""Larger answers are not kept: asked again, the node stays silent."""


def error_answer(error: ErrorCode) -> dict[str, Any]:
    """An answer that says that it was refused."""
    return {"error": asdict(error)}


class _Asked:
    """A question of this node and what came back so far."""

    __slots__ = ("answers", "complete", "missing", "partial")

    def __init__(self, nodes: Collection[str]) -> None:
        self.missing = set(nodes)
        self.answers: dict[str, Answer] = {}
        self.partial: dict[str, PartialAnswer] = {}
        self.complete = asyncio.Event()

    def take(self, node: str, answer: Answer) -> None:
        self.answers[node] = answer
        self.missing.discard(node)
        if not self.missing:
            self.complete.set()


class RedisControl:
    """The control port."""

    def __init__(self, commands: Commands, link: Link, keys: Keys, leases: NodeLeases) -> None:
        self._commands = commands
        self._link = link
        self._keys = keys
        self._leases = leases
        self._node = str(leases.node_id)
        self._replies = keys.reply(self._node)
        self._handler: ControlHandler | None = None
        self._asked: dict[str, _Asked] = {}
        # Id of a question to the messages of its answer; None while it runs, or where they are not kept.
        self._known: OrderedDict[str, bytes | None] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, handler: ControlHandler) -> None:
        """Begin to receive requests.

        Raises:
            EngineUnavailable: the link could not be made to hear them.
        """
        self._handler = handler
        try:
            await self._link.subscribe(CONTROL_TAG, self._replies, self)
            await self._link.subscribe(CONTROL_TAG, self._keys.control, self)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Receive no more, and end what is being carried out."""
        self._handler = None
        self._link.unsubscribe(self._keys.control)
        self._link.unsubscribe(self._replies)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def ask_all(self, request: Request, *, timeout_s: float) -> list[Answer]:
        """Give ``request`` to every node and gather the answers that came within ``timeout_s``.

        Refusals and failures of a handler come as answers ``{"error": ...}``, its own node's too.

        Raises:
            EngineUnavailable: when the living nodes are unknown or the request could not be published.
        """
        if self._handler is None:
            raise EngineUnavailable("the node is not running")
        ends_at_s = asyncio.get_running_loop().time() + timeout_s
        question = Question(request, self._node)
        try:
            async with asyncio.timeout_at(ends_at_s):
                asked = _Asked(await self._leases.live_nodes())
                self._asked[question.id] = asked
                await self._publish(self._keys.control, encode_question(question))
            self._run(self._answer_oneself(question, asked))
            await self._gather(question, asked, ends_at_s)
        except TimeoutError:
            raise EngineUnavailable("the request could not be handed on in time") from None
        finally:
            self._asked.pop(question.id, None)
        return list(asked.answers.values())

    async def _gather(self, question: Question, asked: _Asked, ends_at_s: float) -> None:
        loop = asyncio.get_running_loop()
        while not asked.complete.is_set():
            try:
                async with asyncio.timeout_at(min(ends_at_s, loop.time() + ASK_AGAIN_AFTER_S)):
                    await asked.complete.wait()
            except TimeoutError:
                if loop.time() >= ends_at_s:
                    log.warning("%d of the living nodes did not answer in time", len(asked.missing))
                    return
                await self._ask_again(question, asked, ends_at_s)

    async def _ask_again(self, question: Question, asked: _Asked, ends_at_s: float) -> None:
        others = asked.missing - {self._node}
        if not others:
            return
        try:
            async with asyncio.timeout_at(ends_at_s):
                await self._publish(self._keys.control, encode_question(replace(question, to=others)))
        except (EngineUnavailable, TimeoutError):
            log.debug("the request could not be published again")

    async def _answer_oneself(self, question: Question, asked: _Asked) -> None:
        asked.take(self._node, await self._carry_out(question))

    async def _publish(self, channel: str, message: bytes) -> None:
        await self._commands.call(CONTROL_TAG, self._commands.publish_verb, channel, message)

    def on_message(self, channel: str, payload: bytes) -> None:
        """A question or part of an answer arrived."""
        try:
            if channel == self._replies:
                self._on_part(decode_part(payload))
            else:
                self._on_question(decode_question(payload))
        except MalformedControl as error:
            log.warning("%s; ignored", error)

    def on_doubt(self, channels: Collection[str]) -> None:
        """What was lost is asked again by whoever misses the answer."""

    def _on_part(self, part: AnswerPart) -> None:
        asked = self._asked.get(part.id)
        if asked is None:
            return
        answer = asked.partial.setdefault(part.node, PartialAnswer()).add(part)
        if answer is not None:
            asked.take(part.node, answer)

    def _on_question(self, question: Question) -> None:
        if self._handler is None or question.sender == self._node:
            return
        if question.to is not None and self._node not in question.to:
            return
        if question.id in self._known:
            message = self._known[question.id]
            if message is not None:
                self._run(self._send_again(question, message))
        elif len(self._running) < MAX_RUNNING:
            self._known[question.id] = None
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
            self._run(self._answer(question))
        else:
            # Not remembered, hence carried out when the asker asks again.
            log.warning("too many control requests at once; one was put off")

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="control request")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry_out(self, question: Question) -> Answer:
        if self._handler is None:
            return error_answer(INTERNAL)
        try:
            return await self._handler.on_control(question.body)
        except HubError as error:
            return error_answer(error.error)
        except Exception:
            log.exception("a control request failed")
            return error_answer(INTERNAL)

    async def _answer(self, question: Question) -> None:
        answer = await self._carry_out(question)
        try:
            await self._send_answer(question, answer)
        except EngineUnavailable:
            log.debug("an answer to a control request could not be sent")
        except Exception:
            log.exception("an answer to a control request could not be written")

    async def _send_answer(self, question: Question, answer: Answer) -> None:
        replies = self._keys.reply(question.sender)
        count = piece_count(answer)
        sent_bytes = 0
        for index, piece in enumerate(cut(answer)):
            message = encode_part(AnswerPart(question.id, self._node, index, count, piece))
            sent_bytes += len(message)
            if sent_bytes > MAX_ANSWER_BYTES:
                log.warning("an answer to a control request is too long and was refused")
                refusal = error_answer(LIMIT_EXCEEDED)
                last = AnswerPart(question.id, self._node, index, index + 1, refusal)
                await self._publish(replies, encode_part(last))
                return
            if count == 1 and len(message) <= _REMEMBER_ANSWER_BYTES:
                self._known[question.id] = message
            await self._publish(replies, message)

    async def _send_again(self, question: Question, message: bytes) -> None:
        try:
            await self._publish(self._keys.reply(question.sender), message)
        except EngineUnavailable:
            log.debug("an answer to a control request could not be sent again")
