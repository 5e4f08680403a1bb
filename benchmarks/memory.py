"""Resident memory of an idle connection: a token, its own user, one channel.

    python -m benchmarks.memory [--connections 10000]

Three kinds of channel: one for each client with history and without, and one for all of them;
and the inbox of a device that is registered.
The floor, for information, is an asyncio protocol object under uvloop that keeps nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.crowd import Crowd
from benchmarks.support import Child, cores, print_table, spread, verdict

MOST_KIB = 10.0

_INBOX = {"inbox.enabled": True}
_NO_HISTORY = {"channels.without_namespace": {"allow_subscribe_for_client": True}}


def main() -> None:
    """Measure and print."""
    options = _options()
    floor = [_floor(options) for _ in range(options.rounds)]
    rows = [("bare protocol, uvloop", spread(floor), "1", "", "")]
    kinds: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
        ("hub, a channel each, with history", "own-{number}", {}),
        ("hub, a channel each, no history", "own-{number}", _NO_HISTORY),
        ("hub, one channel for all", "common", {}),
        ("hub, registered device and inbox", "", _INBOX),
    )
    for name, channel, settings in kinds:
        ours = [_hub(options, channel, settings) for _ in range(options.rounds)]
        most = max(ours)
        ratio = f"{most / min(floor):.1f}"
        rows.append((name, spread(ours), ratio, f"<= {MOST_KIB:g} KiB", verdict(most, MOST_KIB)))
    title = f"Memory, {options.connections} idle connections"
    print_table(title, ("", "KiB RSS each", "times the floor", "bar", ""), rows, vars(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--warm-up", type=int, default=200, help="connections that come and go before")
    parser.add_argument("--rounds", type=int, default=3, help="each with a server of its own")
    return parser.parse_args()


def _floor(options: argparse.Namespace) -> float:
    server_core, _ = cores()
    with Child("benchmarks.floor_server", "bare", pinned_to=server_core) as server:
        return _growth_kib(options, server, "bare", "")


def _hub(options: argparse.Namespace, channel: str, settings: Mapping[str, Any]) -> float:
    server_core, _ = cores()
    told = json.dumps({"ping.interval_s": 3600, **settings})
    with Child("benchmarks.hub_server", told, pinned_to=server_core) as server:
        if settings is _INBOX:
            # The rows are the engine's, and there without a connection too.
            server.ask("register", first=0, count=options.connections)
        return _growth_kib(options, server, "device" if settings is _INBOX else "hub", channel)


def _growth_kib(options: argparse.Namespace, server: Child, kind: str, channel: str) -> float:
    port = server.ask("port")["port"]
    with Crowd(options.warm_up, port, kind, channel=channel) as passers_by:
        passers_by.go()
        passers_by.hang_up()
    before = server.ask("memory")["rss"]
    with Crowd(options.connections, port, kind, channel=channel) as crowd:
        crowd.go()
        after = server.ask("memory")
        if after["connections"] != options.connections:
            raise RuntimeError(f"{after['connections']} connections are there")
        crowd.hang_up()
    return float(after["rss"] - before) / 1024 / options.connections


if __name__ == "__main__":
    main()
