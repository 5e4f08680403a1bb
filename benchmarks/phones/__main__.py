"""Run the mix: ``python -m benchmarks.phones``. Prints who was told too late, and who twice.

Time runs ``1 / scale`` times as fast: at the default every delay of delivery, every ping and every
spell of a phone is a fifth, and so is the deadline. Figures are told as they would be unscaled. The
faster time runs, the more a moment's want of CPU counts: two cores carry all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
import uvloop

from benchmarks.light_phones import SECRET, TOKEN_LIFE_S
from benchmarks.phones.phone import Habits, VirtualPhone
from benchmarks.phones.tally import Tally
from benchmarks.phones.world import API_KEY, APNS_APP, FCM_APP, World, world
from benchmarks.support import raise_file_limit
from hub.auth import TokenSigner, issue_connection_token

DEADLINE_S = 60.0
BAR_AFTER_SEEN = 0.005
_UNREACHED = (httpx.HTTPError, OSError, AttributeError, IndexError)
"""What a call meets while its hub is killed; httpx asks the socket's name even when it is gone."""
_MOST_LOOKS = 600
_SECOND_PHONE = 0.3
"""Share of users with two phones."""


class Mix:
    """Phones, what is said to them, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._dice = random.Random(options.seed)
        self.tally = Tally(DEADLINE_S * options.scale)
        self._phones: list[VirtualPhone] = []
        self._by_user: dict[str, list[VirtualPhone]] = {}
        self._device_of: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._heads: dict[str, int] = {}
        self._said = 0
        self._retried = 0
        self.pushes = 0

    def on_push(self, push: Any) -> None:
        """A provider took a push."""
        body = push.json
        hub = body.get("hub") if push.provider == "apns" else _fcm_hub(body)
        device = self._device_of.get(push.token)
        if hub is None or device is None or hub["kind"] not in ("notify", "sync"):
            return
        self.pushes += 1
        at_s = asyncio.get_running_loop().time()
        offsets = [hub["offset"]]
        if hub["kind"] == "sync":
            told = [offset for (owner, offset) in self.tally.notices if owner == device]
            offsets = [o for o in told if o <= hub["offset"] and not self._was_noticed(device, o)]
        for offset in offsets:
            self.tally.pushed(device, offset, at_s)

    def _was_noticed(self, device: str, offset: int) -> bool:
        return self.tally.notices[device, offset].noticed_at_s is not None

    def populate(self, made: World) -> None:
        """Make users and their phones."""
        signer = TokenSigner.from_secret(SECRET)
        until_s = int(time.time()) + TOKEN_LIFE_S
        for number in range(self._options.users):
            user = f"user-{number:05}"
            token = issue_connection_token(signer, user, exp_s=until_s)
            self._tokens[user] = token
            count = 2 if self._dice.random() < _SECOND_PHONE else 1
            for each in range(count):
                phone = VirtualPhone(
                    user=user,
                    device=f"install-{number:05}-{each}-of-the-mix",
                    token=token,
                    ports=made.ports,
                    tally=self.tally,
                    habits=Habits(),
                    scale=self._options.scale,
                    dice=random.Random(self._dice.random()),
                )
                self._phones.append(phone)
                self._by_user.setdefault(user, []).append(phone)

    async def register(self, http: httpx.AsyncClient, made: World) -> None:
        """Every phone tells its provider token."""
        for number, phone in enumerate(self._phones):
            is_apple = number % 2 == 0
            token = hashlib.sha256(phone.device.encode()).hexdigest()
            self._device_of[token] = phone.device
            answer = await http.post(
                f"http://127.0.0.1:{made.hubs[0].port}/api/device_register",
                json={
                    "user": phone.user,
                    "id": phone.device,
                    "platform": "ios" if is_apple else "android",
                    "provider": "apns" if is_apple else "fcm",
                    "app": APNS_APP if is_apple else FCM_APP,
                    "environment": "production",
                    "token": token,
                },
            )
            assert "result" in answer.json(), answer.text

    async def say(self, http: httpx.AsyncClient, made: World) -> None:
        """Notify one user after the other, at the rate asked for, until enough was said."""
        loop = asyncio.get_running_loop()
        limit = asyncio.Semaphore(64)
        next_s = loop.time()
        async with asyncio.TaskGroup() as calls:
            while len(self.tally.notices) < self._options.notices:
                await limit.acquire()
                user = self._dice.choice(list(self._by_user))
                self._said += 1
                task = calls.create_task(self._notify(http, made, user, f"n{self._said}"))
                task.add_done_callback(lambda _: limit.release())
                next_s += self._dice.expovariate(self._options.rate)
                await asyncio.sleep(max(0.0, next_s - loop.time()))

    async def _notify(self, http: httpx.AsyncClient, made: World, user: str, notification: str) -> None:
        request = {"users": [user], "id": notification, "notification": {"title": "n", "body": notification}}
        at_s = asyncio.get_running_loop().time()
        away = {phone.device: not phone.is_live for phone in self._by_user[user]}
        while True:
            ports = made.ports()
            with contextlib.suppress(*_UNREACHED):
                url = f"http://127.0.0.1:{self._dice.choice(ports)}/api"
                answer = await http.post(f"{url}/notify", json=request)
                if "result" in answer.json():
                    break
            self._retried += 1
            await asyncio.sleep(0.05)
        # Where it stands is asked, not counted: another call for the same user may have been first.
        offset = 0
        for _ in range(_MOST_LOOKS):
            offset = await self._offset_of(http, made, user, notification)
            if offset:
                break
            await asyncio.sleep(0.05)
        else:
            raise RuntimeError(f"{notification} was accepted and is in no inbox")
        for device, was_away in away.items():
            self.tally.said(device, offset, at_s, was_away)

    async def _offset_of(self, http: httpx.AsyncClient, made: World, user: str, notification: str) -> int:
        with contextlib.suppress(*_UNREACHED):
            url = f"http://127.0.0.1:{self._dice.choice(made.ports())}/api/inbox_history"
            page = (await http.post(url, json={"user": user, "limit": 20})).json().get("result", {})
            for item in page.get("items", ()):
                if item["id"] == notification:
                    return int(item["offset"])
        return 0

    async def run(self) -> None:
        """All of it; then wait until the deadline of the last one is over."""
        options = self._options
        async with world(
            hubs=options.hubs,
            workers=options.workers,
            scale=options.scale,
            refusals=options.refusals,
            on_push=self.on_push,
        ) as made:
            self.populate(made)
            headers = {"X-API-Key": API_KEY}
            async with httpx.AsyncClient(headers=headers, timeout=5, trust_env=False) as http:
                await self.register(http, made)
                lives = [asyncio.create_task(phone.live()) for phone in self._phones]
                chaos_dice = random.Random(options.seed + 1)
                chaos = [
                    asyncio.create_task(made.crash(made.hubs, options.hub_crash_s, 2.0, chaos_dice)),
                    asyncio.create_task(made.crash(made.workers, options.worker_crash_s, 1.0, chaos_dice)),
                ]
                await asyncio.sleep(60 * options.scale)
                began_s = time.monotonic()
                await self.say(http, made)
                took_s = time.monotonic() - began_s
                for task in chaos:
                    task.cancel()
                await asyncio.sleep(self.tally.deadline_s + 2)
                for task in (*lives, *chaos):
                    task.cancel()
                for outcome in await asyncio.gather(*lives, *chaos, return_exceptions=True):
                    if isinstance(outcome, Exception):
                        print(f"! {outcome!r}", file=sys.stderr)
                self._print(made, took_s)

    def _print(self, made: World, took_s: float) -> None:
        options = self._options
        crashes = sum(hub.deaths for hub in made.hubs), sum(worker.deaths for worker in made.workers)
        connects = sum(phone.connects for phone in self._phones)
        print(
            f"{len(self._phones)} phones of {options.users} users on {options.hubs} hubs "
            f"and {options.workers} workers, time x{1 / options.scale:g}, {took_s:.0f} s"
        )
        print(
            f"{connects} connects, {crashes[0]} hubs and {crashes[1]} workers killed, "
            f"{options.refusals:.0%} of pushes answered 503, {self._retried} calls repeated"
        )
        for name, value in self.tally.rows(options.scale):
            print(f"{name:<36}{value}")
        missed, share = self.tally.missed, self.tally.after_seen_share
        print(f"{'bar: missed 0':<36}{'holds' if missed == 0 else 'MISSED'}")
        print(f"{'bar: pushes after seen <= 0.5 %':<36}{'holds' if share <= BAR_AFTER_SEEN else 'MISSED'}")


def _fcm_hub(body: dict[str, Any]) -> Any:
    import orjson

    text = body.get("message", {}).get("data", {}).get("hub")
    return orjson.loads(text) if text else None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phones", description=__doc__)
    parser.add_argument("--notices", type=int, default=20_000, help="device-notifications to make")
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--hubs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=40.0, help="notify calls a second")
    parser.add_argument("--scale", type=float, default=0.2, help="length of a simulated second")
    parser.add_argument("--refusals", type=float, default=0.04, help="share of pushes answered 503")
    parser.add_argument(
        "--hub-crash-s", type=float, default=60.0, help="real seconds between crashes of hubs"
    )
    parser.add_argument("--worker-crash-s", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    """Run it as the arguments say."""
    raise_file_limit()
    uvloop.run(Mix(_options(None)).run())


if __name__ == "__main__":
    main()
