"""The link to one real server: what was published is heard, or doubted, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hub.engine.redis.address import parse_address
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.topology import StandaloneTopology
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.links import RecordingListener, quick, running_commands, running_link
from tests.support.certificates import make_certificate
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.waiting import eventually


def name_of(channel: str) -> str:
    return f"hub:{{p1}}:ch:{channel}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "server") as running:
        yield running


@contextlib.asynccontextmanager
async def link_through_a_proxy(
    server: RedisServer, **changes: float
) -> AsyncIterator[tuple[Commands, Link, TcpProxy]]:
    """A link whose way to the server can be broken while that of the commands cannot."""
    async with tcp_proxy(server.address) as proxy, running_commands(quick(server.url)) as commands:
        host, port = proxy.address
        options = quick(f"redis://{host}:{port}", **changes)
        # The commands found their primary already; the link looks for one here.
        commands.topology = StandaloneTopology(options, parse_address(options.url))
        link = Link(options, Keys("hub:", 4), commands, "node-1")
        await link.start()
        try:
            yield commands, link, proxy
        finally:
            await link.stop()


async def listen(link: Link, *channels: str) -> RecordingListener:
    """One listener to several channels."""
    listener = RecordingListener()
    await asyncio.gather(*(link.subscribe("p1", name_of(channel), listener, channel) for channel in channels))
    return listener


async def publish(commands: Commands, channel: str, text: str) -> int:
    """How many heard it."""
    return int(await commands.call("p1", "PUBLISH", name_of(channel), text))


async def hears(commands: Commands, listener: RecordingListener, channel: str) -> None:
    """Publishes until the listener hears it."""
    async with asyncio.timeout(5):
        while (channel, b"again") not in listener.messages:
            with contextlib.suppress(EngineUnavailable):
                await publish(commands, channel, "again")
            await asyncio.sleep(0.01)


async def test_what_is_published_is_told_in_order(server: RedisServer) -> None:
    """Under the channel's own name, to its own listener."""
    async with running_link(quick(server.url)) as (commands, link):
        one, other = await listen(link, "a"), await listen(link, "b")
        await asyncio.gather(*(publish(commands, channel, f"{n}") for n in range(50) for channel in "ab"))
        await eventually(lambda: len(one.messages) == len(other.messages) == 50)
        assert one.messages == [("a", b"%d" % n) for n in range(50)]
        assert other.payloads == one.payloads


async def test_a_flood_over_tls_arrives_whole(tmp_path: Path) -> None:
    """With a password; more than is handled in one turn of the loop."""
    certificate = make_certificate(tmp_path)
    async with (
        redis_server(tmp_path / "tls", password="secret", certificate=certificate) as server,
        running_link(quick(server.url)) as (commands, link),
    ):
        listener = await listen(link, "a")
        sent = [b"%d" % number + b"x" * 500 for number in range(3000)]
        await asyncio.gather(*(commands.call("p1", "PUBLISH", name_of("a"), payload) for payload in sent))
        await eventually(lambda: len(listener.messages) == 3000)
        assert listener.payloads == sent


async def test_without_a_channel_the_name_is_told(server: RedisServer) -> None:
    """For those whose names are nobody's channel."""
    async with running_link(quick(server.url)) as (commands, link):
        listener = RecordingListener()
        await link.subscribe("p1", name_of("a"), listener)
        await publish(commands, "a", "x")
        await eventually(lambda: listener.messages == [(name_of("a"), b"x")])


async def test_two_first_subscribers_share_one_subscription(server: RedisServer) -> None:
    """Both return when it is confirmed, and it is told once."""
    async with running_link(quick(server.url)) as (commands, link):
        listener = RecordingListener()
        await asyncio.gather(*(link.subscribe("p1", name_of("a"), listener, "a") for _ in range(2)))
        await link.subscribe("p1", name_of("a"), listener, "a")
        assert await publish(commands, "a", "x") == 1
        await eventually(lambda: listener.payloads == [b"x"])
        with pytest.raises(ValueError, match="somebody else"):
            await link.subscribe("p1", name_of("a"), RecordingListener(), "a")


async def test_unsubscribed_is_silent_at_once(server: RedisServer) -> None:
    """Also what is on its way already."""
    async with running_link(quick(server.url)) as (commands, link):
        listener = await listen(link, "a")
        link.unsubscribe(name_of("a"))
        link.unsubscribe(name_of("a"))
        await publish(commands, "a", "x")
        await link.probe()
        assert listener.messages == []
        assert await publish(commands, "a", "x") == 0


