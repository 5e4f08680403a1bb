"""Publishes: one script that decides, appends and tells, on the primary of the channel's partition.

Needs commands alone, so that whoever only publishes holds no link. Knows no node and no reader.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from hub.engine.jobs import NewNotice
from hub.engine.redis import envelope
from hub.engine.redis.commands import Argument, Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.posts import post_arguments, post_keys
from hub.engine.redis.scripts import load_script
from hub.errors import JOB_QUEUE_FULL, HubError
from hub.model import HistoryPolicy, Position, Publication, PublishResult

_BIRTH_BITS = 48
_births = random.Random()
"""Births must differ, not be secret; the system's own randomness would cost a call of it for each."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_births.seed)

_DUPLICATE, _TOO_MANY_JOBS = 1, 2

_PUBLISH = load_script("clock", "stream", "publish")


class StreamWriter:
    """The writing half of a broker. ``now_ms`` replaces the clock of the server, and is for tests alone."""

    def __init__(self, commands: Commands, keys: Keys, *, now_ms: Callable[[], int] | None = None) -> None:
        self._commands = commands
        self._keys = keys
        self._now_ms = now_ms

    def now(self) -> int | str:
        """What scripts are told of the time: nothing, so that they ask the server, one clock for all."""
        return "" if self._now_ms is None else self._now_ms()

    async def publish(
        self,
        channel: str,
        publication: Publication,
        policy: HistoryPolicy,
        *,
        idempotency_key: str = "",
        idempotency_ttl_s: int = 300,
        version: int = 0,
        version_epoch: str = "",
        job: NewNotice | None = None,
    ) -> PublishResult:
        """As :meth:`hub.engine.Broker.publish`."""
        packed = envelope.encode_publication(publication)
        names, tag = self._keys, self._keys.tag_of(channel)
        if not (policy.keeps or idempotency_key or version or job):
            # Nothing to decide and nothing to keep: no script, and the time is this process's.
            time_ms = int(time.time() * 1000) if self._now_ms is None else self._now_ms()
            await self.tell(channel, envelope.publication_message(packed, time_ms))
            return PublishResult(None)
        keys = [names.fanout(tag, channel)]
        args: list[Argument] = [self.now(), self._commands.publish_verb, packed]
        if policy.keeps:
            keys += (names.term(tag), names.meta(tag, channel), names.log(tag, channel))
            args += (policy.size, policy.ttl_s, life_s(policy), new_birth())
        else:
            args += (0, 0, 0, "")
        if idempotency_key:
            keys.append(names.idempotency(tag, channel, idempotency_key))
        args.append(idempotency_ttl_s if idempotency_key else "")
        if version:
            keys.append(names.version(tag, channel, version_epoch))
            args += (version, policy.meta_ttl_s)
        else:
            args += ("", "")
        if job is not None:
            member, job_keys = post_keys(names, tag)
            keys += job_keys
            args += post_arguments(member, job)
        outcome, offset, epoch = await self._commands.run(tag, _PUBLISH, keys, args)
        if outcome == _TOO_MANY_JOBS:
            raise HubError(JOB_QUEUE_FULL)
        return PublishResult(Position(offset, epoch.decode()) if epoch else None, outcome == _DUPLICATE)

    async def tell(self, channel: str, message: bytes) -> None:
        """Send ``message`` to every node that listens to ``channel``. Nothing is stored."""
        tag = self._keys.tag_of(channel)
        await self._commands.call(tag, self._commands.publish_verb, self._keys.fanout(tag, channel), message)


def new_birth() -> str:
    """What a stream is called that begins now.

    Sent with every call, used by the first: whether there is a stream, only the script knows.
    """
    return f"{_births.getrandbits(_BIRTH_BITS):x}"


def life_s(policy: HistoryPolicy) -> int:
    """How long a stream is remembered after its last use."""
    return max(policy.meta_ttl_s, policy.ttl_s)
