"""docs/operations/redis.md and docs/publisher.md against the code and a real Redis."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hub.delivery.model import DeadOffset, DeviceRecord, EntryTerms, Finish, NewEntry
from hub.engine.jobs import NewNotice
from hub.engine.redis import RedisOptions, redis_engine
from hub.engine.redis.keys import Keys
from hub.engine.redis.schema import SCHEMA
from hub.engine.revocations import Rule
from hub.model import NO_HISTORY, NodeId, Publication
from hub.publisher import NewPublication, Publisher, SyncPublisher
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.markdown import ROOT, Page
from tests.support.redis_server import RedisServer, redis_server
from tests.support.wire_client import connected

REDIS = Page(ROOT / "docs" / "operations" / "redis.md")
PUBLISHER = Page(ROOT / "docs" / "publisher.md")

PLACEHOLDERS = {
    "tag": "pN",
    "channel": "<channel>",
    "key": "<key>",
    "version_epoch": "<epoch>",
    "node_id": "<node>",
    "lease": "<lease>",
    "lane": "<lane>",
    "owner": "<owner>",
    "device": "<device>",
    "notification": "<id>",
    "notice_id": "<id>",
    "nonce": "<nonce>",
    "token_tag": "tN",
    "token_hash": "<hash>",
    "name": "<name>",
}
NO_KEYS = ("prefix", "partitions", "tag_of", "token_tag_of", "partition_tags", "start")
TYPES = {
    "stream": "stream",
    "hash": "hash",
    "string": "string",
    "set": "set",
    "sorted set": "zset",
    "list": "list",
}


def documented_keys() -> dict[str, list[str]]:
    """The rows of the page by key: type, what it holds, when it goes, who removes it."""
    return {row[0].strip("`"): row[1:] for row in REDIS.table("What each key holds")}


def keys_of_the_code() -> dict[str, str]:
    """Every name that ``Keys`` makes, with its docstring."""
    keys = Keys("hub:", 64)
    found: dict[str, str] = {}
    for name, member in vars(Keys).items():
        if name.startswith("_") or name in NO_KEYS:
            continue
        if isinstance(member, property):
            made = getattr(keys, name)
        else:
            arguments = [PLACEHOLDERS[each] for each in list(inspect.signature(member).parameters)[1:]]
            made = getattr(keys, name)(*arguments)
        found[re.sub(r":\d+:<", ":<length>:<", made)] = inspect.getdoc(member) or ""
    return found


def test_every_key_is_in_the_table_with_its_type() -> None:
    """And nothing that the code does not write; Pub/Sub channels are named below it."""
    in_code = keys_of_the_code()
    stored = {name: told for name, told in in_code.items() if not told.startswith("Pub/Sub channel (no key)")}
    rows = documented_keys()
    assert set(rows) == set(stored)
    for name, told in stored.items():
        kind, _, goes, _ = rows[name]
        assert told.lower().startswith(kind), (name, kind)
        # Whole sentences, wherever in the docstring.
        assert ("Never expires" in told) == (goes == "never"), name
    for name in in_code.keys() - stored.keys():
        assert f"`{name}`" in REDIS.text, name


def row_of(key: str, patterns: dict[str, re.Pattern[str]]) -> str:
    """The row of the page that a key belongs to."""
    matching = [name for name, pattern in patterns.items() if pattern.fullmatch(key)]
    assert matching, f"{key} is in no row of the page"
    return max(matching, key=len)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis server that tests may give users to."""
    async with redis_server(tmp_path / "redis") as server:
        yield server


def hub_on(url: str, **overrides: Any) -> Any:
    """A hub with the namespace of the pages' examples."""
    chat = {"name": "chat", **OPEN_CHANNEL}
    return running_hub({"redis.url": url, "channels.namespaces": [chat], **overrides})


