"""Every state of a session against every command: the rules answer always, and keep their promises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hub.errors import BAD_FRAME
from hub.protocol import messages as m
from hub.protocol.messages import Command, request_of
from hub.session import Close, Ignore, Pong, Refuse, Serve, Session, State

CHANNELS = st.sampled_from(["", "a", "b", "c"])
TOKENS = st.sampled_from(["", "t"])
PAYLOADS = st.sampled_from([m.NO_DATA, Raw(b"{}")])
TYPES = st.sampled_from([0, 1])
MAX_CHANNELS = 2

REQUESTS = {
    "connect": st.builds(m.ConnectRequest, token=TOKENS),
    "subscribe": st.builds(
        m.SubscribeRequest, channel=CHANNELS, type=TYPES, tf=st.none() | st.just(m.FilterNode())
    ),
    "unsubscribe": st.builds(m.UnsubscribeRequest, channel=CHANNELS),
    "publish": st.builds(m.PublishRequest, channel=CHANNELS, data=PAYLOADS, type=TYPES),
    "presence": st.builds(m.PresenceRequest, channel=CHANNELS),
    "presence_stats": st.builds(m.PresenceStatsRequest, channel=CHANNELS),
    "history": st.builds(m.HistoryRequest, channel=CHANNELS, limit=st.integers(-2, 2)),
    "ping": st.just(m.PingRequest()),
    "send": st.builds(m.SendRequest, data=PAYLOADS),
    "rpc": st.builds(m.RPCRequest, data=PAYLOADS),
    "refresh": st.builds(m.RefreshRequest, token=TOKENS),
    "sub_refresh": st.builds(m.SubRefreshRequest, channel=CHANNELS, token=TOKENS, type=TYPES),
}

COMMANDS = st.builds(
    lambda command_id, requests: Command(id=command_id, **requests),
    st.sampled_from([0, 1, 7]),
    st.fixed_dictionaries({}, optional=REQUESTS).map(lambda d: dict(list(d.items())[:2])),
)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """A session in any state it can get into."""
    session = Session(MAX_CHANNELS)
    state = draw(st.sampled_from(list(State)))
    if state is State.CONNECTED or draw(st.booleans()):
        session.connected()
    if state is State.REFUSED:
        session.refused()
    if state is State.NEW:
        session = Session(MAX_CHANNELS)
    if session.state is State.CONNECTED:
        session.subscriptions.update(
            dict.fromkeys(draw(st.sets(st.sampled_from("abc"), max_size=2)), object())
        )
        if draw(st.booleans()):
            session.pinged()
    if state is State.CLOSED:
        session.closed()
    return session


@settings(max_examples=2000)
@given(sessions(), COMMANDS)
def test_every_command_in_every_state_has_a_lawful_answer(session: Session, command: Command) -> None:
    """What is served is legal, what is refused can be answered, and deciding changes nothing else."""
    state, channels, awaited = session.state, set(session.subscriptions), session.awaits_pong
    decision = session.decide(command)
    request = request_of(command)
    assert session.state is state
    assert set(session.subscriptions) == channels
    match decision:
        case Ignore.IGNORE:
            assert state is State.CLOSED
        case Serve(command_id, served):
            assert served is request and command_id == command.id > 0
            assert state is State.CONNECTED or isinstance(served, m.ConnectRequest)
            if isinstance(served, m.SubscribeRequest):
                assert served.channel not in channels and len(channels) < MAX_CHANNELS
        case Refuse(command_id, _):
            assert state is State.CONNECTED and command_id == command.id > 0
        case Pong.PONG:
            assert awaited and command.id == 0
        case Close(disconnect):
            assert state is not State.CLOSED
            assert not disconnect.reconnect, "coming back would only repeat it"
            if state in (State.NEW, State.REFUSED):
                assert disconnect is BAD_FRAME
    assert session.awaits_pong is (awaited and decision is not Pong.PONG)


@given(sessions())
def test_only_connect_leads_out_of_the_beginning(session: Session) -> None:
    """In every other state a connect is a violation, or too late."""
    decision = session.decide(Command(id=1, connect=m.ConnectRequest()))
    expected = {State.NEW: Serve, State.CLOSED: Ignore}.get(session.state, Close)
    assert isinstance(decision, expected)
