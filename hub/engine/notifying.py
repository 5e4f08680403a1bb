"""One call of notify, over the ports: note it once, then write it to each inbox, here or by a job.

What hubs, publishers and workers do alike. Knows no request format and no engine.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from hub.delivery.inbox import MAX_USER_BYTES, is_too_long
from hub.delivery.model import NewEntry, Planned
from hub.delivery.notification import Fallback, Notification
from hub.engine.jobs import Jobs, NewNotice
from hub.engine.ledger import Ledger
from hub.errors import (
    BAD_REQUEST,
    ID_CONFLICT,
    JOB_QUEUE_FULL,
    TOO_MANY_RECIPIENTS,
    UNKNOWN_NOTIFICATION,
    HubError,
)

INLINE_USERS = 100
"""Up to so many users are notified before the call is answered; more become a job."""

MAX_USERS = 100_000
MAX_PLANNED_USERS = 1_000
FULL_TRACE_USERS = 1_000
"""Calls for more keep only the marks of the end in their traces."""

HOW_TO_SOLVE_A_CONFLICT = "use a new id, or send the same body for the same users"

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class NotifyAnswer:
    """``accepted`` users have it, or will by ``job``. ``duplicate``: the first answer, given again."""

    id: str
    accepted: int
    duplicate: bool
    job: str = ""


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """What would happen to one device, and whose it is."""

    user: str
    planned: Planned


def distinct_users(users: Sequence[str], most: int = MAX_USERS) -> list[str]:
    """The users of a call, each once, in order.

    Raises:
        HubError: 107 for none, the anonymous one, one that is no text or too long, 1007 for too many.
    """
    if len(users) > most:
        raise HubError(
            TOO_MANY_RECIPIENTS,
            f"at most {most} users in one call{'' if most == MAX_USERS else ' with dry_run'}: split it",
        )
    if not all(isinstance(user, str) for user in users):
        raise HubError(BAD_REQUEST, 'users are texts, also those with numbers for ids: "42"')
    distinct = list(dict.fromkeys(users))
    if not distinct or "" in distinct:
        raise HubError(BAD_REQUEST, "users has one or more user ids, none of them empty")
    if any(map(is_too_long, distinct)):
        raise HubError(BAD_REQUEST, f"a user id has at most {MAX_USER_BYTES} bytes")
    return distinct


def notice_of(notification: Notification, users: Sequence[str], *, as_job: bool) -> NewNotice:
    """The call as the engine notes it. Another body or other users under the same id are another call."""
    notification.entry()  # refuses what is too large before anything is noted
    digest = hashlib.sha256(notification.body_hash.encode())
    for user in users:
        encoded = user.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return NewNotice(notification.id, digest.hexdigest(), notification.packed(), users, as_job)


async def notify(
    ledger: Ledger, jobs: Jobs, notification: Notification, users: Sequence[str]
) -> NotifyAnswer:
    """Notify ``users``, which :func:`distinct_users` gave.

    Raises:
        HubError: 1005 for an id that was used with another body or other users, 1006 for too much
            data, 1012 when too many jobs wait.
        EngineUnavailable: some may have it; the same call again completes it and doubles nothing.
    """
    if len(users) > INLINE_USERS:
        return await enqueue(jobs, notification, users)
    answer = await _open(jobs, notification, users, as_job=False)
    if answer.duplicate:
        status = await jobs.status(notification.id)
        if status is not None and not status.running:
            return answer
    # The first call, or one that was cut short: whoever has it already is not given it twice.
    failed = await notify_users(ledger, notification, users)
    await jobs.close(notification.id, done=len(users) - failed, failed=failed)
    return answer


async def enqueue(jobs: Jobs, notification: Notification, users: Sequence[str]) -> NotifyAnswer:
    """Leave it to the workers, however few ``users`` there are.

    Raises:
        HubError: as :func:`notify`.
        EngineUnavailable: it is unknown whether it was noted; the same call again does no harm.
    """
    return await _open(jobs, notification, users, as_job=True)


async def _open(
    jobs: Jobs, notification: Notification, users: Sequence[str], *, as_job: bool
) -> NotifyAnswer:
    opened = await jobs.open(notice_of(notification, users, as_job=as_job))
    if opened == "conflict":
        raise HubError(ID_CONFLICT, HOW_TO_SOLVE_A_CONFLICT)
    if opened == "full":
        raise HubError(JOB_QUEUE_FULL)
    job = notification.id if as_job else ""
    return NotifyAnswer(notification.id, len(users), duplicate=opened == "again", job=job)


async def notify_users(ledger: Ledger, notification: Notification, users: Sequence[str]) -> int:
    """Write a notification to each inbox; for how many that was refused (1005).

    Raises:
        EngineUnavailable: some may have it; do the same again.
    """
    entry = notification.entry()
    failed = 0
    left = iter(users)
    while some := list(islice(left, _AT_ONCE)):
        outcomes = await asyncio.gather(
            *(_notify_one(ledger, user, entry) for user in some), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            failed += not outcome
    return failed


async def _notify_one(ledger: Ledger, user: str, entry: NewEntry) -> bool:
    return not (await ledger.notify(user, entry)).conflict


async def plan(ledger: Ledger, users: Sequence[str], fallback: Fallback = "push") -> list[PlannedDevice]:
    """What a notification would do to each device now."""
    found: list[PlannedDevice] = []
    for user in users:
        for each in await ledger.plan(user):
            found.append(PlannedDevice(user, each if fallback == "push" else _never_pushed(each)))
    return found


def _never_pushed(planned: Planned) -> Planned:
    return Planned(planned.device, "none" if planned.way == "push" else planned.way, 0)


async def withdraw(ledger: Ledger, jobs: Jobs, notification_id: str, users: Sequence[str] | None) -> int:
    """Take a notification back from ``users``, or from all who got it; from how many it was.

    Raises:
        HubError: 1009 for an id that nobody knows.
    """
    if users is None:
        users = await jobs.users(notification_id)
        if not users:
            raise HubError(UNKNOWN_NOTIFICATION)
        await jobs.cancel(notification_id)
        status = await jobs.status(notification_id)
        if status is not None and status.running:
            # A small call that was cut short: sent again, it would bring this back to who never had it.
            await jobs.close(notification_id, done=status.done, failed=status.failed)
    count = 0
    left = iter(users)
    while some := list(islice(left, _AT_ONCE)):
        outcomes = await asyncio.gather(
            *(ledger.withdraw(user, notification_id) for user in some), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            count += outcome
    return count
