"""Ten thousand clients lose their hub at once and resume on the others, over Redis.

    python -m benchmarks.storm [--clients 10000] [--hubs 3] [--rounds 3] [--connects-per-s N]

One hub holds all clients and is killed, while publications go on to their channels. Nobody balances
between: clients go straight to the hubs that are left, in turn, all at once. With
``--connects-per-s`` the hubs that are left take no more (`limits.connects_per_s`) and refuse politely.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.crowd import Crowd
from benchmarks.redis.redis_process import RedisProcess, redis_process
from benchmarks.support import Child, cores, percentile, print_table

MOST_P95_S = 10.0
_ROOM = "room-{room}"
_CAUGHT_UP_S = 2.0


class StormCrowd(Crowd):
    """The clients, in processes of at most 4 500."""

    def to_hubs(self, ports: list[int]) -> None:
        """Whoever connects from now on goes to these, in turn."""
        self._ask_all("hubs", ports=ports)


@dataclass(frozen=True, slots=True)
class Storm:
    """What one storm was like. Times are seconds since the hub was killed."""

    back_s: list[float]
    refused: int
    unreached: int
    lost_again: int
    gaps: int
    hub_cpu_s: float
    redis_cpu_s: float
    clients_cpu_s: float

    @property
    def connects_per_s(self) -> float:
        """Over all of it, from the kill to the last."""
        return len(self.back_s) / max(self.back_s)

    @property
    def held(self) -> str:
        """Whether everybody is back in time and nothing is missing."""
        fine = percentile(self.back_s, 0.95) < MOST_P95_S and not self.gaps and not self.lost_again
        return "holds" if fine else "MISSED"

    def row(self, name: str) -> tuple[str, ...]:
        """For the table."""
        count = len(self.back_s)
        return (
            name,
            f"{self.connects_per_s:.0f}",
            f"{percentile(self.back_s, 0.5):.2f}",
            f"{percentile(self.back_s, 0.95):.2f}",
            f"{max(self.back_s):.2f}",
            f"{self.refused}",
            f"{self.unreached}",
            f"{self.gaps}",
            f"{self.hub_cpu_s * 1e6 / count:.0f}",
            f"{self.redis_cpu_s * 1e6 / count:.0f}",
            f"{self.clients_cpu_s * 1e6 / count:.0f}",
            self.held,
        )


def main() -> None:
    """Measure and print."""
    options = _options()
    rows = []
    for round_ in range(options.rounds):
        with redis_process() as redis:
            rows.append(_one_storm(options, redis).row(f"storm {round_ + 1}"))
    heads = (
        "",
        "connects/s",
        "p50 s",
        "p95 s",
        "last s",
        "refused",
        "not reached",
        "gaps",
        "us CPU hubs",
        "us Redis",
        "us clients",
        f"p95 < {MOST_P95_S:g}, no gap",
    )
    survivors = options.hubs - 1
    title = f"Storm: {options.clients} clients of a hub that is killed, all resume on {survivors} others"
    print_table(title, heads, rows, vars(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--hubs", type=int, default=3, help="the one that is killed among them")
    parser.add_argument("--rooms", type=int, default=100, help="channels; each client is in one of them")
    parser.add_argument("--per-s", type=float, default=50, help="publications a second, all the time")
    parser.add_argument("--payload-bytes", type=int, default=128)
    parser.add_argument("--window", type=int, default=64, help="connecting at once before the storm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connects-per-s", type=int, default=0, help="that each hub takes; 0 for no limit")
    return parser.parse_args()


def _settings(options: argparse.Namespace, redis: RedisProcess, *, survives: bool) -> str:
    settings: dict[str, Any] = {"engine": "redis", "redis.url": redis.url, "ping.interval_s": 3600}
    per_s = options.connects_per_s if survives else 0
    settings |= {"limits.connects_per_s": per_s, "limits.connects_burst": max(1, per_s)}
    return json.dumps(settings)


def _one_storm(options: argparse.Namespace, redis: RedisProcess) -> Storm:
    server_core, _ = cores()
    with contextlib.ExitStack() as stack:
        doomed, *others = [
            stack.enter_context(
                Child(
                    "benchmarks.hub_server",
                    _settings(options, redis, survives=number > 0),
                    pinned_to=server_core,
                )
            )
            for number in range(options.hubs)
        ]
        port = doomed.ask("port")["port"]
        phones = stack.enter_context(
            StormCrowd(
                options.clients,
                port,
                channel=_ROOM,
                rooms=options.rooms,
                careful=True,
                program=("benchmarks.storm.phones",),
            )
        )
        phones.to_hubs([port])
        phones.go(window=options.window, comes_back=True)
        publishing = {"channel": _ROOM, "rooms": options.rooms}
        others[0].ask(
            "keep_publishing", per_s=options.per_s, payload_bytes=options.payload_bytes, **publishing
        )
        time.sleep(1.0)
        phones.to_hubs([other.ask("port")["port"] for other in others])
        phones.expect_cut()
        hubs_s = sum(other.cpu_s for other in others)
        redis_s, clients_s = redis.cpu_s, phones.cpu_s
        cut_at_s = time.monotonic()
        os.kill(doomed.pid, signal.SIGKILL)
        back_s = [at_s - cut_at_s for at_s in phones.back_at_s()]
        hubs_s = sum(other.cpu_s for other in others) - hubs_s
        redis_s, clients_s = redis.cpu_s - redis_s, phones.cpu_s - clients_s
        time.sleep(1.0)
        tops = others[0].ask("stop_publishing", **publishing)["tops"]
        time.sleep(_CAUGHT_UP_S)
        reports = phones.report()
    gaps = sum(report["gaps"] for report in reports)
    # Whoever stands elsewhere than its room missed the end of it.
    gaps += sum(
        tops[channel] != offset
        for report in reports
        for positions in report["positions"]
        for channel, (offset, _) in positions
        if channel in tops
    )
    return Storm(
        back_s=back_s,
        refused=sum(report["refused"] for report in reports),
        unreached=sum(report["unreached"] for report in reports),
        lost_again=sum(report["lost"] for report in reports) - options.clients,
        gaps=gaps,
        hub_cpu_s=hubs_s,
        redis_cpu_s=redis_s,
        clients_cpu_s=clients_s,
    )


if __name__ == "__main__":
    main()
