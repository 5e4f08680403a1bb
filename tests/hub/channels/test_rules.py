"""Permissions: who may do what in which channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub.channels import Asker, ChannelOptions, ChannelRules, Override
from hub.delivery.inbox import INBOX_POLICY
from hub.errors import (
    BAD_REQUEST,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    UNKNOWN_CHANNEL,
    ErrorCode,
    HubError,
)

HISTORY = {"history_size": 10, "history_ttl_s": 60}


def rules(insecure: bool = False, **options: object) -> ChannelRules:
    """Rules with one namespace ``n`` of these options."""
    return ChannelRules(
        ChannelOptions(),
        {"n": ChannelOptions(**options)},  # type: ignore[arg-type]
        insecure=insecure,
        personal=True,
    )


def error_of(act: Callable[[], object]) -> ErrorCode | None:
    """The code ``act`` was refused with, None where it was not."""
    try:
        act()
    except HubError as exc:
        return exc.error
    return None


def subscribe(r: ChannelRules, channel: str, user: str) -> ErrorCode | None:
    """Whether a subscribe without token is refused."""
    return error_of(lambda: r.check_subscribe(*r.resolve(channel), Asker(user)))


def test_everything_is_refused_by_default() -> None:
    """A namespace opens only what its owner wrote down."""
    assert subscribe(rules(), "n:1", "42") is PERMISSION_DENIED


def test_clients_subscribe_where_that_is_allowed() -> None:
    """Known users only; the anonymous one needs its own option."""
    r = rules(allow_subscribe_for_client=True)
    assert subscribe(r, "n:1", "42") is None
    assert subscribe(r, "n:1", "") is PERMISSION_DENIED
    assert (
        subscribe(rules(allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True), "n:1", "")
        is None
    )


def test_a_user_limited_channel_is_for_its_users() -> None:
    """Even where everybody may subscribe to other channels of the namespace."""
    r = rules(allow_subscribe_for_client=True, allow_user_limited_channels=True)
    assert subscribe(r, "n:d#42,43", "43") is None
    assert subscribe(r, "n:d#42,43", "44") is PERMISSION_DENIED
    assert subscribe(r, "n:d#", "") is PERMISSION_DENIED
    assert subscribe(rules(allow_subscribe_for_client=True), "n:d#42", "42") is PERMISSION_DENIED


def test_a_private_channel_needs_a_token() -> None:
    """Whatever the namespace allows."""
    assert subscribe(rules(allow_subscribe_for_client=True), "$n:1", "42") is PERMISSION_DENIED


def test_an_unknown_namespace_has_its_own_code() -> None:
    """So that a typing error is not taken for a missing right."""
    assert error_of(lambda: rules().resolve("nope:1")) is UNKNOWN_CHANNEL


def test_the_channel_regex_holds_for_the_rest_of_the_name() -> None:
    """What stands before the namespace boundary is not part of it."""
    r = rules(channel_regex=r"\d+")
    assert error_of(lambda: r.resolve("n:12")) is None
    assert error_of(lambda: r.resolve("n:12x")) is BAD_REQUEST


@pytest.mark.parametrize("insecure", [False, True])
def test_the_inbox_is_closed_to_clients_in_every_mode(insecure: bool) -> None:
    """No token, no option and no insecure mode opens it."""
    r = rules(insecure=insecure)
    name, options = r.resolve("inbox:#42")
    asker = Asker("42", subscribed=True)
    assert error_of(lambda: r.check_subscribe(name, options, asker)) is PERMISSION_DENIED
    assert error_of(lambda: r.check_token_subscribe(name)) is PERMISSION_DENIED
    assert error_of(lambda: r.check_publish(name, options, asker)) is PERMISSION_DENIED
    assert error_of(lambda: r.check_presence(name, options, asker)) is PERMISSION_DENIED
    assert error_of(lambda: r.check_history(name, options, Asker("43"))) is PERMISSION_DENIED


def test_whom_the_hub_attached_to_an_inbox_may_read_it() -> None:
    """It attaches nobody but its owner; the anonymous user has none."""
    r = rules()
    name, options = r.resolve("inbox:#42")
    assert error_of(lambda: r.check_history(name, options, Asker("42", subscribed=True))) is None
    assert error_of(lambda: r.check_history(name, options, Asker("", subscribed=True))) is PERMISSION_DENIED


def test_every_inbox_keeps_the_same() -> None:
    """Nothing but history and recovery, whatever its user is called and however short names must be."""
    r = ChannelRules(ChannelOptions(), {}, max_length=20)
    _, options = r.resolve("inbox:#" + "u" * 128)
    assert options.history == INBOX_POLICY
    assert options.force_recovery and not options.presence and not options.join_leave


def test_insecure_mode_opens_everything_else() -> None:
    """For tests and closed networks."""
    r = rules(insecure=True, presence=True, **HISTORY)
    name, options = r.resolve("n:1")
    assert error_of(lambda: r.check_subscribe(name, options, Asker(""))) is None
    assert error_of(lambda: r.check_publish(name, options, Asker(""))) is None
    assert error_of(lambda: r.check_history(name, options, Asker(""))) is None
    assert error_of(lambda: r.check_presence(name, options, Asker(""))) is None


@pytest.mark.parametrize("what", ["publish", "history", "presence"])
def test_each_right_is_for_clients_or_for_subscribers(what: str) -> None:
    """The anonymous user needs its own option beside either."""
    base = {"presence": True, **HISTORY}

    def refusal(asker: Asker, **options: bool) -> ErrorCode | None:
        r = rules(**base, **options)
        return error_of(lambda: getattr(r, f"check_{what}")(*r.resolve("n:1"), asker))

    outside, inside, nobody = Asker("42"), Asker("42", subscribed=True), Asker("", subscribed=True)
    assert refusal(outside) is PERMISSION_DENIED
    assert refusal(outside, **{f"allow_{what}_for_client": True}) is None
    assert refusal(outside, **{f"allow_{what}_for_subscriber": True}) is PERMISSION_DENIED
    assert refusal(inside, **{f"allow_{what}_for_subscriber": True}) is None
    assert refusal(nobody, **{f"allow_{what}_for_subscriber": True}) is PERMISSION_DENIED
    both = {f"allow_{what}_for_subscriber": True, f"allow_{what}_for_anonymous": True}
    assert refusal(nobody, **both) is None


def test_what_a_channel_does_not_have_is_not_available() -> None:
    """Rather than forbidden: no right would help."""
    r = rules()
    name, options = r.resolve("n:1")
    assert error_of(lambda: r.check_history(name, options, Asker("42"))) is NOT_AVAILABLE
    assert error_of(lambda: r.check_presence(name, options, Asker("42"))) is NOT_AVAILABLE


def test_the_personal_channel_follows_the_settings() -> None:
    """Off unless it was switched on, and never for the anonymous user."""
    assert rules().personal_channel("42") == "#42"
    assert rules().personal_channel("") is None
    assert ChannelRules(ChannelOptions(), {}).personal_channel("42") is None


def test_an_override_changes_what_it_names_and_nothing_else() -> None:
    """Unset values keep the namespace's own."""
    options = ChannelOptions(presence=True, join_leave=True)
    changed = options.overridden(Override(presence=False, force_recovery=True))
    assert (changed.presence, changed.join_leave, changed.force_recovery) == (False, True, True)
    assert options.overridden(None) is options