async def use_the_ledger(url: str) -> None:
    """Everything that a worker and a backend leave behind, in the middle of their work."""
    engine = redis_engine(RedisOptions(url), NodeId("worker"), namespaces=None)
    record = DeviceRecord("ios", "apns", "shop", "production", "token")
    user, device, lane = "ann", "phone-0000000001", record.lane
    await engine.lifecycle.start()
    try:
        await engine.devices.register(user, device, record)
        for notification in ("n1", "n2"):
            terms = EntryTerms(notification, push=True, expires_at_ms=2**42)
            await engine.ledger.notify(user, NewEntry(terms, b"{}", "hash"))
            for row in (await engine.ledger.claim(lane, 1, "w")).rows:
                dead = (DeadOffset(1, "n1", "BadTopic"),)
                await engine.ledger.finish(Finish(user, device, lane, row.claim, dead=dead))
        await engine.jobs.open(NewNotice("n3", "hash", b"{}", [user], as_job=True))
        notice = NewNotice("n4", "hash", b"{}", [user], as_job=True)
        await engine.broker.publish("chat:a", Publication(b"{}"), NO_HISTORY, job=notice)
        await engine.lanes.open_breaker(lane, 10, "no answer")
        await engine.lanes.secret("receipts")
        await engine.revocations.put(Rule("user", "bob"))
    finally:
        await engine.lifecycle.stop()


async def test_a_redis_in_use_holds_what_the_page_says(redis: RedisServer) -> None:
    """Each key is of the type of its row, and expires or does not, as it says."""
    patterns = {
        name: re.compile(
            re.sub(r"<\\*\w+>", ".+", re.escape(name).replace("<length>", r"\d+"))
            .replace("pN", r"(p\d+|ctl)")
            .replace("tN", r"t\d+")
        )
        for name in documented_keys()
    }
    rows = documented_keys()
    seen: set[str] = set()
    async with hub_on(redis.url) as hub, connected(hub) as client, Publisher(redis.url) as publisher:
        await client.subscribe("chat:a")
        await publisher.publish("chat:a", 1, idempotency_key="k", version=1, version_epoch="e")
        await use_the_ledger(redis.url)
        for key in await redis.order("KEYS", "*"):
            row = row_of(key, patterns)
            seen.add(row)
            assert await redis.order("TYPE", key) == TYPES[rows[row][0]], key
            assert (await redis.order("TTL", key) == -1) == (rows[row][2] == "never"), key
        assert (await redis.order("HGET", "hub:{ctl}:schema", "schema")) == str(SCHEMA)
    assert seen == set(rows)


async def test_a_user_with_the_rights_of_the_pages_can_work(redis: RedisServer) -> None:
    """A hub with those of the one, a publisher with those of the other."""
    for_hubs = re.search(r"`(ACL SETUSER hub [^`]+)`", REDIS.text)
    assert for_hubs is not None
    (for_publishers,) = [block.text for block in PUBLISHER.blocks() if block.label == "acl"]
    for line in (for_hubs[1], for_publishers):
        await redis.order(*shlex.split(line.replace(">", "'>'")))
    url = redis.url.replace("://", "://{}:password@")
    async with hub_on(url.format("hub")) as hub, connected(hub) as client:
        await client.subscribe("chat:a")
        async with Publisher(url.format("publisher")) as publisher:
            results = [
                await publisher.publish("chat:a", n, idempotency_key=str(n), version=n, skip_history=n == 3)
                for n in (1, 2, 3)
            ]
            # Entries that are over are taken out by the next append.
            assert await publisher.publish_many([NewPublication(channel="chat:a", data=4)] * 200)
    assert [each.position.offset for each in results if each.position] == [1, 2]
    assert await redis.order("ACL", "LOG") == []


def test_arguments_are_those_of_the_code() -> None:
    """With their defaults."""
    fields = list(inspect.signature(Publisher.publish).parameters)[1:]
    documented = [name for row in PUBLISHER.table("Arguments") for name in re.findall(r"`(\w+)`", row[0])]
    assert documented == fields
    assert fields == list(inspect.signature(SyncPublisher.publish).parameters)[1:]
    section = PUBLISHER.text.partition("\n## Arguments\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|[^|]+\|$", section, re.MULTILINE)
    defaults = {name: default.strip().strip("`").replace(" ", "").strip('"') for name, default in rows}
    for made in (Publisher, SyncPublisher):
        parameters = list(inspect.signature(made).parameters.values())
        assert list(defaults) == [each.name for each in parameters]
        for each in parameters[1:]:
            told = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
            assert defaults[each.name] == told


