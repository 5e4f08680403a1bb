"""What a worker counts, lane by lane."""

from __future__ import annotations

from hub.ops.exposition import Exposition
from tests.support.prometheus import parse
from workers.prometheus import PrometheusWorkerMetrics
from workers.push import Outcome, Verdict

LANE = "apns:shop:production"


def test_attempts_are_told_by_what_came_of_them() -> None:
    """With how long they took."""
    exposition = Exposition("")
    metrics = PrometheusWorkerMetrics(exposition)
    for verdict in (Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.LATER):
        metrics.attempt_finished(LANE, "notify", Outcome(verdict), 0.08)
    metrics.attempt_finished(LANE, "badge", Outcome(Verdict.GONE), 2.0)
    page = parse(exposition.page())
    assert page.sum("hub_push_attempts_total", lane=LANE, kind="notify", outcome="accepted") == 2
    assert page.sum("hub_push_attempts_total", lane=LANE, kind="notify", outcome="later") == 1
    assert page.sum("hub_push_attempts_total", lane=LANE, kind="badge", outcome="gone") == 1
    assert page.sum("hub_push_attempt_seconds_count", lane=LANE) == 4
    assert page.sum("hub_push_attempt_seconds_bucket", lane=LANE, le="0.1") == 3


def test_queues_and_ends_are_told() -> None:
    """As they were told last, or added up."""
    exposition = Exposition("")
    metrics = PrometheusWorkerMetrics(exposition)
    metrics.rows_claimed(LANE, 3)
    metrics.rows_claimed(LANE, 4)
    metrics.in_flight(LANE, 7)
    metrics.due_age(LANE, 12.5)
    metrics.rows_waiting(LANE, 40)
    metrics.jobs_waiting(2)
    metrics.breaker_changed(LANE, True)
    metrics.dead_letters(LANE, 2)
    metrics.claim_lost(LANE)
    metrics.job_step_finished(500, 3)
    page = parse(exposition.page())
    assert page.sum("hub_push_rows_claimed_total", lane=LANE) == 7
    assert page.sum("hub_push_in_flight", lane=LANE) == 7
    assert page.sum("hub_push_due_age_seconds", lane=LANE) == 12.5
    assert page.sum("hub_push_devices_waiting", lane=LANE) == 40
    assert page.sum("hub_jobs_waiting") == 2
    assert page.sum("hub_push_breaker_open", lane=LANE) == 1
    assert page.sum("hub_push_dead_letters_total", lane=LANE) == 2
    assert page.sum("hub_push_claims_lost_total", lane=LANE) == 1
    assert page.sum("hub_job_users_total", result="notified") == 497
    assert page.sum("hub_job_users_total", result="failed") == 3
    metrics.breaker_changed(LANE, False)
    assert parse(exposition.page()).sum("hub_push_breaker_open", lane=LANE) == 0


def test_a_lane_is_shown_before_anything_happens_in_it() -> None:
    """What is absent cannot be watched."""
    exposition = Exposition("")
    PrometheusWorkerMetrics(exposition).begin(LANE)
    page = parse(exposition.page())
    lanes = {name for name, labels, _ in page.samples if labels.get("lane") == LANE}
    assert {"hub_push_breaker_open", "hub_push_dead_letters_total", "hub_push_due_age_seconds"} <= lanes
