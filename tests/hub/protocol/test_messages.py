"""Which request a command means."""

from __future__ import annotations

import pytest
from msgspec import structs

from hub.protocol import messages as m

IN_ORDER = [
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "rpc",
    "send",
    "refresh",
    "sub_refresh",
    "ping",
]
REQUESTS = {
    "connect": m.ConnectRequest(),
    "subscribe": m.SubscribeRequest(),
    "unsubscribe": m.UnsubscribeRequest(),
    "publish": m.PublishRequest(),
    "presence": m.PresenceRequest(),
    "presence_stats": m.PresenceStatsRequest(),
    "history": m.HistoryRequest(),
    "rpc": m.RPCRequest(),
    "send": m.SendRequest(),
    "refresh": m.RefreshRequest(),
    "sub_refresh": m.SubRefreshRequest(),
    "ping": m.PingRequest(),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_an_empty_request_counts_by_its_presence(name: str) -> None:
    """Nothing needs to be set inside a request for it to be the one meant."""
    assert m.request_of(m.Command(id=1, **{name: REQUESTS[name]})) is REQUESTS[name]


@pytest.mark.parametrize("place", range(len(IN_ORDER)))
def test_the_first_request_in_the_protocols_order_wins(place: int) -> None:
    """A command with several requests means the one that the protocol names first."""
    later = {name: REQUESTS[name] for name in IN_ORDER[place:]}
    assert m.request_of(m.Command(id=1, **later)) is REQUESTS[IN_ORDER[place]]


def test_a_command_without_request_means_none() -> None:
    """A pong, or an id with nothing behind it, carries no request."""
    assert m.request_of(m.Command()) is None


def test_the_order_covers_every_request() -> None:
    """A request added to commands must get its place in the order."""
    assert {field.name for field in structs.fields(m.Command)} - {"id"} == set(IN_ORDER)
