"""JWKS over a real HTTP server: freshness, pacing, and what a bad answer cannot do."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from hub.auth.jwks import MAX_DOCUMENT_BYTES, JWKSSource
from tests.support.jwks_server import JWKSServer
from tests.support.signing import ec_pair, ed_pair, jwk_set, rsa_pair

FIRST = jwk_set(rsa_pair(1).jwk("first"))
SECOND = jwk_set(rsa_pair(1).jwk("first"), rsa_pair(2).jwk("second"))

# Intervals of ordinary tests: never by itself, at once when asked.
NEVER_S = 3600.0
AT_ONCE_S = 0.001


@asynccontextmanager
async def running(server: JWKSServer, **options: Any) -> AsyncIterator[JWKSSource]:
    options = {"refresh_interval_s": NEVER_S, "min_refetch_interval_s": AT_ONCE_S} | options
    source = JWKSSource(server.url, **options)
    source.start()
    try:
        yield source
    finally:
        await source.stop()


def kids(source: JWKSSource) -> list[str]:
    return [] if source.keys is None else [key.kid for key in source.keys]


async def test_keys_are_fetched_at_the_start() -> None:
    """The first fetch needs no asking, and goes to the URL as configured."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        assert source.keys is None
        assert source.health().loaded is False
        assert await source.refetch()
        assert kids(source) == ["first"]
        assert source.generation == 1
        assert server.paths[0] == "/keys?api_key=hidden"
        health = source.health()
        assert health.loaded and health.last_error is None
        assert health.last_success_age_s is not None and 0 <= health.last_success_age_s < 5


async def test_keys_are_refreshed_in_the_background() -> None:
    """A rotation arrives without any token asking for it."""
    async with JWKSServer(FIRST) as server, running(server, refresh_interval_s=0.02) as source:
        await server.wait_for_requests(1)
        server.document = SECOND
        # The third request begins after the second was answered with the new document.
        await server.wait_for_requests(server.request_count + 2)
        assert kids(source) == ["first", "second"]
        assert source.generation == 2


async def test_the_same_keys_again_are_no_change() -> None:
    """Whoever remembers verified tokens may keep them."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        assert await source.refetch()
        assert await source.refetch()
        assert server.request_count == 2
        assert source.generation == 1


async def test_a_refetch_brings_a_rotated_key() -> None:
    """A new key is there as soon as somebody asks."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        await source.refetch()
        server.document = SECOND
        assert await source.refetch()
        assert kids(source) == ["first", "second"]
        server.document = jwk_set(ec_pair().jwk("third"))
        assert await source.refetch()
        assert kids(source) == ["third"]


async def test_all_who_ask_share_one_fetch() -> None:
    """A storm of unknown keys is one request."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        await source.refetch()
        server.hang()
        asking = [asyncio.create_task(source.refetch()) for _ in range(50)]
        await server.wait_for_requests(2)
        asking += [asyncio.create_task(source.refetch()) for _ in range(50)]
        await asyncio.sleep(0)
        server.answer_again()
        assert await asyncio.gather(*asking) == [True] * 100
        assert server.request_count == 2


async def test_fetches_keep_their_pace() -> None:
    """Within the least interval nobody makes the hub ask again; waiting for it is bounded."""
    async with (
        JWKSServer(FIRST) as server,
        running(server, min_refetch_interval_s=NEVER_S, max_wait_s=0.02) as source,
    ):
        await server.wait_for_requests(1)
        await source.refetch()
        assert await asyncio.gather(*[source.refetch() for _ in range(10)]) == [False] * 10
        assert server.request_count == 1


async def test_one_who_leaves_does_not_end_it_for_the_others() -> None:
    """A cancelled caller leaves the shared fetch alone."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        server.hang()
        await server.wait_for_requests(1)
        leaving = asyncio.create_task(source.refetch())
        staying = asyncio.create_task(source.refetch())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        server.answer_again()
        assert await staying


async def test_the_last_good_set_survives_an_outage() -> None:
    """Errors, cut connections and garbage change nothing; the end of the outage does."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        assert await source.refetch()
        server.status = 503
        assert not await source.refetch()
        assert source.health().last_error == "the answer has status 503"
        server.drop = True
        assert not await source.refetch()
        assert source.health().last_error == "the request failed (RemoteProtocolError)"
        assert kids(source) == ["first"]
        assert source.generation == 1
        assert source.health().loaded
        server.drop, server.status, server.document = False, 200, SECOND
        assert await source.refetch()
        assert kids(source) == ["first", "second"]
        assert source.health().last_error is None


async def test_a_source_that_was_down_at_the_start_is_tried_again() -> None:
    """Nobody needs to ask: the retry comes by itself, sooner than the usual interval."""
    async with JWKSServer(FIRST) as server, running(server, refresh_interval_s=0.02) as source:
        server.status = 500
        await server.wait_for_requests(3)
        assert source.keys is None
        server.status = 200
        await server.wait_for_requests(server.request_count + 2)
        assert kids(source) == ["first"]


def test_retries_slow_down() -> None:
    """1, 2, 4 seconds, up to a minute, each give or take a tenth; never above the usual interval."""
    source = JWKSSource("https://issuer.example/keys", refresh_interval_s=300)
    for failure_count, delay_s in ((0, 300), (1, 1), (2, 2), (3, 4), (7, 60), (5000, 60)):
        assert 0.9 * delay_s <= source._next_delay_s(failure_count) <= 1.1 * delay_s
    hasty = JWKSSource("https://issuer.example/keys", refresh_interval_s=5, min_refetch_interval_s=1)
    assert hasty._next_delay_s(9) <= 5.5


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """Whoever can redirect us must not become the issuer."""
    async with JWKSServer(FIRST) as other, JWKSServer(FIRST) as server:
        server.status, server.headers = status, {"location": other.url}
        async with running(server) as source:
            assert not await source.refetch()
            assert source.keys is None
            assert "redirect" in (source.health().last_error or "")
            assert other.request_count == 0


async def test_a_given_client_that_follows_redirects_does_not_here() -> None:
    """The rule is ours, not that of the client somebody passes in."""
    async with (
        JWKSServer(FIRST) as other,
        JWKSServer(FIRST) as server,
        httpx.AsyncClient(follow_redirects=True, trust_env=False) as client,
    ):
        server.status, server.headers = 302, {"location": other.url}
        async with running(server, http_client=client) as source:
            assert not await source.refetch()
        assert other.request_count == 0
        assert not client.is_closed


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"<html>", "not JSON"),
        (b'{"keys":[]}', "no usable key"),
        (b"x" * (MAX_DOCUMENT_BYTES + 1), "longer than 262144 bytes"),
        (FIRST + b" " * MAX_DOCUMENT_BYTES, "longer than 262144 bytes"),
    ],
    ids=["garbage", "empty", "oversize", "oversize-but-valid"],
)
async def test_an_answer_that_is_no_key_set_changes_nothing(document: bytes, words: str) -> None:
    """It is told in the health, and the keys stay what they were."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        assert await source.refetch()
        server.document = document
        assert not await source.refetch()
        assert words in (source.health().last_error or "")
        assert kids(source) == ["first"]


