"""Every limit is reached over a real socket, through its setting: what happens then, and what is counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import pytest

from config import read_settings
from hub.api.app_limits import MAX_BODY_BYTES
from hub.app import Hub
from hub.metrics import Limit, NopMetrics
from tests.support.hub_process import API_KEY, BASE, Running
from tests.support.raw_client import CLOSE, TEXT, RawClient, client_frame, upgrade_request
from tests.support.waiting import eventually
from tests.support.wire_client import WireClient, connected, connection_token, wire_client


class Counting(NopMetrics):
    """Which limits were reached, how often; and with which codes connections ended."""

    def __init__(self) -> None:
        self.limits: Counter[Limit] = Counter()
        self.ends: list[int] = []

    def limit_reached(self, limit: Limit) -> None:
        self.limits[limit] += 1

    def connection_closed(self, code: int, sdk: str, protocol: str) -> None:
        self.ends.append(code)


@dataclass(frozen=True, slots=True)
class Limited:
    """A hub with some limits, and what it counted."""

    running: Running
    counted: Counting

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.running.url)
        assert parts.hostname is not None and parts.port is not None
        return parts.hostname, parts.port


@asynccontextmanager
async def limited(**settings: Any) -> AsyncIterator[Limited]:
    """A hub with these settings; ``__`` for dots."""
    overrides = {key.replace("__", "."): value for key, value in settings.items()}
    loaded = read_settings(None, {}, {**BASE, **overrides})
    counted = Counting()
    hub = Hub(loaded.settings, loaded, counted)
    await hub.start()
    try:
        yield Limited(Running(hub.urls[0], hub), counted)
    finally:
        await hub.stop()


async def status_of_upgrade(hub: Limited, **headers: str | None) -> int:
    """Ask for a WebSocket and leave; the status."""
    async with await RawClient.connect(hub.address) as client:
        client.send(
            upgrade_request(headers={name.replace("_", "-"): value for name, value in headers.items()})
        )
        return (await client.read_response()).status


async def closed_after_replies(client: WireClient) -> tuple[list[dict[str, Any]], int]:
    """All messages until the close frame, and its code."""
    messages: list[dict[str, Any]] = []
    while True:
        opcode, payload = await client.raw.read_frame()
        if opcode == CLOSE:
            return messages, int.from_bytes(payload[:2], "big")
        messages += [json.loads(line) for line in payload.split(b"\n")]


async def reach_connect_rate(hub: Limited) -> None:
    """Politely refused before the upgrade."""
    assert [await status_of_upgrade(hub) for _ in range(3)] == [101, 101, 503]


async def reach_connect_rate_per_ip(hub: Limited) -> None:
    """As one address; another is let in."""
    came = [
        await status_of_upgrade(hub, X_Forwarded_For=each) for each in ("192.0.2.1",) * 2 + ("192.0.2.2",)
    ]
    assert came == [101, 429, 101]


async def reach_connections(hub: Limited) -> None:
    """Full."""
    async with wire_client(hub.running):
        assert await status_of_upgrade(hub) == 503


async def reach_connections_per_ip(hub: Limited) -> None:
    """As one address."""
    async with wire_client(hub.running):
        assert await status_of_upgrade(hub) == 429


async def reach_connections_per_user(hub: Limited) -> None:
    """The newcomer has to leave for good; other users do not notice, nor do those who are there."""
    async with connected(hub.running) as first, connected(hub.running), wire_client(hub.running) as third:
        third.send(third.command(connect={"token": connection_token()}))
        assert (await third.closed())[0] == 3504
        async with connected(hub.running, user="another"):
            await first.subscribe("room")


async def reach_http_connections(hub: Limited) -> None:
    """The idle make room, the longest first; WebSockets are not among them."""
    async with connected(hub.running) as client, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(await RawClient.connect(hub.address)) for _ in range(3)]
        for each in idle:
            assert (await each.get("/health")).status == 200
        assert await idle[0].read_to_end() == b""
        assert (await idle[1].get("/health")).status == 200
        await client.subscribe("room")


async def reach_origin(hub: Limited) -> None:
    """A page of a stranger."""
    assert await status_of_upgrade(hub, Origin="https://evil.example.org") == 403


async def reach_handshake_timeout(hub: Limited) -> None:
    """Half a request."""
    async with await RawClient.connect(hub.address) as client:
        client.send(b"GET /connection/websocket HTTP/1.1\r\nHost: h")
        assert (await client.read_response()).status == 408


async def reach_connect_timeout(hub: Limited) -> None:
    """Never says who it is."""
    async with wire_client(hub.running) as client:
        assert (await client.closed())[0] == 3502


async def reach_message_bytes(hub: Limited) -> None:
    """A message that is longer than one may be."""
    async with connected(hub.running) as client:
        client.send(client.command(publish={"channel": "room", "data": "x" * 2_000}))
        assert (await client.closed())[0] == 1009


async def reach_commands_per_frame(hub: Limited) -> None:
    """One more than there may be."""
    async with connected(hub.running) as client:
        client.send(*(client.command(presence_stats={"channel": "room"}) for _ in range(6)))
        assert (await client.closed())[0] == 3501


async def reach_pending_commands(hub: Limited) -> None:
    """All are served in the end: the hub only stops reading for a while."""
    async with connected(hub.running) as client:
        commands = [client.command(presence_stats={"channel": "room"}) for _ in range(20)]
        client.send(*commands)
        assert [(await client.next())["id"] for _ in commands] == [each["id"] for each in commands]


async def reach_command_rate(hub: Limited) -> None:
    """Refused first; a pong is none; who goes on has to leave, for now."""
    async with connected(hub.running) as client, connected(hub.running) as other:
        client.send(*(client.command(presence_stats={"channel": "room"}) for _ in range(6)))
        replies = [await client.next() for _ in range(6)]
        refused = [reply["error"] for reply in replies if "error" in reply]
        assert [error["code"] for error in refused] == [111, 111]
        assert all(error["temporary"] for error in refused)
        client.send(*(client.command(presence_stats={"channel": "room"}) for _ in range(6)))
        messages, code = await closed_after_replies(client)
        assert code == 3013
        assert all(message["error"]["code"] == 111 for message in messages)
        await other.subscribe("room")


async def reach_user_command_rate(hub: Limited) -> None:
    """Over all connections of a user; another user has commands of their own."""
    async with connected(hub.running) as one, connected(hub.running) as two:
        for client in (one, two, one, two):
            await client.ask(presence_stats={"channel": "room"})
        assert await two.error(presence_stats={"channel": "room"}) == 111
        assert await one.error(presence_stats={"channel": "room"}) == 111
        async with connected(hub.running, user="another") as other:
            await other.subscribe("room")
        one.send(*(one.command(presence_stats={"channel": "room"}) for _ in range(8)))
        assert (await closed_after_replies(one))[1] == 3013


async def reach_channels(hub: Limited) -> None:
    """One channel too many."""
    async with connected(hub.running) as client:
        for channel in ("one", "two"):
            assert "subscribe" in await client.ask_past_pushes(subscribe={"channel": channel})
        reply = await client.ask_past_pushes(subscribe={"channel": "three"})
        assert reply["error"]["code"] == 106


async def stuffed(
    hub: Limited, stack: AsyncExitStack, payload_bytes: int, count: int, buffer_bytes: int = 4_096
) -> WireClient:
    """A client that does not read, with so much on its way to it."""
    client = await stack.enter_async_context(wire_client(hub.running, receive_buffer_bytes=buffer_bytes))
    await client.connect()
    await client.subscribe("room")
    client.raw.pause()
    assert hub.running.hub is not None
    for _ in range(count):
        await hub.running.hub.node.publish("room", b'"%s"' % (b"x" * payload_bytes))
        await asyncio.sleep(0)
    return client


async def reach_outbox_bytes(hub: Limited) -> None:
    """A reader that is too slow."""
    async with AsyncExitStack() as stack:
        await stuffed(hub, stack, 100_000, 200)
        await eventually(lambda: hub.counted.ends == [3008])


async def reach_write_timeout(hub: Limited) -> None:
    """A socket that takes nothing, although little waits for it."""
    async with AsyncExitStack() as stack:
        await stuffed(hub, stack, 1_000_000, 10)
        await eventually(lambda: hub.counted.ends == [3009])


async def reach_recovery_publications(hub: Limited) -> None:
    """It misses more than is sent at once."""
    assert hub.running.hub is not None
    for number in range(6):
        await hub.running.hub.node.publish("room", b"%d" % number)
    async with connected(hub.running) as client:
        result = await client.subscribe("room", recover=True, offset=1, epoch="")
        assert not result.get("recovered")


async def reach_api_body_bytes(hub: Limited) -> None:
    """A call that is too large."""
    async with httpx.AsyncClient(headers={"X-API-Key": API_KEY}) as http:
        body = {"channel": "room", "data": "x" * 70_000}
        assert (await http.post(f"{hub.running.api_url}/publish", json=body)).status_code == 413


async def call(hub: Limited, method: str, path: str, user: str = "alice", **options: Any) -> httpx.Response:
    """A call of an app."""
    headers = {"Authorization": f"Bearer {connection_token(user)}"}
    async with httpx.AsyncClient(headers=headers) as http:
        return await http.request(method, f"{hub.running.url}/client/v1{path}", **options)


async def reach_app_body_bytes(hub: Limited) -> None:
    """A call that is too large."""
    answer = await call(hub, "POST", "/inbox/read", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


async def reach_app_call_rate(hub: Limited) -> None:
    """One user too often; another is served."""
    assert [(await call(hub, "GET", "/devices")).status_code for _ in range(2)] == [200, 200]
    answer = await call(hub, "GET", "/devices")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, 111)
    assert answer.headers["retry-after"]
    assert (await call(hub, "GET", "/devices", user="ben")).status_code == 200


async def reach_receipt_rate_per_ip(hub: Limited) -> None:
    """Whoever guesses receipts."""
    body = {"receipt": "guessed", "event": "displayed"}
    codes = [(await call(hub, "POST", "/receipts", json=body)).status_code for _ in range(3)]
    assert codes[2] == 429
    assert 429 not in codes[:2]


@dataclass(frozen=True, slots=True)
class Case:
    """How to reach a limit."""

    reach: Callable[[Limited], Awaitable[None]]
    settings: dict[str, Any] = field(default_factory=dict)


SLOW = 0.001
"""Tokens a second: none comes back while a test runs."""

CASES: dict[Limit, Case] = {
    "connect_rate": Case(reach_connect_rate, {"limits__connects_per_s": SLOW, "limits__connects_burst": 2}),
    "connect_rate_per_ip": Case(
        reach_connect_rate_per_ip,
        {
            "limits__connects_per_ip_per_s": SLOW,
            "limits__connects_per_ip_burst": 1,
            "http__trusted_proxies": ["127.0.0.1"],
        },
    ),
    "connections": Case(reach_connections, {"limits__max_connections": 1}),
    "connections_per_ip": Case(reach_connections_per_ip, {"limits__connections_per_ip": 1}),
    "connections_per_user": Case(reach_connections_per_user, {"limits__connections_per_user": 2}),
    "http_connections": Case(reach_http_connections, {"limits__max_http_connections": 2}),
    "origin": Case(reach_origin),
    "handshake_timeout": Case(reach_handshake_timeout, {"limits__handshake_timeout_s": 0.2}),
    "connect_timeout": Case(reach_connect_timeout, {"limits__connect_timeout_s": 0.2}),
    "message_bytes": Case(reach_message_bytes, {"limits__max_message_bytes": 1_500}),
    "commands_per_frame": Case(reach_commands_per_frame, {"limits__max_commands_per_frame": 5}),
    "pending_commands": Case(reach_pending_commands, {"limits__max_pending_commands": 2}),
    "command_rate": Case(
        reach_command_rate,
        # The connect command is one of the five.
        {"limits__commands_per_s": SLOW, "limits__commands_burst": 5, "limits__max_channels": 5},
    ),
    "user_command_rate": Case(
        reach_user_command_rate, {"limits__user_commands_per_s": SLOW, "limits__user_commands_burst": 4}
    ),
    "channels": Case(reach_channels, {"limits__max_channels": 2}),
    "outbox_bytes": Case(reach_outbox_bytes, {"limits__max_outbox_bytes": 100_000}),
    "write_timeout": Case(
        reach_write_timeout, {"limits__write_timeout_s": 0.3, "limits__max_outbox_bytes": 50_000_000}
    ),
    "recovery_publications": Case(reach_recovery_publications, {"limits__recovery_max_publications": 2}),
    "api_body_bytes": Case(reach_api_body_bytes, {"api__max_body_bytes": 65_536}),
    "app_body_bytes": Case(reach_app_body_bytes, {"inbox__enabled": True}),
    "app_call_rate": Case(
        reach_app_call_rate,
        {"inbox__enabled": True, "limits__app_calls_per_s": SLOW, "limits__app_calls_burst": 2},
    ),
    "receipt_rate_per_ip": Case(
        reach_receipt_rate_per_ip,
        {
            "inbox__enabled": True,
            "limits__receipts_per_ip_per_s": SLOW,
            "limits__receipts_per_ip_burst": 2,
        },
    ),
}


ELSEWHERE: set[Limit] = {"revocations", "console_watches"}
"""Reached by the tests of the rooms that hold them: limits of operators, not of clients."""


def test_there_is_a_way_to_reach_every_limit() -> None:
    """A limit that nothing reaches would be one that nobody has seen work."""
    assert set(CASES) | ELSEWHERE == set(get_args(Limit))


@pytest.mark.parametrize("limit", CASES)
async def test_a_limit_is_held_and_counted(limit: Limit) -> None:
    """As its case says, under its own name and no other."""
    case = CASES[limit]
    async with limited(**case.settings) as hub:
        await case.reach(hub)
        await eventually(lambda: bool(hub.counted.limits))
        assert set(hub.counted.limits) == {limit}


async def test_a_slow_network_is_not_cut_off_while_it_takes_something() -> None:
    """Bytes that trickle, for longer than the timeout, are a client that reads."""
    async with limited(limits__write_timeout_s=0.5, limits__max_outbox_bytes=50_000_000) as hub:
        async with AsyncExitStack() as stack:
            client = await stuffed(hub, stack, 1_000_000, 20, buffer_bytes=65_536)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            client.raw.resume()
            while loop.time() < began_s + 1.5:
                assert await client.raw.read_some()
                await asyncio.sleep(0.02)
            assert hub.counted.ends == []
    assert hub.counted.limits == {}


async def test_a_pong_costs_no_command() -> None:
    """An idle phone answers pings for days."""
    settings = {"limits__commands_per_s": SLOW, "limits__commands_burst": 2, "limits__max_channels": 2}
    async with limited(**settings, ping__interval_s=1, ping__pong_timeout_s=0.5) as hub:
        async with connected(hub.running) as client:
            for _ in range(3):
                assert await client.next() == {}
                client.raw.send(client_frame(TEXT, b"{}"))
            assert hub.counted.limits == {}


async def test_the_anonymous_user_is_nobody_in_particular() -> None:
    """All who have no name would share one limit otherwise."""
    settings = {"limits__connections_per_user": 1, "limits__user_commands_per_s": SLOW}
    async with limited(**settings, limits__user_commands_burst=1, auth__anonymous=True) as hub:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                client = await stack.enter_async_context(wire_client(hub.running))
                assert "connect" in await client.ask(connect={})
                await client.ask(presence_stats={"channel": "room"})
                await client.ask(presence_stats={"channel": "room"})
            assert hub.counted.limits == {}
