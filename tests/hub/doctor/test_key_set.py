"""The doctor before a real server of keys that misbehaves."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from hub.doctor.finding import Level
from hub.doctor.key_set import check_key_set
from tests.hub.doctor.findings import all_of, bad, levels, settings_of
from tests.support.jwks_server import JWKSServer

ED25519 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "one",
    "use": "sig",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
GOOD = json.dumps({"keys": [ED25519]}).encode()


def settings_for(server: JWKSServer, **more: Any) -> Any:
    """Settings that name its URL."""
    return settings_of(auth__jwks_url=server.url, **more)


async def test_a_good_set() -> None:
    """Fetched, counted, and the clock of its server compared."""
    async with JWKSServer(GOOD) as server:
        server.headers["date"] = formatdate(usegmt=True)
        findings = await all_of(check_key_set(settings_for(server)))
    assert bad(findings) == []
    assert levels(findings, "1 usable key, fetched in") == [Level.OK]
    assert levels(findings, "agrees with the server of the key set") == [Level.OK]


async def test_each_way_to_fail_is_told_by_its_cause() -> None:
    """And the URL, which may hold a secret, is not quoted."""
    async with JWKSServer(GOOD) as server:
        settings = settings_for(server)
        for cause, change in (("status 500", {"status": 500}), ("request failed", {"drop": True})):
            vars(server).update(change)
            (finding,) = await all_of(check_key_set(settings))
            assert finding.level is Level.ERROR
            assert cause in finding.what
            assert "hidden" not in finding.what + finding.advice
    (gone,) = await all_of(check_key_set(settings))
    assert gone.level is Level.ERROR


async def test_a_set_without_a_key_of_use() -> None:
    """It answers, and no token could be verified."""
    async with JWKSServer(b'{"keys":[]}') as server:
        findings = await all_of(check_key_set(settings_for(server)))
    assert levels(findings, "none of its keys can be used") + levels(findings, "could not be fetched") == [
        Level.ERROR
    ]


async def test_a_cache_that_keeps_old_sets() -> None:
    """A key that was rotated would arrive late; and its old date says nothing of clocks."""
    async with JWKSServer(GOOD) as server:
        server.headers.update({"age": "3600", "date": formatdate(time.time() - 3600, usegmt=True)})
        findings = await all_of(check_key_set(settings_for(server)))
    assert levels(findings, "3600 s old") == [Level.WARNING]
    assert levels(findings, "this machine") == []


@pytest.mark.parametrize(("ahead_s", "level"), [(20, Level.WARNING), (-600, Level.ERROR)])
async def test_clocks_that_differ(ahead_s: int, level: Level) -> None:
    """Told by how much, in which direction."""
    async with JWKSServer(GOOD) as server:
        server.headers["date"] = formatdate(time.time() + ahead_s, usegmt=True)
        findings = await all_of(check_key_set(settings_for(server)))
    direction = "ahead of" if ahead_s > 0 else "behind"
    assert levels(findings, f"s {direction} this machine") == [level]


async def test_without_a_url() -> None:
    """Nothing to say."""
    assert await all_of(check_key_set(settings_of())) == []
