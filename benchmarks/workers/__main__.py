"""The worker: claim, de-duplicate, send and settle over Redis, beside the libraries under it alone.

    python -m benchmarks.workers [--count 5000] [--rounds 9]

Library and worker take turns, a second or two each, and the ratio is the median of those of the
rounds: a machine that is fast in one minute and slow in the next is either for both. Needs nginx
and redis-server; each runs on the cores of the clients, the sending side has its own.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from benchmarks.redis.redis_process import redis_process
from benchmarks.support import Child, cores, median, print_table, spread
from benchmarks.workers.sink import Sink, running_sink

BARS = {"apns": 1.0, "fcm": 4.0}
"""The least that the whole pipeline must do, as a multiple of the stock library alone."""

_STOCK = {"apns": "aioapns alone, stock", "fcm": "send_each_async alone"}
_HEADS = ("", "pushes / CPU s", "pushes / s", "ratio to stock", "bar", "")


class _Rates:
    """Pushes for each second of CPU, and of the clock, one figure a round."""

    def __init__(self) -> None:
        self.per_cpu_s: list[float] = []
        self.per_wall_s: list[float] = []

    def note(self, answer: dict[str, float]) -> None:
        self.per_cpu_s.append(answer["count"] / answer["cpu_s"])
        self.per_wall_s.append(answer["count"] / answer["wall_s"])


def main() -> None:
    """Measure and print."""
    options = _options()
    with redis_process() as redis, running_sink() as sink:
        told = {"sink": asdict(sink), "redis_url": redis.url, "concurrency": options.concurrency}
        rows: list[list[str]] = []
        for provider in options.providers or BARS:
            stock, ours = _rates(options, provider, sink, json.dumps(told))
            rows += _rows(provider, stock, ours)
    parameters = {name: getattr(options, name) for name in ("count", "rounds", "concurrency")}
    print_table("Pushing, to a provider that takes everything at once", _HEADS, rows, parameters)


def _rates(options: argparse.Namespace, provider: str, sink: Sink, told: str) -> tuple[_Rates, _Rates]:
    core, _ = cores()
    stock, ours = _Rates(), _Rates()
    with (
        Child("benchmarks.workers.stock", json.dumps(asdict(sink)), pinned_to=core) as library,
        Child("benchmarks.workers.pipeline", told, pinned_to=core) as pipeline,
    ):
        for round_ in range(options.rounds + 1):
            # The first round warms up. Slow libraries get less to do.
            count = options.count if round_ else options.count // 10
            stock_count = count if provider == "apns" else count // 4
            pipeline.ask("prepare", provider=provider, count=count)
            pipeline.settled_cpu_s()
            taken = library.ask(provider, count=stock_count)
            done = pipeline.ask("run", provider=provider, count=count)
            if round_:
                stock.note(taken)
                ours.note(done)
    return stock, ours


def _rows(provider: str, stock: _Rates, ours: _Rates) -> list[list[str]]:
    ratios = [our / their for our, their in zip(ours.per_cpu_s, stock.per_cpu_s, strict=True)]
    ratio = median(ratios)
    bar = BARS[provider]
    return [
        [_STOCK[provider], spread(stock.per_cpu_s, ".0f"), spread(stock.per_wall_s, ".0f"), "1", "", ""],
        [
            f"whole worker, {provider}",
            spread(ours.per_cpu_s, ".0f"),
            spread(ours.per_wall_s, ".0f"),
            spread(ratios, ".2f"),
            f">= {bar:.1f}",
            "holds" if ratio >= bar else "MISSED",
        ],
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("providers", nargs="*", choices=[*BARS, []], metavar="provider", help=", ".join(BARS))
    parser.add_argument("--count", type=int, default=5_000, help="pushes of one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--concurrency", type=int, default=100, help="devices that are sent to at once")
    return parser.parse_args()


if __name__ == "__main__":
    main()
