"""The console as an operator meets it: in a real browser, against a real hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from hub.delivery.model import DeadOffset, DeviceRecord, Finish
from tests.support.browser import Browser, Page, running_browser
from tests.support.hub_process import API_KEY, OPEN_CHANNEL, Running, running_hub
from tests.support.waiting import eventually
from tests.support.wire_client import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEVICE = "a-phone-of-demo-1"
UNSERVED = "recording:nobody:production"
"""A lane without a worker: what is due there waits."""

HOSTILE = "<img src=x onerror=alert(1)>"
PAGES = (
    "#/overview",
    "#/channels",
    "#/channels/lobby",
    f"#/channels/{'long' * 40}",
    "#/users",
    "#/users/demo",
    "#/notifications",
    "#/notifications/n-1?user=demo",
    "#/letters",
)
PHONE = (390, 844)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests: starting it takes longer than they do."""
    async with running_browser() as browser:
        yield browser


@asynccontextmanager
async def console(browser: Browser, tmp_path: Path, **overrides: Any) -> AsyncIterator[tuple[Running, Page]]:
    """A hub with a console that pushes into a file, and a browser that asked for the page."""
    settings = {
        "console.enabled": True,
        "inbox.enabled": True,
        "push.apps": [{"name": "demo", "provider": "recording", "credentials": str(tmp_path / "pushes")}],
        "channels.without_namespace": {**OPEN_CHANNEL, "channel_regex": ""},
    }
    async with (
        running_hub(
            {**settings, **{key.replace("__", "."): value for key, value in overrides.items()}}
        ) as hub,
        browser.page() as page,
    ):
        await page.open(f"{hub.url}/console")
        yield hub, page


@asynccontextmanager
async def logged_in(
    browser: Browser, tmp_path: Path, **overrides: Any
) -> AsyncIterator[tuple[Running, Page]]:
    """The same, with the key typed; nothing may go wrong in the page until the end."""
    async with console(browser, tmp_path, **overrides) as (hub, page):
        await log_in(page)
        yield hub, page
        assert page.errors == []
        assert_only_of(hub, page)


async def log_in(page: Page) -> None:
    """Type the key."""
    await page.type("#key", API_KEY)
    await page.click("Log in")
    await page.shows("serving", "#nodes")


def assert_only_of(hub: Running, page: Page) -> None:
    """Every address that the page asked for is the hub's."""
    assert page.requests
    assert [url for url in page.requests if not url.startswith((hub.url + "/", "about:"))] == []


async def go(page: Page, route: str) -> None:
    """Follow a link within the page."""
    await page.evaluate(f"location.hash = {json.dumps(route)}")


async def register(hub: Running, app: str = "demo") -> None:
    """A phone of the user demo, which is away."""
    assert hub.hub is not None
    record = DeviceRecord("android", "recording", app, "production", "a-token-of-demo")
    await hub.hub.node.engine.devices.register("demo", DEVICE, record)


async def call(hub: Running, method: str, **params: Any) -> dict[str, Any]:
    """As a backend does it."""
    async with httpx.AsyncClient(headers={"X-API-Key": API_KEY}) as client:
        answer = (await client.post(f"{hub.api_url}/{method}", json=params)).json()
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result


async def test_a_wrong_key_is_refused(browser: Browser, tmp_path: Path) -> None:
    """In words; it is not kept, and the right one may be typed after it."""
    async with console(browser, tmp_path) as (hub, page):
        await page.type("#key", "wrong")
        await page.click("Log in")
        await page.shows("does not know that key", "#wrong")
        assert await page.evaluate("sessionStorage.length + localStorage.length") == 0
        assert await page.evaluate("document.querySelector('nav')") is None
        await log_in(page)
        assert_only_of(hub, page)


async def test_nodes_and_plots_are_shown(browser: Browser, tmp_path: Path) -> None:
    """Drawn from what is measured; the key is in this tab's storage and nowhere else."""
    async with logged_in(browser, tmp_path, node__name="hub-1") as (hub, page), connected(hub, "42"):
        await page.shows("hub-1", "#nodes")
        for title in ("Connections", "Publications", "Deliveries", "Pushes", "Event loop lag"):
            await page.shows(title, ".plots")
        await page.eventually("document.querySelectorAll('.plot path.line').length >= 6")
        await page.eventually("document.querySelector('.tile strong').innerText === '1'")
        assert await page.evaluate("localStorage.length") == 0
        assert await page.evaluate("document.cookie") == ""
        await page.open(f"{hub.url}/console/#/channels")
        await page.evaluate("location.reload()")
        await page.shows("Channels", "h1")


async def test_what_is_published_is_seen_live(browser: Browser, tmp_path: Path) -> None:
    """From the form of the page, and as a text, whatever it is made of."""
    async with logged_in(browser, tmp_path) as (hub, page), connected(hub, "42") as client:
        await client.subscribe("lobby")
        await go(page, "#/channels")
        await page.type("input[type=search]", "lob")
        await page.eventually("document.querySelectorAll('.channel').length === 1")
        await page.evaluate("document.querySelector('.channel').click()")
        await page.shows("live", "#watch-state")
        await page.type("#publish textarea", json.dumps({"text": HOSTILE}))
        await page.click("Publish", "#publish")
        await page.shows(HOSTILE, "#watch")
        await page.shows("42", "#presence")
        await page.shows(HOSTILE, "#history")
        assert await page.evaluate("document.querySelectorAll('main img').length") == 0
        await page.click("Pause")
        await page.shows("paused", "#watch-state")
        assert hub.hub is not None
        listening = hub.hub.node.listening
        await eventually(lambda: listening.counts()["lobby"] == 1)
        await page.click("Go on")
        await page.shows("live", "#watch-state")
        await go(page, "#/overview")
        await eventually(lambda: listening.counts()["lobby"] == 1)


