"""Saying something in a channel, and asking about it."""

from __future__ import annotations

import json

import cent
import pytest

from tests.support.hub_process import Running
from tests.support.sdk import Fields, SdkClient, SdkError
from tests.support.sdk_clients import Clients, publications, subscribed

NUMBERS = [
    {"n": n, "text": "the same words around a number, long enough to be worth a patch"} for n in range(10)
]


class SpeakingScenarios:
    """Publish, history, presence, RPC (client protocol, 8.3, 10 and 13)."""

    async def test_publishes(self, hub: Running, clients: Clients) -> None:
        """Everybody hears it, the publisher too, and is told who said it."""
        ann = await clients.connected(hub.ws_url, claims={"info": {"name": "Ann"}})
        bob = await clients.connected(hub.ws_url, "bob")
        for each in (ann, bob):
            await subscribed(each, "news")
        said = {"text": "hello", "price": 1.5, "none": None, "smile": "ツ\u2028"}
        await ann.publish("news", said)
        for each in (ann, bob):
            heard = await each.events.next("publication")
            assert (heard["data"], heard["offset"]) == (said, 1)
            assert heard["info"]["user"] == "ann"
            assert heard["info"]["conn_info"] == {"name": "Ann"}

    async def test_codecs_hear_each_other(self, hub: Running, clients: Clients) -> None:
        """JSON published in one codec is the same JSON in the other."""
        speaker = await clients.connected(hub.ws_url)
        listeners = [await clients.connected(hub.ws_url, codec=codec) for codec in ("json", "protobuf")]
        for each in listeners:
            await subscribed(each, "news")
        await speaker.publish("news", {"n": [1, 2.5, "x"]})
        heard = [(await publications(each, "news", 1))[0]["data"] for each in listeners]
        assert heard == [{"n": [1, 2.5, "x"]}] * 2

    async def test_hears_the_backend(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Data, tags and offset as they were published, in order, and nobody's name on it."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        for number in range(1, 4):
            await api.publish(cent.PublishRequest(channel="news", data=number, tags={"n": str(number)}))
        heard = await publications(client, "news", 3)
        assert [(each["data"], each["offset"], each["tags"]) for each in heard] == [
            (number, number, {"n": str(number)}) for number in range(1, 4)
        ]
        assert [each.get("info") for each in heard] == [None, None, None]

    async def test_without_history_there_is_no_offset(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """In a channel that keeps nothing, and for a publication that is not kept (client protocol, 9.1)."""
        client = await clients.connected(hub.ws_url)
        told = await subscribed(client, "plain:x")
        await subscribed(client, "news")
        await api.publish(cent.PublishRequest(channel="plain:x", data=1))
        await api.publish(cent.PublishRequest(channel="news", data=1, skip_history=True))
        assert (told["recoverable"], told["positioned"]) == (False, False)
        for channel in ("plain:x", "news"):
            assert (await publications(client, channel, 1))[0].get("offset", 0) == 0

    async def test_sees_others_come_and_go(self, hub: Running, clients: Clients) -> None:
        """Joins and leaves of others and one's own join, never one's own leave (client protocol, 8.3)."""
        ann = await clients.connected(hub.ws_url)
        await subscribed(ann, "news")
        assert (await ann.events.next("join"))["info"]["user"] == "ann"
        bob = await clients.connected(hub.ws_url, "bob")
        await subscribed(bob, "news")
        assert (await ann.events.next("join"))["info"]["user"] == "bob"
        await bob.unsubscribe("news")
        assert (await ann.events.next("leave"))["info"]["user"] == "bob"
        await bob.subscribe("news")
        assert (await ann.events.next("join"))["info"]["user"] == "bob"
        await bob.disconnect()
        assert (await ann.events.next("leave"))["info"]["user"] == "bob"
        assert bob.events.all("leave") == []

    async def test_presence(self, hub: Running, clients: Clients) -> None:
        """Who is there, by client and counted by user; gone at once with the connection."""
        ann = await clients.connected(hub.ws_url)
        others = [await clients.connected(hub.ws_url, "bob") for _ in range(2)]
        for each in (ann, *others):
            await subscribed(each, "news")
        members = await ann.presence("news")
        assert sorted(info["user"] for info in members.values()) == ["ann", "bob", "bob"]
        assert all(info["client"] == client for client, info in members.items())
        assert await ann.presence_stats("news") == {"num_clients": 3, "num_users": 2}
        await others[0].disconnect()
        await ann.events.next("leave")
        assert await ann.presence_stats("news") == {"num_clients": 2, "num_users": 2}

    async def test_history(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Forward and backward, from anywhere, without a subscription (client protocol, 13)."""
        client = await clients.connected(hub.ws_url)
        empty = await client.history("news")
        assert (empty["publications"], empty["offset"]) == ([], 0)
        for number in range(1, 6):
            await api.publish(cent.PublishRequest(channel="news", data=number, tags={"n": str(number)}))
        epoch = empty["epoch"]
        third = {"offset": 3, "epoch": epoch}

        async def read(**wanted: object) -> list[int]:
            page = await client.history("news", **wanted)  # type: ignore[arg-type]
            assert (page["offset"], page["epoch"]) == (5, epoch)
            assert [each["data"] for each in page["publications"]] == [
                each["offset"] for each in page["publications"]
            ]
            return [each["offset"] for each in page["publications"]]

        assert await read() == []
        assert await read(limit=2) == [1, 2]
        assert await read(limit=-1) == [1, 2, 3, 4, 5]
        assert await read(limit=2, reverse=True) == [5, 4]
        assert await read(limit=10, since=third) == [4, 5]
        assert await read(limit=10, since=third, reverse=True) == [2, 1]
        assert await read(limit=10, since={"offset": 4, "epoch": ""}) == [5]
        page = await client.history("news", limit=1)
        assert page["publications"][0]["tags"] == {"n": "1"}

    @pytest.mark.parametrize(
        ("channel", "wanted", "code"),
        [
            ("plain:x", {}, 108),
            ("closed:x", {}, 103),
            ("nowhere:x", {}, 102),
            ("news", {"limit": 1, "since": {"offset": 1, "epoch": "another"}}, 112),
            ("news", {"limit": 1, "since": {"offset": 0, "epoch": ""}, "reverse": True}, 107),
        ],
    )
    async def test_history_is_refused(
        self, hub: Running, clients: Clients, channel: str, wanted: Fields, code: int
    ) -> None:
        """Off, not allowed, no such namespace, another stream, before the beginning."""
        client = await clients.connected(hub.ws_url)
        with pytest.raises(SdkError) as refusal:
            await client.history(channel, **wanted)
        assert refusal.value.code == code

    @pytest.mark.parametrize(
        ("what", "channel", "code"),
        [
            ("publish", "closed:x", 103),
            ("publish", "nowhere:x", 102),
            ("publish", "inbox:ann", 103),
            ("presence", "plain:x", 108),
            ("presence", "closed:x", 103),
            ("presence_stats", "plain:x", 108),
            ("presence_stats", "nowhere:x", 102),
            ("rpc", "any.method", 108),
        ],
    )
    async def test_is_refused(
        self, hub: Running, clients: Clients, what: str, channel: str, code: int
    ) -> None:
        """With the code of the table, and the connection goes on (client protocol, 13 and 15.1)."""
        client = await clients.connected(hub.ws_url)
        with pytest.raises(SdkError) as refusal:
            await _ask(client, what, channel)
        assert refusal.value.code == code
        await subscribed(client, "news")

    async def test_bytes_are_for_protobuf_only(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """What is no JSON reaches Protobuf clients as it is and ends JSON clients with 3506.

        Only a backend can publish it: a client that tries is refused.
        """
        binary = await clients.connected(hub.ws_url, codec="protobuf")
        text = await clients.connected(hub.ws_url, "bob", codec="json")
        for each in (binary, text):
            await subscribed(each, "news")
        with pytest.raises(SdkError) as refused:
            await binary.publish_bytes("news", b"\xff\x00\xfe")
        assert refused.value.code == 107
        await api.publish(cent.PublishRequest(channel="news", data=None, b64data="/wD+"))
        assert (await text.events.next("disconnected"))["code"] == 3506
        assert (await publications(binary, "news", 1))[0]["data"] == {"b64": "/wD+"}

    async def test_patches(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Ten documents that hardly differ: the first whole, the others as patches (client protocol, 10)."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "delta:x", delta="fossil")
        for document in NUMBERS:
            await api.publish(cent.PublishRequest(channel="delta:x", data=document))
        assert [each["data"] for each in await publications(client, "delta:x", 10)] == NUMBERS
        assert await client.patches("delta:x") == len(NUMBERS) - 1

    async def test_patches_after_coming_back(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """Recovered documents are patches too, and the next live one goes on from them."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "delta:x", delta="fossil")
        await api.publish(cent.PublishRequest(channel="delta:x", data=NUMBERS[0]))
        await publications(client, "delta:x", 1)
        await client.unsubscribe("delta:x")
        await client.events.next("unsubscribed")
        for document in NUMBERS[1:5]:
            await api.publish(cent.PublishRequest(channel="delta:x", data=document))
        told = await subscribed(client, "delta:x")
        await api.publish(cent.PublishRequest(channel="delta:x", data=NUMBERS[5]))
        assert told["recovered"]
        assert [each["data"] for each in await publications(client, "delta:x", 5)] == NUMBERS[1:6]
        assert await client.patches("delta:x") == 4

    async def test_patches_where_text_is_cut(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """Characters of several bytes survive, even where a patch would cut through one."""
        documents = ["ä" * 40 + letter + "ö" * 40 for letter in "àáâãäåæçèé"]
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "delta:x", delta="fossil")
        for document in documents:
            data = json.dumps(document, ensure_ascii=False)
            await api.publish(cent.PublishRequest(channel="delta:x", data=json.loads(data)))
        assert [each["data"] for each in await publications(client, "delta:x", 10)] == documents


async def _ask(client: SdkClient, what: str, about: str) -> None:
    match what:
        case "publish":
            await client.publish(about, {"n": 1})
        case "presence":
            await client.presence(about)
        case "presence_stats":
            await client.presence_stats(about)
        case "rpc":
            await client.rpc(about, {"n": 1})
        case _:
            raise AssertionError(what)
