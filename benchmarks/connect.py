"""What a phone that connects costs: upgrade, token, personal channel, one recovered subscription.

    python -m benchmarks.connect [--connects 4000] [--storm 10000]

First with tokens the hub has not seen, then with the same ones again, as phones that come back
bring them. The floor is the handshake of ``websockets``' sans-I/O layer and one message echoed.
Then a storm: all are cut at once, come back at once and resume, while publications go on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.crowd import Crowd
from benchmarks.support import Child, cores, median, percentile, print_table, spread, verdict

MOST_US = 300.0
MOST_ON_REDIS_US = 400.0
MOST_STORM_P95_S = 4.0

_CHANNEL = "news"
_ROOM = "room-{room}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print. Without ``arguments``, those of the command line."""
    options = _options(arguments)
    if options.connects:
        _connects(options)
    if options.storm:
        _storm(options)


def _settings(options: argparse.Namespace) -> str:
    settings: dict[str, Any] = {"ping.interval_s": 3600, "channels.personal.enabled": not options.devices}
    if options.devices:
        settings["inbox.enabled"] = True
    if options.redis:
        settings |= {"engine": "redis", "redis.url": options.redis}
    return json.dumps(settings)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connects", type=int, default=4_000, help="connections of one round; 0 for none")
    parser.add_argument("--window", type=int, default=64, help="connecting at the same time, in each process")
    parser.add_argument("--missed", type=int, default=2, help="publications that the subscription recovers")
    parser.add_argument("--payload-bytes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--storm", type=int, default=10_000, help="connections that are cut; 0 for none")
    parser.add_argument("--storm-rounds", type=int, default=3)
    parser.add_argument("--rooms", type=int, default=100, help="channels of the storm")
    parser.add_argument("--per-s", type=float, default=50, help="publications a second during the storm")
    parser.add_argument(
        "--devices", action="store_true", help="registered devices with their inbox, for the personal channel"
    )
    parser.add_argument("--redis", default="", metavar="URL", help="an empty Redis for the hub's engine")
    return parser.parse_args(arguments)


def _connects(options: argparse.Namespace) -> None:
    server_core, _ = cores()
    floor_us, fresh_us, again_us = [], [], []
    with (
        Child("benchmarks.floor_server", "echo", pinned_to=server_core) as floor,
        Child("benchmarks.hub_server", _settings(options), pinned_to=server_core) as hub,
    ):
        floor_port, hub_port = floor.ask("port")["port"], hub.ask("port")["port"]
        cursor = _cursor(hub, options)
        first = 0
        for round_ in range(options.rounds + 1):
            floor_round = _echoes(floor, floor_port, options)
            # New users each time, so that their tokens are new to the hub.
            fresh, again = _hub_connects(hub, hub_port, options, cursor, first)
            first += options.connects
            if round_:  # the first one was to warm up
                floor_us.append(floor_round)
                fresh_us.append(fresh)
                again_us.append(again)
    rows = [("websockets handshake and one echo", spread(floor_us, ".0f"), "1", "", "")]
    for name, ours in (("hub, new token", fresh_us), ("hub, token seen before", again_us)):
        ratio = median(ours) / median(floor_us)
        most_us = MOST_ON_REDIS_US if options.redis else MOST_US
        bar, held = f"<= {most_us:g} us", verdict(median(ours), most_us)
        rows.append((name, spread(ours, ".0f"), f"{ratio:.2f}", bar, held))
    own = "device and inbox" if options.devices else "personal channel"
    title = f"Connect, {own}, one subscription that recovers {options.missed} publications"
    print_table(title, ("", "us CPU each", "ratio to the floor", "bar", ""), rows, vars(options))


def _cursor(hub: Child, options: argparse.Namespace) -> tuple[int, str]:
    hub.ask("publish", channel=_CHANNEL, payload_bytes=options.payload_bytes, turns=20, gathered=1)
    top = hub.ask("top", channel=_CHANNEL)
    return top["offset"] - options.missed, top["epoch"]


def _echoes(floor: Child, port: int, options: argparse.Namespace) -> float:
    with Crowd(options.connects, port, "echo", processes=2) as phones:
        return _cost_us(floor, phones, options)


def _hub_connects(
    hub: Child, port: int, options: argparse.Namespace, cursor: tuple[int, str], first: int
) -> tuple[float, float]:
    kind = "device" if options.devices else "hub"
    if options.devices:
        hub.ask("register", first=first, count=options.connects)
    cursors = {_CHANNEL: cursor}
    with Crowd(
        options.connects, port, kind, channel=_CHANNEL, cursors=cursors, processes=2, first=first
    ) as phones:
        fresh = _cost_us(hub, phones, options)
        phones.hang_up()
        phones.set_back({_CHANNEL: cursor})
        again = _cost_us(hub, phones, options)
        gaps = sum(each["gaps"] for each in phones.report())
        phones.hang_up()
    if gaps:
        raise RuntimeError(f"{gaps} subscriptions were not recovered")
    return fresh, again


def _cost_us(server: Child, phones: Crowd, options: argparse.Namespace) -> float:
    before_s = server.settled_cpu_s()
    phones.go(window=options.window)
    return (server.settled_cpu_s() - before_s) * 1e6 / options.connects


def _storm(options: argparse.Namespace) -> None:
    rows = []
    p95s_s, costs_us = [], []
    for round_ in range(options.storm_rounds):
        waited_s, cost_us, gaps = _one_storm(options)
        p95s_s.append(percentile(waited_s, 0.95))
        costs_us.append(cost_us)
        rows.append(
            (
                f"storm {round_ + 1}",
                f"{percentile(waited_s, 0.5):.2f}",
                f"{p95s_s[-1]:.2f}",
                f"{max(waited_s):.2f}",
                f"{cost_us:.0f}",
                str(gaps),
                "holds" if p95s_s[-1] < MOST_STORM_P95_S and not gaps else "MISSED",
            )
        )
    heads = (
        "",
        "p50 s",
        "p95 s",
        "last s",
        "us CPU each, farewells too",
        "gaps",
        f"p95 < {MOST_STORM_P95_S:g}",
    )
    print_table(f"Storm: {options.storm} cut at once, all resume", heads, rows, vars(options))


def _one_storm(options: argparse.Namespace) -> tuple[list[float], float, int]:
    server_core, _ = cores()
    with (
        Child("benchmarks.hub_server", _settings(options), pinned_to=server_core) as hub,
        Crowd(
            options.storm, hub.ask("port")["port"], channel=_ROOM, rooms=options.rooms, careful=True
        ) as phones,
    ):
        phones.go(window=options.window, comes_back=True)
        hub.ask(
            "keep_publishing",
            channel=_ROOM,
            rooms=options.rooms,
            per_s=options.per_s,
            payload_bytes=options.payload_bytes,
        )
        time.sleep(1.0)
        phones.expect_cut()
        before_s = hub.cpu_s
        cut_at_s = hub.ask("cut")["at_s"]
        waited_s = [back_at_s - cut_at_s for back_at_s in phones.back_at_s()]
        cost_us = (hub.cpu_s - before_s) * 1e6 / options.storm
        lost = sum(report["lost"] for report in phones.report()) - options.storm
        if lost:
            raise RuntimeError(f"{lost} connections were lost while they came back")
        time.sleep(1.0)
        tops = hub.ask("stop_publishing", channel=_ROOM, rooms=options.rooms)["tops"]
        hub.settled_cpu_s()
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
    return waited_s, cost_us, gaps


if __name__ == "__main__":
    main()
