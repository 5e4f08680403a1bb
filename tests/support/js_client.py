"""The published JavaScript SDK: many clients in one Node process, driven over its standard streams."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any

from tests.support.programs import require_program
from tests.support.sdk import (
    RECONNECT_DELAY_S,
    TIMEOUT_S,
    ClientOptions,
    EventLog,
    Fields,
    SdkError,
    SubscriptionOptions,
)

DIRECTORY = Path(__file__).parents[1] / "sdk" / "js"
_LONGEST_LINE_BYTES = 16 * 1024 * 1024
_LOG_TAIL_BYTES = 4000
_MIN_DELAY_MS, _MAX_DELAY_MS = (round(delay_s * 1000) for delay_s in RECONNECT_DELAY_S)


class SdkMissing(RuntimeError):
    """A test cannot run here; the text says how the SDK gets installed."""


class JsDriver:
    """One Node process with the SDK in it. :func:`js_driver` starts and ends it."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._log = log
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._clients: dict[str, JsClient] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def read_all(self) -> None:
        """Take what the process says until it ends."""
        while line := await self._stdout.readline():
            self._take(json.loads(line))
        self._log.seek(0)
        for answering in self._answering:
            answering.cancel()
        died = "The Node process ended. " + self._log.read()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RuntimeError(died))
        for client in self._clients.values():
            client.events.end(died)

    def _take(self, line: Fields) -> None:
        match line:
            case {"ready": True}:
                pass
            case {"event": name, "client": client, "ctx": ctx}:
                if client in self._clients:
                    self._clients[client].events.add(name, ctx)
            case {"ask": question, "client": client, "what": what, "channel": channel}:
                answering = asyncio.create_task(
                    self._answer(question, self._clients[client].source(what, channel))
                )
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
            case {"id": number, "error": error}:
                self._waiting[number].set_exception(SdkError(error["code"], error["message"]))
            case {"id": number, "result": result}:
                self._waiting[number].set_result(result)
            case _:
                raise AssertionError(f"the driver said {line}")

    async def _answer(self, question: int, source: Callable[[], object]) -> None:
        value = source()
        self._send({"answer": question, "value": await value if isinstance(value, Awaitable) else value})

    def _send(self, line: Fields) -> None:
        self._stdin.write(json.dumps(line).encode() + b"\n")

    async def call(self, client: str, what: str, **parameters: Any) -> Any:
        """Have ``client`` do something and wait for the answer.

        Raises:
            SdkError: what the SDK answered.
        """
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "client": client, "do": what, "with": parameters})
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._waiting[number]
        finally:
            del self._waiting[number]

    @contextlib.asynccontextmanager
    async def client(self, options: ClientOptions) -> AsyncIterator[JsClient]:
        """A client that is disconnected when the block ends."""
        name = f"client {next(self._ids)}"
        made = self._clients[name] = JsClient(self, name, options)
        await self.call(
            name,
            "new",
            url=options.url,
            codec=options.codec,
            token=options.token,
            asks_token=options.get_token is not None,
            data=options.data,
            max_server_ping_delay_ms=options.max_server_ping_delay_s * 1000,
            min_reconnect_delay_ms=_MIN_DELAY_MS,
            max_reconnect_delay_ms=_MAX_DELAY_MS,
        )
        try:
            yield made
        finally:
            await made.disconnect()


class JsClient:
    """One ``Centrifuge`` object; see ``SdkClient`` for what it promises."""

    def __init__(self, driver: JsDriver, name: str, options: ClientOptions) -> None:
        self.events = EventLog()
        self._driver = driver
        self._name = name
        self._get_token = options.get_token
        self._subscriptions: dict[str, SubscriptionOptions] = {}

    def source(self, what: str, channel: str) -> Callable[[], object]:
        """Where the application gets what the SDK asks it for."""
        source: Callable[[], object] | None
        if not channel:
            source = self._get_token
        elif what == "state":
            source = self._subscriptions[channel].get_state
        else:
            source = self._subscriptions[channel].get_token
        assert source is not None
        return source

    async def _call(self, what: str, **parameters: Any) -> Any:
        return await self._driver.call(self._name, what, **parameters)

    async def connect(self) -> None:
        await self._call("connect")

    async def disconnect(self) -> None:
        await self._call("disconnect")

    async def subscribe(self, channel: str, options: SubscriptionOptions | None = None) -> None:
        wanted = self._subscriptions.setdefault(channel, options or SubscriptionOptions())
        told = {
            "token": wanted.token,
            "asks_token": wanted.get_token is not None,
            "asks_state": wanted.get_state is not None,
            "recoverable": wanted.recoverable,
            "positioned": wanted.positioned,
            "join_leave": wanted.join_leave,
            "delta": wanted.delta,
            "min_resubscribe_delay_ms": _MIN_DELAY_MS,
            "max_resubscribe_delay_ms": _MAX_DELAY_MS,
        }
        await self._call("subscribe", channel=channel, options=told)

    async def unsubscribe(self, channel: str) -> None:
        await self._call("unsubscribe", channel=channel)

    async def publish(self, channel: str, data: object) -> None:
        await self._call("publish", channel=channel, data=data)

    async def publish_bytes(self, channel: str, payload: bytes) -> None:
        await self._call("publish", channel=channel, b64=base64.b64encode(payload).decode())

    async def history(
        self, channel: str, limit: int = 0, since: Fields | None = None, reverse: bool = False
    ) -> Fields:
        found: Fields = await self._call(
            "history", channel=channel, limit=limit, since=since, reverse=reverse
        )
        return found

    async def presence(self, channel: str) -> dict[str, Fields]:
        found: dict[str, Fields] = await self._call("presence", channel=channel)
        return found

    async def presence_stats(self, channel: str) -> Fields:
        found: Fields = await self._call("presence_stats", channel=channel)
        return found

    async def rpc(self, method: str, data: object) -> object:
        return await self._call("rpc", method=method, data=data)

    async def patches(self, channel: str) -> int:
        return int((await self._call("delta_stats", channel=channel))["patches"])


@contextlib.asynccontextmanager
async def js_driver() -> AsyncIterator[JsDriver]:
    """Start Node with the SDK for the length of the block.

    Raises:
        ProgramMissing: without Node.
        SdkMissing: when the SDK was not installed.
    """
    node = require_program("node")
    if not (DIRECTORY / "node_modules" / "centrifuge" / "package.json").is_file():
        raise SdkMissing(
            "the JavaScript SDK is not installed: run `make test`, "
            "or `npm ci --ignore-scripts` in tests/sdk/js"
        )
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            node,
            "driver.mjs",
            cwd=DIRECTORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=_LONGEST_LINE_BYTES,
        )
        driver = JsDriver(process, log)
        reading = asyncio.create_task(driver.read_all(), name="what Node says")
        try:
            yield driver
        finally:
            # It ends by itself once nobody can command it any more.
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await reading