async def test_unsubscribe_during_subscribe_wins(server: RedisServer) -> None:
    """The one who waits is told, and nothing stays subscribed."""
    async with running_link(quick(server.url)) as (commands, link):
        waiting = asyncio.create_task(listen(link, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        link.unsubscribe(name_of("a"))
        with pytest.raises(EngineUnavailable):
            await waiting
        await link.probe()
        assert await publish(commands, "a", "x") == 0


async def test_a_quick_return_hears_everything(server: RedisServer) -> None:
    """Unsubscribed and subscribed again, over and over: after the last return nothing is missed."""
    async with running_link(quick(server.url)) as (commands, link):
        for number in range(30):
            listener = await listen(link, "a")
            await publish(commands, "a", str(number))
            await eventually(lambda number=number, listener=listener: b"%d" % number in listener.payloads)  # type: ignore[misc]
            link.unsubscribe(name_of("a"))


async def test_a_cancelled_subscriber_leaves_nothing_behind(server: RedisServer) -> None:
    """Unless somebody else waits for the same."""
    async with running_link(quick(server.url)) as (commands, link):
        server.pause()
        alone = asyncio.create_task(listen(link, "a"))
        listener = RecordingListener()
        two = [asyncio.create_task(link.subscribe("p1", name_of("b"), listener, "b")) for _ in range(2)]
        await asyncio.sleep(0.02)
        alone.cancel()
        two[0].cancel()
        await asyncio.wait([alone, two[0]])
        server.resume()
        await two[1]
        await link.probe()
        assert await publish(commands, "a", "x") == 0
        assert await publish(commands, "b", "x") == 1


async def test_a_failed_subscription_harms_no_other(server: RedisServer) -> None:
    """It fails in time; what was subscribed before is heard again."""
    async with link_through_a_proxy(server, command_timeout_s=0.3) as (commands, link, proxy):
        listener = await listen(link, "a")
        proxy.cut()
        with pytest.raises(EngineUnavailable, match=r"did not confirm|is gone"):
            await listen(link, "b")
        proxy.restore()
        await hears(commands, listener, "a")
        assert await publish(commands, "b", "x") == 0
        await listen(link, "b")


async def test_a_link_that_was_gone_for_long_fails_at_once(server: RedisServer) -> None:
    """Nobody waits a deadline for what is known."""
    async with link_through_a_proxy(server, command_timeout_s=0.2) as (_, link, proxy):
        proxy.cut()
        await eventually(lambda: not link.healthy)
        await asyncio.sleep(0.25)
        with pytest.raises(EngineUnavailable, match="is gone"):
            async with asyncio.timeout(0.05):
                await listen(link, "a")


@pytest.mark.parametrize(
    "break_it", [lambda proxy: proxy.cut(), lambda proxy: proxy.stall()], ids=["cut", "stalled"]
)
async def test_a_broken_link_is_replaced_and_doubted(
    server: RedisServer, break_it: Callable[[TcpProxy], None]
) -> None:
    """What was published meanwhile is not heard, but its channel is doubted, after it is heard again."""
    async with link_through_a_proxy(server) as (commands, link, proxy):
        listener = await listen(link, "a", "b")
        await eventually(lambda: link.healthy)
        accepted = proxy.accepted_count
        break_it(proxy)
        await publish(commands, "a", "missed")
        await eventually(lambda: not link.healthy)
        await eventually(lambda: proxy.accepted_count > accepted)
        assert listener.doubts == []
        proxy.restore()
        await eventually(lambda: listener.doubted == {"a", "b"})
        await publish(commands, "a", "heard")
        await eventually(lambda: listener.payloads[-1:] == [b"heard"])
        await eventually(lambda: link.healthy)
        assert link.probe_age_s < 1.0


async def test_killed_by_the_server_is_healed(server: RedisServer) -> None:
    """As an administrator may do it."""
    async with running_link(quick(server.url)) as (commands, link):
        listener = await listen(link, "a")
        assert await server.kill_clients("pubsub") == 1
        await eventually(lambda: listener.doubted == {"a"})
        await hears(commands, listener, "a")


async def test_an_output_buffer_that_overflows_is_healed(server: RedisServer) -> None:
    """Redis closes a link that reads too slowly; everything on it is doubted."""
    await server.order("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 50000 1")
    async with running_link(quick(server.url)) as (commands, link):
        listener = await listen(link, "a")
        await server.order("PUBLISH", name_of("a"), "x" * 500_000)
        await eventually(lambda: listener.doubted == {"a"})
        await hears(commands, listener, "a")


@pytest.mark.parametrize("crash", [False, True])
async def test_a_restart_is_healed(server: RedisServer, crash: bool) -> None:
    """Everything is subscribed anew and doubted, in chunks."""
    async with running_link(quick(server.url, subscribe_chunk_count=100)) as (commands, link):
        channels = [str(number) for number in range(450)]
        listener = await listen(link, *channels)
        await server.restart(crash=crash)
        await eventually(lambda: listener.doubted == set(channels))
        assert sum(map(len, listener.doubts)) == 450
        await hears(commands, listener, "7")
        await eventually(lambda: link.healthy)


async def test_a_frozen_server_is_healed(server: RedisServer) -> None:
    """No connection breaks by it, and yet nothing is heard."""
    options = quick(server.url, probe_timeout_s=0.2, connect_timeout_s=0.3, command_timeout_s=0.5)
    async with running_link(options) as (commands, link):
        listener = await listen(link, "a")
        server.pause()
        # A server that goes on before the link is given up has lost nothing, and nothing is doubted.
        await eventually(lambda: not link.healthy and link.probe_age_s > 5 * options.probe_timeout_s)
        server.resume()
        await eventually(lambda: listener.doubted == {"a"})
        await hears(commands, listener, "a")
        await eventually(lambda: link.healthy)


async def test_the_probe_takes_the_path_of_publications(server: RedisServer) -> None:
    """A server that takes no writes fails it, and is not mistaken for a broken link."""
    async with running_link(quick(server.url)) as (_, link):
        listener = await listen(link, "a")
        await link.probe()
        await server.order("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(EngineUnavailable, match="memory is full"):
            await link.probe()
        await eventually(lambda: not link.healthy)
        await server.order("CONFIG", "SET", "maxmemory", 0)
        await eventually(lambda: link.healthy)
        assert listener.doubts == []


async def test_a_listener_that_fails_costs_nobody_the_link(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""

    class Failing(RecordingListener):
        def on_message(self, channel: str, payload: bytes) -> None:
            raise LookupError("a mistake")

    async with running_link(quick(server.url)) as (commands, link):
        good = await listen(link, "a")
        await link.subscribe("p1", name_of("b"), Failing(), "b")
        await publish(commands, "b", "x")
        await publish(commands, "a", "x")
        await eventually(lambda: good.payloads == [b"x"])
        assert "a mistake" in caplog.text
        assert good.doubts == []


async def test_a_name_that_may_not_be_heard_fails_with_the_reason(server: RedisServer) -> None:
    """An access list that forbids a channel."""
    await server.order("ACL", "SETUSER", "hub", "on", ">pw", "~*", "+@all", "resetchannels", "&hub:*:probe:*")
    async with running_link(quick(f"redis://hub:pw@127.0.0.1:{server.port}")) as (_, link):
        with pytest.raises(EngineUnavailable, match="NOPERM"):
            await listen(link, "a")
        await link.probe()


async def test_stopping_is_silent_and_complete(server: RedisServer) -> None:
    """Who waits is told; no task and no connection stays."""
    async with running_link(quick(server.url)) as (commands, link):
        listener = await listen(link, "a")
        server.pause()
        waiting = asyncio.create_task(listen(link, "b"))
        await asyncio.sleep(0.01)
        await link.stop()
        await link.stop()
        server.resume()
        with pytest.raises(EngineUnavailable):
            await waiting
        with pytest.raises(EngineUnavailable, match="not running"):
            await listen(link, "c")
        await commands.call("p1", "PUBLISH", name_of("a"), "x")
        assert (listener.messages, listener.doubts) == ([], [])
        assert not link.healthy
        assert not [task for task in asyncio.all_tasks() if "redis link" in task.get_name()]


async def test_starting_fails_where_nothing_can_be_heard(server: RedisServer) -> None:
    """Reached is not enough."""
    await server.order("ACL", "SETUSER", "hub", "on", ">pw", "~*", "+@all", "resetchannels")
    with pytest.raises(EngineUnavailable, match="NOPERM"):
        async with running_link(quick(f"redis://hub:pw@127.0.0.1:{server.port}")):
            pass
