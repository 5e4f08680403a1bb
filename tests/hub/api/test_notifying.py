"""Notifications, devices, inboxes and dead letters as backends call them, over a real embedded engine."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from hub.api import ApiOptions, create_api
from hub.channels import ChannelOptions, ChannelRules
from hub.delivery.model import DeadOffset, Finish, Hello, Unproven
from hub.engine import Engine
from hub.metrics import NopMetrics
from hub.model import NodeId
from hub.node import Node
from hub.node.notifications import Notifications
from tests.support.http_server import serving
from tests.support.recording_node import RecordingNode

DEVICE = "install-0000000000000001"
RECORD = {
    "platform": "android",
    "provider": "recording",
    "app": "demo",
    "environment": "sandbox",
    "token": "token-of-a-phone",
}
LANE = "recording:demo:sandbox"


async def call(http: httpx.AsyncClient, method: str, **request: Any) -> Any:
    """The result of a call that is accepted."""
    answer = (await http.post(f"/{method}", json=request)).json()
    assert "result" in answer, answer
    return answer["result"]


async def refused(http: httpx.AsyncClient, method: str, **request: Any) -> int:
    """The code of a call that is refused."""
    code = (await http.post(f"/{method}", json=request)).json()["error"]["code"]
    assert isinstance(code, int)
    return code


async def test_notifies_and_says_the_same_again(http: httpx.AsyncClient) -> None:
    """The same id gives the first answer and nothing twice; another body or other users are refused."""
    request: dict[str, Any] = {"users": ["7", "8", "7"], "id": "n1", "data": {"chat": 1}}
    first = await call(http, "notify", **request)
    again = await call(http, "notify", **request)
    assert first == {"id": "n1", "accepted": 2, "duplicate": False}
    assert again == {"id": "n1", "accepted": 2, "duplicate": True}
    assert (await call(http, "inbox_history", user="7"))["unread"] == 1
    assert await refused(http, "notify", **request | {"data": {"chat": 2}}) == 1005
    assert await refused(http, "notify", **request | {"users": ["7"]}) == 1005
    assert await call(http, "notify_status", id="n1") == {"state": "done", "users": 2, "done": 2, "failed": 0}


async def test_an_entry_is_what_was_asked_for(http: httpx.AsyncClient) -> None:
    """Data byte for byte, what is shown as given, and when it expires."""
    await http.post(
        "/notify",
        content=b'{"users": ["7"], "id": "n1", "data": {"n":1.0 }, '
        b'"notification": {"title": "A", "badge": 0}, "ttl_s": 60}',
    )
    page = await call(http, "inbox_history", user="7")
    item = page["items"][0]
    assert item["expires_at"] - item["time"] <= 60_000
    assert {name: item[name] for name in ("offset", "read", "type", "id", "data", "notification")} == {
        "offset": 1,
        "read": False,
        "type": "notification",
        "id": "n1",
        "data": {"n": 1.0},
        "notification": {"title": "A", "badge": 0},
    }
    assert "cursor" not in page


async def test_ids_are_made_where_none_is_given(http: httpx.AsyncClient) -> None:
    """They are UUIDs of version 7, and two calls are two notifications."""
    ids = [(await call(http, "notify", users=["7"], data=1))["id"] for _ in range(2)]
    assert all(each[14] == "7" for each in ids)
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"users": [], "data": 1}, 107),
        ({"users": ["7", ""], "data": 1}, 107),
        ({"users": ["7"]}, 107),
        ({"users": ["7"], "data": 1, "id": "with blank"}, 107),
        ({"users": ["7"], "data": 1, "ttl_s": 0}, 107),
        ({"users": ["7"], "data": 1, "unknown": 1}, 107),
        ({"users": ["7"], "notification": {"titel": "A"}}, 107),
        ({"users": ["7"], "data": "x" * 16_384}, 1006),
        ({"users": [str(n) for n in range(100_001)], "data": 1}, 1007),
        ({"users": [str(n) for n in range(1_001)], "data": 1, "dry_run": True}, 1007),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_refuses_what_cannot_be_meant(http: httpx.AsyncClient, request_: Any, code: int) -> None:
    """With the code of the contract, and nothing is written."""
    assert await refused(http, "notify", **request_) == code
    assert (await call(http, "inbox_history", user="7"))["head"] == 0


async def test_a_dry_run_tells_the_plan_and_changes_nothing(http: httpx.AsyncClient) -> None:
    """One line a device; no inbox grows and the id stays free."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    planned = await call(http, "notify", users=["7", "8"], id="n1", data=1, dry_run=True)
    assert planned["plan"] == [{"user": "7", "device": DEVICE, "way": "push", "wait_ms": 0}]
    unpushed = await call(http, "notify", users=["7"], data=1, fallback="none", dry_run=True)
    assert unpushed["plan"] == [{"user": "7", "device": DEVICE, "way": "none", "wait_ms": 0}]
    assert (await call(http, "inbox_history", user="7"))["head"] == 0
    assert await refused(http, "notify_status", id="n1") == 1009