async def test_a_compressed_answer_is_refused() -> None:
    """It could inflate beyond the bound."""
    async with JWKSServer(gzip.compress(FIRST)) as server:
        server.headers = {"content-encoding": "gzip"}
        async with running(server) as source:
            assert not await source.refetch()
            assert "compressed" in (source.health().last_error or "")


async def test_a_server_that_never_answers_is_given_up() -> None:
    """One fetch has one deadline."""
    async with JWKSServer(FIRST) as server:
        server.hang()
        async with running(server, timeout_s=0.05) as source:
            assert not await source.refetch()
            assert source.health().last_error == "no answer within 0.05 s"


async def test_nobody_there_is_a_failure_like_others() -> None:
    """A refused connection neither ends the task nor shows the URL."""
    async with JWKSServer(FIRST) as server:
        url = server.url
    source = JWKSSource(url)
    source.start()
    try:
        assert not await source.refetch()
        assert source.health().last_error == "the request failed (ConnectError)"
    finally:
        await source.stop()


async def test_the_log_names_host_and_reason_only(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the query of the URL nor anything received is logged."""
    caplog.set_level(logging.DEBUG, logger="hub.auth.jwks")
    strange = {"kty": "oct", "k": "c2VjcmV0LXZhbHVl"}
    async with JWKSServer(jwk_set(strange, ed_pair().jwk("good"))) as server, running(server) as source:
        assert await source.refetch()
        server.drop = True
        assert not await source.refetch()
    text = "\n".join(record.getMessage() for record in caplog.records if record.name == "hub.auth.jwks")
    assert "127.0.0.1: 1 usable" in text
    assert "left out key 1: a shared secret" in text
    assert "could not be fetched" in text
    assert "hidden" not in text and "c2Vj" not in text


async def test_stop_tells_those_who_wait() -> None:
    """Nobody hangs on a source that ended, and its keys stay usable."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        assert await source.refetch()
        server.hang()
        waiting = asyncio.create_task(source.refetch())
        await server.wait_for_requests(2)
        await source.stop()
        assert not await waiting
        assert not await source.refetch()
        assert kids(source) == ["first"]
        await source.stop()


async def test_a_source_starts_once_and_again_after_a_stop() -> None:
    """Two tasks for one source would break the pace."""
    async with JWKSServer(FIRST) as server, running(server) as source:
        with pytest.raises(RuntimeError):
            source.start()
        await source.stop()
        source.start()
        assert await source.refetch()


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/keys",
        "http://localhost:9/keys",
        "http://127.0.0.1/keys",
        "http://127.1.2.3/keys",
        "http://[::1]:9/keys",
    ],
)
def test_https_or_this_machine(url: str) -> None:
    """These need no option."""
    JWKSSource(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://issuer.example/keys", "must be https"),
        ("http://10.0.0.1/keys", "must be https"),
        ("http://localhost.example/keys", "must be https"),
        ("ftp://issuer.example/keys", "must start with https"),
        ("issuer.example/keys", "must start with https"),
        ("https://", "must start with https"),
        ("https://user:pass@issuer.example/keys", "user name or password"),
        ("https://[::1", "not a URL"),
    ],
)
def test_other_urls_are_refused_without_quoting_them(url: str, words: str) -> None:
    """Keys that came over an open line would be anybody's keys."""
    with pytest.raises(ValueError, match=words) as caught:
        JWKSSource(url)
    assert "pass@" not in str(caught.value)


def test_http_elsewhere_can_be_allowed() -> None:
    """Inside a closed network the operator may say so."""
    JWKSSource("http://issuer.internal/keys", allow_http=True)


def test_intervals_must_make_sense() -> None:
    """A pace above the usual interval is a mistake, and so is none."""
    with pytest.raises(ValueError, match="intervals"):
        JWKSSource("https://issuer.example/keys", refresh_interval_s=5, min_refetch_interval_s=10)
    with pytest.raises(ValueError, match="intervals"):
        JWKSSource("https://issuer.example/keys", min_refetch_interval_s=0)
