"""One claimed row from its pushes to the end of its claim, within the time that the claim gives.

Sends a row's pushes one after another, so that a device sees them in order and a row takes one
slot. Knows no queue; what an answer means for the lane it tells the gate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from hub.delivery.model import Claimed, Finish, NewMark
from hub.engine.ledger import Ledger
from hub.errors import EngineUnavailable
from workers.composing import PlannedPush, compose
from workers.gate import Gate
from workers.metrics import WorkerMetrics
from workers.push import Outcome, Push, Verdict
from workers.retry import Random
from workers.senders.port import Sender
from workers.settling import ENDS_ROW, Moment, settle
from workers.tracing import WorkerTracer

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 2.0


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """How long an attempt may take, and how much of a claim must be left when one starts.

    The difference is what an end has to be told in. ``receipt_ttl_s`` is what receipts are good
    for after the notification expired. ``blocked_wait_s`` is how often it is looked whether a user
    is still blocked.
    """

    request_deadline_s: float = 12.0
    min_claim_left_s: float = 15.0
    receipt_ttl_s: int = 604_800
    blocked_wait_s: float = 60.0


class Serving:
    """Serves the rows of one lane."""

    def __init__(
        self,
        lane: str,
        sender: Sender,
        ledger: Ledger,
        gate: Gate,
        options: ServingOptions,
        receipt_secret: bytes,
        worker: str,
        metrics: WorkerMetrics,
        random: Random,
        tracer: WorkerTracer,
        is_blocked: Callable[[str], bool],
    ) -> None:
        self._lane = lane
        self._sender = sender
        self._ledger = ledger
        self._gate = gate
        self._options = options
        self._secret = receipt_secret
        self._worker = worker
        self._metrics = metrics
        self._random = random
        self._tracer = tracer
        self._is_blocked = is_blocked

    async def serve(self, row: Claimed, claimed_at_s: float) -> None:
        """Settle what can be settled of ``row``, claimed at this time of the loop's clock.

        Safe to cancel: the claim then runs out, and another worker takes the row.
        """
        ends_at_s = claimed_at_s + (row.until_ms - row.now_ms) / 1000
        loop = asyncio.get_running_loop()
        if self._is_blocked(row.user):
            await self._finish(self._put_off(row), ends_at_s)
            return
        planned = compose(row, self._secret, self._options.receipt_ttl_s)
        outcomes: list[Outcome] = []
        for each in planned:
            if self._must_leave(each, loop.time(), ends_at_s, tried=bool(outcomes)):
                break
            outcome = await self._attempt(_aged(each.push, loop.time() - claimed_at_s))
            outcomes.append(outcome)
            now_ms = row.now_ms + round((loop.time() - claimed_at_s) * 1000)
            self._gate.note(outcome, now_ms)
            if outcome.verdict in ENDS_ROW:
                break
        now_ms = row.now_ms + round((loop.time() - claimed_at_s) * 1000)
        end = settle(row, planned, outcomes, Moment(now_ms, self._random, self._worker))
        if end.dead:
            self._metrics.dead_letters(self._lane, len(end.dead))
        await self._finish(end, ends_at_s)

    def _put_off(self, row: Claimed) -> Finish:
        """Nothing is pushed to who is kept out; what is owed stays owed, as long as it is worth anything."""
        wait_s = self._options.blocked_wait_s
        told = f"the user is blocked; again in {wait_s:.0f} s"
        ids = [*(each for group in row.groups for each in group.ids), *(entry.terms.id for entry in row.rest)]
        return Finish(
            user=row.user,
            device=row.device,
            lane=row.record.lane,
            claim=row.claim,
            put_off_ms=max(1, round(wait_s * 1000)),
            marks=tuple(NewMark(each, "retry", told) for each in ids),
            node=self._worker,
        )

    def _must_leave(self, push: PlannedPush, now_s: float, ends_at_s: float, *, tried: bool) -> bool:
        """Whether there is no time for another attempt, or the lane stopped while this row was served."""
        return ends_at_s - now_s < self._options.min_claim_left_s or (tried and self._gate.is_open)

    async def _attempt(self, push: Push) -> Outcome:
        with self._tracer.span(
            "push attempt", parent=push.traceparent, lane=self._lane, kind=push.kind, push_id=push.push_id
        ) as span:
            outcome = await self._send(push)
            span.note(outcome=outcome.verdict.name.lower())
            if outcome.verdict is not Verdict.ACCEPTED:
                span.fail(outcome.reason)
        return outcome

    async def _send(self, push: Push) -> Outcome:
        started_s = time.perf_counter()
        try:
            with self._tracer.span(f"send by {push.target.provider}", outward=True) as span:
                async with asyncio.timeout(self._options.request_deadline_s):
                    outcome = await self._sender.send(push)
                span.note(status=outcome.status)
        except TimeoutError:
            outcome = Outcome(Verdict.LATER, "timeout", unknown=True)
        except Exception as error:
            # Against the port's promise. The row must not be lost for it, nor the lane.
            log.exception("! %s: the sender failed", self._lane)
            outcome = Outcome(Verdict.LATER, f"sender failed: {type(error).__name__}", unknown=True)
        self._metrics.attempt_finished(self._lane, push.kind, outcome, time.perf_counter() - started_s)
        if outcome.verdict is not Verdict.ACCEPTED:
            log.info(
                "< %s: %s push %s: %s %s %s",
                self._lane,
                push.kind,
                push.push_id,
                outcome.verdict.name.lower(),
                outcome.status or "",
                outcome.reason,
            )
        return outcome

    async def _finish(self, end: Finish, ends_at_s: float) -> None:
        """Tell the end, as often as it takes, while the claim lasts."""
        if not await self._noted(end, ends_at_s):
            self._metrics.claim_lost(self._lane)
            log.warning("x %s: the end of a claim came too late; %d sent", self._lane, len(end.sent))

    async def _noted(self, end: Finish, ends_at_s: float) -> bool:
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await self._ledger.finish(end)
            except EngineUnavailable:
                if loop.time() + wait_s >= ends_at_s:
                    return False
                await asyncio.sleep(wait_s * (0.5 + self._random() / 2))
                wait_s = min(2 * wait_s, _LAST_BACKOFF_S)


def _aged(push: Push, seconds: float) -> Push:
    """``push`` with what is left of its life so long after it was made."""
    return push if seconds < 1 else replace(push, ttl_s=max(0, push.ttl_s - int(seconds)))
