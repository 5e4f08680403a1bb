"""The JSON encoding: what is read, what is refused, what is written."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from hub.protocol import messages as m
from hub.protocol.codec import InvalidJSONPayload, MalformedFrame
from hub.protocol.json_codec import JSONCodec

codec = JSONCodec()
MAX = 8


def decode_one(frame: bytes) -> m.Command:
    (command,) = codec.decode(frame, MAX)
    return command


def push_of(data: bytes) -> m.Reply:
    return m.Reply(push=m.Push(channel="news", pub=m.PublicationMessage(data=Raw(data), offset=9)))


class TestDecode:
    """Frames of clients."""

    @pytest.mark.parametrize(
        ("frame", "command"),
        [
            (
                b'{"id":1,"connect":{"token":"T","name":"py"}}',
                m.Command(id=1, connect=m.ConnectRequest(token="T", name="py")),
            ),
            (
                b'{"id":2,"subscribe":{"channel":"news","recover":true,"epoch":"aaaabbbb","offset":7}}',
                m.Command(
                    id=2,
                    subscribe=m.SubscribeRequest(channel="news", recover=True, epoch="aaaabbbb", offset=7),
                ),
            ),
            (b"{}", m.Command()),
            (
                b'{"id":3,"publish":{"channel":"other","data":{"a":1}}}',
                m.Command(id=3, publish=m.PublishRequest(channel="other", data=Raw(b'{"a":1}'))),
            ),
        ],
    )
    def test_sample_commands(self, frame: bytes, command: m.Command) -> None:
        """The exchange of the protocol's description is understood."""
        assert codec.decode(frame, MAX) == [command]

    def test_one_frame_carries_several_commands_in_order(self) -> None:
        """A pipelined connect and subscribe come out as sent."""
        commands = codec.decode(b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}', MAX)
        assert [command.id for command in commands] == [1, 2]

    def test_one_trailing_newline_is_no_command(self) -> None:
        """The separator may also close the frame."""
        assert codec.decode(b"{}\n", MAX) == [m.Command()]

    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\n", id="only the separator"),
            pytest.param(b"{}\n\n{}", id="blank line in the middle"),
            pytest.param(b"{}\n\n", id="blank line at the end"),
            pytest.param(b"  ", id="spaces"),
            pytest.param(b"null", id="null"),
            pytest.param(b"[]", id="array"),
            pytest.param(b"{}{}", id="two on one line"),
            pytest.param(b'{"id":1', id="cut off"),
            pytest.param(b'{"id":"1"}', id="id as text"),
            pytest.param(b'{"id":-1}', id="negative id"),
            pytest.param(b'{"id":4294967296}', id="id beyond 32 bits"),
            pytest.param(b'{"id":1,"subscribe":{"offset":18446744073709551616}}', id="offset beyond 64 bits"),
            pytest.param(b'{"id":1,"subscribe":{"offset":"7"}}', id="offset as text"),
            pytest.param(b'{"id":1,"connect":[]}', id="request as array"),
            pytest.param(b'{"id":1,"subscribe":{"tf":{"vals":[null]}}}', id="null in a list of texts"),
            pytest.param(b'{"id":1,"rpc":{"data":"\xff"}}', id="bad UTF-8 in a payload"),
            pytest.param(b'{"id":1,"surprise":"\xff"}', id="bad UTF-8 in an unknown field"),
            pytest.param(b'{"id":1,"rpc":{"data":NaN}}', id="not JSON in a payload"),
            pytest.param(b'{"id":1,"rpc":{"data":1e999}}', id="infinite number"),
            pytest.param(b'{"id":1,"rpc":{"data":' + b"[" * 5000 + b"]" * 5000 + b"}}", id="deep payload"),
            pytest.param(
                b'{"subscribe":{"tf":' + b'{"nodes":[' * 3000 + b"]}" * 3000 + b"}}", id="deep filter"
            ),
            pytest.param(
                b'{"id":null,"subscribe":{"tf":' + b'{"nodes":[' * 100 + b"]}" * 100 + b"}}",
                id="deep filter with a null",
            ),
        ],
    )
    def test_anything_else_is_malformed(self, frame: bytes) -> None:
        """Nothing but whole, valid commands passes, and no other exception appears."""
        with pytest.raises(MalformedFrame):
            codec.decode(frame, MAX)

    def test_the_refusal_quotes_nothing(self) -> None:
        """The frame may hold a token, so its text stays out of the exception."""
        with pytest.raises(MalformedFrame) as refusal:
            codec.decode(b'{"id":"x","connect":{"token":"hush"}}', MAX)
        assert "hush" not in str(refusal.value)
        assert refusal.value.__suppress_context__

    def test_more_commands_than_allowed_are_malformed(self) -> None:
        """The limit itself passes, one more does not."""
        assert len(codec.decode(b"{}\n{}\n", 2)) == 2
        with pytest.raises(MalformedFrame):
            codec.decode(b"{}\n{}\n{}", 2)

    def test_unknown_fields_are_ignored(self) -> None:
        """Newer SDKs add fields; they must not matter."""
        frame = b'{"id":1,"method":3,"connect":{"token":"T","dict":"d","profile":{"deep":[1]}}}'
        assert decode_one(frame) == m.Command(id=1, connect=m.ConnectRequest(token="T"))

    @pytest.mark.parametrize(
        ("frame", "command"),
        [
            (b'{"id":null}', m.Command()),
            (b'{"id":1,"connect":null}', m.Command(id=1)),
            (
                b'{"id":1,"connect":{"token":null,"name":"py","data":null,"subs":null,"headers":null}}',
                m.Command(id=1, connect=m.ConnectRequest(name="py")),
            ),
            (
                b'{"id":1,"connect":{"subs":{"a":{"epoch":null,"offset":3},"b":null,"data":{"data":null}}}}',
                m.Command(
                    id=1,
                    connect=m.ConnectRequest(
                        subs={"a": m.SubscribeRequest(offset=3), "data": m.SubscribeRequest()}
                    ),
                ),
            ),
            (
                b'{"id":1,"connect":{"headers":{"a":null,"b":"c"}}}',
                m.Command(id=1, connect=m.ConnectRequest(headers={"b": "c"})),
            ),
            (
                b'{"id":1,"subscribe":{"tf":{"op":null,"nodes":[{"key":"k","vals":null}]}}}',
                m.Command(
                    id=1,
                    subscribe=m.SubscribeRequest(tf=m.FilterNode(nodes=[m.FilterNode(key="k")])),
                ),
            ),
            (b'{"id":1,"publish":{"data":null}}', m.Command(id=1, publish=m.PublishRequest())),
            (b'{"id":1,"send":{"data": null }}', m.Command(id=1, send=m.SendRequest())),
            (
                b'{"id":1,"rpc":{"method":null,"data":{"kept":null}}}',
                m.Command(id=1, rpc=m.RPCRequest(data=Raw(b'{"kept":null}'))),
            ),
            (
                b'{"id":1,"connect":{"subs":{"a":{"data":null}}}}',
                m.Command(id=1, connect=m.ConnectRequest(subs={"a": m.SubscribeRequest()})),
            ),
        ],
    )
    def test_null_means_absent_outside_payloads(self, frame: bytes, command: m.Command) -> None:
        """A field sent as null is as good as one not sent; inside a payload null is content."""
        assert codec.decode(frame, MAX) == [command]

    @pytest.mark.parametrize(
        "data", [b'{"b":1.0,  "a":1e2}', b'"\\u00e9\\/"', b"18446744073709551617", b'{"a":1,"a":2}']
    )
    def test_payloads_keep_their_bytes(self, data: bytes) -> None:
        """No number, escape, order or space of a payload changes: deltas compare bytes."""
        command = decode_one(b'{"id":null,"publish":{"channel":"a","data": ' + data + b" }}")
        assert command.publish is not None
        assert bytes(command.publish.data) == data

    def test_half_an_emoji_becomes_the_replacement_character(self) -> None:
        """A text cut inside an emoji is passed on, with all other escapes untouched."""
        command = decode_one(
            rb'{"id":1,"rpc":{"data":"\ud83d \ude00 \ud83d\ude00 \\ud83d \n","method":"\ud83d"}}'
        )
        assert command.rpc is not None
        assert bytes(command.rpc.data) == rb'"\ufffd \ufffd \ud83d\ude00 \\ud83d \n"'
        assert command.rpc.method == "\ufffd"


