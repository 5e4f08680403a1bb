"""Headless Chromium, driven through its DevTools protocol over a WebSocket.

Starts Debian's ``chromium`` with a profile of its own; whatever the page logs, throws or asks for is
kept, so that a test can say that there was nothing wrong.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

Json = dict[str, Any]

_START_TIMEOUT_S = 30.0
_CALL_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.05

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Page:
    """One tab. ``errors`` is what went wrong in it, ``requests`` every address that it asked for."""

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self._connection = connection
        self._session = session
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **params: Any) -> Json:
        """A command of the protocol; its result.

        Raises:
            AssertionError: when the browser refuses it.
        """
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message: Json = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._connection.send(json.dumps(message))
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            told = await answer
        assert "error" not in told, f"{method}: {told['error']}"
        result: Json = told["result"]
        return result

    async def listen(self) -> None:
        """Take what the browser says, until it is gone."""
        async for message in self._connection:
            self._take(json.loads(message))

    def _take(self, told: Json) -> None:
        if "id" in told:
            answer = self._answers.pop(told["id"], None)
            if answer is not None and not answer.done():
                answer.set_result(told)
            return
        params = told.get("params", {})
        match told["method"]:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert", "warning"):
                self.errors.append(" ".join(str(each.get("value", each)) for each in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    def attach(self, session: str) -> None:
        """Speak to this tab from now on."""
        self._session = session

    async def open(self, url: str) -> None:
        """Go there."""
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """What an expression gives; a promise is waited for.

        Raises:
            AssertionError: when it throws.
        """
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def eventually(self, script: str, timeout_s: float = 15.0) -> Any:
        """Wait until an expression is true.

        Raises:
            AssertionError: when it does not become so in time; it says what the page shows.
        """
        found = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (found := await self._try(script)):  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(_LOOK_EVERY_S)
        assert found, f"never true: {script}\n{await self.evaluate('document.body.innerText')}\n{self.errors}"
        return found

    async def _try(self, script: str) -> Any:
        # While a page is being replaced, there is nothing that could be asked.
        with contextlib.suppress(AssertionError):
            return await self.evaluate(script)
        return None

    async def shows(self, text: str, within: str = "body", timeout_s: float = 15.0) -> None:
        """Wait until the element shows a text."""
        script = f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})"
        await self.eventually(script, timeout_s)

    async def type(self, selector: str, text: str) -> None:
        """Put a text into a field as a person would: whatever listens to it hears of it."""
        await self.eventually(f"document.querySelector({json.dumps(selector)}) !== null")
        found = f"document.querySelector({json.dumps(selector)})"
        await self.evaluate(f"{found}.focus(), {found}.select()")
        await self.call("Input.insertText", text=text)

    async def click(self, text: str, within: str = "body") -> None:
        """Click the button or link with exactly this text."""
        script = (
            f"[...document.querySelectorAll({json.dumps(within + ' :is(button, a)')})]"
            f".find((each) => each.innerText.trim() === {json.dumps(text)} && !each.disabled)"
        )
        await self.eventually(f"{script} !== undefined")
        await self.evaluate(f"{script}.click()")

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Have a screen of this size, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    async def prefer(self, scheme: str) -> None:
        """Be somebody who prefers a ``dark`` or a ``light`` screen."""
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        told = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])


class Browser:
    """A running browser. Knows nothing of what its pages do."""

    def __init__(self, address: str) -> None:
        self._address = address

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A tab that shares nothing with others; it ends with the block."""
        async with connect(self._address, max_size=None, proxy=None) as connection:
            page = Page(connection, "")
            listening = asyncio.create_task(page.listen())
            try:
                context = (await page.call("Target.createBrowserContext", disposeOnDetach=True))[
                    "browserContextId"
                ]
                target = await page.call("Target.createTarget", url="about:blank", browserContextId=context)
                attached = await page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
                page.attach(attached["sessionId"])
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """A browser with a profile of its own; both are gone after the block."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed: `make test` installs it, or says how"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        reading: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                address = await _address(process.stderr)
            reading = asyncio.create_task(_drain(process.stderr))
            yield Browser(address)
        finally:
            # Its children too: a renderer that is left alone holds on to the pipe.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            if reading is not None:
                await reading


async def _address(lines: asyncio.StreamReader) -> str:
    said = b""
    while line := await lines.readline():
        said += line
        found = re.search(rb"DevTools listening on (ws://\S+)", line)
        if found is not None:
            return found[1].decode()
    raise AssertionError(f"chromium did not start:\n{said.decode(errors='replace')}")


async def _drain(lines: asyncio.StreamReader) -> None:
    while await lines.read(65536):
        pass
