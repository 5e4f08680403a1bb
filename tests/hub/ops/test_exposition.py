"""The page of metrics: fresh, of one process or of all that share a directory, not broken by one number."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from hub.ops.exposition import Exposition, create_metrics
from tests.support.http_server import serving
from tests.support.markdown import ROOT
from tests.support.prometheus import parse, scrape

_WRITER = """
import asyncio, sys
from hub.ops.exposition import Exposition

async def main():
    exposition = Exposition()
    count = exposition.counter("t_events", "Events.", ["kind"])
    now = exposition.gauge("t_now", "Now.")
    worst = exposition.gauge("t_worst", "Worst.", over="max")
    least = exposition.gauge("t_least", "Least.", over="min")
    seconds = exposition.histogram("t_seconds", "Seconds.", [0.1, 1])
    amount = int(sys.argv[1])
    def read():
        now.set(amount); worst.set(amount); least.set(amount)
    exposition.before_reading(read)
    count.labels("a").inc(amount)
    seconds.observe(0.5)
    exposition.start()
    sys.stdout.write("there\\n"); sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    if len(sys.argv) > 2:
        sys.stdout.write(exposition.page().decode())
    exposition.stop()

asyncio.run(main())
"""


async def test_what_is_read_is_of_this_moment() -> None:
    """Readers run before each page."""
    exposition = Exposition("")
    gauge = exposition.gauge("t_height", "Height.")
    heights = iter((1.0, 2.0))
    exposition.before_reading(lambda: gauge.set(next(heights)))
    async with serving(Starlette(routes=create_metrics(exposition, lambda request: True))) as url:
        assert (await scrape(url)).sum("t_height") == 1
        assert (await scrape(url)).sum("t_height") == 2


async def test_one_number_that_cannot_be_read_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It keeps what it was, and the log says why."""
    exposition = Exposition("")
    gauge = exposition.gauge("t_height", "Height.")

    def fail() -> None:
        raise RuntimeError("no ruler")

    exposition.before_reading(fail)
    exposition.before_reading(lambda: gauge.set(3))
    with caplog.at_level(logging.ERROR):
        assert parse(exposition.page()).sum("t_height") == 3
    assert "a metric could not be read" in caplog.text


async def test_for_others_the_page_does_not_exist() -> None:
    """No 403 that would tell that there is something."""
    exposition = Exposition("")
    app = Starlette(routes=create_metrics(exposition, lambda request: False))
    async with serving(app) as url, httpx.AsyncClient(trust_env=False) as http:
        refused, absent = await http.get(f"{url}/metrics"), await http.get(f"{url}/nothing")
    assert (refused.status_code, refused.text) == (absent.status_code, absent.text) == (404, "Not Found")


def test_processes_that_share_a_directory_answer_as_one(tmp_path: Path) -> None:
    """Counters and histograms add up; a gauge is the sum, the most or the least, as it was made."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _WRITER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen([*command, "5"], **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "there\n"
        with subprocess.Popen([*command, "7", "tell"], **pipes) as second:  # type: ignore[call-overload]
            page, _ = second.communicate("\n")
        first.communicate("\n")
    told = parse(page.removeprefix("there\n"))
    assert told.sum("t_events_total", kind="a") == 12
    assert told.sum("t_now") == 12
    assert told.sum("t_worst") == 7
    assert told.sum("t_least") == 5
    assert told.sum("t_seconds_count") == 2
    assert told.sum("t_seconds_bucket", le="1.0") == 2


def test_a_file_that_was_only_just_made_hides_no_number(tmp_path: Path) -> None:
    """A process that starts makes it, and writes into it a moment later, or was killed between the two."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", _WRITER, "5"], env=env, input=b"\n", capture_output=True, check=True
    )
    (tmp_path / "counter_9.db").touch()
    (tmp_path / "gauge_livesum_9.db").touch()
    assert parse(Exposition(str(tmp_path)).page()).sum("t_events_total") == 5


async def test_alone_nothing_runs_between_two_pages() -> None:
    """A timer would be for nobody."""
    exposition = Exposition("")
    reads = 0

    def read() -> None:
        nonlocal reads
        reads += 1

    exposition.before_reading(read)
    exposition.start()
    exposition.stop()
    await asyncio.sleep(0)
    assert reads == 0
