"""Everything that delivers, as processes: Redis, hubs, workers; simulated providers in the test's own loop.

Delays are a tenth of real life's, so that a test can wait for them; :data:`TENTH` says which. Processes
are killed, frozen and replaced by the test, and all of them are ended with the world.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from hub.testing.simulators import AcceptedPush
from hub.testing.simulators.listening import Door
from hub.testing.simulators.standing import Standing, StandingProviders
from tests.support.hub_process import API_KEY, BASE, SECRET
from tests.support.hubs import Hubs, HubSlot, hubs
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import eventually_true
from tests.support.wire_client import connection_token

Json = dict[str, Any]

ACK_WAIT_S, GRACE_S, MAX_DEFER_S, CLAIM_S, LEASE_S = 0.5, 0.8, 2.0, 3.0, 1.0

TENTH: Mapping[str, Any] = {
    "delivery__ack_wait_s": ACK_WAIT_S,
    "delivery__grace_s": GRACE_S,
    "delivery__max_defer_s": MAX_DEFER_S,
    "delivery__claim_s": CLAIM_S,
    "delivery__again_s": 0.1,
    "delivery__badge_delay_s": 0.3,
    "ping__interval_s": 3,
    "ping__pong_timeout_s": 0.8,
    "redis__lease_s": LEASE_S,
    "redis__lease_renew_s": 0.3,
    "redis__probe_interval_s": 0.2,
    "redis__probe_timeout_s": 0.6,
    "redis__command_timeout_s": 1.0,
    "redis__connect_timeout_s": 0.6,
}

SCOPES = ("publish", "read", "control", "notify", "devices", "inbox", "trace")

_START_TIMEOUT_S = 30.0
_LOG_TAIL_BYTES = 3000


def scoped_key(scope: str) -> str:
    """The key that may do this and nothing else; no key for a scope that is none."""
    return f"a-key-of-the-scope-{scope}"


@dataclass(frozen=True, slots=True)
class Installed:
    """An app on a phone, registered for one user."""

    user: str
    device: str
    provider: str
    token: str = field(repr=False)

    def connect_data(self, state: str = "foreground") -> Json:
        """What the app says of itself when it connects."""
        return {"hub": {"device": self.device, "state": state}}


@dataclass(frozen=True, slots=True)
class Told:
    """A push that a provider took: its ``hub`` object, and when, on the loop's clock."""

    at_s: float
    push: AcceptedPush
    hub: Json

    @property
    def id(self) -> str:
        """The notification it tells of."""
        return str(self.hub["id"])

    @property
    def is_shown(self) -> bool:
        """Whether a person sees it."""
        return self.hub["kind"] in ("notify", "sync")

    @property
    def place(self) -> str:
        """Where it stands on the screen: a later one of the same place replaces it."""
        if self.push.provider == "apns":
            return self.push.headers["apns-collapse-id"]
        return str(self.push.json["message"]["android"]["notification"]["tag"])


class WorkerSlot:
    """A place where a worker runs: one process after the other."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self._folder = folder
        self._env = env
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether a worker runs here."""
        return self._process is not None

    @property
    def node(self) -> str:
        """The name of the one that was started last, as traces have it."""
        return f"{self.name}-{self._starts}"

    def log(self) -> str:
        """The end of what the one that was started last has logged."""
        text = (self._folder / f"{self.node}.log").read_bytes()
        return text[-_LOG_TAIL_BYTES:].decode(errors="replace")

    async def start(self) -> None:
        """Run a worker; returns when it is at work."""
        assert self._process is None, f"{self.name} runs already"
        self._starts += 1
        with (self._folder / f"{self.node}.log").open("wb") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hub", "worker", "--json"),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**self._env, "HUB_NODE__NAME": self.node},
                cwd=Path(__file__).parents[2],
            )
        assert process.stdout is not None
        async with asyncio.timeout(_START_TIMEOUT_S):
            told = json.loads(await process.stdout.readline() or b"{}")
        if not told.get("ready") or told["broken"]:
            await self.kill()
            raise AssertionError(f"the worker did not start: {told}\n{self.log()}")

    async def kill(self) -> None:
        """End it without a chance to finish anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order, as a deployment does."""
        assert await self._end(signal.SIGTERM) == 0, self.log()

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, f"{self.name} does not run"
        return self._process

    async def _end(self, how: signal.Signals) -> int:
        process, self._process = self._running(), None
        if process.returncode is None:
            process.send_signal(how)
        async with asyncio.timeout(_START_TIMEOUT_S):
            code = await process.wait()
        # Its pipe would be closed by the garbage collector else, in the middle of another test.
        process._transport.close()  # type: ignore[attr-defined]
        return code


