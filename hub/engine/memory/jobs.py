"""Jobs of the embedded engine: notices in a dictionary, the large ones expanded in the order they came."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from hub.engine.jobs import JOB_STEP_USERS, MAX_JOBS, NOTICE_TTL_S, JobStep, NewNotice, NoticeStatus, Opened
from hub.engine.memory.wakes import JOBS, Wakes

_CLAIM_BYTES = 9


@dataclass(slots=True)
class _Notice:
    body_hash: str
    body: bytes
    users: tuple[str, ...]
    until_ms: int
    running: bool = True
    done: int = 0
    failed: int = 0
    cursor: int = 0
    claim: str = ""
    claim_until_ms: int = 0


class MemoryJobs:
    """Notices of one process, and the queue of those that workers expand."""

    def __init__(self, wakes: Wakes, now_ms: Callable[[], int]) -> None:
        self._wakes = wakes
        self._now_ms = now_ms
        self._notices: dict[str, _Notice] = {}
        self._queue: dict[str, _Notice] = {}

    async def open(self, notice: NewNotice) -> Opened:
        return self.open_now(notice)

    def open_now(self, notice: NewNotice) -> Opened:
        """As :meth:`open`, for who does something else in the same step."""
        known = self._find(notice.id)
        if known is not None:
            return "again" if known.body_hash == notice.body_hash else "conflict"
        waits = notice.as_job and len(notice.users) > 0
        if waits and len(self._queue) >= MAX_JOBS:
            return "full"
        kept = _Notice(
            notice.body_hash,
            notice.body,
            tuple(notice.users),
            self._now_ms() + NOTICE_TTL_S * 1000,
            running=waits or not notice.as_job,
        )
        self._notices[notice.id] = kept
        if waits:
            self._queue[notice.id] = kept
            self._wakes.tell(JOBS)
        return "first"

    async def conflicts(self, notice: NewNotice) -> bool:
        known = self._find(notice.id)
        return known is not None and known.body_hash != notice.body_hash

    async def close(self, notice_id: str, *, done: int, failed: int) -> None:
        notice = self._find(notice_id)
        if notice is not None and notice_id not in self._queue:
            notice.running, notice.done, notice.failed = False, done, failed

    async def status(self, notice_id: str) -> NoticeStatus | None:
        notice = self._find(notice_id)
        if notice is None:
            return None
        return NoticeStatus(notice.running, len(notice.users), notice.done, notice.failed)

    async def users(self, notice_id: str) -> list[str]:
        notice = self._find(notice_id)
        return [] if notice is None else list(notice.users)

    async def claim_step(self, claim_s: float) -> JobStep | None:
        now_ms = self._now_ms()
        for notice_id, notice in self._queue.items():
            if not notice.claim or now_ms >= notice.claim_until_ms:
                notice.claim = secrets.token_urlsafe(_CLAIM_BYTES)
                notice.claim_until_ms = now_ms + round(claim_s * 1000)
                users = notice.users[notice.cursor : notice.cursor + JOB_STEP_USERS]
                return JobStep(notice_id, notice.body, users, notice.claim, notice.cursor)
        return None

    async def finish_step(self, step: JobStep, failed: int) -> None:
        notice = self._notices.get(step.id)
        if notice is None or notice.claim != step.claim:
            return
        notice.claim = ""
        notice.cursor = step.cursor + len(step.users)
        notice.done += len(step.users) - failed
        notice.failed += failed
        if notice.cursor >= len(notice.users):
            notice.running = False
            self._queue.pop(step.id, None)
        elif notice.running:
            self._wakes.tell(JOBS)

    async def waiting_count(self) -> int:
        return len(self._queue)

    async def cancel(self, notice_id: str) -> None:
        # A step that is under way still ends, and is counted.
        if (notice := self._queue.pop(notice_id, None)) is not None:
            notice.running = False

    def _find(self, notice_id: str) -> _Notice | None:
        notice = self._notices.get(notice_id)
        return notice if notice is not None and self._now_ms() < notice.until_ms else None

    def sweep(self) -> tuple[()]:
        """Free notices whose time is over, with what of them nobody expanded. Few, so it never yields."""
        now_ms = self._now_ms()
        for notice_id in [each for each, notice in self._notices.items() if now_ms >= notice.until_ms]:
            del self._notices[notice_id]
            self._queue.pop(notice_id, None)
        return ()
