"""What a hub and a worker log at their most talkative: what it is about, and none of the secrets in it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx

from hub.auth import TokenSigner, issue_connection_token
from tests.support.hub_process import API_KEY, SECRET
from tests.support.push_world import TENTH, Installed, PushWorld, push_world, scoped_key
from tests.support.waiting import eventually
from tests.support.wire_client import connection_token, subscription_token, wire_client

TALKATIVE = {**TENTH, "log__level": "debug", "log__format": "json", "channels__without_namespace": "{}"}
TEXT = "what-only-ann-may-read"
_JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]+")


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Everything that hubs and workers logged, each line one object."""
    files = [*folder.glob("hub*/hub.log"), *folder.glob("worker*.log")]
    assert len(files) == 2, files
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


async def test_no_secret_is_logged_and_each_line_says_what_it_is_about(tmp_path: Path) -> None:
    """Through connect, API, registration, push, and everything of it that is refused."""
    async with push_world(tmp_path, settings=TALKATIVE) as world:
        user = "the-user-nobody-logs"
        phones = [await world.install(user), await world.install(user, "fcm", 2)]
        secrets = [SECRET, API_KEY, scoped_key("notify"), TEXT, user, *(phone.token for phone in phones)]
        secrets += await connecting(world, user, phones[0])
        secrets += await refused_calls(world, user)
        id = await world.notify(user, notification={"title": "Anna", "body": TEXT}, data={"text": TEXT})
        for phone in phones:
            for told in await world.gets(phone, id):
                secrets.append(told.hub["receipt"])
        secrets += provider_secrets(world)
        for slot in world.workers:
            await slot.stop()
        for hub in world.hubs:
            await hub.stop()
        lines = lines_of(tmp_path)
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    found = [secret[:6] for secret in secrets if secret in text]
    assert found == []
    assert _JWT.findall(text) == []
    assert {line.get("node") for line in lines} == {"hub0-1", "worker0-1"}
    of_connections = [line for line in lines if line["logger"].startswith("hub.connection")]
    assert of_connections
    assert [line["event"] for line in of_connections if "client" not in line] == []
    of_requests = [line for line in lines if line["logger"] == "hub.api.app"]
    assert [line["event"] for line in of_requests if "request" not in line] == []


async def connecting(world: PushWorld, user: str, phone: Installed) -> list[str]:
    """Tokens that were taken, and some that were not."""
    signer = TokenSigner.from_secret(SECRET)
    good, late = connection_token(user), issue_connection_token(signer, user, exp_s=int(time.time()) - 60)
    forged = issue_connection_token(TokenSigner.from_secret(SECRET[::-1]), user, exp_s=int(time.time()) + 60)
    private = subscription_token("$private", user)
    hub = world.hubs[0].running
    async with wire_client(hub) as client:
        result = await client.connect(user, token=good, data=phone.connect_data("background"))
        await client.ask_past_pushes(subscribe={"channel": "$private", "token": private})
        await client.ask_past_pushes(subscribe={"channel": "$other", "token": forged})
        await client.ask_past_pushes(refresh={"token": connection_token(user, lives_s=900)})
        name = result["client"]
    for bad in (late, forged, "not-even-a-token-but-secret"):
        async with wire_client(hub) as client:
            client.send(client.command(connect={"token": bad}))
            await client.raw.read_frame()
    async with wire_client(hub) as client:
        client.send_text("{this is no json, and holds " + good)
        await client.raw.read_frame()

    def is_told() -> bool:
        told = [line["event"] for line in lines_of(world_folder(world)) if line.get("client") == name]
        return any("connected" in event for event in told) and any("gone" in event for event in told)

    await eventually(is_told)
    tokens = [good, late, forged, private]
    return [*tokens, *(token.rpartition(".")[2] for token in tokens), "not-even-a-token-but-secret"]


def world_folder(world: PushWorld) -> Path:
    """Where its processes log."""
    return Path(world.workers[0]._folder)


async def refused_calls(world: PushWorld, user: str) -> list[str]:
    """Keys that are none, in every place where one may stand; a request that names itself."""
    url = world.hubs[0].running.url
    async with httpx.AsyncClient(trust_env=False) as http:
        for place in ("X-API-Key", "Authorization"):
            value = "a-key-that-is-none" if place == "X-API-Key" else "apikey a-key-that-is-none"
            answer = await http.post(f"{url}/api/info", json={}, headers={place: value})
            assert answer.status_code == 401
        assert (await http.post(f"{url}/api/info?api_key=a-key-that-is-none", json={})).status_code == 401
        assert (await http.get(f"{url}/metrics", headers={"X-API-Key": "a-key-that-is-none"})).status_code
        headers = {"X-API-Key": API_KEY, "X-Request-ID": "order-77"}
        assert (await http.post(f"{url}/api/info", json={}, headers=headers)).status_code == 200
        app = {"Authorization": f"Bearer {connection_token(user)}"}
        assert (await http.get(f"{url}/client/v1/inbox", headers=app)).status_code == 200

    def is_told() -> bool:
        return any(line.get("request") == "order-77" for line in lines_of(world_folder(world)))

    await eventually(is_told)
    return ["a-key-that-is-none", app["Authorization"].removeprefix("Bearer ")]


def provider_secrets(world: PushWorld) -> list[str]:
    """The inner lines of every private key that lies with the providers' credentials."""
    found: list[str] = []
    for file in Path(world.providers.standing.directory).iterdir():
        text = file.read_text().replace("\\n", "\n")
        for body in re.findall(r"PRIVATE KEY-----\n(.*?)-----END", text, re.DOTALL):
            found += [line for line in body.splitlines() if len(line) > 20]
    assert len(found) > 3
    return found
