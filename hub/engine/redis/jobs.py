"""Jobs over Redis: a notice in the partition of its id, the queue of each partition beside it.

Steps of 500 users with the cursor saved behind each, so that an interrupted call goes on where it was. A call
that came with a publication waits in the partition of the channel until its first claim notes it, or somebody
asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any, cast

from hub.engine.jobs import JOB_STEP_USERS, MAX_JOBS, NOTICE_TTL_S, JobStep, NewNotice, NoticeStatus, Opened
from hub.engine.redis.commands import Argument, Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.posts import POST, pack_users, unpack_post, unpack_users
from hub.engine.redis.scripts import load_script

log = logging.getLogger(__name__)

_CLAIM_BYTES = 9

_OPEN = load_script("clock", "job_open")
_CLAIM = load_script("clock", "job_claim")
_FINISH = load_script("clock", "job_finish")
_END = load_script("job_end")


class RedisJobs:
    """Notices and jobs that all hubs and workers share.

    ``now_ms`` replaces the clock of the server, and is for tests alone.
    """

    def __init__(self, commands: Commands, keys: Keys, *, now_ms: Callable[[], int] | None = None) -> None:
        self._commands = commands
        self._keys = keys
        self._now_ms = now_ms

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()

    async def open(self, notice: NewNotice) -> Opened:
        return await self._open(notice, MAX_JOBS)

    async def _open(self, notice: NewNotice, most: int) -> Opened:
        names, tag = self._keys, self._keys.tag_of(notice.id)
        keys = (
            names.notice(tag, notice.id),
            names.notice_users(tag, notice.id),
            names.jobs(tag),
            names.wake(tag),
        )
        args: list[Argument] = [self._now(), self._commands.publish_verb, f"j{notice.id}"]
        args += (notice.body_hash, notice.body, len(notice.users), int(notice.as_job), most)
        args += (NOTICE_TTL_S * 1000, *pack_users(list(notice.users)))
        return cast("Opened", (await self._commands.run(tag, _OPEN, keys, args)).decode())

    async def close(self, notice_id: str, *, done: int, failed: int) -> None:
        await self._end(notice_id, done, failed)

    async def cancel(self, notice_id: str) -> None:
        await self._end(notice_id, "", 0)

    async def _end(self, notice_id: str, done: int | str, failed: int) -> None:
        tag = self._keys.tag_of(notice_id)
        keys = (self._keys.notice(tag, notice_id), self._keys.jobs(tag))
        await self._commands.run(tag, _END, keys, (f"j{notice_id}", done, failed), repeatable=True)

    async def conflicts(self, notice: NewNotice) -> bool:
        tag = self._keys.tag_of(notice.id)
        name = self._keys.notice(tag, notice.id)
        body_hash = await self._commands.call(tag, "HGET", name, "hash", repeatable=True)
        return body_hash is not None and body_hash.decode() != notice.body_hash

    async def status(self, notice_id: str) -> NoticeStatus | None:
        status = await self._status(notice_id)
        if status is None:
            await self._deliver_waiting(notice_id)
            status = await self._status(notice_id)
        return status

    async def _status(self, notice_id: str) -> NoticeStatus | None:
        tag = self._keys.tag_of(notice_id)
        wanted = ("running", "users", "done", "failed")
        name = self._keys.notice(tag, notice_id)
        running, users, done, failed = await self._commands.call(tag, "HMGET", name, *wanted, repeatable=True)
        if running is None:
            return None
        return NoticeStatus(running == b"1", int(users), int(done), int(failed))

    async def users(self, notice_id: str) -> list[str]:
        users = await self._users(notice_id)
        if not users:
            await self._deliver_waiting(notice_id)
            users = await self._users(notice_id)
        return users

    async def _users(self, notice_id: str) -> list[str]:
        tag = self._keys.tag_of(notice_id)
        name = self._keys.notice_users(tag, notice_id)
        pieces = await self._commands.call(tag, "LRANGE", name, 0, -1, repeatable=True)
        return [user for piece in pieces for user in unpack_users(piece)]

    async def claim_step(self, claim_s: float) -> JobStep | None:
        waiting, errors = await self._waiting()
        for tag in waiting:
            while (found := await self._claim(tag, claim_s)) is not None:
                if isinstance(found, JobStep):
                    return found
                # A call was moved to its own partition. Where that is another one, it was not looked at.
                if (step := await self._step_of(found, claim_s)) is not None:
                    return step
        if errors:
            raise errors[0]
        return None

    async def _waiting(self) -> tuple[list[str], list[BaseException]]:
        """Partitions with jobs, longest waiting first; and why others could not be looked at."""
        tags = self._keys.partition_tags
        asked = (
            self._commands.call(tag, "ZRANGE", self._keys.jobs(tag), 0, 0, "WITHSCORES", repeatable=True)
            for tag in tags
        )
        answers: Sequence[Any] = await asyncio.gather(*asked, return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        found = [
            (float(answer[1]), tag)
            for tag, answer in zip(tags, answers, strict=True)
            if not isinstance(answer, BaseException) and answer
        ]
        return [tag for _, tag in sorted(found)], errors

    async def _claim(self, tag: str, claim_s: float) -> JobStep | str | None:
        """A step of this partition; or the partition to which a call that waited here was moved."""
        claim, names = secrets.token_urlsafe(_CLAIM_BYTES), self._keys
        args: list[Argument] = [self._now(), names.notice(tag, ""), names.notice_users(tag, "")]
        args += (names.post(tag, ""), claim, round(claim_s * 1000), JOB_STEP_USERS)
        found = await self._commands.run(tag, _CLAIM, [names.jobs(tag)], args)
        if found is None:
            return None
        member: bytes = found[0]
        if member.startswith(POST):
            return await self._deliver(tag, member, found[1:])
        _, body, cursor, users = found
        return JobStep(member[1:].decode(), body, tuple(unpack_users(users)), claim, cursor, tag)

    async def _deliver(self, tag: str, member: bytes, parts: Sequence[bytes]) -> str:
        """Note a call that came with a publication. Cut short, it is tried again, and noted once."""
        notice = unpack_post(parts)
        # It was counted where it came from.
        opened = await self._open(notice, MAX_JOBS + len(self._keys.partition_tags) * MAX_JOBS)
        if opened == "conflict":
            log.warning("a publication brought a notification under an id that another one has: dropped")
        # In this order: without its member nobody looks for the post, and it expires.
        await self._commands.call(tag, "ZREM", self._keys.jobs(tag), member, repeatable=True)
        await self._commands.call(tag, "UNLINK", self._keys.post(tag, member[1:].decode()), repeatable=True)
        return self._keys.tag_of(notice.id)

    async def _deliver_waiting(self, notice_id: str) -> None:
        """Note the call of this id now, if it came with a publication and nobody has claimed it yet.

        It may wait in any partition. Workers may come first meanwhile: it is noted once all the same.
        """
        tags = self._keys.partition_tags
        asked = (
            self._commands.call(tag, "ZRANGE", self._keys.jobs(tag), 0, -1, repeatable=True) for tag in tags
        )
        for tag, members in zip(tags, await asyncio.gather(*asked), strict=True):
            posts = {
                member: self._keys.post(tag, member[1:].decode()) for member in members if member[:1] == POST
            }
            named = (self._commands.call(tag, "LINDEX", post, 0, repeatable=True) for post in posts.values())
            for (member, post), name in zip(posts.items(), await asyncio.gather(*named), strict=True):
                if name == notice_id.encode():
                    parts = await self._commands.call(tag, "LRANGE", post, 0, -1, repeatable=True)
                    if parts:
                        await self._deliver(tag, member, parts)
                    return

    async def _step_of(self, tag: str, claim_s: float) -> JobStep | None:
        found = await self._claim(tag, claim_s)
        return found if isinstance(found, JobStep) else None

    async def waiting_count(self) -> int:
        tags = self._keys.partition_tags
        asked = (self._commands.call(tag, "ZCARD", self._keys.jobs(tag), repeatable=True) for tag in tags)
        return sum(await asyncio.gather(*asked))

    async def finish_step(self, step: JobStep, failed: int) -> None:
        names, tag = self._keys, self._keys.tag_of(step.id)
        keys = (names.notice(tag, step.id), names.jobs(tag), names.wake(tag))
        args: list[Argument] = [self._now(), self._commands.publish_verb, f"j{step.id}", step.claim]
        args += (step.cursor + len(step.users), len(step.users) - failed, failed)
        await self._commands.run(tag, _FINISH, keys, args)
