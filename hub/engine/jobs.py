"""Port: notices (one call of notify, by its id) and the jobs that expand large ones.

Knows no ledger: a step hands out users, whoever took it notifies them. Any method may raise
``EngineUnavailable``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

JOB_STEP_USERS = 500
"""Users that are expanded between two saves of the cursor."""

MAX_JOBS = 1_000
"""Jobs that may wait in one partition; one more is refused."""

NOTICE_TTL_S = 7 * 86_400
"""How long a notice is known after it was opened."""


@dataclass(frozen=True, slots=True)
class NewNotice:
    """One call of notify. ``body`` is opaque to the engine and handed back by each step.

    ``as_job`` leaves the users to the workers; else the caller notifies them itself.
    """

    id: str
    body_hash: str
    body: bytes
    users: Sequence[str]
    as_job: bool


Opened = Literal["first", "again", "conflict", "full"]
"""``again``: the same call came before. ``conflict``: another body. ``full``: too many jobs, not opened."""


@dataclass(frozen=True, slots=True)
class NoticeStatus:
    """How far a notice has come."""

    running: bool
    users: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class JobStep:
    """The next users of a job, for one worker until its claim runs out."""

    id: str
    body: bytes
    users: tuple[str, ...]
    claim: str
    cursor: int
    partition: str = ""


class Jobs(Protocol):
    """Notices of the last days, and the queue of large ones."""

    async def open(self, notice: NewNotice) -> Opened:
        """Note the call, once. A job is queued in the same step."""
        ...

    async def conflicts(self, notice: NewNotice) -> bool:
        """Whether its id is known by another body, so that it would not be noted.

        A call that came with a publication counts from its first claim on.
        """
        ...

    async def close(self, notice_id: str, *, done: int, failed: int) -> None:
        """A call that its caller expanded itself is through."""
        ...

    async def status(self, notice_id: str) -> NoticeStatus | None:
        """None for an unknown one. One that came with a publication is known from then on."""
        ...

    async def users(self, notice_id: str) -> list[str]:
        """All users of a notice, in the order given; empty for an unknown one."""
        ...

    async def claim_step(self, claim_s: float) -> JobStep | None:
        """The next step of some job that nobody holds, None when there is none."""
        ...

    async def finish_step(self, step: JobStep, failed: int) -> None:
        """The users of the step are notified, but for ``failed``. Ignored when the claim is not current."""
        ...

    async def waiting_count(self) -> int:
        """Jobs that are not through yet. For metrics."""
        ...

    async def cancel(self, notice_id: str) -> None:
        """A job that is still running hands out no further step."""
        ...