class PushWorld:
    """What runs, and what backends do to it. :func:`push_world` starts and ends one.

    Names of users and notifications are made unique by :meth:`name`: tests share a world.
    """

    def __init__(
        self,
        hubs: Hubs,
        workers: Sequence[WorkerSlot],
        providers: StandingProviders,
        http: httpx.AsyncClient,
        redis: RedisServer | None = None,
    ) -> None:
        self.hubs = hubs
        self.workers = workers
        self.providers = providers
        self._http = http
        self._redis = redis
        self._names = 0
        self._pushes: dict[str, list[Told]] = defaultdict(list)
        self.pushed = asyncio.Event()
        """Set by every push that is taken; tests clear it."""
        providers.listen(self._on_push)

    @property
    def redis(self) -> RedisServer:
        """The one server, where there is one."""
        assert self._redis is not None
        return self._redis

    # state of the world

    async def mend(self) -> None:
        """Everything up and well, whatever a test has left."""
        for provider in (self.providers.apns, self.providers.fcm):
            provider.heal()
            await provider.set_door(Door.OPEN)
        for slot in (*self.hubs, *self.workers):
            if slot.is_running:
                slot.thaw()
            else:
                await slot.start()
        await self.hubs.become_ready()

    async def replace_workers(self) -> None:
        """Kill all workers, and start others in their places."""
        await asyncio.gather(*(worker.kill() for worker in self.workers))
        await asyncio.gather(*(worker.start() for worker in self.workers))

    def logs(self) -> str:
        """What all processes logged last."""
        slots: list[HubSlot | WorkerSlot] = [*self.hubs, *self.workers]
        return "\n".join(f"{slot.name} logged:\n{slot.log()}" for slot in slots)

    def name(self, what: str = "user") -> str:
        """A name that no other test uses."""
        self._names += 1
        return f"{what}-{self._names}"

    # what backends and apps ask

    async def call(self, method: str, *, hub: int = 0, **fields: Any) -> Json:
        """The result of a call of the server API at a hub."""
        answer = await self._http.post(f"{self.hubs[hub].running.api_url}/{method}", json=fields)
        body = answer.json()
        assert "result" in body, (method, answer.status_code, body)
        result: Json = body["result"]
        return result

    async def try_call(self, method: str, *, hub: int = 0, key: str = API_KEY, **fields: Any) -> Json:
        """The answer to a call, whatever it is; a refusal to serve is an empty one."""
        url = f"{self.hubs[hub].running.api_url}/{method}"
        try:
            answer = await self._http.post(url, json=fields, headers={"X-API-Key": key})
            return dict(answer.json())
        except (httpx.HTTPError, ValueError):
            return {}

    async def app(
        self, verb: str, path: str, user: str, *, hub: int = 0, body: Json | None = None
    ) -> httpx.Response:
        """The answer to an app of ``user`` (empty: of nobody) over HTTP."""
        url = f"{self.hubs[hub].running.url}/client/v1{path}"
        headers = {"Authorization": f"Bearer {connection_token(user)}"} if user else {}
        return await self._http.request(verb, url, json=body, headers=headers)

    def installed(self, user: str, provider: str = "apns", number: int = 1) -> Installed:
        """An app that is not registered yet; ``number`` tells the phones of one user apart."""
        device = f"install-of-{user}-{number:04}"
        token = hashlib.sha256(f"{device} {provider}".encode()).hexdigest()
        return Installed(user, device, provider, token)

    async def register(self, app: Installed, *, hub: int = 0) -> Installed:
        """The app tells its token; returns it."""
        await self.call("device_register", hub=hub, user=app.user, id=app.device, **self.record_of(app))
        return app

    async def install(self, user: str = "", provider: str = "apns", number: int = 1) -> Installed:
        """A registered app of ``user``, or of a new one."""
        return await self.register(self.installed(user or self.name(), provider, number))

    def record_of(self, app: Installed) -> Json:
        """What the app registers."""
        standing = self.providers.standing
        is_apple = app.provider == "apns"
        return {
            "platform": "ios" if is_apple else "android",
            "provider": app.provider,
            "app": standing.topic if is_apple else standing.project,
            "environment": standing.environment,
            "token": app.token,
        }

    async def notify(self, users: str | Sequence[str], id: str = "", *, hub: int = 0, **fields: Any) -> str:
        """Say something once; its id."""
        id = id or self.name("n")
        request = {"users": [users] if isinstance(users, str) else list(users), "id": id, **fields}
        request.setdefault("notification", {"title": "t", "body": id})
        await self.call("notify", hub=hub, **request)
        return id

    async def view(self, app: Installed, *, hub: int = 0) -> Json:
        """The device as operators see it."""
        devices = (await self.call("device_list", hub=hub, user=app.user))["devices"]
        (found,) = (each for each in devices if each["id"] == app.device)
        return dict(found)

    async def owed(self, user: str, *, hub: int = 0) -> int:
        """What is owed to all devices of a user."""
        return sum(each["owed"] for each in (await self.call("device_list", hub=hub, user=user))["devices"])

    async def inbox(self, user: str, *, hub: int = 0) -> Json:
        """The newest page of the inbox."""
        return await self.call("inbox_history", hub=hub, user=user, limit=100)

    async def events(self, app: Installed, id: str, *, hub: int = 0) -> list[str]:
        """What happened to a notification at the device, in order."""
        found = await self.call("notification_trace", hub=hub, id=id, user=app.user, device=app.device)
        return [event["event"] for device in found["devices"] for event in device["events"]]

    async def becomes(self, app: Installed, timeout_s: float = 8.0, *, hub: int = 0, **fields: Any) -> None:
        """Return once the device is seen with these fields, as ``state="offline"`` or ``owed=0``."""

        async def as_wanted() -> bool:
            view = await self.view(app, hub=hub)
            return all(view[name] == value for name, value in fields.items())

        await eventually_true(as_wanted, timeout_s)

    async def settles(self, *users: str, timeout_s: float = 10.0, hub: int = 0) -> None:
        """Return once nothing is owed to any device of these users."""
        waiting = list(users)

        async def settled() -> bool:
            while waiting and not await self.owed(waiting[-1], hub=hub):
                waiting.pop()
            return not waiting

        await eventually_true(settled, timeout_s)

    # what providers took

    def pushes(self, app: Installed, id: str = "") -> list[Told]:
        """What was taken for the app's token, oldest first; of one notification, or of all."""
        return [told for told in self._pushes[app.token] if not id or told.id == id]

    def shown(self, app: Installed, id: str = "") -> list[Told]:
        """Those of them that a person sees."""
        return [told for told in self.pushes(app, id) if told.is_shown]

    async def gets(self, app: Installed, id: str, count: int = 1, timeout_s: float = 8.0) -> list[Told]:
        """Return once the provider took ``count`` pushes that show this notification."""

        async def taken() -> bool:
            return len(self.shown(app, id)) >= count

        await eventually_true(taken, timeout_s, 0.005)
        return self.shown(app, id)

    def _on_push(self, push: AcceptedPush) -> None:
        body = push.json
        hub = body["hub"] if push.provider == "apns" else json.loads(body["message"]["data"]["hub"])
        self._pushes[push.token].append(Told(asyncio.get_running_loop().time(), push, hub))
        self.pushed.set()