class TestEncode:
    """Replies of the hub."""

    @pytest.mark.parametrize(
        ("reply", "line"),
        [
            (
                m.Reply(id=1, connect=m.ConnectResult(client="5b1e", version="0.1", ping=25, pong=True)),
                b'{"id":1,"connect":{"client":"5b1e","version":"0.1","ping":25,"pong":true}}',
            ),
            (
                m.Reply(
                    id=2,
                    subscribe=m.SubscribeResult(
                        recoverable=True,
                        epoch="aaaabbbb",
                        publications=[m.PublicationMessage(data=Raw(b'{"n":8}'), offset=8)],
                        recovered=True,
                        offset=7,
                        positioned=True,
                        was_recovering=True,
                    ),
                ),
                b'{"id":2,"subscribe":{"recoverable":true,"epoch":"aaaabbbb","publications":'
                b'[{"data":{"n":8},"offset":8}],"recovered":true,"offset":7,"positioned":true,'
                b'"was_recovering":true}}',
            ),
            (push_of(b'{"n":9}'), b'{"push":{"channel":"news","pub":{"data":{"n":9},"offset":9}}}'),
            (
                m.Reply(
                    push=m.Push(channel="news", join=m.Join(m.ClientInfoMessage(user="42", client="5b1e")))
                ),
                b'{"push":{"channel":"news","join":{"info":{"user":"42","client":"5b1e"}}}}',
            ),
            (
                m.Reply(id=3, error=m.Error(code=103, message="permission denied")),
                b'{"id":3,"error":{"code":103,"message":"permission denied"}}',
            ),
            (
                m.Reply(push=m.Push(channel="news", unsubscribe=m.Unsubscribe(2500, "insufficient state"))),
                b'{"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}}}',
            ),
        ],
    )
    def test_sample_replies(self, reply: m.Reply, line: bytes) -> None:
        """The exchange of the protocol's description is written byte for byte."""
        assert codec.encode(reply) == line

    def test_ping_is_an_empty_object(self) -> None:
        """A reply with nothing set is the ping, and a pong looks the same."""
        assert codec.encode(m.Reply()) == codec.ping == b"{}"
        assert codec.encode_command(m.Command()) == codec.ping

    @pytest.mark.parametrize(
        ("reply", "line"),
        [
            (m.Reply(id=1, publish=m.PublishResultMessage()), b'{"id":1,"publish":{}}'),
            (m.Reply(id=1, unsubscribe=m.UnsubscribeResult()), b'{"id":1,"unsubscribe":{}}'),
            (m.Reply(id=1, ping=m.PingResult()), b'{"id":1,"ping":{}}'),
            (m.Reply(id=1, rpc=m.RPCResult()), b'{"id":1,"rpc":{}}'),
            (m.Reply(id=1, subscribe=m.SubscribeResult()), b'{"id":1,"subscribe":{}}'),
            (m.Reply(id=1, refresh=m.RefreshResult()), b'{"id":1,"refresh":{}}'),
            (m.Reply(id=1, presence=m.PresenceResult({})), b'{"id":1,"presence":{"presence":{}}}'),
            (
                m.Reply(id=1, presence=m.PresenceResult({"c": m.ClientInfoMessage("", "c")})),
                b'{"id":1,"presence":{"presence":{"c":{"user":"","client":"c"}}}}',
            ),
            (
                m.Reply(id=1, presence_stats=m.PresenceStatsResult(0, 0)),
                b'{"id":1,"presence_stats":{"num_clients":0,"num_users":0}}',
            ),
            (
                m.Reply(id=1, history=m.HistoryResult([], "", 0)),
                b'{"id":1,"history":{"publications":[],"epoch":"","offset":0}}',
            ),
            (m.Reply(id=1, error=m.Error(0, "")), b'{"id":1,"error":{"code":0,"message":""}}'),
            (
                m.Reply(push=m.Push(unsubscribe=m.Unsubscribe(0, ""))),
                b'{"push":{"unsubscribe":{"code":0,"reason":""}}}',
            ),
        ],
    )
    def test_what_clients_read_unasked_is_never_left_out(self, reply: m.Reply, line: bytes) -> None:
        """Empty results, and the few fields that SDKs read without a check, are always there."""
        assert codec.encode(reply) == line

    def test_large_integers_stay_numbers(self) -> None:
        """Offsets are plain JSON numbers at any size, never texts."""
        reply = m.Reply(push=m.Push(subscribe=m.Subscribe(offset=2**64 - 1)))
        assert codec.encode(reply) == b'{"push":{"subscribe":{"offset":18446744073709551615}}}'

    @pytest.mark.parametrize("data", [b'{"b":1.0,  "a":1e2}', rb'"\u00e9\/"', b'{"a":1,"a":2}', b"null"])
    def test_payloads_keep_their_bytes(self, data: bytes) -> None:
        """A payload is embedded as its publisher wrote it, neither parsed anew nor in base64."""
        assert b'"data":' + data + b"," in codec.encode(push_of(data))

    def test_line_breaks_between_tokens_are_removed(self) -> None:
        """A pretty-printed payload must not break the line; breaks inside its texts are escapes and stay."""
        line = codec.encode(push_of(b'{\r\n  "a": "x\\n",\n  "b": [1,\n2]\n}'))
        assert b'"data":{  "a": "x\\n",  "b": [1,2]},' in line

    def test_empty_payloads_are_left_out(self) -> None:
        """An empty payload is not JSON; it counts as none, wherever it is."""
        info = m.ClientInfoMessage("u", "c", conn_info=Raw(b""), chan_info=Raw(b""))
        reply = m.Reply(push=m.Push(pub=m.PublicationMessage(data=Raw(b""), info=info)))
        assert codec.encode(reply) == b'{"push":{"pub":{"info":{"user":"u","client":"c"}}}}'

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\x00\x01", id="binary"),
            pytest.param(b'"\xff"', id="bad UTF-8"),
            pytest.param(b"{", id="cut off"),
            pytest.param(b'1,"offset":99', id="forged neighbour"),
            pytest.param(b"{} {}", id="two values"),
            pytest.param(b'"a\nb"', id="raw line break in a text"),
            pytest.param(b" ", id="blank"),
            pytest.param(b"[" * 5000 + b"]" * 5000, id="too deep"),
        ],
    )
    def test_a_payload_that_is_not_json_is_refused(self, data: bytes) -> None:
        """What would break or forge the line of a JSON client never reaches it."""
        with pytest.raises(InvalidJSONPayload):
            codec.encode(push_of(data))

    def test_half_an_emoji_does_not_end_the_listeners(self) -> None:
        """Binary clients may publish such a text; JSON clients read the replacement character."""
        line = codec.encode(push_of(rb'{"t":"\uD83D","u":"\ud83d\ude00"}'))
        assert rb'{"t":"\ufffd","u":"\ud83d\ude00"}' in line
        assert json.loads(line)["push"]["pub"]["data"] == {"t": "\ufffd", "u": "😀"}

    @pytest.mark.parametrize(
        "reply",
        [
            m.Reply(connect=m.ConnectResult(data=Raw(b"{"))),
            m.Reply(connect=m.ConnectResult(subs={"a": m.SubscribeResult(data=Raw(b"{"))})),
            m.Reply(subscribe=m.SubscribeResult(publications=[m.PublicationMessage(data=Raw(b"{"))])),
            m.Reply(history=m.HistoryResult([m.PublicationMessage(data=Raw(b"{"))], "", 0)),
            m.Reply(presence=m.PresenceResult({"c": m.ClientInfoMessage("", "c", conn_info=Raw(b"{"))})),
            m.Reply(push=m.Push(leave=m.Leave(m.ClientInfoMessage("", "c", chan_info=Raw(b"{"))))),
            m.Reply(push=m.Push(message=m.Message(Raw(b"{")))),
            m.Reply(push=m.Push(subscribe=m.Subscribe(data=Raw(b"{")))),
            m.Reply(rpc=m.RPCResult(Raw(b"{"))),
        ],
    )
    def test_payloads_are_checked_wherever_they_sit(self, reply: m.Reply) -> None:
        """No place in a reply lets an unchecked payload through."""
        with pytest.raises(InvalidJSONPayload):
            codec.encode(reply)

    def test_join_separates_lines(self) -> None:
        """One newline between replies, none behind the last."""
        assert codec.join([b"{}", b'{"id":1}']) == b'{}\n{"id":1}'


class TestClientSide:
    """What a Python client, or a test, needs of the other direction."""

    def test_replies_of_a_frame_are_read_in_order(self) -> None:
        """Replies and pushes of one frame come out as they were sent."""
        replies = [m.Reply(id=1, connect=m.ConnectResult(client="c")), push_of(b'{"n":9}'), m.Reply()]
        assert codec.decode_replies(codec.join([codec.encode(reply) for reply in replies])) == replies

    @pytest.mark.parametrize("frame", [b"", b"{", b"{}\n\n", b'{"id":"1"}', b"\xff"])
    def test_bad_replies_are_malformed(self, frame: bytes) -> None:
        """A client meets the same one exception as the hub."""
        with pytest.raises(MalformedFrame):
            codec.decode_replies(frame)

    def test_a_command_with_a_bad_payload_is_refused(self) -> None:
        """A client of ours cannot send what the hub would end it for."""
        with pytest.raises(InvalidJSONPayload):
            codec.encode_command(m.Command(id=1, send=m.SendRequest(Raw(b"{"))))
