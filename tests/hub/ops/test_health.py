"""Health: what is answered when, and how little it costs to ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from hub.errors import EngineUnavailable
from hub.ops.health import HealthOptions, LoopWatch, Readiness, create_health
from tests.support.http_server import serving


class Engine:
    """Something to probe: counts, fails when told, and hangs while ``answer`` is clear."""

    def __init__(self) -> None:
        self.probes = 0
        self.failure: Exception | None = None
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def probe(self) -> None:
        self.probes += 1
        self.asked.set()
        await self.answer.wait()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def engine() -> Engine:
    """An engine that answers."""
    return Engine()


@pytest.fixture
def options() -> HealthOptions:
    """Impatient, with every probe fresh."""
    return HealthOptions(probe_timeout_s=0.05, probe_max_age_s=0)


@pytest.fixture
def permitted() -> bool:
    """Whether whoever asks may see details."""
    return True


@pytest.fixture
async def readiness(engine: Engine, options: HealthOptions) -> AsyncIterator[Readiness]:
    """A process that has started."""
    readiness = Readiness(engine.probe, options)
    readiness.mark_started()
    yield readiness
    readiness.stop()


@pytest.fixture
async def http(readiness: Readiness, permitted: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the served routes."""
    routes = create_health(
        readiness, LoopWatch(), lambda request: permitted, lambda: {"about": {"connections": 3}}
    )
    async with (
        serving(Starlette(routes=routes)) as base_url,
        httpx.AsyncClient(base_url=base_url, trust_env=False) as client,
    ):
        yield client


async def test_plain_health_is_an_empty_object(http: httpx.AsyncClient, engine: Engine) -> None:
    """For whoever wants nothing but a 200; nothing is probed for it."""
    response = await http.get("/health")
    assert (response.status_code, response.json()) == (200, {})
    assert engine.probes == 0


async def test_live_tells_uptime_and_lag(http: httpx.AsyncClient, engine: Engine) -> None:
    """Live needs no engine."""
    engine.failure = EngineUnavailable()
    response = await http.get("/health/live")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["status"] == "live"
    assert response.json()["uptime_s"] >= 0
    assert response.json()["loop_lag_ms"] == 0
    assert engine.probes == 0


async def test_ready_with_an_engine_that_answers(http: httpx.AsyncClient) -> None:
    """200, and how old the engine's answer is."""
    response = await http.get("/health/ready")
    assert response.status_code == 200
    told = response.json()
    assert 0 <= told["engine"].pop("age_ms") < 1000
    assert told == {
        "status": "ready",
        "reasons": [],
        "phase": "started",
        "engine": {"answers": True, "failure": None},
        "loop_lag_ms": 0,
        "about": {"connections": 3},
    }


async def test_not_ready_without_an_engine(http: httpx.AsyncClient, engine: Engine) -> None:
    """503 with the reason, and ready again as soon as the engine is back."""
    engine.failure = EngineUnavailable("refused")
    gone = await http.get("/health/ready")
    engine.failure = None
    back = await http.get("/health/ready")
    assert (gone.status_code, back.status_code) == (503, 200)
    assert gone.json()["reasons"] == ["engine"]
    assert gone.json()["engine"]["failure"] == "refused"


async def test_not_ready_with_an_engine_that_hangs(http: httpx.AsyncClient, engine: Engine) -> None:
    """A probe is given up in time."""
    engine.answer.clear()
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["engine"]["failure"] == "no answer within 0.05 s"


async def test_a_broken_probe_is_no_answer(
    http: httpx.AsyncClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in the probe makes not ready; its text is for the log."""
    engine.failure = RuntimeError("the inner workings")
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert "inner workings" not in response.text
    assert "inner workings" in caplog.text


async def test_not_ready_before_start(engine: Engine, options: HealthOptions) -> None:
    """An engine that is not opened yet is not probed."""
    verdict = await Readiness(engine.probe, options).verdict()
    assert (verdict.ready, verdict.reasons, verdict.engine) == (False, ("starting",), None)
    assert engine.probes == 0


async def test_not_ready_while_draining(
    http: httpx.AsyncClient, readiness: Readiness, engine: Engine
) -> None:
    """Draining is for good and needs no probe, but live stays live."""
    readiness.mark_draining()
    ready = await http.get("/health/ready")
    live = await http.get("/health/live")
    assert (ready.status_code, live.status_code) == (503, 200)
    told = ready.json()
    assert (told["reasons"], told["phase"], told["engine"]) == (["draining"], "draining", None)
    assert engine.probes == 0


async def test_a_crowd_shares_one_probe(readiness: Readiness, engine: Engine) -> None:
    """However many ask at once, the engine is asked once."""
    engine.answer.clear()
    crowd = [asyncio.create_task(readiness.verdict()) for _ in range(100)]
    await engine.asked.wait()
    engine.answer.set()
    verdicts = await asyncio.gather(*crowd)
    assert engine.probes == 1
    assert all(verdict.ready for verdict in verdicts)


async def test_one_who_leaves_takes_no_probe_away(readiness: Readiness, engine: Engine) -> None:
    """A cancelled caller leaves the probe to those who still wait."""
    engine.answer.clear()
    leaving = asyncio.create_task(readiness.verdict())
    staying = asyncio.create_task(readiness.verdict())
    await engine.asked.wait()
    leaving.cancel()
    engine.answer.set()
    assert (await staying).ready
    assert engine.probes == 1


async def test_an_answer_is_used_for_a_while(engine: Engine) -> None:
    """Within its age an answer, good or bad, is not asked for again."""
    readiness = Readiness(engine.probe, HealthOptions(probe_max_age_s=60))
    readiness.mark_started()
    verdicts = [await readiness.verdict(), await readiness.verdict()]
    assert engine.probes == 1
    assert verdicts[0].engine is verdicts[1].engine


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_answers_head_and_refuses_post(http: httpx.AsyncClient, path: str) -> None:
    """Some load balancers ask by HEAD; nobody posts."""
    assert (await http.head(path)).status_code == 200
    assert (await http.post(path)).status_code == 405


class TestWithoutDetails:
    """Health on a port that anybody can reach."""

    @pytest.fixture
    def permitted(self) -> bool:
        return False

    async def test_tells_no_reasons(self, http: httpx.AsyncClient, engine: Engine) -> None:
        """Whether, but not why."""
        assert (await http.get("/health/ready")).json() == {"status": "ready"}
        engine.failure = EngineUnavailable("redis at 10.0.0.7 refused")
        response = await http.get("/health/ready")
        assert (response.status_code, response.json()) == (503, {"status": "not ready"})
        assert (await http.get("/health/live")).json() == {"status": "live"}


async def test_the_watch_sees_a_held_loop() -> None:
    """A loop that somebody holds shows as lag, and is forgotten two windows later."""
    watch = LoopWatch(tick_s=0.001, window_ticks=5)
    watch.start()
    watch.start()
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 - holding the loop is the point
    async with asyncio.timeout(5):
        while watch.lag_s < 0.04:  # noqa: ASYNC110 - lag is read, nobody announces it
            await asyncio.sleep(0)
        while watch.lag_s >= 0.04:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)
    watch.stop()


async def test_a_stopped_watch_has_no_timer() -> None:
    """Nothing of it stays in the loop."""
    watch = LoopWatch(tick_s=0.001)
    watch.stop()
    watch.start()
    watch.stop()
    assert watch.lag_s == 0
