"""One publication to one user, over many channels: what it costs the hub, and how long it takes."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field

from benchmarks.crowd import Crowd
from benchmarks.redis.redis_process import RedisProcess
from benchmarks.support import Child, cores, median, percentile, print_table, spread

LEAST_PER_CORE_S = 15_000
MOST_P50_MS = 2.0
MOST_P99_MS = 20.0

_HUB_CHANNEL = "own-{number}"
_FLOOR_CHANNEL = "bare-{number}"
_GATHERED = 100
_SHARES = (0.25, 0.5)
"""Of the most there was; the bar is for half."""
_BURST_PER_CHANNEL = 10
"""Sent to each before all are waited for; more, and Redis would have to keep them for a slow reader."""


class _TimingCrowd(Crowd):
    def waited_ms(self) -> list[float]:
        """How long each publication took since this was last asked."""
        return [waited_ns / 1e6 for answer in self._ask_all("waited") for waited_ns in answer["waited_ns"]]


@dataclass(slots=True)
class _Costs:
    floor_us: list[float] = field(default_factory=list)
    delivered_us: list[float] = field(default_factory=list)
    both_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)


def compare(options: argparse.Namespace, redis: RedisProcess) -> None:
    """Measure and print cost and latency."""
    hub_settings = json.dumps({"engine": "redis", "redis.url": redis.hub_url, "ping.interval_s": 3600})
    settings = json.dumps({"engine": "redis", "redis.url": redis.url, "ping.interval_s": 3600})
    hub_core, other_cores = cores()
    with (
        Child("benchmarks.redis.floor", str(redis.port), pinned_to=hub_core) as floor,
        Child("benchmarks.hub_server", hub_settings, pinned_to=hub_core) as hub,
        Child("benchmarks.redis.publisher", settings, pinned_to=other_cores) as publisher,
        Crowd(options.connections, floor.ask("port")["port"], "bare") as watchers,
        _TimingCrowd(
            options.connections,
            hub.ask("port")["port"],
            channel=_HUB_CHANNEL,
            program=("benchmarks.redis.phones", "timing"),
        ) as phones,
    ):
        watchers.go()
        phones.go()
        run = _Run(options, floor, hub, publisher, watchers, phones)
        costs = run.costs()
        parameters = {**vars(options), "redis": redis.version}
        _show_costs(costs, run.frame_bytes, parameters)
        if options.latency_s:
            run.show_latency(median(costs.per_s), parameters)


class _Run:
    def __init__(
        self,
        options: argparse.Namespace,
        floor: Child,
        hub: Child,
        publisher: Child,
        watchers: Crowd,
        phones: _TimingCrowd,
    ) -> None:
        self._options = options
        self._floor, self._hub, self._publisher = floor, hub, publisher
        self._watchers, self._phones = watchers, phones
        self.frame_bytes = 0

    def costs(self) -> _Costs:
        """Floor and ours once in each round, so that a noisy moment meets all of them."""
        costs = _Costs()
        self._phones.expect(1)
        self._publish(self._publisher, "publish", _HUB_CHANNEL, 1)
        self.frame_bytes = self._phones.all_arrived() // self._options.connections
        self._floor.ask("listen", channel=_FLOOR_CHANNEL, frame_bytes=self.frame_bytes)
        for round_ in range(self._options.rounds + 1):
            floor_us, _ = self._cost(self._floor, self._watchers, self._publisher, "publish", _FLOOR_CHANNEL)
            delivered_us, per_s = self._cost(
                self._hub, self._phones, self._publisher, "publish", _HUB_CHANNEL
            )
            both_us, _ = self._cost(self._hub, self._phones, self._hub, "publish_around", _HUB_CHANNEL)
            if round_:  # the first one was to warm up
                costs.floor_us.append(floor_us)
                costs.delivered_us.append(delivered_us)
                costs.per_s.append(per_s)
                costs.both_us.append(both_us)
        return costs

    def _cost(
        self, measured: Child, clients: Crowd, publisher: Child, do: str, channel: str
    ) -> tuple[float, float]:
        """CPU in µs of the measured process for each publication, and how many a second there were."""
        connections = self._options.connections
        bursts = max(1, self._options.publications // (connections * _BURST_PER_CHANNEL))
        before_s, began_s = measured.cpu_s, time.monotonic()
        for _ in range(bursts):
            clients.expect(_BURST_PER_CHANNEL)
            self._publish(publisher, do, channel, _BURST_PER_CHANNEL)
            clients.all_arrived()
        took_s = time.monotonic() - began_s
        count = bursts * connections * _BURST_PER_CHANNEL
        return (measured.cpu_s - before_s) * 1e6 / count, count / took_s

    def _publish(self, publisher: Child, do: str, channel: str, each: int) -> None:
        connections = self._options.connections
        publisher.ask(
            do,
            channel=channel,
            channels=connections,
            count=connections * each,
            gathered=_GATHERED,
            payload_bytes=self._options.payload_bytes,
        )

    def show_latency(self, most_per_s: float, parameters: object) -> None:
        """Measure at a quarter and at half of the most there was, and print."""
        options = self._options
        self._phones.waited_ms()
        rows = []
        for share in _SHARES:
            rows += [self._latency(most_per_s * share, share) for _ in range(options.latency_rounds)]
        heads = ("", "publications / s", "hub's core", "p50 ms", "p99 ms", "last ms", "bar", "")
        title = (
            f"From the call of publish to the phone's socket, where {most_per_s:.0f} a second were the most"
        )
        print_table(title, heads, rows, parameters)

    def _latency(self, per_s: float, share: float) -> tuple[str, ...]:
        options = self._options
        each = max(1, int(per_s * options.latency_s / options.connections))
        self._phones.expect(each)
        before_s, began_s = self._hub.cpu_s, time.monotonic()
        answer = self._publisher.ask(
            "publish_evenly",
            channel=_HUB_CHANNEL,
            channels=options.connections,
            count=each * options.connections,
            per_s=per_s,
            payload_bytes=options.payload_bytes,
        )
        self._phones.all_arrived()
        busy = (self._hub.cpu_s - before_s) / (time.monotonic() - began_s)
        waited_ms = self._phones.waited_ms()
        p50_ms, p99_ms = percentile(waited_ms, 0.5), percentile(waited_ms, 0.99)
        bar, held = "", ""
        if share == _SHARES[-1]:
            bar = f"p50 <= {MOST_P50_MS:g}, p99 <= {MOST_P99_MS:g}"
            held = "holds" if p50_ms <= MOST_P50_MS and p99_ms <= MOST_P99_MS else "MISSED"
        return (
            f"{share:.0%} of that",
            f"{answer['per_s']:.0f}",
            f"{busy:.0%}",
            f"{p50_ms:.2f}",
            f"{p99_ms:.2f}",
            f"{max(waited_ms):.1f}",
            bar,
            held,
        )


def _show_costs(costs: _Costs, frame_bytes: int, parameters: object) -> None:
    rows = [
        (
            "bare hiredis and transport.write",
            spread(costs.floor_us, ".1f"),
            "1",
            _per_s(costs.floor_us),
            "",
            "",
        ),
        _row("hub delivers, another publishes", costs.delivered_us, costs.floor_us),
        _row("hub publishes and delivers", costs.both_us, costs.floor_us),
    ]
    heads = ("", "us CPU each", "ratio to the floor", "publications / CPU s", "bar", "")
    title = f"One publication to one connection through Redis, frames of {frame_bytes} bytes"
    print_table(title, heads, rows, parameters)


def _row(name: str, ours_us: list[float], floor_us: list[float]) -> tuple[str, ...]:
    holds = 1e6 / median(ours_us) >= LEAST_PER_CORE_S
    return (
        name,
        spread(ours_us, ".1f"),
        f"{median(ours_us) / median(floor_us):.2f}",
        _per_s(ours_us),
        f">= {LEAST_PER_CORE_S}",
        "holds" if holds else "MISSED",
    )


def _per_s(values_us: list[float]) -> str:
    return f"{1e6 / median(values_us):.0f}"
