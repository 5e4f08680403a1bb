"""From what came of the pushes of a row to the end of its claim. Pure: clock and dice are arguments."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hub.delivery.model import Claimed, DeadOffset, Event, Finish, NewMark
from workers.composing import PlannedPush
from workers.push import Outcome, Verdict
from workers.retry import Again, GiveUp, Random, decide

ENDS_ROW = frozenset({Verdict.LATER, Verdict.GONE, Verdict.STOP})
"""After one of these, nothing more is sent to the device now: it would meet the same."""


class Moment(Struct, frozen=True):
    """What settling needs beside the answers: the engine's time, dice, and who did it."""

    now_ms: int
    random: Random
    worker: str


def settle(
    row: Claimed, planned: Sequence[PlannedPush], outcomes: Sequence[Outcome], moment: Moment
) -> Finish:
    """The end of the claim of ``row``.

    ``outcomes`` are those of the first of ``planned``; what was not tried stays owed, and so does
    all that a lane's own trouble (``STOP``, or a wait for the whole of it) kept from being sent, without an
    attempt being counted.
    """
    end = _End(row, moment, any(each.verdict is Verdict.ACCEPTED for each in outcomes))
    for push, outcome in zip(planned, outcomes, strict=False):
        match outcome.verdict:
            case Verdict.ACCEPTED:
                end.accepted(push, outcome)
            case Verdict.LATER:
                end.later(push, outcome)
            case Verdict.DEAD:
                end.never(push, outcome, outcome.reason or "refused by the provider")
            case Verdict.GONE:
                end.gone(push, outcome, planned[len(outcomes) :])
            case Verdict.STOP:
                end.attempted(push, outcome)
    return end.finish()


class _End:
    def __init__(self, row: Claimed, moment: Moment, any_accepted: bool) -> None:
        self._row = row
        self._moment = moment
        # A provider that took something for this device just now is not on its twelfth failure.
        self._attempt = 0 if any_accepted else row.attempts
        self._sent: list[int] = []
        self._dead: list[DeadOffset] = []
        self._cleared: list[str] = []
        self._marks: list[NewMark] = []
        self._badge_sent: int | None = None
        self._retry_ms: int | None = None
        self._put_off_ms: int | None = None
        self._gone = ""
        self._gone_at_ms: int | None = None

    def accepted(self, push: PlannedPush, outcome: Outcome) -> None:
        self.attempted(push, outcome)
        self._sent += (offset for offset, _ in push.told)
        self._mark(push, "pushed", outcome.provider_id)
        self._settle_quiet(push)

    def later(self, push: PlannedPush, outcome: Outcome) -> None:
        expires_in_s = (push.expires_at_ms - self._moment.now_ms) / 1000
        # What the whole lane waits for is no failure at this device.
        attempt = 0 if outcome.whole_lane else self._attempt
        decision = decide(self._row.record.provider, outcome, attempt, expires_in_s, self._moment.random)
        if isinstance(decision, GiveUp):
            self.never(push, outcome, decision.reason)
            return
        self.attempted(push, outcome)
        if outcome.whole_lane:
            self._put_off_ms = decision.wait_ms
        else:
            self._retry_ms = decision.wait_ms
        self._mark(push, "retry", f"{_answer(outcome)}; again in {decision.wait_ms / 1000:.0f} s")

    def never(self, push: PlannedPush, outcome: Outcome, reason: str) -> None:
        self.attempted(push, outcome)
        self._dead += (DeadOffset(offset, id, reason) for offset, id in push.told)
        self._mark(push, "dropped", reason)
        if not push.told:
            self._settle_quiet(push)

    def gone(self, push: PlannedPush, outcome: Outcome, untried: Sequence[PlannedPush]) -> None:
        self.attempted(push, outcome)
        self._gone = self._row.token_hash
        # A provider that does not say since when knew it as the claim was made: whoever registered
        # the token after that keeps it.
        self._gone_at_ms = outcome.gone_at_ms if outcome.gone_at_ms is not None else self._row.now_ms
        for each in (push, *untried):
            self._mark(each, "dropped", f"the token is gone: {_answer(outcome)}")
        # Only for a token that stays: not every second what the provider keeps refusing.
        lost = Outcome(Verdict.LATER, outcome.reason)
        decision = decide("", lost, self._attempt, float("inf"), self._moment.random)
        if isinstance(decision, Again):
            self._retry_ms = decision.wait_ms
        else:
            self._dead += (DeadOffset(offset, id, decision.reason) for offset, id in push.told)

    def attempted(self, push: PlannedPush, outcome: Outcome) -> None:
        self._mark(push, "attempt", f"{_answer(outcome)} {outcome.provider_id}".strip())

    def finish(self) -> Finish:
        row = self._row
        return Finish(
            user=row.user,
            device=row.device,
            lane=row.record.lane,
            claim=row.claim,
            sent=tuple(self._sent),
            dead=tuple(self._dead),
            retry_ms=self._retry_ms,
            put_off_ms=self._put_off_ms,
            gone=self._gone,
            gone_at_ms=self._gone_at_ms,
            badge_sent=self._badge_sent,
            cleared=tuple(self._cleared),
            marks=tuple(self._marks),
            node=self._moment.worker,
        )

    def _settle_quiet(self, push: PlannedPush) -> None:
        if push.badge is not None:
            self._badge_sent = push.badge
        if push.cleared:
            self._cleared.append(push.cleared)

    def _mark(self, push: PlannedPush, event: Event, detail: str) -> None:
        self._marks += (NewMark(id, event, detail) for _, id in push.told)


def _answer(outcome: Outcome) -> str:
    """Status and reason, as far as there were any."""
    words = (str(outcome.status) if outcome.status else "", outcome.reason)
    return " ".join(word for word in words if word) or "no answer"