@pytest.mark.parametrize(("user", "fits"), [("u" * 1024, True), ("é" * 512, True), ("é" * 512 + "u", False)])
async def test_a_user_whose_name_fills_a_push_is_refused(
    http: httpx.AsyncClient, user: str, fits: bool
) -> None:
    """When registering and when notifying: each push names the user in its receipt."""
    for method, request in (
        ("device_register", {"user": user, "id": DEVICE, **RECORD}),
        ("notify", {"users": [user], "data": 1}),
    ):
        answer = (await http.post(method, json=request)).json()
        assert ("result" in answer) == fits
        assert fits or "1024 bytes" in answer["error"]["message"]


async def test_a_large_call_becomes_a_job(http: httpx.AsyncClient, engine: Engine) -> None:
    """It is answered at once; its users are left to the workers."""
    users = [str(number) for number in range(101)]
    answer = await call(http, "notify", users=users, id="n1", data=1)
    assert answer == {"id": "n1", "accepted": 101, "duplicate": False, "job": "n1"}
    assert (await call(http, "notify_status", id="n1"))["state"] == "running"
    step = await engine.jobs.claim_step(30.0)
    assert step is not None
    assert list(step.users) == users


async def test_what_nobody_has_yet_has_no_trace_but_a_status(http: httpx.AsyncClient) -> None:
    """And the refusal says where to look."""
    await call(http, "notify", users=[str(number) for number in range(101)], id="n1", data=1)
    answer = await http.post("notification_trace", json={"id": "n1"})
    error = answer.json()["error"]
    assert (error["code"], "notify_status" in error["detail"]) == (1009, True)


async def test_takes_a_notification_back(http: httpx.AsyncClient) -> None:
    """From all who got it; history shows it no more, and a second time there is nothing to take."""
    await call(http, "notify", users=["7", "8"], id="n1", data=1)
    assert await call(http, "notify_cancel", id="n1") == {"withdrawn": 2}
    page = await call(http, "inbox_history", user="7")
    assert (page["items"], page["unread"], page["head"]) == ([], 0, 1)
    assert await call(http, "notify_cancel", id="n1", users=["7"]) == {"withdrawn": 0}
    assert await refused(http, "notify_cancel", id="n2") == 1009


async def test_registers_lists_and_removes_devices(http: httpx.AsyncClient) -> None:
    """A token is never told, only the beginning of its hash."""
    assert await call(http, "device_register", user="7", id=DEVICE, **RECORD) == {
        "id": DEVICE,
        "registered": True,
    }
    listed = await http.post("/device_list", json={"user": "7"})
    assert RECORD["token"] not in listed.text
    device = listed.json()["result"]["devices"][0]
    assert (device["id"], device["app"], device["state"], len(device["token_hash"])) == (
        DEVICE,
        "demo",
        "offline",
        8,
    )
    assert await refused(http, "device_remove", user="8", id=DEVICE) == 1001
    assert await call(http, "device_remove", user="7", id=DEVICE) == {}
    assert await call(http, "device_list", user="7") == {"devices": []}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"provider": "carrier pigeon"}, 107),
        ({"id": "short"}, 107),
        ({"user": ""}, 103),
        ({"token": None}, 1002),
        ({"provider": "apns", "app": "com.example.chat", "environment": "production", "token": "xyz"}, 1002),
        ({"provider": "webpush", "app": "web", "environment": "production"}, 1002),
        ({"app": "another"}, 1003),
        ({"environment": "production"}, 1003),
    ],
    ids=str,
)
async def test_refuses_devices_that_cannot_be_pushed_to(
    http: httpx.AsyncClient, change: Any, code: int
) -> None:
    """With the code of the contract."""
    assert await refused(http, "device_register", **{"user": "7", "id": DEVICE, **RECORD, **change}) == code


