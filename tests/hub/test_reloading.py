"""What a running hub takes over from changed settings, and what it says of the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import Settings, SettingsError, read_settings
from hub.auth import TokenSigner, issue_connection_token, issue_subscription_token
from hub.engine.redis import SchemaMismatch
from hub.errors import EngineUnavailable
from hub.reloading import AT_RUN_TIME, EVERYTHING, Change, change_between
from tests.support.certificates import make_certificate
from tests.support.hub_process import (
    API_KEY,
    BASE,
    OPEN_CHANNEL,
    SECRET,
    Running,
    hub_process,
    running_hub,
    settings_env,
)
from tests.support.jwks_server import JWKSServer
from tests.support.raw_client import RawClient, upgrade_request
from tests.support.redis_server import RedisServer, redis_server
from tests.support.signing import ec_pair, jwk_set
from tests.support.waiting import eventually, eventually_true
from tests.support.wire_client import connected, connection_token, wire_client

OTHER_SECRET = "another-secret-of-at-least-32-bytes-for-tests"


async def reload(running: Running, settings: Mapping[str, Any]) -> Change:
    """Have the hub take over the settings of the tests, with these instead of its own."""
    assert running.hub is not None
    return await running.hub.reload(read_settings(None, {}, {**BASE, **settings}))


def token_by(signer: TokenSigner) -> str:
    """A connection token that it signed."""
    return issue_connection_token(signer, "42", exp_s=int(time.time()) + 600)


async def closes_with(running: Running, token: str) -> int:
    """The close code of a connect with this token."""
    async with wire_client(running) as client:
        client.send(client.command(connect={"token": token}))
        return (await client.closed())[0]


async def status_of(running: Running, key: str) -> int:
    """The status of a call of the server API with this key."""
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": key}) as http:
        return (await http.post(f"{running.api_url}/info", json={})).status_code


# Which settings.


def test_every_setting_that_may_change_exists() -> None:
    """The table is made of names, which nothing else would hold to the settings."""
    for section, names in AT_RUN_TIME.items():
        fields = set(type(getattr(Settings(), section)).model_fields)
        assert names is EVERYTHING or names <= fields, section


def test_a_change_is_divided_by_what_it_takes() -> None:
    """What needs a restart keeps its old value, beside what does not."""
    old = read_settings(None, {}, BASE).settings
    new = read_settings(
        None, {}, {**BASE, "limits.max_channels": 7, "ping.interval_s": 60, "http.port": 1, "partitions": 3}
    ).settings
    change = change_between(old, new)
    assert change.applied == ("limits.max_channels",)
    assert set(change.needs_restart) == {"ping.interval_s", "http.port", "partitions"}
    assert change.settings.limits.max_channels == 7
    assert change.settings.ping.interval_s == old.ping.interval_s
    assert change.settings.http.port == 0
    assert change_between(change.settings, new).needs_restart == change.needs_restart


# Keys.


async def test_another_secret_holds_for_tokens_that_were_remembered() -> None:
    """And for those that come first now; who is connected stays."""
    async with running_hub() as running, connected(running) as old:
        token = connection_token()
        async with wire_client(running) as client:
            await client.connect(token=token)
        change = await reload(running, {"auth.secret": OTHER_SECRET})
        assert change.applied == ("auth.secret",)
        assert await closes_with(running, token) == 3500
        async with wire_client(running) as client:
            await client.connect(token=token_by(TokenSigner.from_secret(OTHER_SECRET)))
        assert (await old.ask(rpc={"method": "no"}))["error"]["code"] == 108


async def test_a_key_file_whose_content_changed_is_read_again(tmp_path: Path) -> None:
    """Its name in the settings stays the same."""
    file = tmp_path / "public.pem"
    settings = {"auth.pem_files": [str(file)]}
    first, second = (token_by(ec_pair(number=number).signer()) for number in (1, 2))
    file.write_text(ec_pair(number=1).public_pem)
    async with running_hub(settings) as running:
        async with wire_client(running) as client:
            await client.connect(token=first)
        file.write_text(ec_pair(number=2).public_pem)
        assert (await reload(running, settings)).applied == ()
        assert await closes_with(running, first) == 3500
        async with wire_client(running) as client:
            await client.connect(token=second)


async def test_the_url_of_the_keys_can_be_another() -> None:
    """The first token that needs the new one waits for its keys; nobody asks the old one any more."""
    first, second = (ec_pair(number=number) for number in (1, 2))
    async with JWKSServer(jwk_set(first.jwk("1"))) as old, JWKSServer(jwk_set(second.jwk("2"))) as new:
        async with running_hub({"auth.jwks_url": old.url}) as running:
            async with wire_client(running) as client:
                await client.connect(token=token_by(first.signer(kid="1")))
            await reload(running, {"auth.jwks_url": new.url})
            async with wire_client(running) as client:
                await client.connect(token=token_by(second.signer(kid="2")))
            asked = old.request_count
            async with wire_client(running) as client:
                # Its key may yet come: that is a temporary error.
                assert await client.error(connect={"token": token_by(first.signer(kid="1"))}) == 100
            await reload(running, {})
            assert old.request_count == asked


async def test_a_hub_without_any_key_yet_is_given_no_clients() -> None:
    """It could let nobody in. Once it has keys, a URL that is away takes nothing from it."""
    async with (
        JWKSServer(jwk_set(ec_pair(number=1).jwk("1"))) as keys,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        keys.hang()
        async with running_hub({"auth.secret": None, "auth.jwks_url": keys.url}) as running:
            early = await http.get(f"{running.url}/health/ready")
            assert (early.status_code, early.json()["reasons"]) == (503, ["keys"])
            keys.answer_again()

            async def is_ready() -> bool:
                return (await http.get(f"{running.url}/health/ready")).status_code == 200

            await eventually_true(is_ready)
            keys.drop = True
            assert await is_ready()


async def test_subscription_tokens_can_be_given_a_key_of_their_own() -> None:
    """Where there was none before."""
    async with running_hub() as running, connected(running) as client:
        await reload(running, {"auth.subscription_secret": OTHER_SECRET})
        signers = TokenSigner.from_secret(SECRET), TokenSigner.from_secret(OTHER_SECRET)
        stale, fresh = (
            issue_subscription_token(each, "42", "$x", exp_s=int(time.time()) + 600) for each in signers
        )
        assert await client.error(subscribe={"channel": "$x", "token": stale}) == 103
        await client.subscribe("$x", token=fresh)


async def test_an_api_key_can_be_taken_away_and_another_given() -> None:
    """At once, for the next call."""
    async with running_hub() as running:
        assert await status_of(running, API_KEY) == 200
        key = {"name": "new", "key": "a-new-key", "scopes": ["admin"]}
        await reload(running, {"api.keys": [key]})
        assert await status_of(running, API_KEY) == 401
        assert await status_of(running, "a-new-key") == 200


# Channels, limits, origins.


async def test_namespaces_come_and_go() -> None:
    """Who is in a channel whose namespace is gone stays there, and nobody else comes in."""
    chat = {"name": "chat", **OPEN_CHANNEL}
    async with running_hub() as running, connected(running) as client:
        assert await client.error(subscribe={"channel": "chat:x"}) == 102
        change = await reload(running, {"channels.namespaces": [chat]})
        assert change.applied == ("channels.namespaces",)
        await client.subscribe("chat:x")
        await reload(running, {})
        async with connected(running, "43") as late:
            assert await late.error(subscribe={"channel": "chat:x"}) == 102
        assert (await client.ask_past_pushes(unsubscribe={"channel": "chat:x"}))["unsubscribe"] == {}


async def test_limits_hold_for_those_who_come_next() -> None:
    """Who is connected keeps what was promised."""
    async with running_hub() as running, connected(running) as old:
        await reload(running, {"limits.max_channels": 1})
        for channel in ("a", "b"):
            await old.ask_past_pushes(subscribe={"channel": channel})
        async with connected(running, "43") as new:
            await new.subscribe("a")
            refused = await new.ask_past_pushes(subscribe={"channel": "b"})
            assert refused["error"]["code"] == 106


async def test_pages_of_another_origin_can_be_let_in() -> None:
    """The WebSocket and the calls of apps go by one list."""
    origin = {"Origin": "https://app.example.com"}
    async with running_hub({"inbox.enabled": True}) as running:
        port = int(running.url.rpartition(":")[2])

        async def upgrade() -> int:
            async with await RawClient.connect(("127.0.0.1", port)) as raw:
                raw.send(upgrade_request(headers=origin))
                return (await raw.read_response()).status

        async def preflight() -> int:
            asked = {**origin, "Access-Control-Request-Method": "GET"}
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.options(f"{running.url}/client/v1/inbox", headers=asked)).status_code

        assert (await upgrade(), await preflight()) == (403, 400)
        await reload(running, {"inbox.enabled": True, "http.allowed_origins": [origin["Origin"]]})
        assert (await upgrade(), await preflight()) == (101, 200)


async def test_a_certificate_that_was_renewed_is_shown_to_who_comes_next(tmp_path: Path) -> None:
    """Its files keep their names; who is connected notices nothing; files that do not match are refused."""
    first = make_certificate(tmp_path)
    settings = {"http.tls_cert": str(first.certfile), "http.tls_key": str(first.keyfile)}
    trusts_first = first.client_context()
    async with running_hub(settings) as running:
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        async with await RawClient.connect(address, tls=trusts_first) as early:
            old_key = first.keyfile.read_bytes()
            second = make_certificate(tmp_path)
            new_key = second.keyfile.read_bytes()
            second.keyfile.write_bytes(old_key)
            with pytest.raises(SettingsError, match="tls_cert"):
                await reload(running, settings)
            second.keyfile.write_bytes(new_key)
            await reload(running, settings)
            with pytest.raises(ssl.SSLCertVerificationError):
                await RawClient.connect(address, tls=trusts_first)
            async with await RawClient.connect(address, tls=second.client_context()) as late:
                assert (await late.get("/health")).status == 200
            assert (await early.get("/health")).status == 200


# Mistakes.


async def test_a_key_that_is_none_changes_nothing(tmp_path: Path) -> None:
    """Not even what was right beside it."""
    file = tmp_path / "public.pem"
    file.write_text("no key")
    async with running_hub() as running:
        with pytest.raises(SettingsError, match="pem_files"):
            await reload(running, {"auth.pem_files": [str(file)], "limits.max_channels": 1})
        async with connected(running) as client:
            await client.subscribe("a")
            assert "subscribe" in await client.ask_past_pushes(subscribe={"channel": "b"})


# Over Redis.


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    async with redis_server(tmp_path) as server:
        yield server


async def test_namespaces_that_are_shared_are_changed_for_newcomers_too(redis: RedisServer) -> None:
    """Who starts with the new ones is welcome at once, who starts with the old ones is not."""
    over_redis = {"redis.url": redis.url, "redis.command_timeout_s": 1.0}
    chat = {"channels.namespaces": [{"name": "chat", **OPEN_CHANNEL}]}
    async with running_hub(over_redis) as first, running_hub(over_redis) as second:
        for each in (first, second):
            await reload(each, over_redis | chat)
        async with running_hub(over_redis | chat) as third, connected(third) as client:
            await client.subscribe("chat:x")
        with pytest.raises(SchemaMismatch):
            async with running_hub(over_redis):
                pass


async def test_without_redis_nothing_is_changed(redis: RedisServer) -> None:
    """A hub must not hold to namespaces that the others cannot know of."""
    over_redis = {
        "redis.url": redis.url,
        "redis.command_timeout_s": 0.5,
        "redis.connect_timeout_s": 0.5,
        "redis.probe_interval_s": 0.2,
        "redis.probe_timeout_s": 0.2,
    }
    chat = {"channels.namespaces": [{"name": "chat", **OPEN_CHANNEL}], "limits.max_channels": 1}
    async with running_hub(over_redis) as running, connected(running) as client:
        await redis.stop()
        with pytest.raises(EngineUnavailable):
            await reload(running, over_redis | chat)
        assert await client.error(subscribe={"channel": "chat:x"}) == 102


# By SIGHUP.


async def test_sighup_reads_the_same_file_again(tmp_path: Path) -> None:
    """The log names what is in force now, what is not, and every mistake of a file that cannot be used."""
    config, log = tmp_path / "hub.toml", tmp_path / "hub.log"
    config.write_text("")
    async with hub_process(tmp_path, "--config", str(config), env=settings_env()) as running:
        config.write_text('[limits]\nmax_channels = 1\n[ping]\ninterval_s = 60\n[log]\nlevel = "debug"\n')
        os.kill(running.pid, signal.SIGHUP)
        await eventually(lambda: "in force from now on: limits.max_channels, log.level" in log.read_text())
        await eventually(lambda: "changed but need a restart: ping.interval_s" in log.read_text())
        config.write_text('[limits]\nmax_channels = 0\n[ping]\ninterval_s = "often"\nx = 1\n')
        os.kill(running.pid, signal.SIGHUP)
        await eventually(lambda: "3 mistakes: nothing was changed" in log.read_text())
        for name in ("limits.max_channels", "ping.interval_s", "ping.x"):
            assert f"{config}: {name}" in log.read_text()
        async with connected(running) as client:
            await client.subscribe("a")
            assert (await client.ask_past_pushes(subscribe={"channel": "b"}))["error"]["code"] == 106
        os.kill(running.pid, signal.SIGHUP)
        assert await running.terminate() == 0


async def test_sighup_while_it_starts_or_ends_does_no_harm(tmp_path: Path) -> None:
    """The default of the signal would be death."""
    env = settings_env(shutdown__ready_wait_s=0.5)
    async with hub_process(tmp_path, env=env) as running:
        ending = asyncio.create_task(running.terminate())
        await eventually(lambda: "waiting 0.5 s" in (tmp_path / "hub.log").read_text())
        os.kill(running.pid, signal.SIGHUP)
        assert await ending == 0
