"""How long it takes after Redis is back until every channel is whole, or its subscriber was told it is not.

Three ways to lose Redis: the hub alone is cut off while others publish; Redis restarts and has
its data still; Redis restarts empty. Every phone watches every offset all the time.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.crowd import Crowd
from benchmarks.redis.redis_process import RedisProcess
from benchmarks.support import Child, cores, percentile, print_table

_CHANNEL = "own-{number}"
_MISSED = 2
_GATHERED = 100


class _HealingCrowd(Crowd):
    def told_at_s(self) -> list[float]:
        """Wait until each was told that its recovery failed; the moments of the system's monotonic clock."""
        return [at_s for answer in self._ask_all("await_told") for at_s in answer["told_at_s"]]


class _Run:
    def __init__(
        self,
        options: argparse.Namespace,
        redis: RedisProcess,
        hub: Child,
        publisher: Child,
        phones: _HealingCrowd,
    ) -> None:
        self._options = options
        self._redis, self._hub, self._publisher, self._phones = redis, hub, publisher, phones
        self._faults = 0
        self.rows: list[tuple[str, ...]] = []

    def cut_off(self) -> None:
        """The hub loses Redis while others publish: everything is still in the streams."""
        self._redis.lock_out()
        self._phones.expect(_MISSED)
        self._publish(_MISSED)
        time.sleep(self._options.gone_s)
        before_s, back_at_s = self._hub.cpu_s, time.monotonic()
        self._redis.let_in()
        self._phones.all_arrived()
        took_s = time.monotonic() - back_at_s
        self._finish(f"hub cut off, {_MISSED} missed in each", "", took_s, before_s)

    def restart(self, *, keep: bool) -> None:
        """Redis goes and comes back: another term, so nobody can be sure of the last publications."""
        self._redis.stop(keep=keep)
        time.sleep(self._options.gone_s)
        before_s = self._hub.cpu_s
        self._redis.start()
        back_at_s = time.monotonic()
        told_s = [at_s - back_at_s for at_s in self._phones.told_at_s()]
        name = "Redis restarted with its data" if keep else "Redis restarted empty"
        self._finish(name, f"{percentile(told_s, 0.5):.2f}", max(told_s), before_s)

    def publish_and_check(self) -> int:
        """One more to each, which nobody may miss; how many phones saw a gap that nobody told them of."""
        self._phones.expect(1)
        self._publish(1)
        self._phones.all_arrived()
        faults: int = sum(report["gaps"] for report in self._phones.report())
        self._faults, new = faults, faults - self._faults
        return new

    def _publish(self, each: int) -> None:
        channels = self._options.channels
        self._publisher.ask("reach")
        self._publisher.ask(
            "publish",
            channel=_CHANNEL,
            channels=channels,
            count=channels * each,
            gathered=_GATHERED,
            payload_bytes=self._options.payload_bytes,
        )

    def _finish(self, name: str, half_s: str, took_s: float, before_s: float) -> None:
        cpu_s = self._hub.settled_cpu_s() - before_s
        lost = sum(report["lost"] for report in self._phones.report())
        faults = self.publish_and_check()
        held = "holds" if not faults and not lost else "MISSED"
        each_us = cpu_s * 1e6 / self._options.channels
        self.rows.append(
            (name, half_s, f"{took_s:.2f}", f"{cpu_s:.2f}", f"{each_us:.0f}", str(lost), str(faults), held)
        )


def compare(options: argparse.Namespace, redis: RedisProcess) -> None:
    """Measure and print."""
    hub_settings = json.dumps({"engine": "redis", "redis.url": redis.hub_url, "ping.interval_s": 3600})
    settings = json.dumps({"engine": "redis", "redis.url": redis.url, "ping.interval_s": 3600})
    hub_core, other_cores = cores()
    with (
        Child("benchmarks.hub_server", hub_settings, pinned_to=hub_core) as hub,
        Child("benchmarks.redis.publisher", settings, pinned_to=other_cores) as publisher,
        _HealingCrowd(
            options.channels,
            hub.ask("port")["port"],
            channel=_CHANNEL,
            careful=True,
            program=("benchmarks.redis.phones", "healing"),
        ) as phones,
    ):
        phones.go()
        run = _Run(options, redis, hub, publisher, phones)
        run.publish_and_check()
        for _ in range(options.healing_rounds):
            run.cut_off()
            run.restart(keep=True)
            run.restart(keep=False)
    heads = (
        "",
        "half told s",
        "all whole or told s",
        "CPU s of the hub",
        "us CPU a channel",
        "connections lost",
        "gaps not told of",
        "0 and 0",
    )
    title = f"From Redis is back to the last of {options.channels} channels healed, one connection each"
    print_table(title, heads, run.rows, {**vars(options), "missed": _MISSED, "redis": redis.version})
