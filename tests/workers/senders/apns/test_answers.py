"""The whole table of statuses and reasons, row by row."""

from __future__ import annotations

import pytest

from workers.push import Outcome, Verdict
from workers.senders.apns.answers import BY_REASON, Answer, classify, is_known

TABLE = [
    (400, "BadDeviceToken", Verdict.GONE),
    (400, "DeviceTokenNotForTopic", Verdict.GONE),
    (400, "TopicDisallowed", Verdict.STOP),
    (400, "BadTopic", Verdict.STOP),
    (400, "MissingTopic", Verdict.STOP),
    (400, "BadCollapseId", Verdict.DEAD),
    (400, "BadExpirationDate", Verdict.DEAD),
    (400, "BadMessageId", Verdict.DEAD),
    (400, "BadPriority", Verdict.DEAD),
    (400, "DuplicateHeaders", Verdict.DEAD),
    (400, "InvalidPushType", Verdict.DEAD),
    (400, "MissingDeviceToken", Verdict.DEAD),
    (400, "PayloadEmpty", Verdict.DEAD),
    (400, "IdleTimeout", Verdict.LATER),
    (403, "ExpiredProviderToken", Verdict.STOP),
    (403, "InvalidProviderToken", Verdict.STOP),
    (403, "MissingProviderToken", Verdict.STOP),
    (403, "BadCertificate", Verdict.STOP),
    (403, "BadCertificateEnvironment", Verdict.STOP),
    (403, "BadEnvironmentKeyIdInToken", Verdict.STOP),
    (403, "BadEnvironmentKeyInToken", Verdict.STOP),
    (403, "UnrelatedKeyIdInToken", Verdict.LATER),
    (403, "Forbidden", Verdict.STOP),
    (404, "BadPath", Verdict.DEAD),
    (405, "MethodNotAllowed", Verdict.DEAD),
    (410, "Unregistered", Verdict.GONE),
    (410, "ExpiredToken", Verdict.GONE),
    (413, "PayloadTooLarge", Verdict.DEAD),
    (429, "TooManyRequests", Verdict.LATER),
    (429, "TooManyProviderTokenUpdates", Verdict.LATER),
    (500, "InternalServerError", Verdict.LATER),
    (503, "ServiceUnavailable", Verdict.LATER),
    (503, "Shutdown", Verdict.LATER),
]


@pytest.mark.parametrize(("status", "reason", "verdict"), TABLE)
def test_every_documented_reason_has_its_verdict(status: int, reason: str, verdict: Verdict) -> None:
    """Status and reason are kept for the trace, whatever follows from them."""
    outcome = classify(Answer(status, reason, "the-id"))
    assert (outcome.verdict, outcome.status, outcome.reason) == (verdict, status, reason)
    assert outcome.provider_id == "the-id"
    assert not outcome.unknown


def test_the_table_of_this_test_is_the_whole_table() -> None:
    """A reason that is added without a row here is noticed."""
    assert {reason for _, reason, _ in TABLE} == set(BY_REASON)


def test_accepted() -> None:
    """200 is taken by the provider, with the id that it gave."""
    assert classify(Answer(200, provider_id="x")) == Outcome(Verdict.ACCEPTED, status=200, provider_id="x")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.DEAD),
        (404, Verdict.DEAD),
        (413, Verdict.DEAD),
        (418, Verdict.DEAD),
        (403, Verdict.STOP),
        (410, Verdict.GONE),
        (429, Verdict.LATER),
        (500, Verdict.LATER),
        (502, Verdict.LATER),
        (599, Verdict.LATER),
        (0, Verdict.LATER),
        (302, Verdict.LATER),
    ],
)
@pytest.mark.parametrize("reason", ["", "SomethingNew"])
def test_where_the_reason_is_new_or_missing_the_status_decides(
    status: int, reason: str, verdict: Verdict
) -> None:
    """4xx is about this message, unless the status itself says otherwise; the rest may pass."""
    outcome = classify(Answer(status, reason))
    assert outcome.verdict is verdict
    assert outcome.reason == (reason or f"status {status}")
    assert not is_known(reason)


def test_the_time_of_death_is_milliseconds_as_it_came() -> None:
    """Registrations newer than this survive, so it must not be rounded or scaled."""
    assert (
        classify(Answer(410, "Unregistered", timestamp_ms=1_760_000_000_123)).gone_at_ms == 1_760_000_000_123
    )


def test_a_time_of_death_belongs_to_the_dead_only() -> None:
    """No other verdict carries one."""
    assert classify(Answer(400, "BadPriority", timestamp_ms=5)).gone_at_ms is None


@pytest.mark.parametrize(
    ("reason", "status", "whole_lane"),
    [
        ("TooManyRequests", 429, False),
        ("TooManyProviderTokenUpdates", 429, True),
        ("Forbidden", 403, True),
        ("ServiceUnavailable", 503, False),
    ],
)
def test_what_concerns_the_whole_lane_says_so(reason: str, status: int, whole_lane: bool) -> None:
    """Too many requests are those of one phone; too many tokens and wrong keys are everybody's."""
    assert classify(Answer(status, reason)).whole_lane is whole_lane


def test_the_providers_wish_wins_over_the_tables() -> None:
    """Retry-After is honoured where something is tried again."""
    assert classify(Answer(503, "ServiceUnavailable", retry_after_s=7.0)).retry_after_s == 7.0
    assert classify(Answer(429, "TooManyProviderTokenUpdates", retry_after_s=7.0)).retry_after_s == 7.0
    assert classify(Answer(429, "TooManyProviderTokenUpdates")).retry_after_s == 60.0
    assert classify(Answer(400, "BadPriority", retry_after_s=7.0)).retry_after_s is None


def test_a_reason_that_is_no_word_is_not_repeated() -> None:
    """What goes into traces and logs is bounded and printable."""
    assert classify(Answer(400, "a\nb" * 40)).reason == "unreadable reason"
