"""What one delivery costs, from ``publish`` to the socket, beside a loop that writes ready bytes.

    python -m benchmarks.fanout [--subscribers 1000] [--gathered 10]

One channel. First one publication in each turn of the loop, then several; both against the
same floor: as many bytes written to as many connections, once a turn. It comes in bursts that
no socket's buffer is too small for, each waited for before the next. The bars are for 1 000
subscribers and more: with few, most of it is what one publication costs before it is delivered.
"""

from __future__ import annotations

import argparse
import json

from benchmarks.crowd import Crowd
from benchmarks.support import Child, cores, median, print_table, spread, verdict

MOST_PER_DELIVERY = 1.25
MOST_GATHERED = 0.2

_CHANNEL = "news"
_BAR_FROM_SUBSCRIBERS = 1_000
_MOST_BURSTS = 20
_BURST_FRAMES = 200
"""Sent to each before all are waited for; more, and clients slower than the server would count."""


def main() -> None:
    """Measure and print."""
    options = _options()
    server_core, _ = cores()
    settings = {"ping.interval_s": 3600}
    if not options.history:
        settings["channels.without_namespace"] = {"allow_subscribe_for_client": True}
    with (
        Child("benchmarks.floor_server", "bare", pinned_to=server_core) as floor,
        Child("benchmarks.hub_server", json.dumps(settings), pinned_to=server_core) as hub,
        Crowd(options.subscribers, floor.ask("port")["port"], "bare") as watchers,
        Crowd(options.subscribers, hub.ask("port")["port"], channel=_CHANNEL) as phones,
    ):
        watchers.go()
        phones.go()
        run = _Run(options, floor, hub, watchers, phones)
        run.warm_up()
        for _ in range(options.rounds):
            run.round()
    run.show()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--gathered", type=int, default=10, help="publications in one turn of the loop")
    parser.add_argument("--payload-bytes", type=int, default=128)
    parser.add_argument("--deliveries", type=int, default=200_000, help="writes of one round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--history", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


class _Run:
    def __init__(
        self, options: argparse.Namespace, floor: Child, hub: Child, watchers: Crowd, phones: Crowd
    ) -> None:
        self._options = options
        self._floor, self._hub = floor, hub
        self._watchers, self._phones = watchers, phones
        turns = max(_BURST_FRAMES, options.deliveries // options.subscribers)
        self._turns = min(turns, _MOST_BURSTS * _BURST_FRAMES)
        self._frame_bytes = 0
        self.floor_us: list[float] = []
        self.single_us: list[float] = []
        self.gathered_us: list[float] = []

    def warm_up(self) -> None:
        """Before anything is counted; also tells how long our frames are."""
        options = self._options
        turns = _BURST_FRAMES // 4
        self._phones.expect(turns)
        self._publish(turns, 1)
        self._frame_bytes = self._phones.all_arrived() // (turns * options.subscribers)
        self._floor_us(turns)
        self._hub_us(turns, options.gathered)

    def round(self) -> None:
        """Floor and ours once each, so that a noisy moment meets all of them."""
        self.floor_us.append(self._floor_us(self._turns))
        self.single_us.append(self._hub_us(self._turns, 1))
        self.gathered_us.append(self._hub_us(self._turns // 2, self._options.gathered))

    def _floor_us(self, turns: int) -> float:
        before_s = self._floor.cpu_s
        for burst in _bursts(turns, _BURST_FRAMES):
            self._watchers.expect(burst)
            self._floor.ask("write", bytes=self._frame_bytes, turns=burst)
            self._watchers.all_arrived()
        return (self._floor.cpu_s - before_s) * 1e6 / (turns * self._options.subscribers)

    def _publish(self, turns: int, gathered: int) -> None:
        payload_bytes = self._options.payload_bytes
        self._hub.ask(
            "publish", channel=_CHANNEL, payload_bytes=payload_bytes, turns=turns, gathered=gathered
        )

    def _hub_us(self, turns: int, gathered: int) -> float:
        before_s = self._hub.cpu_s
        for burst in _bursts(turns, max(1, _BURST_FRAMES // gathered)):
            self._phones.expect(burst * gathered)
            self._publish(burst, gathered)
            self._phones.all_arrived()
        return (self._hub.cpu_s - before_s) * 1e6 / (turns * gathered * self._options.subscribers)

    def show(self) -> None:
        """Print the result."""
        count = self._options.gathered
        rows = [
            ("bare transport.write, 1 a turn", spread(self.floor_us), "1", "", ""),
            self._row("hub, 1 publication a turn", self.single_us, MOST_PER_DELIVERY),
            self._row(f"hub, {count} publications a turn", self.gathered_us, MOST_GATHERED),
        ]
        heads = ("", "us CPU per delivery", "ratio to the floor", "bar", "")
        subscribers = self._options.subscribers
        title = f"Fan-out, one channel, {subscribers} subscribers, frames of {self._frame_bytes} bytes"
        print_table(title, heads, rows, vars(self._options))

    def _row(self, name: str, ours_us: list[float], most: float) -> tuple[str, ...]:
        ratios = [ours / floor for ours, floor in zip(ours_us, self.floor_us, strict=True)]
        if self._options.subscribers < _BAR_FROM_SUBSCRIBERS:
            return name, spread(ours_us), spread(ratios), "", ""
        return name, spread(ours_us), spread(ratios), f"<= {most}", verdict(median(ratios), most)


def _bursts(turns: int, most: int) -> list[int]:
    whole, rest = divmod(turns, most)
    return [most] * whole + [rest] * bool(rest)


if __name__ == "__main__":
    main()
