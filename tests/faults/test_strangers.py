"""Nobody touches another user's device, inbox or debts: each way to try it, over RPC, commands, HTTP and API.

After every attempt the victim's devices, debts and inbox are as they were, and her phone noticed nothing.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from hub.testing.simulators import Fault
from tests.support.push_phone import WirePhone, wire_phone
from tests.support.push_world import SCOPES, Installed, Json, PushWorld, scoped_key
from tests.support.waiting import eventually
from tests.support.wire_client import subscription_token

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, slots=True)
class Scene:
    """A victim with a phone in her hand and a tablet to which something is owed; and a stranger."""

    world: PushWorld
    phone: WirePhone
    tablet: Installed
    stranger: Installed
    owed: str
    receipt: str

    @property
    def victim(self) -> str:
        """Her user id."""
        return self.tablet.user

    @property
    def place(self) -> Json:
        """The head of her inbox, which is a secret to nobody here."""
        return {"epoch": self.phone.epoch, "offset": 1}

    async def snapshot(self) -> Json:
        """All that is kept of her."""
        devices = (await self.world.call("device_list", user=self.victim))["devices"]
        events = await self.world.events(self.tablet, self.owed)
        return {
            "devices": sorted(
                ({**each, "last_seen": 0, "token_hash": each["token_hash"][:8]} for each in devices),
                key=lambda each: str(each["id"]),
            ),
            "inbox": await self.world.inbox(self.victim),
            "opened": "opened" in events,
            "given": dict(self.phone.given),
            "others": list(self.phone.others),
            "ended": self.phone.ended.is_set(),
        }


@pytest_asyncio.fixture(loop_scope="session")
async def scene(world: PushWorld) -> AsyncIterator[Scene]:
    """Checked at the end: the victim still gets what is hers."""
    phone_app = await world.install()
    tablet = await world.install(phone_app.user, "apns", 2)
    # The provider has it and asks to wait: the debt stands for as long as the test needs it.
    refusal = Fault.answer(429, "TooManyRequests", retry_after_s=3600)
    world.providers.apns.script(tablet.token, [refusal], forever=True)
    async with wire_phone(world.hubs[0].running, phone_app) as phone:
        stranger = await world.install()
        own = await world.notify(stranger.user)
        receipt = (await world.gets(stranger, own))[0].hub["receipt"]
        await world.settles(stranger.user)
        owed = await world.notify(phone_app.user)
        await phone.sees(owed)
        await world.becomes(phone_app, owed=0)
        async with asyncio.timeout(5):
            while "retry" not in await world.events(tablet, owed):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        scene = Scene(world, phone, tablet, stranger, owed, receipt)
        before = await scene.snapshot()
        assert [each["owed"] for each in before["devices"]] == [0, 1]
        yield scene
        assert await scene.snapshot() == before
        last = await world.notify(phone_app.user)
        await eventually(lambda: phone.given[last] == 1)


def rpcs(scene: Scene) -> list[tuple[str, Json, int | None]]:
    """Method, what it is asked, and the error that it must be; None for what only touches one's own."""
    device, user = scene.tablet.device, scene.victim
    named = {"id": device, "device": device, "user": user}
    return [
        ("device.list", named, None),
        ("device.remove", named, 1001),
        ("device.state", {**named, "state": "background"}, None),
        ("inbox.history", {"user": user}, None),
        ("inbox.history", {"user": user, "device": device}, 1001),
        ("inbox.read", {**named, **scene.place}, 112),
        ("inbox.ack", {**named, **scene.place}, 1001),
        ("inbox.ack", {**scene.place, "user": user}, 112),
        ("inbox.opened", {"id": scene.owed, "device": device, "user": user}, 1009),
    ]


async def test_over_rpc(scene: Scene) -> None:
    """Whatever a stranger names, it is theirs that is meant."""
    before = await scene.snapshot()
    async with wire_phone(scene.world.hubs[1].running, scene.stranger) as stranger:
        for method, asked, code in rpcs(scene):
            reply = await stranger.ask(rpc={"method": method, "data": asked})
            assert reply.get("error", {}).get("code") == code, (method, asked, reply)
            assert scene.tablet.device not in str(reply), (method, reply)
            assert scene.owed not in str(reply), (method, reply)
            assert await scene.snapshot() == before, method
        # The same id with a token of their own is another device, of their own.
        theirs = replace(scene.stranger, device=scene.tablet.device, token="ab" * 32)
        asked = {"id": theirs.device, "user": scene.victim, **scene.world.record_of(theirs)}
        await stranger.rpc("device.register", **asked)
        assert await scene.snapshot() == before
        await stranger.rpc("device.remove", id=theirs.device)


async def test_over_commands(scene: Scene) -> None:
    """Not even a token of the backend opens another's inbox, or her device."""
    before = await scene.snapshot()
    channel = scene.phone.channel
    running = scene.world.hubs[1].running
    async with wire_phone(running, scene.stranger) as stranger:
        signed = subscription_token(channel, scene.stranger.user)
        for request in (
            {"subscribe": {"channel": channel}},
            {"subscribe": {"channel": channel, "token": signed}},
            {"subscribe": {"channel": channel, "recover": True, **scene.place}},
            {"publish": {"channel": channel, "data": {"type": "read"}}},
            {"history": {"channel": channel, "limit": 10}},
            {"presence": {"channel": channel}},
            {"presence_stats": {"channel": channel}},
        ):
            reply = await stranger.ask(**request)
            assert reply["error"]["code"] == 103, (request, reply)
            assert await scene.snapshot() == before, request
    # Named when connecting: in the token, as a subscription to go on with, and as one's own device.
    subs = {channel: {"recover": True, **scene.place}}
    async with wire_phone(running, replace(scene.stranger, device=scene.tablet.device), subs=subs) as client:
        assert list(client.welcome["subs"]) == [client.channel]
        assert client.channel != channel
        assert client.welcome["data"]["hub"]["device"]["registered"] is False
        assert await scene.snapshot() == before


