"""What this sender relies on inside of ``aioapns``, ``h2`` and ``hpack``, held against what is installed.

A failure here means that a new version moved something. Look at the named place in
``workers/senders/apns`` before the pins in ``pyproject.toml`` are raised.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
from aioapns.client import APNs
from aioapns.common import NotificationRequest, NotificationResult
from aioapns.connection import APNsBaseConnectionPool, APNsTLSClientProtocol
from aioapns.exceptions import ConnectionClosed
from h2.connection import H2Connection
from h2.stream import H2Stream
from hpack.hpack import Encoder


def parameters(function: object) -> list[str]:
    """The names of a function's parameters, without ``self``."""
    assert callable(function)
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize(("package", "tried"), [("aioapns", ("4.0",)), ("h2", ("4.4",)), ("hpack", ("4.2",))])
def test_the_version_is_one_that_was_tried(package: str, tried: tuple[str, ...]) -> None:
    """Private names are touched: another minor version has to be looked at first."""
    found = version(package)
    assert found.startswith(tried), (
        f"{package} {found}: run the tests of this directory with it, read what changed in the names that "
        "test_library.py lists, then raise the pin in pyproject.toml and this list"
    )


def test_the_client_sends_by_its_pool_and_reports_by_err_func() -> None:
    """pool.py: ApnsClient sets these two and nothing else."""
    names = set(APNs.send_notification.__code__.co_names)
    assert {"pool", "send_notification", "err_func"} <= names, "aioapns.APNs.send_notification has changed"
    assert names.isdisjoint({"key", "topic"}), "aioapns.APNs.send_notification needs more than pool.py gives"


def test_the_pool_has_what_ours_replaces() -> None:
    """pool.py: ApnsPool overrides these, and calls the constructor by these names."""
    for name in ("send_notification", "acquire", "create_connection", "discard_connection"):
        assert hasattr(APNsBaseConnectionPool, name), f"aioapns pool: {name} is gone"
    assert {"topic", "max_connections"} <= set(parameters(APNsBaseConnectionPool.__init__))


async def test_the_pool_makes_what_ours_uses() -> None:
    """pool.py: these are attributes that the library's constructor sets."""
    pool = APNsBaseConnectionPool(topic="a", max_connections=2)
    for name in ("apns_topic", "max_connections", "protocol_class", "loop", "connections", "ssl_context"):
        assert hasattr(pool, name), f"aioapns pool: attribute {name} is gone"


def test_the_protocol_is_made_with_these_arguments() -> None:
    """connection.py: ApnsConnection passes them on in this order."""
    made_with = parameters(APNsTLSClientProtocol.__init__)
    assert made_with == ["apns_topic", "loop", "on_connection_lost", "auth_provider"]


def test_requests_and_results_take_what_we_give() -> None:
    """exchange.py: ApnsRequest and ApnsResult call these constructors."""
    assert {"device_token", "message", "notification_id"} <= set(parameters(NotificationRequest.__init__))
    assert parameters(NotificationResult.__init__) == [
        "notification_id",
        "status",
        "description",
        "timestamp",
    ]
    assert issubclass(ConnectionClosed, Exception)


def test_h2_has_what_the_wire_overrides() -> None:
    """wire.py: the handler of GOAWAY, the buffer that it empties, the memory of ended streams."""
    connection = H2Connection()
    assert parameters(H2Connection._receive_goaway_frame) == ["frame"], "h2: GOAWAY is handled elsewhere"
    handlers = {handler.__name__ for handler in connection._frame_dispatch_table.values()}
    assert "_receive_goaway_frame" in handlers, "h2: frames are dispatched in another way"
    assert isinstance(connection._data_to_send, bytearray), "h2: what waits to be sent is kept elsewhere"
    assert isinstance(connection._closed_streams, dict), "h2: ended streams are remembered elsewhere"
    assert isinstance(inspect.getattr_static(H2Connection, "open_outbound_streams"), property)
    assert hasattr(H2Stream, "closed_by"), "h2: how a stream ended is kept elsewhere"
    assert "open_outbound_streams" in H2Connection.send_headers.__code__.co_names


def test_hpack_has_what_the_encoder_uses() -> None:
    """wire.py: RequestEncoder looks into the table and adds to it by these."""
    assert parameters(Encoder.add) == ["to_add", "sensitive", "huffman"]
    assert parameters(Encoder._encode_table_size_change) == []
    assert Encoder().header_table.resized is False
    assert Encoder().header_table.search(b":method", b"POST") == (3, b":method", b"POST")