async def test_a_user_is_notified_and_the_trace_tells_how(browser: Browser, tmp_path: Path) -> None:
    """First the plan, then the thing itself, step by step until it was pushed."""
    async with logged_in(browser, tmp_path) as (hub, page):
        await register(hub)
        await go(page, "#/users/demo")
        await page.shows(DEVICE, "#devices")
        await page.click("Notify", "#actions")
        await page.click("Show the plan")
        await page.shows("push now", "#plan")
        assert (await call(hub, "inbox_history", user="demo"))["items"] == []
        await page.click("Send")
        steps = "[...document.querySelectorAll('#trace .step')].map((each) => each.dataset.event)"
        await page.eventually(f"{steps}.includes('pushed')")
        told = await page.evaluate(steps)
        assert told == ["accepted", "due", "claimed", "attempt", "pushed"]
        await go(page, "#/users/demo")
        await page.shows("From the console", "#inbox")


async def test_a_user_is_looked_at_and_put_out(browser: Browser, tmp_path: Path) -> None:
    """What they are owed, their connections; and each thing that cannot be undone is asked twice."""
    async with logged_in(browser, tmp_path) as (hub, page):
        await register(hub, "nobody")
        await call(hub, "notify", users=["demo"], id="n-1", notification={"title": HOSTILE})
        async with connected(hub, "demo", name="js") as client:
            await client.subscribe("lobby")
            assert "join" in await client.push()
            await go(page, "#/users/demo")
            await page.shows("lobby", "#connections")
            await page.eventually("document.querySelector('.device .badge.warn').innerText === '1'")
            await page.shows(HOSTILE, "#inbox")
            await page.click("Disconnect")
            await page.shows("Really disconnect?", "#actions")
            assert "demo" in str(await call(hub, "connections", user="demo"))
            await page.click("Really disconnect?")
            assert (await client.closed())[0] == 3503
        await page.shows("Not connected", "#connections")
        async with connected(hub, "demo") as client:
            await page.click("Block")
            await page.click("Really block?")
            assert (await client.closed())[0] == 4501
        await page.shows("Blocked", "#toasts")
        await page.click("Unblock")
        await page.shows("Unblocked", "#toasts")
        async with connected(hub, "demo"):
            await page.eventually("document.querySelectorAll('#connections tbody tr').length === 1")


async def test_dead_letters_are_tried_again_and_dropped(browser: Browser, tmp_path: Path) -> None:
    """One by one, or all of a lane."""
    async with logged_in(browser, tmp_path) as (hub, page):
        assert hub.hub is not None
        ledger = hub.hub.node.engine.ledger
        await register(hub, "nobody")
        await call(hub, "notify", users=["demo"], id="n-1", data=1)

        async def die() -> None:
            (row,) = (await ledger.claim(UNSERVED, 10, "a-worker")).rows
            dead = DeadOffset(row.groups[0].newest.offset, "n-1", "PayloadEmpty")
            assert await ledger.finish(Finish("demo", DEVICE, UNSERVED, row.claim, dead=(dead,)))

        await die()
        await go(page, "#/letters")
        await page.shows("PayloadEmpty", "#letters")
        await page.click("Try again", "#letters")
        await page.shows("None.", "#letters")
        await die()
        await page.type("input[type=search]", UNSERVED)
        await page.click("Look")
        await page.click("Drop all of it")
        await page.click("Really drop all?")
        await page.shows("None.", "#letters")
        assert (await call(hub, "dead_letters"))["letters"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_phone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Nothing is wider than the screen, in both themes, and the pages are a thumb away."""
    async with logged_in(browser, tmp_path) as (hub, page):
        await page.prefer(scheme)
        await page.resize(*PHONE, phone=True)
        await register(hub)
        await call(
            hub, "notify", users=["demo"], id="n-1", notification={"title": "T" * 200, "body": "word " * 50}
        )
        async with connected(hub, "demo") as client:
            await client.subscribe("lobby")
            await call(hub, "publish", channel="lobby", data={"text": "unbroken" * 60})
            for route in PAGES:
                await go(page, route)
                name = route.removeprefix("#/").partition("/")[0].partition("?")[0]
                await page.eventually(f"document.querySelector('.page').dataset.page === '{name}'")
                await page.eventually("!document.querySelector('main').innerText.includes('Asking')")
                assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], route
                assert (
                    await page.evaluate("document.querySelector('nav').getBoundingClientRect().bottom")
                    <= PHONE[1]
                )


async def test_a_hub_that_goes_away_is_said_to_be_away(browser: Browser, tmp_path: Path) -> None:
    """And the page goes on by itself when it is back; here it does not come back."""
    async with console(browser, tmp_path) as (hub, page):
        await log_in(page)
        await go(page, "#/channels/lobby")
        await page.shows("live", "#watch-state")
        assert hub.hub is not None
        async with asyncio.timeout(8):
            await hub.hub.stop()
        await page.shows("No answer from the hub")
        assert_only_of(hub, page)
