"""What a publication costs whoever publishes it: by the server API, or by the engine straight to Redis."""

from __future__ import annotations

import argparse
import json

from benchmarks.api import BATCH, measure
from benchmarks.redis.redis_process import RedisProcess
from benchmarks.served import hub_server
from benchmarks.support import Child, cores, median, print_table, spread

LEAST_PER_CPU_S = {"single": 3_000, "batch": 20_000, "parallel batch": 20_000, "broadcast": 20_000}

_HEADS = ("", "us CPU each", "ratio to the floor", "publications / CPU s", "bar", "us CPU of Redis", "")
_CHANNEL = "bench{number}"
_GATHERED = (1, 10, 100)


class _Costs:
    """CPU of a publisher and of Redis, in µs for each publication, one figure a round."""

    def __init__(self) -> None:
        self.own_us: list[float] = []
        self.redis_us: list[float] = []


def compare(options: argparse.Namespace, redis: RedisProcess) -> None:
    """Measure bare redis-py, the engine and the API, and print all."""
    floors, engines = _straight(options, redis)
    requests = _by_api(options, redis)
    rows = []
    for gathered in _GATHERED:
        floor, ours = floors[gathered], engines[gathered]
        rows.append(_row(f"bare redis-py, {gathered} in a pipeline", floor, "1"))
        rows.append(_row(f"engine, {gathered} gathered", ours, _ratio(ours, floor)))
    floor = floors[_GATHERED[-1]]
    for kind, ours in requests.items():
        rows.append(_row(f"hub, API: {kind}", ours, _ratio(ours, floor), LEAST_PER_CPU_S[kind]))
    title = "Publishing through Redis; the floor of the API is the pipeline of 100"
    parameters = {
        "payload_bytes": options.payload_bytes,
        "channels": options.connections,
        "publications": options.publications,
        "rounds": options.rounds,
        "publications_a_batch": BATCH,
        "redis": redis.version,
    }
    print_table(title, _HEADS, rows, parameters)


def _straight(
    options: argparse.Namespace, redis: RedisProcess
) -> tuple[dict[int, _Costs], dict[int, _Costs]]:
    floors = {gathered: _Costs() for gathered in _GATHERED}
    engines = {gathered: _Costs() for gathered in _GATHERED}
    core, _ = cores()
    settings = json.dumps({"engine": "redis", "redis.url": redis.url})
    with (
        Child("benchmarks.redis.floor", str(redis.port), pinned_to=core) as floor,
        Child("benchmarks.redis.publisher", settings, pinned_to=core) as engine,
    ):
        for round_ in range(options.rounds + 1):
            for gathered in _GATHERED:
                for child, costs in ((floor, floors[gathered]), (engine, engines[gathered])):
                    measured = _publish(child, redis, options, gathered)
                    if round_:  # the first one was to warm up
                        costs.own_us.append(measured[0])
                        costs.redis_us.append(measured[1])
    return floors, engines


def _publish(
    child: Child, redis: RedisProcess, options: argparse.Namespace, gathered: int
) -> tuple[float, float]:
    count = max(1, options.publications * min(gathered, 10) // 10)
    before_s, redis_before_s = child.settled_cpu_s(), redis.cpu_s
    child.ask(
        "publish",
        channel=_CHANNEL,
        channels=options.connections,
        count=count,
        gathered=gathered,
        payload_bytes=options.payload_bytes,
    )
    return (child.cpu_s - before_s) * 1e6 / count, (redis.cpu_s - redis_before_s) * 1e6 / count


def _by_api(options: argparse.Namespace, redis: RedisProcess) -> dict[str, _Costs]:
    requests = {kind: _Costs() for kind in LEAST_PER_CPU_S}
    with hub_server(redis_url=redis.url) as hub:
        for _ in range(options.rounds):
            for kind, costs in requests.items():
                each = 1 if kind == "single" else BATCH
                count = max(1, options.publications // (5 if each == 1 else each))
                redis_before_s = redis.cpu_s
                cost = measure(hub, kind, count)
                # A tenth as many went before, to warm up.
                sent = cost.requests * each * 1.1
                costs.redis_us.append((redis.cpu_s - redis_before_s) * 1e6 / sent)
                costs.own_us.append(cost.us_per_request / each)
    return requests


def _ratio(ours: _Costs, floor: _Costs) -> str:
    return f"{median(ours.own_us) / median(floor.own_us):.2f}"


def _row(name: str, costs: _Costs, ratio: str, least: int | None = None) -> tuple[str, ...]:
    per_cpu_s = 1e6 / median(costs.own_us)
    bar, held = "", ""
    if least is not None:
        bar, held = f">= {least}", "holds" if per_cpu_s >= least else "MISSED"
    return (
        name,
        spread(costs.own_us, ".1f"),
        ratio,
        f"{per_cpu_s:.0f}",
        bar,
        f"{median(costs.redis_us):.1f}",
        held,
    )
