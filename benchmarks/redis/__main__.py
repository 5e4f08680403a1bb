"""The hub on Redis: what publishing costs, what delivering costs, how long both take, how fast all heals.

    python -m benchmarks.redis [publish] [deliver] [heal] [connect] [--rounds 5]

Starts a redis-server of its own for each part. All parts when none is named.
"""

from __future__ import annotations

import argparse

from benchmarks import connect
from benchmarks.redis import deliver, heal, publish
from benchmarks.redis.redis_process import RedisProcess, redis_process

_PARTS = ("publish", "deliver", "heal", "connect")


def main() -> None:
    """Measure and print."""
    options = _options()
    parts = options.parts or _PARTS
    del options.parts
    for part in parts:
        with redis_process() as redis:
            _measure(part, options, redis)


def _measure(part: str, options: argparse.Namespace, redis: RedisProcess) -> None:
    match part:
        case "publish":
            publish.compare(options, redis)
        case "deliver":
            deliver.compare(options, redis)
        case "heal":
            heal.compare(options, redis)
        case "connect":
            connect.main(["--rounds", str(options.rounds), "--storm", "0", "--redis", redis.url])
        case _:
            raise ValueError(part)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], metavar="part", help=", ".join(_PARTS))
    parser.add_argument("--connections", type=int, default=1_000, help="each with a channel of its own")
    parser.add_argument("--publications", type=int, default=50_000, help="of one round")
    parser.add_argument("--payload-bytes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-s", type=float, default=5, help="length of one round; 0 for none")
    parser.add_argument("--latency-rounds", type=int, default=3)
    parser.add_argument("--channels", type=int, default=10_000, help="channels that have to heal")
    parser.add_argument("--gone-s", type=float, default=2, help="how long Redis is away")
    parser.add_argument("--healing-rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