async def test_over_http(scene: Scene) -> None:
    """With the stranger's token, and with none."""
    before = await scene.snapshot()
    device, place = scene.tablet.device, scene.place
    theirs = replace(scene.stranger, device=device, token="cd" * 32)
    calls: list[tuple[str, str, Json | None, int]] = [
        ("GET", "/devices", None, 200),
        ("DELETE", f"/devices/{device}", None, 404),
        ("PUT", f"/devices/{device}/state", {"state": "background", "user": scene.victim}, 200),
        ("PUT", f"/devices/{device}", {**scene.world.record_of(theirs), "user": scene.victim}, 200),
        ("GET", f"/inbox?user={scene.victim}", None, 200),
        ("POST", "/inbox/read", {**place, "user": scene.victim}, 416),
        ("POST", "/inbox/ack", {**place, "device": scene.tablet.device[:-1] + "9"}, 404),
        ("POST", "/inbox/ack", {**place, "device": device}, 416),
        ("POST", "/inbox/opened", {"id": scene.owed, "device": device}, 404),
    ]
    for verb, path, body, status in calls:
        answer = await scene.world.app(verb, path, scene.stranger.user, body=body)
        assert answer.status_code == status, (verb, path, answer.text)
        assert scene.owed not in answer.text
        assert await scene.snapshot() == before, (verb, path)
        nobody = await scene.world.app(verb, path, "", body=body)
        assert nobody.status_code in (401, 403), (verb, path, nobody.text)
        assert await scene.snapshot() == before, (verb, path)
    await scene.world.app("DELETE", f"/devices/{device}", scene.stranger.user)
    assert await scene.snapshot() == before


async def test_by_receipts(scene: Scene) -> None:
    """A receipt that was changed is none; one's own proves nothing for others."""
    before = await scene.snapshot()
    signed = base64.urlsafe_b64decode(scene.receipt + "=" * (-len(scene.receipt) % 4))
    changed = signed.replace(scene.stranger.user.encode(), scene.victim.encode())
    changed = changed.replace(scene.stranger.device.encode(), scene.tablet.device.encode())
    forged = [
        changed,
        signed[:-1] + bytes([signed[-1] ^ 1]),
        signed[:40] + bytes(16),
        changed[:-16] + bytes(16),
    ]
    texts = [base64.urlsafe_b64encode(text).rstrip(b"=").decode() for text in forged]
    for text in [*texts, "", "AAAA", scene.receipt + "=", scene.receipt.upper()]:
        for event in ("delivered", "opened"):
            answer = await scene.world.app(
                "POST", "/receipts", scene.stranger.user, body={"receipt": text, "event": event}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, 1013), text
    body = {"receipt": scene.receipt, "event": "opened", "user": scene.victim, "device": scene.tablet.device}
    assert (await scene.world.app("POST", "/receipts", scene.stranger.user, body=body)).status_code == 200
    assert await scene.snapshot() == before


async def test_over_the_server_api(scene: Scene) -> None:
    """The channel of an inbox is nobody's to publish to; and a key does what its scopes say."""
    before = await scene.snapshot()
    world, channel, user, device = scene.world, scene.phone.channel, scene.victim, scene.tablet.device
    forged = {"type": "notification", "id": "forged"}
    forgeries: dict[str, Json] = {
        "publish": {"channel": channel, "data": forged},
        "broadcast": {"channels": [channel], "data": forged},
        "history_remove": {"channel": channel},
        "subscribe": {"user": scene.stranger.user, "channel": channel},
    }
    for method, request in forgeries.items():
        answer = await world.try_call(method, **request)
        codes = [answer.get("error", {}).get("code")]
        codes += [each.get("error", {}).get("code") for each in answer.get("result", {}).get("responses", ())]
        assert {1014, 103} & set(codes), (method, answer)
        assert await scene.snapshot() == before, method
    needs: dict[str, tuple[str, Json]] = {
        "notify": ("notify", {"users": [user], "data": 1}),
        "notify_cancel": ("notify", {"id": scene.owed}),
        "notify_status": ("trace", {"id": scene.owed}),
        "notification_trace": ("trace", {"id": scene.owed, "user": user}),
        "device_register": ("devices", {"user": user, "id": device, **world.record_of(scene.stranger)}),
        "device_list": ("devices", {"user": user}),
        "device_remove": ("devices", {"user": user, "id": device}),
        "inbox_history": ("inbox", {"user": user, "device": device}),
        "inbox_read": ("inbox", {"user": user, **scene.place}),
        "dead_letters": ("admin", {"limit": 1}),
        "dead_letters_replay": ("admin", {"lane": "apns:a:production"}),
        "dead_letters_drop": ("admin", {"lane": "apns:a:production"}),
        "user_forget": ("admin", {"user": user}),
    }
    for method, (needed, request) in needs.items():
        for scope in (*SCOPES, "none"):
            if scope == needed:
                continue
            answer = await world.try_call(method, key=scoped_key(scope), **request)
            assert "result" not in answer, (method, scope, answer)
        assert await scene.snapshot() == before, method
    # A publication that asks for a notification needs both.
    publication: Json = {"channel": "news", "data": 1, "notify": {"users": [user], "data": 1}}
    answer = await world.try_call("publish", key=scoped_key("publish"), **publication)
    assert "result" not in answer, answer
    assert await scene.snapshot() == before
