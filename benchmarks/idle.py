"""What connections cost that do nothing but answer pings.

    python -m benchmarks.idle [--connections 10000] [--interval-s 5] [--measured-s 15]

Pings faster than in life and scales the result to the real interval: what an idle hub costs
without connections is measured first and not scaled. ``--interval-s 25 --measured-s 75`` does
not scale. The floor writes as many pings from a bare protocol, which drops the answers.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.crowd import Crowd
from benchmarks.support import Child, cores, print_table, spread, verdict

REAL_INTERVAL_S = 25.0
MOST_PERCENT = 5.0


def main() -> None:
    """Measure and print."""
    options = _options()
    server_core, _ = cores()
    settings = {"ping.interval_s": options.interval_s, "ping.pong_timeout_s": options.interval_s * 0.6}
    floor_percent, ours_percent = [], []
    for _ in range(options.rounds):
        with Child("benchmarks.floor_server", "bare", pinned_to=server_core) as floor:
            floor_percent.append(_percent(floor, options, "bare"))
        with Child("benchmarks.hub_server", json.dumps(settings), pinned_to=server_core) as hub:
            ours_percent.append(_percent(hub, options, "hub"))
    ratio = sum(ours_percent) / sum(floor_percent)
    worst = max(ours_percent)
    rows = [
        ("bare protocol", spread(floor_percent), "1", "", ""),
        ("hub", spread(ours_percent), f"{ratio:.2f}", f"<= {MOST_PERCENT:g} %", verdict(worst, MOST_PERCENT)),
    ]
    title = f"Idle, {options.connections} connections, a ping every {REAL_INTERVAL_S:g} s"
    print_table(title, ("", "% of a core", "ratio to the floor", "bar", ""), rows, vars(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--interval-s", type=int, default=5, help="seconds between two pings")
    parser.add_argument("--measured-s", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def _percent(server: Child, options: argparse.Namespace, kind: str) -> float:
    port = server.ask("port")["port"]
    time.sleep(1.0)
    alone = _share(server, 3.0)
    with Crowd(options.connections, port, kind, channel="own-{number}" if kind == "hub" else "") as phones:
        phones.go()
        if kind == "bare":
            server.ask("ping_every", interval_s=options.interval_s)
        # Every ping has found its place in the interval by then.
        time.sleep(options.interval_s * 2)
        pings_before = sum(report["pings"] for report in phones.report())
        busy = _share(server, options.measured_s)
        reports = phones.report()
        pings = sum(report["pings"] for report in reports) - pings_before
        expected = options.connections * options.measured_s / options.interval_s
        if not 0.9 * expected <= pings <= 1.1 * expected or any(report["lost"] for report in reports):
            raise RuntimeError(
                f"{pings} pings instead of {expected:.0f}: {[r['lost'] for r in reports]} lost"
            )
        phones.hang_up()
    return 100 * (alone + (busy - alone) * options.interval_s / REAL_INTERVAL_S)


def _share(server: Child, seconds: float) -> float:
    began_s, before_s = time.monotonic(), server.cpu_s
    time.sleep(seconds)
    return (server.cpu_s - before_s) / (time.monotonic() - began_s)


if __name__ == "__main__":
    main()