class Request:
    """What views are called with."""


def stubs(url: str) -> dict[str, ModuleType]:
    """As much of Django, Celery and FastAPI as the page uses: they are not installed for its sake."""

    def module(name: str, **values: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(values)
        return made

    class Transaction:
        """Commits at once."""

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    class App:
        """Remembers nothing."""

        def __init__(self, lifespan: object) -> None: ...

        def post(self, path: str) -> Callable[[Any], Any]:
            return lambda function: function

    transaction = module("t", atomic=Transaction, on_commit=lambda work, robust: work())
    return {
        "django": module("django"),
        "django.conf": module("django.conf", settings=module("s", REALTIME_REDIS=url)),
        "django.db": module("django.db", transaction=transaction),
        "django.http": module("django.http", HttpResponse=lambda status: status),
        "celery": module("celery", shared_task=lambda **options: lambda function: function),
        "fastapi": module("fastapi", FastAPI=App),
        "shop": module("shop"),
    }


@pytest.fixture
def examples(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs a block of the page by its label; what it defines."""
    monkeypatch.setenv("REDIS_URL", redis.url)
    for name, stub in stubs(redis.url).items():
        monkeypatch.setitem(sys.modules, name, stub)
    opened: list[SyncPublisher] = []

    def run(label: str) -> dict[str, Any]:
        (block,) = [block for block in PUBLISHER.blocks("python") if block.label == f"run: {label}"]
        made = ModuleType(label)
        if label.startswith("shop."):
            monkeypatch.setitem(sys.modules, label, made)
        text = block.text.replace("redis://127.0.0.1:6379", redis.url)
        exec(compile(text, f"docs/publisher.md: {label}", "exec"), vars(made))
        publisher = vars(made).get("publisher")
        if isinstance(publisher, SyncPublisher):
            opened.append(publisher)
        return vars(made)

    yield run
    for publisher in opened:
        publisher.close()


async def test_the_examples_run(
    redis: RedisServer, examples: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page; clients hear what they say."""

    def run_all() -> None:
        examples("first")
        examples("async")
        examples("shop.realtime")
        assert examples("shop.views")["pay"](Request(), 7) == 204
        examples("shop.tasks")["tell"]("chat:order-7", {"state": "sent"}, "sent-7")
        examples("batch")
        examples("notify")

    async def fastapi() -> None:
        made = examples("shop.api")
        await made["paid"](8)
        async with made["lifespan"](None):
            pass

    async with hub_on(redis.url) as hub:
        await asyncio.to_thread(run_all)
        await fastapi()
        heard = {name: await history_of(hub, f"chat:{name}") for name in ("lobby", "order-7", "order-8")}
    assert heard == {
        "lobby": [{"text": "hello"}, {"text": "hello again"}, {"text": "closing soon"}],
        "order-7": [{"order": 7, "state": "paid"}, {"state": "sent"}],
        "order-8": [{"state": "paid"}],
    }
    assert capsys.readouterr().out == "1\n1000 0\nmessage-1001 2 False\n"


async def history_of(hub: Running, channel: str) -> list[Any]:
    """What the channel keeps."""
    async with connected(hub) as client:
        await client.subscribe(channel)
        await client.push()  # one's own join
        reply = await client.ask(history={"channel": channel, "limit": -1})
    return [each["data"] for each in reply["history"]["publications"]]


def test_every_python_block_is_run() -> None:
    """None is only shown."""
    labels = [block.label for block in PUBLISHER.blocks("python")]
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(label.startswith("run: ") and f'examples("{label[5:]}")' in source for label in labels)