def environment(
    redis_url: str, providers: StandingProviders, settings: Mapping[str, Any] = TENTH
) -> dict[str, str]:
    """What hubs and workers are started with."""
    keys = [{"name": scope, "key": scoped_key(scope), "scopes": [scope]} for scope in SCOPES]
    apps = [app for app in providers.apps() if app["provider"] != "webpush"]
    values: dict[str, Any] = {
        "auth__secret": SECRET,
        "api__keys": [*BASE["api.keys"], *keys],
        "redis__url": redis_url,
        "push__apps": apps,
        "log__level": "info",
        **settings,
    }
    clean = {
        name: text for name, text in os.environ.items() if not name.startswith(("HUB_", "PORT", "REDIS"))
    }
    return clean | {
        f"HUB_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def settings_of(env: Mapping[str, str]) -> Json:
    """The same settings for a hub in the test's own process, which joins the others."""
    return {
        "channels.without_namespace": {},
        "inbox.enabled": True,
        **{
            name.removeprefix("HUB_").lower().replace("__", "."): json.loads(text)
            if text[0] in "[{"
            else text
            for name, text in env.items()
            if name.startswith("HUB_")
        },
    }


@contextlib.asynccontextmanager
async def push_processes(
    redis_url: str,
    folder: Path,
    *,
    hub_count: int = 1,
    worker_count: int = 1,
    settings: Mapping[str, Any] = TENTH,
    redis: RedisServer | None = None,
) -> AsyncIterator[PushWorld]:
    """Hubs, workers and providers over a Redis that runs already, for the length of the block."""
    providers = StandingProviders(Standing(folder / "providers"))
    await providers.start()
    workers: list[WorkerSlot] = []
    try:
        env = environment(redis_url, providers, settings)
        http = httpx.AsyncClient(headers={"X-API-Key": API_KEY}, timeout=15, trust_env=False)
        async with http, hubs(hub_count, folder, env) as started:
            workers += (WorkerSlot(f"worker{number}", folder, env) for number in range(worker_count))
            await asyncio.gather(*(worker.start() for worker in workers))
            world = PushWorld(started, workers, providers, http, redis)
            try:
                yield world
            except Exception as error:
                error.add_note(world.logs())
                raise
    finally:
        await asyncio.gather(*(worker.kill() for worker in workers if worker.is_running))
        await providers.stop()


@contextlib.asynccontextmanager
async def push_world(
    folder: Path,
    *,
    hub_count: int = 1,
    worker_count: int = 1,
    settings: Mapping[str, Any] = TENTH,
    keeps_data: bool = False,
) -> AsyncIterator[PushWorld]:
    """A world of its own on one Redis server, for the length of the block."""
    async with (
        redis_server(folder / "redis", keeps_data=keeps_data) as redis,
        push_processes(
            redis.url,
            folder,
            hub_count=hub_count,
            worker_count=worker_count,
            settings=settings,
            redis=redis,
        ) as world,
    ):
        yield world