async def test_pages_through_an_inbox_both_ways(http: httpx.AsyncClient) -> None:
    """Every entry once, in order; the cursor carries the order."""
    for number in range(5):
        await call(http, "notify", users=["7"], id=f"n{number}", data=number)
    for order, expected in (("oldest", [1, 2, 3, 4, 5]), ("newest", [5, 4, 3, 2, 1])):
        found: list[int] = []
        cursor: dict[str, Any] = {"order": order}
        while True:
            page = await call(http, "inbox_history", user="7", limit=2, **cursor)
            found += [item["offset"] for item in page["items"]]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
        assert found == expected
    assert await refused(http, "inbox_history", user="7", cursor="bm9uZQ") == 107


async def test_paging_with_a_device_proves_receipt(http: httpx.AsyncClient) -> None:
    """Pages in between count once the next is asked for, the last one at once."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    for number in range(5):
        await call(http, "notify", users=["7"], id=f"n{number}", data=number)

    async def acked() -> int:
        return int((await call(http, "device_list", user="7"))["devices"][0]["acked"])

    page = await call(http, "inbox_history", user="7", limit=2, order="oldest", device=DEVICE)
    assert await acked() == 0
    page = await call(http, "inbox_history", user="7", limit=2, cursor=page["cursor"], device=DEVICE)
    assert await acked() == 2
    await call(http, "inbox_history", user="7", limit=2, cursor=page["cursor"], device=DEVICE)
    assert await acked() == 5
    assert await refused(http, "inbox_history", user="7", device="install-of-nobody-0") == 1001


async def test_paging_newest_first_proves_only_what_hangs_together(http: httpx.AsyncClient) -> None:
    """A first page that does not reach down to what was acked proves nothing yet."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    for number in range(4):
        await call(http, "notify", users=["7"], id=f"n{number}", data=number)
    page = await call(http, "inbox_history", user="7", limit=3, device=DEVICE)
    assert (await call(http, "device_list", user="7"))["devices"][0]["acked"] == 0
    await call(http, "inbox_history", user="7", limit=3, cursor=page["cursor"], device=DEVICE)
    assert (await call(http, "device_list", user="7"))["devices"][0]["acked"] == 4


async def test_reading_moves_the_watermark(http: httpx.AsyncClient) -> None:
    """Never back; another epoch is refused."""
    for number in range(3):
        await call(http, "notify", users=["7"], id=f"n{number}", data=number)
    epoch = (await call(http, "inbox_history", user="7"))["epoch"]
    assert await call(http, "inbox_read", user="7", epoch=epoch, offset=2) == {"read": 2, "unread": 1}
    assert await call(http, "inbox_read", user="7", epoch=epoch, offset=1) == {"read": 2, "unread": 1}
    assert await refused(http, "inbox_read", user="7", epoch="other", offset=3) == 112
    read = [item["read"] for item in (await call(http, "inbox_history", user="7"))["items"]]
    assert read == [False, True, True]


async def test_a_trace_tells_the_steps(http: httpx.AsyncClient, engine: Engine) -> None:
    """Of each device, with those of the user; without a user, of everybody who was notified."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    await call(http, "notify", users=["7", "8"], id="n1", data=1)
    await engine.ledger.claim(LANE, 10, "worker-1")
    found = (await call(http, "notification_trace", id="n1"))["devices"]
    assert [(each["user"], each["device"]) for each in found] == [("7", DEVICE), ("8", "")]
    assert [event["event"] for event in found[0]["events"]] == ["accepted", "due", "claimed"]
    assert await refused(http, "notification_trace", id="n2") == 1009


async def test_a_trace_is_in_the_order_of_time(http: httpx.AsyncClient, engine: Engine) -> None:
    """What was written to a socket is told when that ends, and stands where it happened."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    hello = await engine.ledger.hello("7", DEVICE, Hello("node-1", "client-1", "background"))
    await call(http, "notify", users=["7"], id="n1", data=1)
    await engine.ledger.claim(LANE, 10, "worker-1")
    await engine.ledger.leave("7", DEVICE, hello.generation, "dropped", Unproven(1, written_ms=1))
    (found,) = (await call(http, "notification_trace", id="n1"))["devices"]
    assert [event["event"] for event in found["events"]] == ["accepted", "written", "due", "claimed"]


