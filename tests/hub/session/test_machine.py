"""The rules of one connection, by state and command."""

from __future__ import annotations

import msgspec
import pytest

from hub.errors import (
    ALREADY_SUBSCRIBED,
    BAD_FRAME,
    BAD_REQUEST,
    DISCONNECT_NOT_AVAILABLE,
    LIMIT_EXCEEDED,
    PERMISSION_DENIED,
)
from hub.protocol import messages as m
from hub.protocol.messages import Command
from hub.session import Close, Decision, Ignore, Pong, Refuse, Serve, Session, State

DATA = msgspec.Raw(b"{}")


def connected(*channels: str, max_channels: int = 3) -> Session:
    """A session that serves commands and is in these channels."""
    session = Session(max_channels)
    session.connected()
    session.subscriptions.update({channel: object() for channel in channels})
    return session


def decide(session: Session, command_id: int = 1, **request: object) -> Decision:
    """The decision on a command with one request."""
    return session.decide(Command(id=command_id, **request))  # type: ignore[arg-type]


def test_the_first_command_must_be_connect() -> None:
    """Whoever does not say who they are is not served."""
    assert isinstance(decide(Session(1), connect=m.ConnectRequest()), Serve)
    assert decide(Session(1), subscribe=m.SubscribeRequest("a")) == Close(BAD_FRAME)


def test_a_connect_without_id_could_not_be_answered() -> None:
    """Replies find their command by its id."""
    assert decide(Session(1), command_id=0, connect=m.ConnectRequest()) == Close(BAD_FRAME)


def test_a_second_connect_is_a_violation() -> None:
    """A connection is one client for its whole life."""
    assert decide(connected(), connect=m.ConnectRequest()) == Close(BAD_FRAME)


def test_after_a_refused_connect_nothing_is_legal() -> None:
    """The client is expected to leave."""
    session = Session(1)
    session.refused()
    assert decide(session, connect=m.ConnectRequest()) == Close(BAD_FRAME)


def test_a_closed_session_ignores_what_still_arrives() -> None:
    """Frames may be on their way when the end comes."""
    session = connected()
    session.closed()
    assert decide(session, rpc=m.RPCRequest()) is Ignore.IGNORE


def test_an_expected_pong_is_taken_once() -> None:
    """A second one answers nothing."""
    session = connected()
    assert session.pinged()
    assert session.decide(Command()) is Pong.PONG
    assert session.decide(Command()) == Close(BAD_FRAME)


def test_a_ping_that_was_never_answered_shows_at_the_next() -> None:
    """It is the caller who then ends the connection."""
    session = connected()
    assert session.pinged()
    assert not session.pinged()


def test_a_pong_is_a_sign_of_life_whichever_ping_it_answers() -> None:
    """Who minds the deadline looks for any since it began, and not whether another ping went out since."""
    session = connected()
    session.pinged()
    session.answered = False
    session.decide(Command())
    session.pinged()
    assert session.awaits_pong and session.answered


def test_subscribing_twice_is_refused() -> None:
    """Whoever attached the first one, client or server."""
    assert decide(connected("a"), subscribe=m.SubscribeRequest("a")) == Refuse(1, ALREADY_SUBSCRIBED)


def test_the_number_of_channels_is_bounded() -> None:
    """One client must not take the memory of all."""
    session = connected("a", "b", "c", max_channels=3)
    assert decide(session, subscribe=m.SubscribeRequest("d")) == Refuse(1, LIMIT_EXCEEDED)


def test_subscription_types_that_do_not_exist_here_are_refused() -> None:
    """Map and shared poll subscriptions are not served."""
    assert decide(connected(), subscribe=m.SubscribeRequest("a", type=1)) == Refuse(1, PERMISSION_DENIED)


def test_tag_filters_are_not_allowed() -> None:
    """No namespace permits them."""
    request = m.SubscribeRequest("a", tf=m.FilterNode(key="k"))
    assert decide(connected(), subscribe=request) == Refuse(1, BAD_REQUEST)


def test_publishing_nothing_is_a_bad_request() -> None:
    """Empty data would be no publication."""
    assert decide(connected(), publish=m.PublishRequest("a")) == Refuse(1, BAD_REQUEST)
    assert isinstance(decide(connected(), publish=m.PublishRequest("a", DATA)), Serve)


@pytest.mark.parametrize(
    "request_",
    [
        {"subscribe": m.SubscribeRequest()},
        {"unsubscribe": m.UnsubscribeRequest()},
        {"publish": m.PublishRequest(data=DATA)},
        {"presence": m.PresenceRequest()},
        {"presence_stats": m.PresenceStatsRequest()},
        {"history": m.HistoryRequest()},
        {"refresh": m.RefreshRequest()},
        {"ping": m.PingRequest()},
        {},
    ],
    ids=lambda r: next(iter(r), "no request"),
)
def test_a_command_that_cannot_be_meant_ends_the_connection(request_: dict[str, object]) -> None:
    """A missing channel or token is a broken client, not a refused one."""
    assert decide(connected(), **request_) == Close(BAD_FRAME)


def test_one_way_messages_have_no_taker() -> None:
    """They have no reply that could say so."""
    assert decide(connected(), command_id=0, send=m.SendRequest(DATA)) == Close(DISCONNECT_NOT_AVAILABLE)


def test_a_subscription_refresh_needs_a_subscription_and_a_token() -> None:
    """An empty channel is allowed: the token names it then."""
    session = connected("a")
    refused = Refuse(1, PERMISSION_DENIED)
    assert decide(session, sub_refresh=m.SubRefreshRequest("b", "t")) == refused
    assert decide(session, sub_refresh=m.SubRefreshRequest("a", "t", type=1)) == refused
    assert decide(session, sub_refresh=m.SubRefreshRequest("a")) == Refuse(1, BAD_REQUEST)
    assert isinstance(decide(session, sub_refresh=m.SubRefreshRequest("", "t")), Serve)


def test_unsubscribing_from_what_one_is_not_in_is_served() -> None:
    """SDKs send it after a subscribe that failed, and take an error for a broken link."""
    assert isinstance(decide(connected(), unsubscribe=m.UnsubscribeRequest("a")), Serve)


def test_states_are_what_they_say() -> None:
    """The verbs lead where their names say."""
    session = Session(1)
    assert session.state is State.NEW
    session.connected()
    assert session.state is State.CONNECTED