async def test_dead_letters_are_listed_replayed_and_dropped(http: httpx.AsyncClient, engine: Engine) -> None:
    """What was replayed is owed again; what was dropped is gone."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    await call(http, "notify", users=["7"], id="n1", data=1)

    async def die() -> str:
        (row,) = (await engine.ledger.claim(LANE, 10, "w")).rows
        dead = DeadOffset(row.groups[0].newest.offset, "n1", "PayloadEmpty")
        assert await engine.ledger.finish(Finish("7", DEVICE, LANE, row.claim, dead=(dead,)))
        (letter,) = (await call(http, "dead_letters", lane=LANE))["letters"]
        assert (letter["notification"], letter["reason"], letter["lane"]) == ("n1", "PayloadEmpty", LANE)
        return str(letter["id"])

    letter = await die()
    assert await call(http, "dead_letters_replay", ids=[letter]) == {"count": 1}
    assert await call(http, "dead_letters") == {"letters": []}
    await die()
    assert await call(http, "dead_letters_drop", lane=LANE) == {"count": 1}
    assert (await engine.ledger.claim(LANE, 10, "w")).rows == ()
    assert await refused(http, "dead_letters_drop") == 107


async def test_forgets_a_user(http: httpx.AsyncClient) -> None:
    """Inbox and devices are empty afterwards."""
    await call(http, "device_register", user="7", id=DEVICE, **RECORD)
    await call(http, "notify", users=["7"], id="n1", data=1)
    assert await call(http, "user_forget", user="7") == {}
    assert await call(http, "device_list", user="7") == {"devices": []}
    assert (await call(http, "inbox_history", user="7"))["items"] == []


async def test_a_publication_can_notify(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """The job goes with the publication, and the answer names it."""
    result = await call(
        http, "publish", channel="chat:a", data=1, notify={"users": ["7"], "id": "n1", "data": 2}
    )
    assert result["notify"] == {"id": "n1", "accepted": 1, "job": "n1"}
    job = node.last[1]["job"]
    assert (job.id, list(job.users), job.as_job) == ("n1", ["7"], True)


async def test_a_publication_with_a_notification_that_cannot_be_noted_is_refused(
    http: httpx.AsyncClient, node: RecordingNode
) -> None:
    """Both happen or neither: its id belongs to another notification."""
    await call(http, "notify", users=["7"], id="n1", data=1)
    other = {"users": ["7"], "id": "n1", "data": 2}
    assert await refused(http, "publish", channel="chat:a", data=1, notify=other) == 1005
    assert node.calls == []
    await call(http, "publish", channel="chat:a", data=1, notify=other | {"data": 1})


async def test_scopes_keep_callers_apart(base_url: str) -> None:
    """Publishing alone does not let anybody notify, nor by the back door of publish."""
    async with httpx.AsyncClient(
        base_url=f"{base_url}/api", headers={"X-API-Key": "may-publish"}, trust_env=False
    ) as http:
        for method in (
            "notify",
            "notify_cancel",
            "device_register",
            "inbox_history",
            "dead_letters",
            "user_forget",
        ):
            example = {"users": ["7"], "data": 1} if method == "notify" else {}
            assert await refused(http, method, **example) in (103, 107)
        assert await refused(http, "publish", channel="a", data=1, notify={"users": ["7"], "data": 1}) == 103


async def test_says_so_where_inboxes_are_off(node: RecordingNode, options: ApiOptions) -> None:
    """108, as RPC says of itself."""
    async with serving(Starlette(routes=create_api(node, options))) as url:
        headers = {"X-API-Key": "all-of-it"}
        async with httpx.AsyncClient(base_url=f"{url}/api", headers=headers, trust_env=False) as http:
            assert await refused(http, "notify", users=["7"], data=1) == 108


async def test_a_publication_that_was_made_before_notifies_of_nothing(engine: Engine) -> None:
    """Nothing is queued with it, and nothing is said to be."""
    rules = ChannelRules(ChannelOptions(), {})
    node = Node(node_id=NodeId("n"), name="n", version="0", engine=engine, rules=rules, metrics=NopMetrics())
    routes = create_api(node, ApiOptions(insecure=True), Notifications(engine, lanes=[]))
    request = {"channel": "a", "data": 1, "idempotency_key": "k", "notify": {"users": ["7"], "data": 2}}
    async with serving(Starlette(routes=routes)) as url:
        async with httpx.AsyncClient(base_url=f"{url}/api", trust_env=False) as http:
            first = await call(http, "publish", **request)
            again = await call(http, "publish", **request)
    assert first["notify"]["accepted"] == 1
    assert again == {}
    assert await engine.jobs.claim_step(30.0) is not None
    assert await engine.jobs.claim_step(30.0) is None
